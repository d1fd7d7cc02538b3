//! A trigger: its URLs, and a callback to try it with.

use crate::flows::TriggerUrl;
use crate::frame::Frame;
use crate::shell;
use askama::Template;
use askama::filters::Safe;

/// What a callback to try it with is made of, as it stands in the form.
#[derive(Clone, Debug)]
pub struct Test {
    pub url: String,
    pub method: String,
    pub query: String,
    /// One a line: `name: value`.
    pub headers: String,
    pub body: String,
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum Sent {
    Nothing,
    /// It could not be sent; why.
    Refused(String),
    /// It was answered, and is not kept as a callback.
    Answered {
        status: u16,
        body: String,
    },
}

/// The page.
#[derive(Template)]
#[template(path = "trigger.html")]
pub struct TriggerPage {
    pub frame: Frame,
    pub flow: String,
    pub enabled: bool,
    pub id: String,
    pub name: String,
    pub methods: Vec<String>,
    pub urls: Vec<TriggerUrl>,
    /// How its callers prove themselves, what counts, and such.
    pub facts: Vec<(&'static str, String)>,
    pub test: Test,
    pub said: Sent,
}

impl TriggerPage {
    fn curl(&self) -> String {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        shell::curl(&self.test.method, &self.test.url, &headers, self.test.body.as_bytes())
    }

    /// As it stands in a field: what is not seen is sent back as it is.
    fn field(text: &str) -> Safe<String> {
        Safe(crate::flows::in_field(text))
    }
}
