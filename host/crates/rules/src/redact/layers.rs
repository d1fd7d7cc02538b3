//! What stands under the escapes and the encodings of a text, and where.

use std::ops::Range;

/// A text in which nothing is undone of how it is written, or something; and the place of each byte.
pub struct Layer {
    pub bytes: Vec<u8>,
    /// Where in the text each of the bytes begins.
    origins: Vec<usize>,
    /// How long the text is.
    end: usize,
}

/// Fewest bytes that are decoded.
const DECODED_BYTES_MIN: usize = 4;
/// Shortest stretch in which something may be undone: four bytes, of which one is escaped.
const LEGIBLE_BYTES_MIN: usize = 5;

/// Bytes that are written as digits of so many bits.
#[derive(Clone, Copy)]
pub struct Encoding {
    bits: usize,
    /// After so many digits they begin with a byte again.
    period: usize,
    digit: fn(u8) -> Option<u8>,
}

/// Hexadecimal, and base64 in both alphabets.
pub const ENCODINGS: [Encoding; 2] =
    [Encoding { bits: 4, period: 2, digit: hexadecimal }, Encoding { bits: 6, period: 4, digit: base64 }];

fn hexadecimal(byte: u8) -> Option<u8> {
    Some(match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => return None,
    })
}

fn base64(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

impl Encoding {
    /// What a text encodes as a whole, but for its padding.
    pub fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        let digits = text.strip_suffix(b"=").unwrap_or(text);
        let digits = digits.strip_suffix(b"=").unwrap_or(digits);
        let is_whole =
            digits.len() * self.bits % 8 < self.bits && digits.iter().all(|byte| (self.digit)(*byte).is_some());
        is_whole.then(|| self.bytes(digits, 0).map(|(_, byte)| byte).collect())
    }

    /// The bytes of digits but for the first, each with the place of the digit that it begins in. What is no digit is left out.
    fn bytes(self, text: &[u8], first: usize) -> impl Iterator<Item = (usize, u8)> {
        let digits = text.iter().enumerate().filter_map(move |(at, byte)| Some((at, (self.digit)(*byte)?)));
        let (mut read, mut bits, mut next) = (0_u32, 0, 0);
        digits.skip(first).filter_map(move |(at, digit)| {
            let begin = std::mem::replace(&mut next, at);
            read = read << self.bits | u32::from(digit);
            bits += self.bits;
            let left = bits.checked_sub(8)?;
            bits = left;
            let [byte, ..] = (read >> left).to_le_bytes();
            Some((begin, byte))
        })
    }
}

impl Layer {
    /// A text as it is.
    pub fn of(text: &[u8]) -> Self {
        Self { bytes: text.to_vec(), origins: (0..text.len()).collect(), end: text.len() }
    }

    fn with_room(bytes: usize, end: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), origins: Vec::with_capacity(bytes), end }
    }

    fn push(&mut self, byte: u8, origin: usize) {
        self.bytes.push(byte);
        self.origins.push(origin);
    }

    fn origin(&self, at: usize) -> usize {
        self.origins.get(at).copied().unwrap_or(self.end)
    }

    /// The part of the text that some of the bytes come from.
    pub fn part(&self, bytes: Range<usize>) -> Range<usize> {
        let last = self.origin(bytes.end.saturating_sub(1));
        let after = (bytes.end..self.origins.len()).map(|at| self.origin(at)).find(|origin| *origin != last);
        self.origin(bytes.start)..after.unwrap_or(self.end)
    }

    /// The same with the escapes of URLs, JSON and HTML undone once; `None` when it has none. A `+` stays, although forms
    /// write it for a space.
    pub fn unescaped(&self) -> Option<Self> {
        let may_begin = |byte: &u8| b"%\\&".contains(byte);
        if !self.bytes.iter().any(may_begin) {
            return None;
        }
        let mut plain = Self::with_room(self.bytes.len(), self.end);
        let (mut at, mut found, mut meant) = (0, false, Vec::with_capacity(4));
        while let Some(rest @ [first, ..]) = self.bytes.get(at..) {
            let length = if may_begin(first) { escape(rest, &mut meant) } else { None };
            match length {
                Some(_) => meant.drain(..).for_each(|byte| plain.push(byte, self.origin(at))),
                None => plain.push(*first, self.origin(at)),
            }
            found |= length.is_some();
            at += length.unwrap_or(1);
        }
        found.then_some(plain)
    }

    /// What every run of digits encodes, whatever white space is in it and wherever it begins: several layers.
    pub fn decoded(&self) -> impl Iterator<Item = Self> {
        let every = ENCODINGS.into_iter().flat_map(|encoding| (0..encoding.period).map(move |first| (encoding, first)));
        every.filter_map(|(encoding, first)| self.decoded_from(encoding, first))
    }

    fn decoded_from(&self, encoding: Encoding, first: usize) -> Option<Self> {
        let mut decoded = Self::with_room(0, self.end);
        let mut start = 0;
        for run in self.bytes.split(|byte| (encoding.digit)(*byte).is_none() && !byte.is_ascii_whitespace()) {
            if run.len() * encoding.bits >= DECODED_BYTES_MIN * 8 {
                for (at, byte) in encoding.bytes(run, first) {
                    decoded.push(byte, self.origin(start + at));
                }
                decoded.separate(self.origin(start + run.len()));
            }
            start += run.len() + 1;
        }
        (!decoded.bytes.is_empty()).then_some(decoded)
    }

    /// Keeps apart what stands in different places of the text.
    fn separate(&mut self, origin: usize) {
        self.push(0, origin);
    }

    /// The stretches of it that are text: most of what is decoded at a venture is not.
    pub fn legible(&self) -> Self {
        let mut legible = Self::with_room(0, self.end);
        let mut start = 0;
        for chunk in self.bytes.utf8_chunks() {
            for text in
                chunk.valid().split_inclusive(|character: char| character.is_control() && !character.is_whitespace())
            {
                let end = start + text.len();
                if text.len() >= LEGIBLE_BYTES_MIN {
                    legible.bytes.extend_from_slice(text.as_bytes());
                    legible.origins.extend((start..end).map(|at| self.origin(at)));
                    legible.separate(self.origin(end));
                }
                start = end;
            }
            start += chunk.invalid().len();
        }
        legible
    }
}

