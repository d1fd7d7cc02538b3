//! Which rows of the behaviour checklist have a test, and whether it passes: computed from the doc comments of the tests, from their
//! names, and from a run of them.

use crate::process::{cargo, root, try_run};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rows, by their beginnings: FlowRunner, Grexx, Patchworks, NocoBase; then the decisions where they are silent.
const ROWS: [(&str, usize); 4] = [("FR", 46), ("GX", 46), ("PW", 22), ("NB", 34)];
const DECISIONS: [(&str, usize); 4] = [("A-FR", 16), ("A-GX", 13), ("A-PW", 8), ("A-NB", 8)];

/// What users of the four products missed. The tests of a row have its id before their names: `s1_…`.
const MISSED: [(&str, &str); 14] = [
    ("S1", "a response ends a flow of NocoBase, unless it says otherwise"),
    ("S2", "the caller of a ticket is answered when its handler comes to rest"),
    ("S3", "a condition about something absent does not hold, and is no error"),
    ("S4", "ids, keys, signatures and states can be brought along"),
    ("S5", "a URL that is printed works; flows have drafts, versions and a way back"),
    ("S6", "every error of FlowRunner's face has a number and a message"),
    ("S7", "a rename that ends a URL is warned of"),
    ("S8", "a flow makes tickets for other executions, and closes them"),
    ("S9", "redirects to other origins need no restart"),
    ("S10", "Patchworks' URLs have the name of the signature that they have there"),
    ("S11", "a name that can never be there is a mistake when the flow is deployed"),
    ("S12", "a parameter that comes twice is a list for a ticket's handler"),
    ("S13", "an environment at a trigger has a URL, or is a mistake"),
    ("S14", "a pasted sample is trimmed"),
];

/// Runs all tests and prints every row with its own.
pub fn run() -> Result<()> {
    let (_, output) =
        try_run(cargo().args(["test", "--workspace", "--exclude", "ringback-fuzz", "--locked", "--no-fail-fast"]))?;
    let results = results(&output);
    ensure!(!results.is_empty(), "no test ran:\n{output}");
    check(&results, true)
}

/// Prints every row with its tests, or those alone that have none that passes; fails when there is such a row.
pub fn check(results: &[(String, bool)], every_row: bool) -> Result<()> {
    let covered = covered()?;
    let rows = ids(&ROWS, 2);
    let mut failed = BTreeSet::new();
    let (mut with_test, mut decisions_with_test) = (0, 0);
    for id in rows.iter().chain(&ids(&DECISIONS, 1)) {
        let tests = covered.get(id).cloned().unwrap_or_default();
        let passes = |test: &String| results.iter().any(|(name, passed)| *passed && is_named(name, test));
        let passed = !tests.is_empty() && tests.iter().all(passes);
        let word = match (tests.is_empty(), passed) {
            (true, _) => "no test",
            (false, true) => "ok",
            (false, false) => "FAILED",
        };
        if every_row || !passed {
            println!("{id:8} {word:8} {}", tests.iter().cloned().collect::<Vec<_>>().join(", "));
        }
        match (passed, rows.contains(id)) {
            (true, true) => with_test += 1,
            (true, false) => decisions_with_test += 1,
            (false, _) => drop(failed.insert(id.clone())),
        }
    }
    let decisions: usize = DECISIONS.iter().map(|(_, count)| count).sum();
    println!("{with_test} of {} rows, {decisions_with_test} of {decisions} decisions", rows.len());
    failed.extend(check_named(results, every_row));
    ensure!(failed.is_empty(), "{} have no passing test: {failed:?}", failed.len());
    Ok(())
}

/// The same for rows whose tests have the id in their names: those of [`MISSED`] without a passing test. Faults that were found in
/// other ways are shown with their tests, whichever they are.
fn check_named(results: &[(String, bool)], every_row: bool) -> Vec<String> {
    let mut tests: BTreeMap<(String, usize), Vec<&(String, bool)>> = BTreeMap::new();
    for result in results {
        if let Some(row) = row_of(&result.0) {
            tests.entry(row).or_default().push(result);
        }
    }
    let mut without = Vec::new();
    for (id, words) in MISSED {
        let found = row(id).and_then(|row| tests.remove(&row)).unwrap_or_default();
        let passed = !found.is_empty() && found.iter().all(|(_, passed)| *passed);
        if every_row || !passed {
            println!("{id:8} {:8} {words}: {}", word(&found), names(&found));
        }
        without.extend((!passed).then(|| id.to_owned()));
    }
    println!(
        "{} of {} rows that users missed, {} other faults",
        MISSED.len() - without.len(),
        MISSED.len(),
        tests.len()
    );
    for ((family, number), found) in tests.iter().filter(|_| every_row) {
        println!("{:8} {:8} {}", format!("{}{number}", family.to_uppercase()), word(found), names(found));
    }
    without
}

