//! The pages of the manual, followed as a reader would: every `sh` block, in order, in one shell, from the top of the checkout,
//! with a search path that has nothing of ours. What the commands print is what the page shows.
//!
//! * A `text` block directly after a block of commands is what they print, to standard output and error alike. Where none
//!   follows, they print nothing.
//! * There `…` stands for whatever differs from run to run: within a line for any characters, on a line of its own for any
//!   lines.
//! * A block that is tagged `sh ci-skip` is not run: CI is inside one of these commands, or the block is for another machine. The
//!   tag shows in the source alone, so the page says why in words.
//! * A page ends what it has started.

use crate::process::root;
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Where pages with commands may be.
const PAGES: [&str; 3] = ["README.md", "docs", "examples"];
/// Pages that install tools and build plugins, for minutes.
const LONG: &str = "docs/plugins/";
/// Stands for what differs.
const ANY: char = '…';

struct Page {
    /// From the top of the checkout.
    path: PathBuf,
    blocks: Vec<Block>,
}

#[derive(Debug, PartialEq)]
struct Block {
    /// Of the first command.
    line: usize,
    commands: String,
    prints: String,
}

/// Follows all pages one after the other in one shell, the README first; then every other one in a shell of its own, where alone
/// the long ones are followed. Pages of languages that are left out are not followed.
pub fn run_all(left_out: &[&str]) -> Result<()> {
    let mut pages = Vec::new();
    for place in PAGES {
        collect(&root().join(place), &mut pages)?;
    }
    let is_of =
        |page: &Page, language: &str| page.path == Path::new("docs/plugins").join(language).with_extension("md");
    pages.retain(|page| !left_out.iter().any(|language| is_of(page, language)));
    let (long, mut pages): (Vec<Page>, Vec<Page>) = pages.into_iter().partition(|page| page.path.starts_with(LONG));
    follow(&pages)?;
    pages.extend(long);
    pages.iter().skip(1).try_for_each(|page| follow(std::slice::from_ref(page)))
}

/// Follows one page.
pub fn run(page: &Path) -> Result<()> {
    let page = read(page)?;
    ensure!(!page.blocks.is_empty(), "{} has no commands", page.path.display());
    follow(&[page])
}

/// The pages with commands, in the order of their names.
fn collect(place: &Path, pages: &mut Vec<Page>) -> Result<()> {
    if place.is_dir() {
        let mut places = std::fs::read_dir(place)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        places.sort();
        return places.iter().try_for_each(|place| collect(place, pages));
    }
    if place.extension().is_some_and(|extension| extension == "md") {
        let page = read(place)?;
        pages.extend(Some(page).filter(|page| !page.blocks.is_empty()));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Page> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Page { path: path.strip_prefix(root()).unwrap_or(path).to_owned(), blocks: blocks(&text) })
}

/// Runs the pages in one shell, and compares.
fn follow(pages: &[Page]) -> Result<()> {
    let begun = Instant::now();
    let scratch = std::env::temp_dir().join(format!("ringback-pages-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let printed = |page: usize, block: usize| scratch.join(format!("printed-{page}-{block}"));
    let left = |page: usize| scratch.join(format!("left-{page}"));
    // A reader's shell goes on after a command that fails, and so does this one: that shows in what is printed.
    let mut script = String::from("trap 'kill $(jobs -p) 2>/dev/null' EXIT\n");
    for (number, page) in pages.iter().enumerate() {
        for (index, block) in page.blocks.iter().enumerate() {
            write!(script, "exec > '{}' 2>&1\n{}", printed(number, index).display(), block.commands)?;
        }
        writeln!(script, "exec > '{}' 2>&1\njobs -r", left(number).display())?;
    }
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).current_dir(root()).env("TMPDIR", &scratch).env("PATH", path_of_others()?);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RINGBACK_")) {
        bash.env_remove(name);
    }
    bash.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().context("bash does not start")?;
    for (number, page) in pages.iter().enumerate() {
        let name = page.path.display();
        for (index, block) in page.blocks.iter().enumerate() {
            let found = std::fs::read(printed(number, index));
            let found = found.with_context(|| format!("{name}: the shell ended before line {}", block.line))?;
            let found = String::from_utf8_lossy(&found);
            if let Some(difference) = difference(&block.prints, &found) {
                bail!("{name}: the commands of line {} do not print what the page shows:\n{difference}", block.line);
            }
        }
        let left = std::fs::read_to_string(left(number)).with_context(|| format!("{name}: the shell ended"))?;
        ensure!(left.is_empty(), "{name}: the page does not end what it has started:\n{left}");
    }
    std::fs::remove_dir_all(&scratch)?;
    let names: Vec<String> = pages.iter().map(|page| page.path.display().to_string()).collect();
    println!("{:5.1} s  {}", begun.elapsed().as_secs_f32(), names.join(", "));
    Ok(())
}

/// The search path without the places where a ringback is.
fn path_of_others() -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::env::split_paths(&path).filter(|place| !place.join("ringback").exists()))?)
}

