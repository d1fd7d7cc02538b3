//! Forms with files (RFC 7578), and other bodies of several parts (RFC 2046). A body is in memory as a whole, and its files stay where
//! they are: what becomes data says where each begins. The libraries that there are read streams, and copy every part.

use aws_lc_rs::digest::{SHA256, digest};
use encoding_rs::{Encoding, UTF_8};
use memchr::memmem::Finder;
use ringback_records::callback::parameter;
use ringback_records::json;
use ringback_records::stop::Stop;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Most parts of a body.
const PARTS_MAX: usize = 1000;
/// Most bytes and lines of what stands before a part.
const HEAD_BYTES_MAX: usize = 8 << 10;
const HEAD_LINES_MAX: usize = 32;
/// Longest boundary (RFC 2046, 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// A part of a body.
struct Part<'b> {
    /// Of the field.
    name: Option<String>,
    /// Of the file.
    file: Option<String>,
    kind: Option<String>,
    offset: usize,
    content: &'b [u8],
}

/// The data of a form: its fields, of which those that are files say where they are. `json` are those that hold JSON.
///
/// # Errors
///
/// It has no parts, none that has an end, too many (400), or a part that cannot be read.
pub(super) fn form(body: &[u8], boundary: Option<&str>, json: &[String]) -> Result<Value, Stop> {
    let mut fields = Map::new();
    let mut left = json::values_max(body.len());
    for (number, part) in parts(body, boundary)?.into_iter().enumerate() {
        let name = part.name.clone().ok_or_else(|| malformed(number, "it has no name"))?;
        if json::is_reserved(&name) {
            return Err(super::reserved_parameter(&name));
        }
        let value = if part.file.is_some() {
            part.describe()
        } else if json.contains(&name) {
            json::from_slice_within(part.content, &mut left)
                .map_err(|error| super::unread(&format!("the field {name}"), &error))?
        } else {
            Value::String(part.text(number)?)
        };
        match fields.get_mut(&name) {
            None => drop(fields.insert(name, value)),
            // What is JSON may be a list itself: only one of ours has more than one.
            Some(Value::Array(values)) if !json.contains(&name) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Ok(Value::Object(fields))
}

/// The parts of any other body, in order: what is a text has it as `text`.
///
/// # Errors
///
/// As [`form`].
pub(super) fn list(body: &[u8], boundary: Option<&str>) -> Result<Value, Stop> {
    let read = |(number, part): (usize, Part<'_>)| {
        let mut value = part.describe();
        let kind = part.kind.as_deref().unwrap_or("text/plain").to_ascii_lowercase();
        let is_text = ["text/", "application/json", "application/xml"].iter().any(|text| kind.starts_with(text))
            || kind.contains("+json")
            || kind.contains("+xml");
        if part.file.is_none() && is_text {
            value["text"] = Value::String(part.text(number)?);
        }
        Ok(value)
    };
    parts(body, boundary)?.into_iter().enumerate().map(read).collect()
}

impl Part<'_> {
    /// What is said of a file: where it is in the body, and by what it is known.
    fn describe(&self) -> Value {
        let hash = digest(&SHA256, self.content);
        let sha256 = hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        serde_json::json!({
            "name": self.file, "type": self.kind, "size": self.content.len(), "sha256": sha256, "offset": self.offset,
        })
    }

    fn text(&self, number: usize) -> Result<String, Stop> {
        let charset = self.kind.as_deref().and_then(|kind| parameter(kind, "charset"));
        let encoding = match &charset {
            None => UTF_8,
            Some(label) => Encoding::for_label(label.as_bytes()).ok_or_else(|| {
                let reason = format!("part {} has an encoding that is not known here", number + 1);
                Stop::refused(415, "unknown_charset", "The encoding of the text is not known.", reason)
            })?,
        };
        let text = encoding.decode_without_bom_handling_and_without_replacement(self.content);
        text.map(Into::into).ok_or_else(|| super::not_utf8(&format!("part {} of the body", number + 1)))
    }
}

fn parts<'b>(body: &'b [u8], boundary: Option<&str>) -> Result<Vec<Part<'b>>, Stop> {
    let boundary = boundary.unwrap_or_default();
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
        let reason = format!("the content type has no `boundary` of 1 to {BOUNDARY_BYTES_MAX} characters");
        return Err(Stop::refused(400, "multipart_boundary", "The boundary of the parts is missing.", reason));
    }
    let line = format!("\r\n--{boundary}");
    let finder = Finder::new(&line);
    // Where a line of the boundary ends, after the first one from a place on.
    let next = |from: usize| {
        let mut from = from;
        loop {
            let at = from + finder.find(body.get(from..)?)?;
            let end = at + line.len();
            let rest = body.get(end..)?;
            if rest.is_empty() || matches!(rest, [b'\r' | b' ' | b'\t', ..] | [b'-', b'-', ..]) {
                return Some((at, end));
            }
            from = at + 1;
        }
    };
    let first = line.as_bytes().get(2..).unwrap_or_default();
    let mut at = if body.starts_with(first) {
        first.len()
    } else {
        next(0).ok_or_else(|| cut("the boundary of the content type is nowhere in the body"))?.1
    };
    let mut parts = Vec::new();
    loop {
        let number = parts.len();
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let rest = rest.get(spaces..).unwrap_or_default();
        match rest {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Err(cut(&format!("the body ends after {number} parts, without its last line"))),
            _ => return Err(malformed(number, "the line of its boundary goes on")),
        }
        if number >= PARTS_MAX {
            let reason = format!("the body has more than {PARTS_MAX} parts");
            return Err(Stop::refused(400, "multipart_too_many_parts", "The body has too many parts.", reason));
        }
        // The line end of the boundary is the first of the two that end a head of no lines.
        let within = rest.get(..rest.len().min(HEAD_BYTES_MAX + 4)).unwrap_or_default();
        let Some(end) = memchr::memmem::find(within, b"\r\n\r\n") else {
            if within.len() < rest.len() {
                return Err(head_too_large(number));
            }
            return Err(cut(&format!("the body ends in the head of part {}", number + 1)));
        };
        let start = at + spaces + end + 4;
        let (end_of_content, after) =
            next(start).ok_or_else(|| cut(&format!("part {} of the body has no end", number + 1)))?;
        let content = body.get(start..end_of_content).unwrap_or_default();
        parts.push(part(rest.get(2..end.max(2)).unwrap_or_default(), number, start, content)?);
        at = after;
    }
}

