//! The page that a person confirms, in front of what a link would do: those who look at links in mails do no more than that.

use ringback_records::reply::Reply;

/// Nothing in it comes from outside.
const PAGE: &str = include_str!("confirmation.html");
/// It needs its form, and a style of its own; nobody may put it into a frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
/// What is said of a callback that gets it.
pub(super) const REASON: &str = "it asks for a click, which comes as a POST";

pub(super) fn page() -> Reply {
    let headers = [("content-type", "text/html; charset=utf-8"), ("content-security-policy", POLICY)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Reply { status: 200, headers, body: PAGE.into() }
}
