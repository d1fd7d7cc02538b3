//! What a plugin says: the lines of its log, and what it writes to standard output and error; counted and limited.

use crate::limits::{LAST_WORDS_BYTES_MAX, LOG_LINE_BYTES_MAX};
use ringback_records::sync::lock;
use std::sync::{Arc, Mutex};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Most bytes of one write to standard output or error.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// The lines of a call.
#[derive(Debug)]
pub(super) struct Log {
    written: Lines,
    /// Of a plugin that may write there.
    output: Option<Output>,
}

/// Lines of one source: the first ones, and how many more there were.
#[derive(Debug)]
struct Lines {
    kept: Vec<String>,
    max: usize,
    dropped: usize,
    /// What says the most about an end that comes next.
    last_words: String,
    ending: Ending,
}

/// How far the words of an end have come. Interpreters and runtimes say why, and where it happened: the last line is seldom the
/// one that says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It may be any line.
    Unknown,
    /// Python: lines with places, and then one that says why.
    Traceback,
    /// Rust: all lines up to the note.
    Panic,
    /// What comes now are places, or the runtime around the interpreter.
    Said,
}

/// Standard output and error of one call, as lines.
#[derive(Clone, Debug)]
pub(super) struct Output(Arc<Mutex<Written>>);

#[derive(Debug)]
struct Written {
    lines: Lines,
    /// The line that has no end yet; of one that is too long, the beginning.
    unfinished: Vec<u8>,
}

impl Log {
    /// A log that keeps so many lines.
    pub(super) fn new(max: usize) -> Self {
        Self { written: Lines::new(max), output: None }
    }

    pub(super) fn write(&mut self, level: &str, message: &str) {
        message.lines().for_each(|line| self.written.push(level, line));
    }

    pub(super) fn output(&mut self) -> Output {
        let max = self.written.max;
        let new = || Written { lines: Lines::new(max), unfinished: Vec::new() };
        self.output.get_or_insert_with(|| Output(Arc::new(Mutex::new(new())))).clone()
    }

    /// Its lines, what was written to standard output and error first; and the line that says the most about an end that came
    /// then.
    pub(super) fn take(self) -> (Vec<String>, Option<String>) {
        let Self { written, output } = self;
        let max = written.max;
        let output = output.map(Output::end);
        let last_words = output.iter().chain([&written]).map(|lines| &lines.last_words).find(|words| !words.is_empty());
        let last_words = last_words.cloned();
        let (mut lines, mut dropped) = (Vec::new(), 0);
        for source in output.into_iter().chain([written]) {
            lines.extend(source.kept);
            dropped += source.dropped;
        }
        dropped += lines.len().saturating_sub(max);
        lines.truncate(max);
        if dropped > 0 {
            lines.push(format!("… and {dropped} more lines"));
        }
        (lines, last_words)
    }
}

impl Output {
    fn end(self) -> Lines {
        let mut written = lock(&self.0);
        written.end_line();
        let max = written.lines.max;
        std::mem::replace(&mut written.lines, Lines::new(max))
    }
}

impl Lines {
    fn new(max: usize) -> Self {
        Self { kept: Vec::new(), max, dropped: 0, last_words: String::new(), ending: Ending::Unknown }
    }

    fn push(&mut self, level: &str, line: &str) {
        if line.is_empty() {
            return;
        }
        self.listen(line);
        if self.kept.len() >= self.max {
            self.dropped += 1;
            return;
        }
        let mut kept = format!("{level}: ");
        escape(line, LOG_LINE_BYTES_MAX, &mut kept);
        self.kept.push(kept);
    }

    fn listen(&mut self, line: &str) {
        let is_place = line.starts_with([' ', '\t']) || line.starts_with("note: ");
        let panic = line.find("panicked at ").filter(|_| line.starts_with("thread '")).and_then(|at| line.get(at..));
        // Go says why first, and then where each goroutine is.
        if line.starts_with("panic: ") || line.starts_with("fatal error: ") {
            self.hear(line, Ending::Said);
        } else if line.starts_with("Traceback (most recent call last)") {
            self.ending = Ending::Traceback;
        } else if let Ending::Unknown | Ending::Panic = self.ending
            && let Some(panic) = panic
        {
            self.hear(panic, Ending::Panic);
        } else {
            match self.ending {
                Ending::Said => {}
                Ending::Panic if is_place => self.ending = Ending::Said,
                Ending::Panic if self.last_words.len() >= LAST_WORDS_BYTES_MAX => {}
                Ending::Panic => {
                    self.last_words.push(' ');
                    escape(line, LAST_WORDS_BYTES_MAX, &mut self.last_words);
                }
                Ending::Traceback if !is_place => self.hear(line, Ending::Said),
                Ending::Unknown if !is_place => self.hear(line, Ending::Unknown),
                Ending::Traceback | Ending::Unknown => {}
            }
        }
    }