fn word(tests: &[&(String, bool)]) -> &'static str {
    match tests.iter().all(|(_, passed)| *passed) {
        _ if tests.is_empty() => "no test",
        true => "ok",
        false => "FAILED",
    }
}

fn names(tests: &[&(String, bool)]) -> String {
    tests.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The row that a test has before its name, such as `s` and 1.
fn row_of(test: &str) -> Option<(String, usize)> {
    row(test.rsplit("::").next()?.split_once('_')?.0)
}

fn row(id: &str) -> Option<(String, usize)> {
    let id = id.to_ascii_lowercase();
    let number = id.strip_prefix(|family| matches!(family, 'a'..='c' | 'e' | 'k' | 'p' | 'r' | 's' | 'w'))?;
    Some((id.strip_suffix(number)?.to_owned(), number.parse().ok()?))
}

/// `FR-01` … `FR-46`, with as many digits as the row has in the checklist.
fn ids(families: &[(&str, usize)], digits: usize) -> Vec<String> {
    families.iter().flat_map(|(name, count)| (1..=*count).map(move |row| format!("{name}-{row:0digits$}"))).collect()
}

/// The names of tests, module and function, by the rows that their comments name.
fn covered() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut files = Vec::new();
    for directory in ["host/src", "host/crates", "host/tests/it", "plugins", "guest-sdk/rust/src"] {
        collect(&root().join(directory), &mut files)?;
    }
    let mut covered: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let module = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (comment, test) in tests(&text) {
            for id in comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| is_id(word)) {
                covered.entry(id.to_owned()).or_default().insert(format!("{module}::{test}"));
            }
        }
    }
    Ok(covered)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            false => {}
        }
    }
    Ok(())
}

/// Each test with the comment before it.
fn tests(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut comment, mut is_test) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            comment.push_str(words);
            comment.push('\n');
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else {
            let name = line.split_once("fn ").and_then(|(_, rest)| rest.split(['(', '<']).next());
            if let Some(name) = name.filter(|_| is_test) {
                found.push((std::mem::take(&mut comment), name.to_owned()));
            }
            (comment, is_test) = (String::new(), false);
        }
    }
    found
}

fn is_id(word: &str) -> bool {
    let families = ROWS.iter().chain(&DECISIONS);
    families.into_iter().any(|(name, count)| {
        let row = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        row.and_then(|row| row.parse::<usize>().ok()).is_some_and(|row| (1..=*count).contains(&row))
    })
}

/// Whether the path of a test that ran is this module and function.
fn is_named(path: &str, test: &str) -> bool {
    let (module, function) = test.split_once("::").unwrap_or(("", test));
    let mut parts = path.rsplit("::");
    parts.next() == Some(function) && parts.any(|part| part == module || part == "tests")
}

/// Every test that ran, by what it printed, and whether it passed.
pub fn results(output: &str) -> Vec<(String, bool)> {
    let of_line = |line: &str| {
        let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
        // Examples that are only compiled, or only shown.
        (!result.starts_with("ignored")).then_some(())?;
        Some((name.to_owned(), result.starts_with("ok")))
    };
    output.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::{MISSED, ROWS, check_named, ids, is_id, row_of, tests};

    #[test]
    fn the_rows_that_a_test_names_are_found() {
        let text = "/// FR-01, A-GX-3: words.\n#[tokio::test]\nasync fn one() {\n}\n/// FR-02\nfn helper() {}\n#[test]\nfn two() {}\n";
        let found = tests(text);
        assert_eq!(
            found,
            [(" FR-01, A-GX-3: words.\n".to_owned(), "one".to_owned()), (String::new(), "two".to_owned())]
        );
        assert!(is_id("FR-46") && is_id("A-NB-8") && !is_id("FR-47") && !is_id("FR-") && !is_id("XX-1"));
        assert_eq!(ids(&ROWS, 2).len(), 148);
    }

    #[test]
    fn the_row_of_a_test_is_before_its_name() {
        for (name, row) in [
            ("it::nocobase::s1_a_response_ends", Some(("s".to_owned(), 1))),
            ("execution::tests::k10_a_pause", Some(("k".to_owned(), 10))),
            ("tests::s1", None),
            ("tests::x1_no_family", None),
            ("tests::a_b1_later", None),
        ] {
            assert_eq!(row_of(name), row, "{name}");
        }
        let all: Vec<(String, bool)> =
            MISSED.iter().map(|(id, _)| (format!("it::{}_x", id.to_lowercase()), true)).collect();
        assert!(check_named(&all, false).is_empty());
        let failed: Vec<(String, bool)> =
            [("it::s2_y".to_owned(), false)].into_iter().chain(all[1..].iter().cloned()).collect();
        assert_eq!(check_named(&failed, false), ["S1", "S2"]);
    }
}
