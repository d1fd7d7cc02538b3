//! What happens to callbacks on their way, and to secrets when they are copied: each is undone, to see whether that explains a
//! proof that does not match.

use super::with_body;
use ringback_records::callback::Callback;
use ringback_records::json;
use serde_json::Value;
use std::borrow::Cow;

/// A change, undone.
pub(super) struct Change {
    /// What is said of it; nothing of none.
    pub words: &'static str,
    /// The callback as it may have been signed; `None` where that would be the same.
    pub apply: fn(&Callback) -> Option<Callback>,
    pub secret: fn(&[u8]) -> Cow<'_, [u8]>,
}

/// In the order in which they are tried: first none.
pub(super) static CHANGES: &[Change] = &[
    Change { words: "", apply: |callback| Some(callback.clone()), secret: as_it_is },
    Change {
        words: "after removing the last line end: a proxy changed the body",
        apply: |callback| {
            let body = &callback.request.body;
            let without = body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest))?;
            Some(with_body(callback, without.to_vec()))
        },
        secret: as_it_is,
    },
    Change {
        words: "after adding a line end: a proxy cut it off the body",
        apply: |callback| Some(with_body(callback, [&callback.request.body[..], b"\n"].concat())),
        secret: as_it_is,
    },
    Change {
        words: "with line ends of CR and LF: something on its way made them LF",
        apply: |callback| {
            let text = std::str::from_utf8(&callback.request.body).ok()?;
            differs(callback, text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes())
        },
        secret: as_it_is,
    },
    Change {
        words: "with line ends of LF: something on its way made them CR and LF",
        apply: |callback| {
            let text = std::str::from_utf8(&callback.request.body).ok()?;
            differs(callback, text.replace("\r\n", "\n").into_bytes())
        },
        secret: as_it_is,
    },
    Change {
        words: "after removing every space around the values: the body was formatted on its way",
        apply: |callback| {
            let body: Value = json::from_slice(&callback.request.body).ok()?;
            differs(callback, body.to_string().into_bytes())
        },
        secret: as_it_is,
    },
    Change {
        words: "with the body indented by two spaces: it was compacted on its way",
        apply: |callback| {
            let body: Value = json::from_slice(&callback.request.body).ok()?;
            differs(callback, serde_json::to_vec_pretty(&body).ok()?)
        },
        secret: as_it_is,
    },
    Change {
        words: "with a space after every `,` and `:`, as Python writes JSON: the body was compacted on its way",
        apply: |callback| {
            let body: Value = json::from_slice(&callback.request.body).ok()?;
            differs(callback, spaced(&body).into_bytes())
        },
        secret: as_it_is,
    },
    Change {
        words: "with the characters outside ASCII written as `\\u…`: the body was written anew on its way",
        apply: |callback| {
            let text = std::str::from_utf8(&callback.request.body).ok()?;
            differs(callback, escaped(text).into_bytes())
        },
        secret: as_it_is,
    },
    Change {
        words: "with the URL by https: set `public_url`, or `url` of the scheme, to what the sender calls",
        apply: |callback| {
            let rest = callback.base_url.strip_prefix("http://")?;
            Some(Callback { base_url: format!("https://{rest}"), ..callback.clone() })
        },
        secret: as_it_is,
    },
    Change {
        words: "without the line end of the secret: store it again without one",
        apply: |callback| Some(callback.clone()),
        secret: |secret| secret.trim_ascii().into(),
    },
    Change {
        words: "with what stands behind the first `_` of the secret: store that alone",
        apply: |callback| Some(callback.clone()),
        secret: |secret| {
            let place = secret.iter().position(|byte| *byte == b'_').map_or(0, |place| place + 1);
            secret[place..].into()
        },
    },
];

fn as_it_is(secret: &[u8]) -> Cow<'_, [u8]> {
    secret.into()
}

fn differs(callback: &Callback, body: Vec<u8>) -> Option<Callback> {
    (body != callback.request.body).then(|| with_body(callback, body))
}

fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// JSON with a space after commas and colons.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), spaced(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