    fn hear(&mut self, words: &str, ending: Ending) {
        self.ending = ending;
        self.last_words.clear();
        escape(words, LAST_WORDS_BYTES_MAX, &mut self.last_words);
    }
}

/// Adds a line without control characters, up to a length.
fn escape(line: &str, bytes_max: usize, to: &mut String) {
    for character in line.chars() {
        if to.len() + character.len_utf8() > bytes_max {
            to.push('…');
            break;
        }
        if character.is_control() { to.extend(character.escape_default()) } else { to.push(character) }
    }
}

impl Written {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = piece.strip_suffix(b"\n");
            // One more than is kept, so that what is cut off is seen.
            let room = (LOG_LINE_BYTES_MAX + 1).saturating_sub(self.unfinished.len());
            self.unfinished.extend(line.unwrap_or(piece).iter().take(room));
            if line.is_some() {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.unfinished);
        self.lines.push("output", String::from_utf8_lossy(&line).trim_end_matches('\r'));
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only a later WASI, which is not linked, writes this way.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        lock(&self.0).write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::Log;

    fn said(output: &str) -> Option<String> {
        let mut log = Log::new(16);
        super::lock(&log.output().0).write(output.as_bytes());
        log.take().1
    }

    /// As the runtimes write it.
    #[test]
    fn the_line_that_says_why_is_found() {
        for (output, why) in [
            ("", None),
            ("\n  \n", None),
            ("Assertion failed: n > 0 (plugin.c: 12)\n", Some("Assertion failed: n > 0 (plugin.c: 12)")),
            ("half a line", Some("half a line")),
            ("one\r\ntwo\r\n", Some("two")),
            (
                "Traceback (most recent call last):\n  File \"/0/app.py\", line 6, in run\n    x\nKeyError: 'total'\n",
                Some("KeyError: 'total'"),
            ),
            ("panic: no total\n\ngoroutine 1 [running]:\nmain.main()\n\t/plugin.go:7 +0x2\n", Some("panic: no total")),
            (
                "begun\n\nthread 'main' (1) panicked at src/lib.rs:3:5:\nno total\nnote: run with `RUST_BACKTRACE=1`\n",
                Some("panicked at src/lib.rs:3:5: no total"),
            ),
            (
                "Traceback (most recent call last):\n  File \"/0/app.py\", line 12, in evaluate\nKeyError: 'total'\n\nthread \
                 '<unnamed>' (1) panicked at runtime/src/lib.rs:1293:29:\nPython function threw an unexpected exception\n",
                Some("KeyError: 'total'"),
            ),
            (
                "thread '<unnamed>' (1) panicked at interpreter.rs:51:31:\nFailed to call 'evaluate': Value(Exception(\n\
                 Exception { message: Some(\"no total\") })\n)\nnote: run with\n",
                Some(
                    "panicked at interpreter.rs:51:31: Failed to call 'evaluate': Value(Exception( Exception { message: \
                     Some(\"no total\") }) )",
                ),
            ),
            ("Error: no total\n    at evaluate (/plugin.js:17:38)\n", Some("Error: no total")),
        ] {
            assert_eq!(said(output).as_deref(), why, "{output}");
        }
    }

    #[test]
    fn a_panic_without_an_end_is_cut() {
        let words = said(&format!("thread 'main' panicked at x.rs:1:1:\n{}", "and so on\n".repeat(10_000)));
        assert!(words.as_ref().is_some_and(|words| words.len() < 500 && words.ends_with('…')), "{words:?}");
    }

    #[test]
    fn lines_are_counted_and_cut() {
        let mut log = Log::new(3);
        log.write("info", "one\r\n\r\ntwo");
        log.write("warn", "\u{1b}[31mthree");
        {
            let output = log.output();
            let mut output = super::lock(&output.0);
            // However it is written, and whatever it is.
            [b"a".as_slice(), b"b\nc", b"\n", &[0xff], b"\n"].iter().for_each(|bytes| output.write(bytes));
            output.write(&vec![b'x'; 3 << 20]);
            assert!(output.unfinished.len() < 5000);
        }
        let (lines, last_words) = log.take();
        assert_eq!(lines, ["output: ab", "output: c", "output: \u{fffd}", "… and 4 more lines"]);
        assert!(last_words.is_some_and(|words| words.starts_with("xxx") && words.len() < 500));

        let mut log = Log::new(4);
        log.write("info", &"x".repeat(5000));
        log.write("info", "one\r\n\r\ntwo");
        log.write("warn", "\u{1b}[31mthree");
        let (mut lines, last_words) = log.take();
        let long = lines.remove(0);
        assert!(long.len() < 4100 && long.starts_with("info: xxx") && long.ends_with("x…"), "{long}");
        assert_eq!(lines, ["info: one", "info: two", "warn: \\u{1b}[31mthree"]);
        assert_eq!(last_words.as_deref(), Some("\\u{1b}[31mthree"), "who writes nothing else has a log");
    }
}