/// Adds what an escape stands for that a text begins with, and returns its length.
fn escape(text: &[u8], meant: &mut Vec<u8>) -> Option<usize> {
    let (length, character) = match text {
        // A byte, of which several may be one character.
        [b'%', ..] => {
            meant.push(u8::try_from(number(text.get(1..3)?, 16)?).ok()?);
            return Some(3);
        }
        [b'\\', b'u', ..] => unit(text)?,
        [b'\\', b'x', ..] => (4, char::from_u32(number(text.get(2..4)?, 16)?)?),
        [b'\\', escaped, ..] => (2, control(*escaped)?),
        [b'&', entity @ ..] => {
            let (length, character) = character_of(entity)?;
            let has_end = entity.get(length) == Some(&b';');
            (1 + length + usize::from(has_end), character)
        }
        _ => return None,
    };
    meant.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
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
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ if escaped.is_ascii_punctuation() => char::from(escaped),
        _ => return None,
    })
}

/// The characters of ASCII that HTML has names for; of two that begin alike the longer first.
const ENTITIES: [(&str, char); 41] = [
    ("tab", '\t'),
    ("newline", '\n'),
    ("excl", '!'),
    ("quot", '"'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("amp", '&'),
    ("apos", '\''),
    ("lpar", '('),
    ("rpar", ')'),
    ("midast", '*'),
    ("ast", '*'),
    ("plus", '+'),
    ("commat", '@'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("lt", '<'),
    ("equals", '='),
    ("gt", '>'),
    ("quest", '?'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("hat", '^'),
    ("lowbar", '_'),
    ("underbar", '_'),
    ("grave", '`'),
    ("diacriticalgrave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verticalline", '|'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
];

/// What `amp`, `#38` or `#x26` stands for, and its length. Neither case counts, nor what follows.
fn character_of(entity: &[u8]) -> Option<(usize, char)> {
    let of_number = |start: usize, radix: u32| {
        let digits = entity.get(start..)?;
        let count = digits.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
        Some((start + count, char::from_u32(number(digits.get(..count)?, radix)?)?))
    };
    match entity {
        [b'#', b'x' | b'X', ..] => of_number(2, 16),
        [b'#', ..] => of_number(1, 10),
        _ => {
            let is_meant =
                |name: &str| entity.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
            ENTITIES.iter().find(|(name, _)| is_meant(name)).map(|(name, character)| (name.len(), *character))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ENCODINGS, ENTITIES, Layer};

    #[test]
    fn escapes_are_undone_and_their_places_are_known() {
        for (text, undone) in [
            ("a%2Fb%2fc", "a/b/c"),
            (r#"\/\u002f\u002F\"\\\n\ud83d\ude00"#, "///\"\\\n\u{1f600}"),
            ("&amp;&#38;&#x26;&quot;", "&&&\""),
            ("&LT;&lt&sol;&#47x&#x0000000000000002F;", "<<//x/"),
            ("a+b%2Bc d", "a+b+c d"),
            ("%C3%BC\\xe9\\.", "\u{fc}\u{e9}."),
        ] {
            let found = Layer::of(text.as_bytes()).unescaped().unwrap();
            assert_eq!(String::from_utf8_lossy(&found.bytes), undone, "{text}");
            assert_eq!(found.part(0..found.bytes.len()), 0..text.len());
        }
        for text in ["", "plain", "100%", "%zz", "\\", "\\q", "\\u12", "\\ud800", "&", "&x;", "&#1114112;", "&#;"] {
            assert!(Layer::of(text.as_bytes()).unescaped().is_none(), "{text}");
        }
        let twice = Layer::of(b"x%2541y").unescaped().unwrap().unescaped().unwrap();
        assert_eq!((twice.bytes.as_slice(), twice.part(1..2)), (&b"xAy"[..], 1..6));
        for (at, (name, _)) in ENTITIES.iter().enumerate() {
            assert!(!ENTITIES[..at].iter().any(|(before, _)| name.starts_with(before)), "{name}");
        }
    }

    #[test]
    fn what_is_encoded_is_found_wherever_it_begins() {
        for (text, place) in [("c2VjcmV0IQ==", 0..10), (".xc2Vj\r\n cmV0IQ", 2..15), ("7365637265 7421;", 0..15)] {
            let found = Layer::of(text.as_bytes()).decoded().find_map(|layer| {
                let start = layer.bytes.windows(7).position(|window| window == b"secret!")?;
                Some(layer.part(start..start + 7))
            });
            assert_eq!(found, Some(place), "{text}");
        }
        assert!(Layer::of(b"short a1b2c- words").unescaped().is_none());
        let [hex, base64] = ENCODINGS;
        assert_eq!(hex.decode(b"7A6b"), Some(b"zk".to_vec()));
        assert_eq!(base64.decode(b"_-8="), Some(vec![0xff, 0xef]));
        assert_eq!((hex.decode(b"7a6"), base64.decode(b"abcde"), base64.decode(b"a.cd")), (None, None, None));
        let noise = Layer::of(b"\xff\xfe%61%62cd\x00abc\xffabcdefg");
        assert_eq!(noise.legible().bytes, b"%61%62cd\0\0abcdefg\0");
    }
}
