//! Where callers are sent on to: what a URL must look like, whoever allows it.

use url::Url;

/// Longest target, in bytes.
const TARGET_BYTES_MAX: usize = 4096;

/// The origin of a target; `None` for a path of the same host.
pub fn origin_of(target: &str) -> Result<Option<String>, String> {
    let shown: String = target.chars().take(200).flat_map(char::escape_debug).collect();
    if target.len() > TARGET_BYTES_MAX {
        return Err(format!("the redirect URL has more than {TARGET_BYTES_MAX} bytes"));
    }
    // Browsers read a backslash as a slash, and drop tabs and line ends: what is checked must be what they see.
    if target.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\' || !c.is_ascii()) {
        return Err(format!("`{shown}` has characters that a URL cannot have; encode them with %"));
    }
    if target.starts_with('/') && !target.starts_with("//") {
        return Ok(None);
    }
    let url = target.parse::<Url>().ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        return Err(format!("`{shown}` is neither a path that begins with one `/` nor a whole http or https URL"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("`{shown}` has a user name, which hides where it leads"));
    }
    Ok(Some(url.origin().ascii_serialization()))
}
