//! Signing in.

use askama::Template;

/// The page where a token opens the console.
#[derive(Template)]
#[template(path = "sign-in.html")]
pub struct SignIn {
    /// Where to go on.
    pub next: String,
    /// Why it did not work.
    pub problem: Option<String>,
    pub assets: &'static str,
}
