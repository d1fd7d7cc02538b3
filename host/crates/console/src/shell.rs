//! A callback as a command: whatever is in it is one argument of the shell, and does nothing there.

use crate::escape::is_unseen;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// Headers that curl makes itself.
const OF_CURL: [&str; 8] =
    ["host", "content-length", "connection", "transfer-encoding", "expect", "accept-encoding", "te", "upgrade"];

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a text means nothing to a terminal when it is pasted.
fn is_plain(text: &str) -> bool {
    !text.chars().any(is_unseen)
}

/// The command that sends a request again: its body as text, or through base64 where a terminal would obey it.
pub(crate) fn curl(method: &str, url: &str, headers: &[(String, String)], body: &[u8]) -> String {
    let text = std::str::from_utf8(body).ok().filter(|text| is_plain(text));
    let mut command = String::new();
    if text.is_none() {
        let _ = write!(command, "printf %s {} | base64 -d | ", quoted(&STANDARD.encode(body)));
    }
    let _ = write!(command, "curl -X {} {}", quoted(method), quoted(url));
    for (name, value) in headers {
        let is_ours = OF_CURL.iter().any(|of_curl| name.eq_ignore_ascii_case(of_curl));
        if !is_ours && is_plain(name) && is_plain(value) && !value.contains('\n') {
            let _ = write!(command, " \\\n  -H {}", quoted(&format!("{name}: {value}")));
        }
    }
    match text {
        Some("") => {}
        // `@` would name a file.
        Some(text) => {
            let _ = write!(command, " \\\n  --data-raw {}", quoted(text));
        }
        None => command.push_str(" \\\n  --data-binary @-"),
    }
    command
}

#[cfg(test)]
mod tests {
    use super::{curl, quoted};
    use std::process::Command;

    /// What the shell makes of a command in which `curl` prints its arguments, each behind a line.
    fn arguments(command: &str) -> Vec<String> {
        let script = format!("curl() {{ printf '%s\\036' \"$@\"; case \"$*\" in *@-) cat;; esac; }}\n{command}\n");
        let said = Command::new("sh").arg("-c").arg(script).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
        assert!(said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).split('\u{1e}').map(str::to_owned).collect()
    }

    #[test]
    fn whatever_was_sent_is_one_argument() {
        let marker = std::env::temp_dir().join(format!("ringback-shell-{}", std::process::id()));
        let touch = format!("touch {}", marker.display());
        for hostile in [
            format!("'; {touch}; '"),
            format!("$({touch})"),
            format!("`{touch}`"),
            format!("\\'; {touch} #"),
            format!("\"; {touch}; \""),
            format!("a\n{touch}\n"),
            "@/etc/passwd".to_owned(),
            "-o x".to_owned(),
            "!!".to_owned(),
        ] {
            let headers = [("x-word".to_owned(), hostile.replace('\n', " ")), ("Host".to_owned(), "x".to_owned())];
            let url = format!("http://127.0.0.1:1/h/{hostile}");
            let found = arguments(&curl("POST", &url, &headers, hostile.as_bytes()));
            let header = format!("x-word: {}", hostile.replace('\n', " "));
            assert_eq!(found, ["-X", "POST", &*url, "-H", &*header, "--data-raw", &*hostile, ""]);
        }
        assert!(!marker.exists());
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }

    #[test]
    fn what_a_terminal_would_obey_goes_through_base64() {
        let body = "\u{1b}[201~; touch x\r\u{202e}";
        let headers = [("x-turn".to_owned(), "\u{202e}".to_owned()), ("x-kept".to_owned(), "1".to_owned())];
        let command = curl("PUT", "http://127.0.0.1:1/h/a", &headers, body.as_bytes());
        assert!(!command.contains(['\u{1b}', '\r', '\u{202e}']), "{command:?}");
        assert_eq!(
            arguments(&command),
            ["-X", "PUT", "http://127.0.0.1:1/h/a", "-H", "x-kept: 1", "--data-binary", "@-", body]
        );
        assert!(curl("GET", "http://a/", &[], b"\xff").starts_with("printf %s '/w==' | base64 -d | curl"));
        assert_eq!(curl("GET", "http://a/", &[], b""), "curl -X 'GET' 'http://a/'");
    }
}
