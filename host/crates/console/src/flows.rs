//! Flows: the list, and one of them with its source, its mistakes, its URLs and its versions.

use crate::frame::Frame;
use crate::words;
use askama::Template;
use askama::filters::Safe;
use ringback_records::outcome::Outcome;
use ringback_records::time::Timestamp;

/// A flow in the list.
#[derive(Clone, Debug)]
pub struct FlowItem {
    pub name: String,
    pub version: u32,
    pub enabled: bool,
    pub updated_at: Timestamp,
    pub triggers: usize,
    /// How many callbacks came in a day, by outcome.
    pub outcomes: Vec<(Outcome, u64)>,
}

impl FlowItem {
    fn updated(&self) -> String {
        words::minute(self.updated_at)
    }

    fn counts(&self) -> Vec<(&'static str, String)> {
        self.outcomes.iter().map(|(outcome, count)| (words::outcome(*outcome), words::grouped(*count))).collect()
    }
}

/// The list.
#[derive(Template)]
#[template(path = "flows.html")]
pub struct Flows {
    pub frame: Frame,
    pub flows: Vec<FlowItem>,
}

/// A mistake in a source.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// The file of the flow where it is, if it is in one.
    pub file: Option<String>,
    pub line: usize,
    pub column: usize,
    pub path: String,
    pub detail: String,
}

/// A URL of a trigger.
#[derive(Clone, Debug)]
pub struct TriggerUrl {
    pub trigger: String,
    pub id: String,
    pub environment: String,
    pub face: String,
    pub url: String,
}

/// A version that is kept.
#[derive(Clone, Debug)]
pub struct FlowVersion {
    pub version: u32,
    pub is_active: bool,
    pub deployed_at: Option<Timestamp>,
    pub size_bytes: usize,
}

impl FlowVersion {
    fn deployed(&self) -> String {
        self.deployed_at.map(words::minute).unwrap_or_default()
    }

    fn size(&self) -> String {
        words::size(self.size_bytes as u64)
    }
}

/// What became of a source that was sent.
#[derive(Clone, Debug)]
pub enum Said {
    Nothing,
    /// It has no mistakes, and was not deployed.
    Checked,
    Deployed(u32),
    /// It has mistakes, and was not deployed.
    Mistaken,
    /// Somebody else has deployed this version since it was opened, which differs in this.
    Overtaken {
        version: u32,
        diff: String,
    },
    /// It cannot be deployed for another reason.
    Refused(String),
    /// This was put into it for whoever looks at it, and nothing was deployed.
    Drafted(String),
}

/// The page of one flow, or of one that is to come.
#[derive(Template)]
#[template(path = "flow.html")]
pub struct Flow {
    pub frame: Frame,
    /// Empty for one that is to come.
    pub name: String,
    pub enabled: bool,
    /// The version that the source began with; nothing where there is none.
    pub version: u32,
    pub source: String,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<String>,
    pub said: Said,
    pub urls: Vec<TriggerUrl>,
    pub versions: Vec<FlowVersion>,
}

impl Flow {
    fn action(&self) -> String {
        if self.name.is_empty() { "/console/flows".to_owned() } else { format!("/console/flows/{}", self.name) }
    }

    /// As it stands in a field: what is not seen is sent back as it is.
    fn text(&self) -> Safe<String> {
        Safe(in_field(&self.source))
    }

    fn lines(&self) -> Vec<(usize, bool)> {
        let count = self.source.split('\n').count();
        (1..=count).map(|line| (line, self.mistakes.iter().any(|mistake| mistake.line == line))).collect()
    }

    fn rows(&self) -> usize {
        self.source.split('\n').count().clamp(14, 44) + 2
    }

    fn next(&self) -> u32 {
        self.version + 1
    }
}

/// Text as the content of a field: markup of nobody.
pub(crate) fn in_field(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A line of a difference, with the class of its colour.
fn line_of(line: &str) -> &'static str {
    match line.as_bytes().first() {
        Some(b'-') => "gone",
        Some(b'+') => "new",
        _ => "",
    }
}

/// The lines of a difference.
pub(crate) fn lines_of(diff: &str) -> Vec<(&'static str, &str)> {
    diff.lines().map(|line| (line_of(line), line)).collect()
}

/// The page of a version.
#[derive(Template)]
#[template(path = "flow-version.html")]
pub struct FlowVersionPage {
    pub frame: Frame,
    pub name: String,
    pub version: u32,
    pub active: u32,
    pub deployed_at: Option<Timestamp>,
    pub source: String,
    /// From this one to the one that is deployed.
    pub diff: String,
}

impl FlowVersionPage {
    fn deployed(&self) -> String {
        self.deployed_at.map(words::minute).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{in_field, lines_of};

    #[test]
    fn a_field_has_what_was_written_and_no_markup() {
        let text = "a: \"</textarea><script>\" # \u{202e}'&amp;\n";
        let field = in_field(text);
        assert!(!field.contains(['<', '>', '"', '\'']) && field.contains('\u{202e}'), "{field}");
        let back = field.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
        assert_eq!(back.replace("&amp;", "&"), text);
    }

    #[test]
    fn a_difference_has_colours() {
        assert_eq!(lines_of("…\n a\n-b\n+c"), [("", "…"), ("", " a"), ("gone", "-b"), ("new", "+c")]);
    }
}