/// The blocks to run, each with what it prints.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // The block that is open, with its tag; and whether nothing has come since the last block of commands.
    let mut open: Option<(&str, Block)> = None;
    let mut directly_after = false;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(tag)) => {
                open = Some((tag, Block { line: index + 2, commands: String::new(), prints: String::new() }));
            }
            (Some(_), Some(_)) => {
                if let Some((tag, block)) = open.take() {
                    match (tag, blocks.last_mut().filter(|_| directly_after)) {
                        ("text", Some(before)) => before.prints = block.commands,
                        ("sh", _) => blocks.push(block),
                        _ => {}
                    }
                    directly_after = tag == "sh";
                }
            }
            (Some((_, block)), None) => {
                block.commands.push_str(line);
                block.commands.push('\n');
            }
            (None, None) => directly_after &= line.is_empty(),
        }
    }
    blocks
}

/// How what was printed differs from what a page shows: what agrees, the line that comes nowhere after that, and what comes instead.
fn difference(shown: &str, printed: &str) -> Option<String> {
    let lines = |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    let (shown, printed) = (lines(shown), lines(printed));
    let is_gap = |line: &String| line.chars().eq([ANY]);
    let (at, item) = fit(&shown, &printed, is_gap, |shown, printed| fits_line(shown, printed)).err()?;
    let agreed = printed.iter().take(item).map(|line| (' ', line));
    let missing = shown.iter().skip(at).take(1).map(|line| ('-', line));
    let instead = printed.iter().skip(item).map(|line| ('+', line));
    let lines = agreed.chain(missing).chain(instead);
    Some(lines.fold(String::new(), |text, (mark, line)| format!("{text}{mark} {line}\n")))
}

fn fits_line(shown: &str, printed: &str) -> bool {
    let (shown, printed): (Vec<char>, Vec<char>) = (shown.chars().collect(), printed.chars().collect());
    fit(&shown, &printed, |c| *c == ANY, |shown, printed| shown == printed).is_ok()
}

/// Whether the items are the pattern, with any of them where it has a gap; else how far the pattern came, and at which item.
fn fit<T, U>(
    pattern: &[T],
    items: &[U],
    is_gap: impl Fn(&T) -> bool,
    same: impl Fn(&T, &U) -> bool,
) -> Result<(), (usize, usize)> {
    let (mut at, mut item) = (0, 0);
    let mut furthest = (0, 0);
    // After the last gap, and up to where that gap reaches.
    let mut gap: Option<(usize, usize)> = None;
    loop {
        if at > furthest.0 {
            furthest = (at, item);
        }
        match (pattern.get(at), items.get(item)) {
            (None, None) => return Ok(()),
            (Some(part), _) if is_gap(part) => {
                at += 1;
                gap = Some((at, item));
            }
            (Some(part), Some(found)) if same(part, found) => (at, item) = (at + 1, item + 1),
            _ => match gap {
                Some((after, until)) if until < items.len() => {
                    gap = Some((after, until + 1));
                    (at, item) = (after, until + 1);
                }
                _ => return Err(furthest),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, blocks, difference};

    fn block(line: usize, commands: &str, prints: &str) -> Block {
        Block { line, commands: commands.to_owned(), prints: prints.to_owned() }
    }

    #[test]
    fn only_blocks_of_commands_are_run() {
        let text = "a\n```sh\none\n```\n```yaml\nb: c\n```\n```sh ci-skip\ntwo\n```\n```sh\nthree\n```\n";
        assert_eq!(blocks(text), [block(3, "one\n", ""), block(12, "three\n", "")]);
    }

    #[test]
    fn what_commands_print_is_shown_directly_after_them() {
        let text = "```text\nno\n```\n```sh\none\n```\n\n```text\n1\n```\n```text\nno\n```\n```sh\ntwo\n```\nwords\n```text\nno\n```\n";
        assert_eq!(blocks(text), [block(5, "one\n", "1\n"), block(15, "two\n", "")]);
        let skipped = "```sh\none\n```\n```sh ci-skip\ntwo\n```\n```text\nno\n```\n";
        assert_eq!(blocks(skipped), [block(2, "one\n", "")]);
    }

    #[test]
    fn what_differs_is_found() {
        for (shown, printed) in [
            ("", "x\n"),
            ("x\n", ""),
            ("one\ntwo\n", "one\n"),
            ("one\n", "one\ntwo\n"),
            ("one\n…\n", "two\none\n"),
            ("…\none\n", "one\ntwo\n"),
            ("id … is\n", "id 7 was\n"),
            ("a…b…c\n", "acb\n"),
            ("one …\n", "one\n"),
        ] {
            assert!(difference(shown, printed).is_some(), "{shown:?} {printed:?}");
        }
        assert_eq!(difference("a\nb\nc\n", "a\nx\n").unwrap(), "  a\n- b\n+ x\n");
        assert_eq!(difference("…\nb\nc\n", "a\nb\nx\n").unwrap(), "  a\n  b\n- c\n+ x\n");
        assert_eq!(difference("a\n", "a\nx\n").unwrap(), "  a\n+ x\n");
    }

    #[test]
    fn what_may_differ_may_differ() {
        for (shown, printed) in [
            ("", "\n"),
            ("one\n", "one \r\n"),
            ("…\n", ""),
            ("…\n", "one\n\ntwo\n"),
            ("one\n…\ntwo\n", "one\n1\ntwo\n2\ntwo\n"),
            ("one\n…\ntwo\n", "one\ntwo\n"),
            ("…: … of …\n", "note: 1 of 2\n"),
            ("…ab\n", "aab\n"),
            ("a…b…c\n…\n", "a1b2b3c\n"),
        ] {
            assert_eq!(difference(shown, printed), None, "{shown:?} {printed:?}");
        }
    }
}