fn part<'b>(head: &[u8], number: usize, offset: usize, content: &'b [u8]) -> Result<Part<'b>, Stop> {
    let head = String::from_utf8_lossy(head);
    let (mut disposition, mut kind) = (None, None);
    for (index, line) in head.split("\r\n").filter(|line| !line.is_empty()).enumerate() {
        if index >= HEAD_LINES_MAX {
            return Err(head_too_large(number));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed(number, "a line of its head has no colon"))?;
        let place = match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => &mut disposition,
            "content-type" => &mut kind,
            _ => continue,
        };
        if place.replace(value.trim().to_owned()).is_some() {
            return Err(malformed(number, "its head says one thing twice"));
        }
    }
    let of = |name: &str| disposition.as_deref().and_then(|disposition| parameter(disposition, name));
    Ok(Part { name: of("name"), file: of("filename"), kind, offset, content })
}

fn malformed(number: usize, why: &str) -> Stop {
    let reason = format!("part {} of the body cannot be read: {why}", number + 1);
    Stop::refused(400, "multipart_malformed", "A part of the body cannot be read.", reason)
}

fn head_too_large(number: usize) -> Stop {
    let reason =
        format!("the head of part {} has more than {HEAD_BYTES_MAX} bytes or {HEAD_LINES_MAX} lines", number + 1);
    Stop::refused(400, "multipart_head_too_large", "The head of a part is too large.", reason)
}

fn cut(reason: &str) -> Stop {
    Stop::refused(400, "multipart_cut", "The body is cut off.", reason)
}

#[cfg(test)]
mod tests {
    use super::{form, list};
    use ringback_records::stop::Stop;
    use serde_json::{Value, json};

