//! What stands under the escapes of a text, and where.

use std::ops::Range;

/// A text in which the escapes of URLs, of JSON and of HTML are undone once. A space is as `+`, which forms write for it.
pub struct Unescaped {
    pub bytes: Vec<u8>,
    /// Where in the text each of the bytes begins.
    origins: Vec<usize>,
    /// How long the text is.
    end: usize,
}

impl Unescaped {
    /// `None` for a text that has no escapes.
    pub fn of(text: &str) -> Option<Self> {
        text.bytes().any(|byte| b"%\\&+".contains(&byte)).then(|| Self::undo(text.as_bytes(), |at| at, text.len()))?
    }

    /// The same where something was escaped twice.
    pub fn again(&self) -> Option<Self> {
        Self::undo(&self.bytes, |at| self.origins.get(at).copied().unwrap_or(self.end), self.end)
    }

    /// The part of the text that some of the bytes come from.
    pub fn origin(&self, bytes: Range<usize>) -> Range<usize> {
        let of = |at: usize| self.origins.get(at).copied().unwrap_or(self.end);
        let last = of(bytes.end.saturating_sub(1));
        let after = (bytes.end..self.origins.len()).map(of).find(|origin| *origin != last);
        of(bytes.start)..after.unwrap_or(self.end)
    }

    fn undo(text: &[u8], origin: impl Fn(usize) -> usize, end: usize) -> Option<Self> {
        let mut undone = Self { bytes: Vec::with_capacity(text.len()), origins: Vec::with_capacity(text.len()), end };
        let (mut at, mut found) = (0, false);
        while let Some(rest @ [first, ..]) = text.get(at..) {
            let length = escape(rest, &mut undone.bytes);
            found |= length.is_some();
            if length.is_none() {
                undone.bytes.push(*first);
            }
            undone.origins.resize(undone.bytes.len(), origin(at));
            at += length.unwrap_or(1);
        }
        found.then_some(undone)
    }
}

/// Adds what an escape stands for that a text begins with, and returns its length.
fn escape(text: &[u8], undone: &mut Vec<u8>) -> Option<usize> {
    let (length, meant) = match text {
        [b'+', ..] => (1, ' '),
        // A byte, of which several may be one character.
        [b'%', ..] => {
            let byte = u8::try_from(number(text.get(1..3)?, 16)?).ok()?;
            undone.push(if byte == b'+' { b' ' } else { byte });
            return Some(3);
        }
        [b'\\', b'u', ..] => unit(text)?,
        [b'\\', b'x', ..] => (4, char::from_u32(number(text.get(2..4)?, 16)?)?),
        [b'\\', escaped, ..] => (2, control(*escaped)?),
        [b'&', ..] => entity(text)?,
        _ => return None,
    };
    let meant = if meant == '+' { ' ' } else { meant };
    undone.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
    Some(length)
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u32::from_str_radix(digits, radix).ok()
}

/// `\u00fc`, or the two that make one character.
fn unit(text: &[u8]) -> Option<(usize, char)> {
    let first = number(text.get(2..6)?, 16)?;
    if let Some(character) = char::from_u32(first) {
        return Some((6, character));
    }
    let second = number(text.get(6..12)?.strip_prefix(b"\\u")?, 16)?;
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    char::decode_utf16(units).next()?.ok().map(|character| (12, character))
}

fn control(escaped: u8) -> Option<char> {
    Some(match escaped {
        b'"' | b'\'' | b'\\' | b'/' => char::from(escaped),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// `&amp;`, `&#38;` or `&#x26;`.
fn entity(text: &[u8]) -> Option<(usize, char)> {
    let end = text.iter().take(12).position(|byte| *byte == b';')?;
    let meant = match text.get(1..end)? {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        _ => return None,
    };
    Some((end + 1, meant))
}

#[cfg(test)]
mod tests {
    use super::Unescaped;

    #[test]
    fn escapes_are_undone_and_their_places_are_known() {
        for (text, undone) in [
            ("a%2Fb%2fc", "a/b/c"),
            (r#"\/\u002f\u002F\"\\\n\ud83d\ude00"#, "///\"\\\n\u{1f600}"),
            ("&amp;&#38;&#x26;&quot;", "&&&\""),
            ("a+b%2Bc", "a b c"),
            ("%C3%BC\\xe9", "\u{fc}\u{e9}"),
        ] {
            let found = Unescaped::of(text).unwrap();
            assert_eq!(String::from_utf8_lossy(&found.bytes), undone, "{text}");
            assert_eq!(found.origin(0..found.bytes.len()), 0..text.len());
        }
        for text in ["", "plain", "100%", "%zz", "\\", "\\q", "\\u12", "\\ud800", "&", "&x;", "&#1114112;", "&#;"] {
            assert!(Unescaped::of(text).is_none(), "{text}");
        }
        let twice = Unescaped::of("x%2541y").unwrap().again().unwrap();
        assert_eq!((twice.bytes.as_slice(), twice.origin(1..2)), (&b"xAy"[..], 1..6));
    }
}
