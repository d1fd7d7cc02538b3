//! Where callers may be sent: to a path of the same host, or to an origin that the settings or an administrator of the
//! workspace have named. Anything else would let whoever fills in a URL borrow our name for his own page.

use super::table::Table;
use ringback_records::name::Name;
use ringback_records::redirect::OriginRecord;
use ringback_records::time::Timestamp;
use ringback_rules::redirect::origin_of;
use ringback_store::{Store, StoreError, Write};
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

/// Most origins that are added to one workspace.
const ORIGINS_MAX: usize = 100;

/// The origins of the settings.
#[derive(Clone, Debug, Default)]
pub struct RedirectOrigins {
    /// For every workspace.
    all: Vec<String>,
    workspaces: BTreeMap<Name, Vec<String>>,
    /// What may be added while the server runs; everything when empty.
    bound: Vec<Bound>,
}

/// An origin, or every origin of the hosts under one: `https://*.example.com`.
#[derive(Clone, Debug)]
struct Bound {
    /// With the host without `*`.
    origin: Url,
    under: bool,
}

impl Bound {
    fn parse(text: &str) -> Result<Self, String> {
        let plain = text.replacen("://*.", "://", 1);
        let origin = parse_origin(&plain).and_then(|origin| origin.parse().map_err(|_| plain.clone()));
        let wrong = || format!("{text:?} is no bound; write it like https://shop.example.com or https://*.example.com");
        Ok(Self { origin: origin.map_err(|_| wrong())?, under: plain != text })
    }

    fn has(&self, origin: &str) -> bool {
        let Ok(url) = origin.parse::<Url>() else { return false };
        let (host, of) = (url.host_str().unwrap_or_default(), self.origin.host_str().unwrap_or_default());
        let same = (url.scheme(), url.port()) == (self.origin.scheme(), self.origin.port());
        same && if self.under { host.strip_suffix(of).is_some_and(|rest| rest.ends_with('.')) } else { host == of }
    }
}

/// Why an origin could not be added.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error("{0}")]
    Malformed(String),
    #[error("`{0}` is not within `redirect_origins_bound` of the settings; an operator can widen it")]
    OutOfBound(String),
    #[error("a workspace has at most {ORIGINS_MAX} origins; remove one first")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Added = BTreeMap<(Name, String), OriginRecord>;

/// A handle to the origins that callers may be sent to. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Redirects {
    settings: Arc<RedirectOrigins>,
    store: Store,
    added: Arc<Table<Added>>,
}

