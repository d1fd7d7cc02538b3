//! Forms with files, as browsers send them (RFC 7578).

use axum::body::Bytes;
use axum::http::{HeaderMap, header};

/// Most fields of a form that are read.
const FIELDS_MAX: usize = 20;

/// A field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    /// What its file is called where it comes from.
    pub(super) file: Option<String>,
    pub(super) content: Bytes,
}

/// The fields of a form; `None` for what is none.
pub(super) fn fields(headers: &HeaderMap, body: &Bytes) -> Option<Vec<Field>> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let boundary = kind.strip_prefix("multipart/form-data")?.split_once("boundary=")?.1.trim_matches('"');
    let between = format!("\r\n--{boundary}").into_bytes();
    let mut fields = Vec::new();
    // The first has no line before it.
    let mut at = between.len() - 2;
    body.starts_with(&between[2..]).then_some(())?;
    while body.get(at..)?.starts_with(b"\r\n") {
        let from = at + find(body.get(at..)?, b"\r\n\r\n")? + 4;
        let said = std::str::from_utf8(body.get(at..from)?).ok()?;
        let until = from + find(body.get(from..)?, &between)?;
        let disposition = said
            .lines()
            .find(|line| line.get(..20).is_some_and(|name| name.eq_ignore_ascii_case("content-disposition:")))?;
        let name = parameter(disposition, " name=")?.to_owned();
        let file = parameter(disposition, " filename=").map(str::to_owned);
        fields.push(Field { name, file, content: body.slice(from..until) });
        (fields.len() <= FIELDS_MAX).then_some(())?;
        at = until + between.len();
    }
    body.get(at..)?.starts_with(b"--").then_some(fields)
}

fn parameter<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.split_once(name)?.1.strip_prefix('"')?.split('"').next()
}

/// Where something begins. A file may be large: what cannot begin there is passed over quickly.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| *byte == first)?;
        if text.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, fields};
    use axum::body::Bytes;
    use axum::http::{HeaderMap, HeaderValue, header};

    fn read(kind: &'static str, body: &'static [u8]) -> Option<Vec<Field>> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        fields(&headers, &Bytes::from_static(body))
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let kind = "multipart/form-data; boundary=B";
        assert_eq!(read("text/plain", b"--B--\r\n"), None);
        assert_eq!(read("multipart/form-data", b"--B--\r\n"), None);
        for body in [
            &b""[..],
            b"--",
            b"--C--",
            b"--B",
            b"--B\r\n",
            b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
            b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B",
            b"--B\r\nContent-Disposition: form-data\r\n\r\n1\r\n--B--",
            b"--B\r\n\xff\r\n\r\n1\r\n--B--",
        ] {
            assert_eq!(read(kind, body), None, "{}", body.escape_ascii());
        }
        let many =
            [b"--B".as_slice(), &b"\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B".repeat(21), b"--"];
        assert_eq!(read(kind, many.concat().leak()), None);
    }

    #[test]
    fn files_are_what_was_sent() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n\r\n--B\r\ncontent-disposition: form-data; \
            name=\"file\"; filename=\"a b.wasm\"\r\nContent-Type: application/wasm\r\n\r\n\0asm\r\n--A\r\n\r\n\r\n--B--\r\n";
        let expected = [
            Field { name: "name".to_owned(), file: None, content: Bytes::new() },
            Field {
                name: "file".to_owned(),
                file: Some("a b.wasm".to_owned()),
                content: Bytes::from_static(b"\0asm\r\n--A\r\n\r\n"),
            },
        ];
        assert_eq!(read("multipart/form-data; boundary=\"B\"", body).as_deref(), Some(&expected[..]));
        assert_eq!(read("multipart/form-data; boundary=B", b"--B--\r\n"), Some(Vec::new()));
    }
}
