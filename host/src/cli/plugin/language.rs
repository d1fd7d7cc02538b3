//! The languages that plugins are written in: a row each, and a file that knows how a project of it begins and is built.

mod c;
mod go;
mod javascript;
mod python;
mod rust;

pub(in crate::cli) use javascript::ESBUILD;

use super::build::Build;
use crate::cli::CliError;
use ringback_records::plugin::Role;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Every language, in the order in which a directory is held against them.
pub(super) static LANGUAGES: [Language; 6] =
    [rust::LANGUAGE, javascript::TYPESCRIPT, javascript::JAVASCRIPT, python::LANGUAGE, c::LANGUAGE, go::LANGUAGE];

/// A language that plugins are written in.
#[derive(Debug)]
pub(super) struct Language {
    /// What `--lang` calls it.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The files that a project of it has at its top.
    pub marks: &'static [&'static str],
    /// Its SDK, as it lies in a checkout: `guest-sdk/…`.
    pub sdk: &'static str,
    /// The files of the SDK, by their paths in it. A new project has a copy, so that it needs nothing that is published
    /// elsewhere and stays with the version that it began with.
    pub sdk_files: &'static [(&'static str, &'static [u8])],
    /// A file of the SDK as it is outside of a checkout, where that differs.
    pub sdk_file: fn(path: &str, text: &'static [u8]) -> Cow<'static, [u8]>,
    /// The files of a new project, but for those that all languages have; or what is wrong with its name.
    pub files: fn(&Scaffold<'_>) -> Result<Files, String>,
    /// The command that runs the test of a new project, in its directory.
    pub test: &'static str,
    /// Makes a plugin of a project: the file that it became.
    pub build: fn(&mut Build) -> Result<PathBuf, CliError>,
}

/// Files of a project: their paths, and what is in them.
pub(super) type Files = Vec<(&'static str, String)>;

/// What a new project is made of.
#[derive(Debug)]
pub(super) struct Scaffold<'a> {
    pub name: &'a str,
    pub role: Role,
    /// Where the SDK is, as seen from the project: `ringback/guest-sdk/…`, or an absolute path.
    pub sdk: &'a str,
}

impl Scaffold<'_> {
    /// A template with `{{name}}`, `{{role}}`, `{{sdk}}` and `{{version}}` filled in.
    pub(super) fn fill(&self, template: &str) -> String {
        template
            .replace("{{name}}", self.name)
            .replace("{{role}}", self.role.as_str())
            .replace("{{sdk}}", self.sdk)
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
    }
}

impl Language {
    pub(super) fn parse(text: &str) -> Result<&'static Self, String> {
        let lower = text.to_lowercase();
        let known = LANGUAGES.iter().find(|language| language.name == lower || language.title.to_lowercase() == lower);
        known.ok_or_else(|| {
            let names: Vec<&str> = LANGUAGES.iter().map(|language| language.name).collect();
            format!("allowed: {}", names.join(", "))
        })
    }

    /// The language of the project in a directory.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn of(directory: &Path) -> Result<&'static Self, CliError> {
        let has = |language: &&Self| language.marks.iter().all(|mark| directory.join(mark).is_file());
        LANGUAGES.iter().find(has).ok_or_else(|| {
            let mut marks: Vec<&str> =
                LANGUAGES.iter().filter_map(|language| language.marks.first().copied()).collect();
            marks.sort_unstable();
            marks.dedup();
            CliError::Refused(format!(
                "there is no plugin in {}: it has no {}; `ringback plugin new NAME --lang js` begins one",
                directory.display(),
                marks.join(", ")
            ))
        })
    }
}

/// The files of a directory of a checkout, by their paths in it.
macro_rules! files {
    ($directory:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $directory, "/", $path)))),+]
    };
}
use files;

/// Where an SDK is, as tools take a path: one that is not absolute begins with a dot.
fn path(sdk: &str) -> String {
    if Path::new(sdk).is_absolute() { sdk.to_owned() } else { format!("./{sdk}") }
}

/// What a new project tries of itself, here and when it is uploaded: alike in the languages that can.
fn vectors(role: Role) -> &'static str {
    match role {
        Role::Condition => include_str!("templates/vectors/condition.json"),
        Role::Verifier => include_str!("templates/vectors/verifier.json"),
        Role::Parser => include_str!("templates/vectors/parser.json"),
        Role::Step => include_str!("templates/vectors/step.json"),
        Role::Responder => include_str!("templates/vectors/responder.json"),
    }
}

/// A version of the interface: the files of its package, by their names.
type Wit = &'static [(&'static str, &'static [u8])];

/// The versions of the interface that SDKs are for.
pub(super) const WIT: [(&str, Wit); 1] =
    [("1.0.0", files!("wit/1.0.0": "about.wit", "host.wit", "roles.wit", "types.wit", "worlds.wit"))];

#[cfg(test)]
mod tests {
    use super::{LANGUAGES, Scaffold, WIT};
    use ringback_records::plugin::Role;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// What the tools of the languages leave.
    const LEFT: [&str; 6] = ["target", "node_modules", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"];

    fn found(directory: &Path, prefix: &str, files: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().display());
            match entry.file_type().unwrap().is_dir() {
                true if LEFT.iter().any(|left| name.ends_with(left)) => {}
                true => found(&entry.path(), &format!("{name}/"), files),
                false => drop(files.insert(name)),
            }
        }
    }

    /// What is in a checkout and not in the binary would be missing from every new project.
    #[test]
    fn the_whole_sdk_comes_with_a_project() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let sdks = LANGUAGES.iter().map(|language| (language.sdk.to_owned(), language.sdk_files));
        let wits = WIT.into_iter().map(|(version, files)| (format!("wit/{version}"), files));
        for (directory, files) in sdks.chain(wits) {
            let mut expected = BTreeSet::new();
            found(&top.join(&directory), "", &mut expected);
            // Tests of the SDK itself are for those who change it.
            expected.retain(|name| !name.starts_with("test/") && !name.starts_with("tests/"));
            let embedded: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(embedded, expected, "{directory}");
        }
    }

    #[test]
    fn every_role_has_its_files_in_every_language_and_nothing_is_left_to_fill_in() {
        for language in &LANGUAGES {
            for role in Role::ALL {
                let scaffold = Scaffold { name: "my-plugin", role, sdk: "ringback/sdk" };
                let files = (language.files)(&scaffold).unwrap();
                for (path, text) in &files {
                    assert!(!text.contains("{{") && !text.contains("FUNCTION"), "{} {role} {path}", language.name);
                }
                let names: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
                assert!(language.marks.iter().all(|mark| names.contains(mark)), "{names:?}");
                assert!(names.contains(&"README.md") && names.contains(&".gitignore"), "{names:?}");
            }
        }
    }
}