    fn code(read: Result<Value, Stop>) -> &'static str {
        read.unwrap_err().problem.code
    }

    fn field(name: &str, text: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    }

    #[test]
    fn w10_what_is_cut_off_too_large_or_no_part_has_a_code_of_its_own() {
        let read = |body: &str| form(body.as_bytes(), Some("b"), &[]);
        let whole = field("a", "1") + "--b--\r\n";
        for boundary in [None, Some(""), Some(&*"b".repeat(71))] {
            assert_eq!(code(form(whole.as_bytes(), boundary, &[])), "multipart_boundary");
        }
        for end in 0..whole.len() - 4 {
            assert_eq!(code(read(&whole[..end])), "multipart_cut", "{end}");
        }
        assert_eq!(code(form(whole.as_bytes(), Some("other"), &[])), "multipart_cut");
        let many = |count: usize| field("a", "1").repeat(count) + "--b--";
        assert_eq!(code(read(&many(1001))), "multipart_too_many_parts");
        assert_eq!(read(&many(1000)).unwrap()["a"].as_array().unwrap().len(), 1000);
        let head = |head: &str| format!("--b\r\nContent-Disposition: form-data; name=a\r\n{head}\r\n1\r\n--b--");
        assert_eq!(code(read(&head(&format!("x: {}\r\n", "x".repeat(9000))))), "multipart_head_too_large");
        assert_eq!(code(read(&head(&"x: y\r\n".repeat(40)))), "multipart_head_too_large");
        for wrong in ["x\r\n", "content-disposition: form-data; name=b\r\n"] {
            assert_eq!(code(read(&head(wrong))), "multipart_malformed");
        }
        assert_eq!(code(read("--b\r\n\r\n1\r\n--b--")), "multipart_malformed");
        assert_eq!(code(read("--b x\r\n\r\n1\r\n--b--")), "multipart_malformed");
        assert_eq!(code(read(&(field("$serde_json::private::Number", "1") + "--b--"))), "reserved_name");
        let latin = [field("a", "").trim_end().as_bytes(), b"\r\n\r\n\xe9\r\n--b--"].concat();
        assert_eq!(code(form(&latin, Some("b"), &[])), "not_utf8");
        assert_eq!(code(form((field("a", "{") + "--b--").as_bytes(), Some("b"), &["a".to_owned()])), "malformed_json");
    }

    #[test]
    fn w10_fields_are_texts_and_files_say_where_they_are() {
        let file = "--b \r\ncontent-disposition: form-data; name=f; filename=\"a\\\"b.txt\"\r\nContent-Type: image/png\r\n\r\n\
                    x\r\n--bc\r\n\r\n--b\r\nContent-Disposition: form-data; name=l\r\nContent-Type: text/plain; charset=latin1\r\n\r\nÿ";
        let mut body =
            ("preamble\r\n".to_owned() + &field("a", "1") + &field("a", "é\r\n") + &field("j", "[1]") + file)
                .into_bytes();
        // Of the text above, the last letter is two bytes.
        body.truncate(body.len() - 2);
        body.extend(b"\xe9\r\n--b--\r\nepilogue");
        let data = form(&body, Some("b"), &["j".to_owned()]).unwrap();
        let offset = data["f"]["offset"].as_u64().unwrap() as usize;
        assert_eq!(&body[offset..offset + 9], b"x\r\n--bc\r\n");
        let sha256 = "sha256";
        assert_eq!(data["f"][sha256].as_str().map(str::len), Some(64));
        assert_eq!(
            (&data["f"]["name"], &data["f"]["type"], &data["f"]["size"]),
            (&json!("a\"b.txt"), &json!("image/png"), &json!(9))
        );
        assert_eq!((&data["a"], &data["j"], &data["l"]), (&json!(["1", "é\r\n"]), &json!([1]), &json!("é")));
        let empty = form((field("a", "") + "--b--").as_bytes(), Some("b"), &[]).unwrap();
        assert_eq!(empty, json!({ "a": "" }));
    }

    #[test]
    fn parts_without_names_are_a_list() {
        let body = "--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: image/png\r\n\r\n1\r\n--b--";
        let data = list(body.as_bytes(), Some("b")).unwrap();
        assert_eq!((&data[0]["text"], &data[0]["type"]), (&json!("{}"), &json!("application/json")));
        assert_eq!((&data[1]["text"], &data[2].get("text"), &data[2]["size"]), (&json!("plain"), &None, &json!(1)));
        assert_eq!(list(b"--b--", Some("b")).unwrap(), json!([]));
    }

    /// Every line that is nearly a boundary is looked at once.
    #[test]
    fn what_means_ill_costs_little() {
        let began = std::time::Instant::now();
        let body = "\r\n--bb".repeat(300_000);
        assert_eq!(code(form(body.as_bytes(), Some("b"), &[])), "multipart_cut");
        assert_eq!(code(form("--b\r\n".repeat(300_000).as_bytes(), Some("b"), &[])), "multipart_head_too_large");
        assert!(began.elapsed().as_secs() < 2);
    }
}
