//! What is around every page: where one can go, and who one is.

use askama::Template;
use ringback_records::token::Access;

/// The pages that one can go to from everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Start,
    Callbacks,
    Executions,
    Flows,
    Plugins,
    Secrets,
    /// None of them.
    Elsewhere,
}

impl Place {
    /// Where each is, and what it is called.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Start, "/console/start", "Start"),
        (Self::Callbacks, "/console/callbacks", "Callbacks"),
        (Self::Executions, "/console/executions", "Executions"),
        (Self::Flows, "/console/flows", "Flows"),
        (Self::Plugins, "/console/plugins", "Plugins"),
        (Self::Secrets, "/console/secrets", "Secrets"),
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
        match self.access {
            Access::Viewer => "viewer",
            Access::Author => "author",
            Access::Admin => "admin",
        }
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = (bool, &'static str, &'static str)> {
        let here = self.here;
        Place::ALL.into_iter().map(move |(place, href, name)| (place == here, href, name))
    }

    pub(crate) fn is_author(&self) -> bool {
        self.access >= Access::Author
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
