//! What is around every page: where one can go, and who one is.

use askama::Template;
use askama::filters::Safe;
use ringback_records::token::Access;

/// The pages that one can go to from everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Start,
    Callbacks,
    Executions,
    Flows,
    Plugins,
    Tickets,
    Secrets,
    People,
    Environments,
    Settings,
    /// None of them.
    Elsewhere,
}

impl Place {
    /// Where each is, and what it is called.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::Start, "/console/start", "Start"),
        (Self::Callbacks, "/console/callbacks", "Callbacks"),
        (Self::Executions, "/console/executions", "Executions"),
        (Self::Flows, "/console/flows", "Flows"),
        (Self::Plugins, "/console/plugins", "Plugins"),
        (Self::Tickets, "/console/tickets", "Tickets"),
        (Self::Secrets, "/console/secrets", "Secrets"),
        (Self::People, "/console/people", "People"),
        (Self::Environments, "/console/environments", "Environments"),
        (Self::Settings, "/console/settings", "Settings"),
    ];
}

/// Who looks, and at what.
#[derive(Clone, Debug)]
pub struct Frame {
    pub here: Place,
    pub title: String,
    pub workspace: String,
    /// Those that may be chosen.
    pub workspaces: Vec<String>,
    pub access: Access,
    /// What the token is for.
    pub token: String,
    /// Changes with the files that all pages need.
    pub assets: &'static str,
}

impl Frame {
    pub(crate) fn access(&self) -> &'static str {
        access(self.access)
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = (bool, &'static str, &'static str)> {
        let here = self.here;
        let may = |place: Place| place != Place::Settings || self.is_author();
        let places = Place::ALL.into_iter().filter(move |(place, ..)| may(*place));
        places.map(move |(place, href, name)| (place == here, href, name))
    }

    pub(crate) fn is_author(&self) -> bool {
        self.access >= Access::Author
    }
}

/// What a token may do, in a word.
pub fn access(access: Access) -> &'static str {
    match access {
        Access::Viewer => "viewer",
        Access::Author => "author",
        Access::Admin => "admin",
    }
}

/// What a form had, so that it stands there again.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(&'static str, String)>);

impl Fields {
    pub fn new(fields: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// Empty for what there is not.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// As it stands in a field: what is not seen is sent back as it is.
    pub(crate) fn field(&self, name: &str) -> Safe<String> {
        Safe(crate::flows::in_field(self.get(name)))
    }

    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == value
    }
}

/// Where a link leads, and what it says.
#[derive(Clone, Debug)]
pub struct Link {
    pub href: String,
    pub text: String,
}

/// A page in place of one that cannot be shown.
#[derive(Template)]
#[template(path = "problem.html")]
pub struct Problem {
    pub frame: Frame,
    pub status: u16,
    pub code: String,
    pub detail: String,
    /// Where to go from here.
    pub links: Vec<Link>,
}

impl Problem {
    fn heading(&self) -> &'static str {
        match self.status {
            403 => "This is not yours to do",
            404 => "There is no such thing",
            409 => "Something is in the way",
            500.. => "The server could not do it",
            _ => "This cannot be done",
        }
    }
}