impl Redirects {
    /// Reads what was added.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn open(settings: Arc<RedirectOrigins>, store: Store) -> Result<Self, StoreError> {
        let stored = store.redirect_origins().await?;
        let added: Added = stored.into_iter().map(|(owner, origin, record)| ((owner, origin), record)).collect();
        Ok(Self { settings, store, added: Arc::new(Table::new(added)) })
    }

    /// Whether callers of a workspace may be sent somewhere (A-GX-13).
    ///
    /// # Errors
    ///
    /// Why not, in a sentence.
    pub fn check(&self, workspace: &Name, target: &str) -> Result<(), String> {
        let Some(origin) = origin_of(target)? else { return Ok(()) };
        let is_added = |origin: &str| self.added.load().contains_key(&(workspace.clone(), origin.to_owned()));
        match self.settings.has(workspace, &origin) || (is_added(&origin) && self.settings.admits(&origin)) {
            true => Ok(()),
            false => Err(not_allowed(&origin)),
        }
    }

    /// The origins of a workspace by name, each with when it was added; `None` for those of the settings.
    pub fn list(&self, workspace: &Name) -> Vec<(String, Option<OriginRecord>)> {
        let settings = &self.settings;
        let of_settings = settings.all.iter().chain(settings.workspaces.get(workspace).into_iter().flatten());
        let mut list: BTreeMap<String, Option<OriginRecord>> =
            of_settings.map(|origin| (origin.clone(), None)).collect();
        for ((owner, origin), record) in self.added.load().iter() {
            if owner == workspace && settings.admits(origin) {
                list.entry(origin.clone()).or_insert_with(|| Some(record.clone()));
            }
        }
        list.into_iter().collect()
    }

    /// Lets callers of a workspace be sent to an origin: the origin as it is compared, and whether it is new.
    ///
    /// # Errors
    ///
    /// It is no origin, the settings do not allow it, there are too many, or the store failed.
    pub async fn add(&self, workspace: &Name, origin: &str) -> Result<(String, bool), OriginError> {
        let origin = parse_origin(origin).map_err(OriginError::Malformed)?;
        if !self.settings.admits(&origin) {
            return Err(OriginError::OutOfBound(origin));
        }
        let _changing = self.added.lock(workspace).await;
        let added = self.added.load();
        let key = (workspace.clone(), origin.clone());
        if added.contains_key(&key) {
            return Ok((origin, false));
        }
        if added.keys().filter(|(owner, _)| owner == workspace).count() >= ORIGINS_MAX {
            return Err(OriginError::TooMany);
        }
        let record = OriginRecord { added_at: Timestamp::now() };
        let put =
            Write::PutRedirectOrigin { workspace: workspace.clone(), origin: origin.clone(), record: record.clone() };
        let change = |added: &mut Added| {
            added.insert(key.clone(), record.clone());
        };
        self.added.commit(&self.store, vec![put], change).await?;
        Ok((origin, true))
    }

    /// Takes an origin back that was added: whether there was one.
    ///
    /// # Errors
    ///
    /// It is no origin, or the store failed.
    pub async fn remove(&self, workspace: &Name, origin: &str) -> Result<bool, OriginError> {
        let origin = parse_origin(origin).map_err(OriginError::Malformed)?;
        let _changing = self.added.lock(workspace).await;
        let key = (workspace.clone(), origin.clone());
        let existed = self.added.load().contains_key(&key);
        let delete = Write::DeleteRedirectOrigin { workspace: workspace.clone(), origin };
        let change = |added: &mut Added| {
            added.remove(&key);
        };
        self.added.commit(&self.store, vec![delete], change).await?;
        Ok(existed)
    }
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
        Ok(Self { all, workspaces: of_workspaces, bound: Vec::new() })
    }

    /// What may be added while the server runs.
    ///
    /// # Errors
    ///
    /// What is no bound, in a sentence.
    pub fn within(self, bound: &[String]) -> Result<Self, String> {
        let bound = bound.iter().map(|text| Bound::parse(text)).collect::<Result<_, _>>()?;
        Ok(Self { bound, ..self })
    }

    fn admits(&self, origin: &str) -> bool {
        self.bound.is_empty() || self.bound.iter().any(|bound| bound.has(origin))
    }

    fn has(&self, workspace: &Name, origin: &str) -> bool {
        let mut known = self.all.iter().chain(self.workspaces.get(workspace).into_iter().flatten());
        known.any(|known| known == origin)
    }

    /// Whether callers of a workspace may be sent somewhere by the settings alone.
    ///
    /// # Errors
    ///
    /// Why not, in a sentence.
    #[cfg(any(test, fuzzing))]
    pub fn check(&self, workspace: &Name, target: &str) -> Result<(), String> {
        match origin_of(target)? {
            Some(origin) if !self.has(workspace, &origin) => Err(not_allowed(&origin)),
            _ => Ok(()),
        }
    }
}

fn not_allowed(origin: &str) -> String {
    format!(
        "callers may not be sent to `{origin}`: an administrator can allow it with `ringback redirect-origin add {origin}`, \
         or an operator in `redirect_origins` of the settings"
    )
}

fn parse_origin(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not an origin; write it like https://shop.example.com, without a path");
    let url: Url = text.parse().map_err(|_| wrong())?;
    let origin = url.origin();
    let bare = url.path() == "/"
        && !text.contains('*')
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
    if !bare || !matches!(url.scheme(), "http" | "https") || !origin.is_tuple() {
        return Err(wrong());
    }
    Ok(origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::RedirectOrigins;
    use ringback_records::name::Name;
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
    fn s9_a_bound_is_an_origin_or_the_hosts_under_one() {
        let bound = ["https://shop.example".to_owned(), "https://*.acme.example".to_owned()];
        let origins = RedirectOrigins::default().within(&bound).unwrap();
        for (origin, is_within) in [
            ("https://shop.example", true),
            ("https://a.acme.example", true),
            ("https://a.b.acme.example", true),
            ("https://acme.example", false),
            ("https://evilacme.example", false),
            ("http://a.acme.example", false),
            ("https://a.acme.example:8443", false),
            ("https://a.shop.example", false),
        ] {
            assert_eq!(origins.admits(origin), is_within, "{origin}");
        }
        for wrong in ["*", "https://*", "https://*.", "https://a.*.example", "*.example", "https://a.example/x"] {
            assert!(RedirectOrigins::default().within(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in ["shop.example", "https://shop.example/path", "https://a@shop.example", "ftp://shop.example", "*"]
        {
            assert!(RedirectOrigins::new(vec![wrong.to_owned()], BTreeMap::new()).is_err(), "{wrong}");
        }
    }
}
