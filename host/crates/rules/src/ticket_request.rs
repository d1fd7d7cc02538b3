//! What a ticket that is made may say of itself, whoever makes it.

use url::Url;

/// Longest name of a parameter, in bytes.
const PARAMETER_MAX: usize = 64;

/// Whether a query parameter of this name can carry the state.
///
/// # Errors
///
/// Why not, in a sentence.
pub fn check_parameter(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=PARAMETER_MAX).contains(&name.len()) && name.bytes().all(allowed) && !matches!(name, "." | "..") {
        return Ok(());
    }
    let shown: String = name.chars().take(100).collect();
    Err(format!(
        "`{shown}` cannot name the state parameter: use 1 to {PARAMETER_MAX} letters, digits, `.`, `_` and `-`"
    ))
}

/// `https://host` or `https://host:port`, as URLs have it (A-GX-11).
///
/// # Errors
///
/// It is something else; in a sentence.
pub fn check_domain(text: &str) -> Result<String, String> {
    let domain = text.strip_suffix('/').unwrap_or(text);
    let is_bare = |url: &Url| {
        let has_user = !url.username().is_empty() || url.password().is_some();
        let is_host = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        url.scheme() == "https" && is_host && !has_user
    };
    let is_written_so = domain.to_ascii_lowercase().starts_with("https://") && !domain.ends_with('/');
    let url = domain.parse::<Url>().ok().filter(|url| is_written_so && is_bare(url));
    url.map(|url| url.origin().ascii_serialization()).ok_or_else(|| {
        let shown: String = text.chars().take(300).collect();
        format!(
            "`alternative_domain` must be like https://hooks.example.com or https://hooks.example.com:8443, not {shown:?}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{check_domain, check_parameter};

    /// A-GX-11.
    #[test]
    fn an_alternative_domain_is_a_host_and_nothing_else() {
        for wrong in [
            "",
            "hooks.example.com",
            "http://hooks.example.com",
            "https://",
            "https:hooks.example.com",
            "https://hooks.example.com/path",
            "https://hooks.example.com//",
            "https://hooks.example.com?a=b",
            "https://hooks.example.com#a",
            "https://user@hooks.example.com",
            "https://hooks.example.com:99999",
        ] {
            assert!(check_domain(wrong).is_err(), "{wrong}");
        }
        for (text, domain) in [
            ("https://hooks.example.com", "https://hooks.example.com"),
            ("https://hooks.example.com/", "https://hooks.example.com"),
            ("https://Hooks.example.com:8443", "https://hooks.example.com:8443"),
        ] {
            assert_eq!(check_domain(text).unwrap(), domain);
        }
    }

    #[test]
    fn a_parameter_needs_no_encoding() {
        for wrong in ["a b", "a/b", "a&b", "a=b", "ä", "..", "", &"a".repeat(65)] {
            assert!(check_parameter(wrong).is_err(), "{wrong}");
        }
        assert!(check_parameter("RelayState").is_ok() && check_parameter("state").is_ok());
    }
}
