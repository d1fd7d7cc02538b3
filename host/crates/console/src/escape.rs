//! What is written into pages: nobody's text is markup, and every character is seen.

use askama::filters::Escaper;
use std::fmt::{self, Write};

/// Escapes what HTML means something by, and shows what is not seen: control characters, and what turns the direction of a text around.
#[derive(Clone, Copy, Debug)]
pub struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| markup(c).is_some() || is_unseen(c)) {
            let (before, from) = rest.split_at(at);
            to.write_str(before)?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                match markup(c) {
                    Some(escaped) => to.write_str(escaped)?,
                    None => write!(to, "\\u{{{:04x}}}", u32::from(c))?,
                }
            }
            rest = chars.as_str();
        }
        to.write_str(rest)
    }
}

fn markup(c: char) -> Option<&'static str> {
    Some(match c {
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => return None,
    })
}

/// Whether a character is not seen in its place: line ends and tabs alone are.
pub(crate) fn is_unseen(c: char) -> bool {
    let is_line = matches!(c, '\n' | '\t');
    let turns = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_nothing =
        matches!(c, '\u{00ad}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    let is_tag = matches!(c, '\u{e0000}'..='\u{e007f}');
    (c.is_control() && !is_line) || turns || is_nothing || is_tag
}

#[cfg(test)]
mod tests {
    use super::Visible;
    use askama::filters::Escaper;

    fn shown(text: &str) -> String {
        let mut shown = String::new();
        Visible.write_escaped_str(&mut shown, text).unwrap();
        shown
    }

    #[test]
    fn nothing_is_markup_and_everything_is_seen() {
        assert_eq!(shown("<script>'&\"</script>"), "&lt;script&gt;&#39;&amp;&quot;&lt;/script&gt;");
        assert_eq!(shown("\u{202e}gnp.exe\u{202c}"), r"\u{202e}gnp.exe\u{202c}");
        assert_eq!(shown("\0\u{1b}[31m\r\u{7f}\u{9b}"), r"\u{0000}\u{001b}[31m\u{000d}\u{007f}\u{009b}");
        assert_eq!(shown("a\u{200b}b\u{feff}\u{2028}\u{e0041}"), r"a\u{200b}b\u{feff}\u{2028}\u{e0041}");
        assert_eq!(shown("Früh שלום 👩‍💻\n\tx"), "Früh שלום 👩‍💻\n\tx");
        assert_eq!(shown(""), "");
    }
}
