//! Where callers may be sent: to a path of the same host, or to an origin that an operator has named. Anything else would
//! let whoever fills in a URL borrow our name for his own page.

use crate::name::Name;
use reqwest::Url;
use std::collections::BTreeMap;

/// Longest target, in bytes.
const TARGET_BYTES_MAX: usize = 4096;

/// The origins that callers may be sent to.
#[derive(Clone, Debug, Default)]
pub struct RedirectOrigins {
    /// For every workspace.
    all: Vec<String>,
    workspaces: BTreeMap<Name, Vec<String>>,
}

impl RedirectOrigins {
    /// # Errors
    ///
    /// What is not an origin, in a sentence.
    pub fn new(all: Vec<String>, workspaces: BTreeMap<Name, Vec<String>>) -> Result<Self, String> {
        let all = all.iter().map(|origin| parse_origin(origin)).collect::<Result<_, _>>()?;
        let mut of_workspaces = BTreeMap::new();
        for (workspace, origins) in workspaces {
            let origins = origins.iter().map(|origin| parse_origin(origin)).collect::<Result<_, _>>()?;
            of_workspaces.insert(workspace, origins);
        }
        Ok(Self { all, workspaces: of_workspaces })
    }

    /// Whether callers of a workspace may be sent somewhere (A-GX-13).
    ///
    /// # Errors
    ///
    /// Why not, in a sentence.
    pub fn check(&self, workspace: &Name, target: &str) -> Result<(), String> {
        let shown: String = target.chars().take(200).flat_map(char::escape_debug).collect();
        if target.len() > TARGET_BYTES_MAX {
            return Err(format!("the redirect URL has more than {TARGET_BYTES_MAX} bytes"));
        }
        // Browsers read a backslash as a slash, and drop tabs and line ends: what is checked must be what they see.
        if target.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\' || !c.is_ascii()) {
            return Err(format!("`{shown}` has characters that a URL cannot have; encode them with %"));
        }
        if target.starts_with('/') && !target.starts_with("//") {
            return Ok(());
        }
        let url = target.parse::<Url>().ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
        let Some(url) = url else {
            return Err(format!("`{shown}` is neither a path that begins with one `/` nor a whole http or https URL"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("`{shown}` has a user name, which hides where it leads"));
        }
        let origin = url.origin().ascii_serialization();
        let mut allowed = self.all.iter().chain(self.workspaces.get(workspace).into_iter().flatten());
        if allowed.any(|known| *known == origin) {
            return Ok(());
        }
        Err(format!("`{origin}` is not among the `redirect_origins` of the settings; an operator can add it there"))
    }
}

fn parse_origin(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not an origin; write it like https://shop.example.com, without a path");
    let url: Url = text.parse().map_err(|_| wrong())?;
    let origin = url.origin();
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !bare || !matches!(url.scheme(), "http" | "https") || !origin.is_tuple() {
        return Err(wrong());
    }
    Ok(origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::RedirectOrigins;
    use crate::name::Name;
    use std::collections::BTreeMap;

    /// A-GX-13.
    #[test]
    fn only_own_paths_and_named_origins_are_allowed() {
        let (default, acme) = (Name::default_name(), "acme".parse::<Name>().unwrap());
        let of_acme = BTreeMap::from([(acme.clone(), vec!["http://acme.example:8080".to_owned()])]);
        let origins = RedirectOrigins::new(vec!["https://Shop.example".to_owned()], of_acme).unwrap();
        for wrong in [
            "",
            "page",
            "//evil.example/",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/page\r\nset-cookie: a=b",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://evil.example/",
            "https://shop.example.evil.example/",
            "https://shop.example@evil.example/",
            "https://user:pass@shop.example/",
            "https://shop.example:444/",
            "http://shop.example/",
            "https:/evil.example",
            "https:evil.example",
            "ftp://shop.example/",
            "https://shop.example\\.evil.example/",
            "https://shop\u{2024}example/",
            "http://acme.example:8080/x",
        ] {
            assert!(origins.check(&default, wrong).is_err(), "{wrong}");
        }
        for right in
            ["/page/thankyou", "/case/1:142:432", "/?a=//b", "https://shop.example/a?b#c", "https://SHOP.example:443"]
        {
            assert_eq!(origins.check(&default, right), Ok(()), "{right}");
        }
        assert_eq!(origins.check(&acme, "http://acme.example:8080/x"), Ok(()));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in ["shop.example", "https://shop.example/path", "https://a@shop.example", "ftp://shop.example", "*"]
        {
            assert!(RedirectOrigins::new(vec![wrong.to_owned()], BTreeMap::new()).is_err(), "{wrong}");
        }
    }
}
