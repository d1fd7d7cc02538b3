//! `ringback plugin new`: a project that builds, with a test that passes.

use super::language::{Language, Scaffold, WIT};
use crate::cli::CliError;
use crate::cli::output::done;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct New {
    /// The plugin's name, and the directory's.
    name: Name,
    /// What it is written in: rust, js, ts, python, c or go.
    #[arg(long, value_name = "LANGUAGE", value_parser = Language::parse, default_value = "rust")]
    lang: &'static Language,
    /// What it does: condition, verifier, parser, step or responder.
    #[arg(long, value_name = "ROLE", value_parser = super::parse_role, default_value = "condition")]
    role: Role,
    /// Directory of the language's SDK in a checkout [default: a copy of it in the project].
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// Where a project has what came with ringback.
const OWN: &str = "ringback";

impl New {
    pub(super) fn run(self, as_json: bool) -> Result<(), CliError> {
        let Self { name, lang, role, sdk } = self;
        let directory = Path::new(name.as_str());
        if directory.symlink_metadata().is_ok() {
            return Err(CliError::Refused(format!("{name} is there already; choose another name or remove it")));
        }
        let found = sdk.as_deref().map(|sdk| find_sdk(sdk, lang)).transpose()?;
        let own = format!("{OWN}/{}", lang.sdk);
        let scaffold = Scaffold { name: name.as_str(), role, sdk: found.as_deref().unwrap_or(&own) };
        let mut files = (lang.files)(&scaffold).map_err(CliError::Refused)?;
        files.push(("callback.json", callback(role).to_owned()));
        let written = files.iter().try_for_each(|(path, text)| write(&directory.join(path), text.as_bytes()));
        let written = written.and_then(|()| if found.is_some() { Ok(()) } else { write_sdk(directory, lang) });
        if let Err(error) = written {
            // What is there in part is of no use, and in the way of the next try.
            let _ = std::fs::remove_dir_all(directory);
            return Err(error);
        }
        let (title, test) = (lang.title, lang.test);
        done(
            as_json,
            &format!(
                "{name}/ is a {role} plugin in {title}. Next:\n  cd {name} && {test}\n  ringback plugin build\n  \
                 ringback plugin push {name} build/{name}.wasm"
            ),
        );
        Ok(())
    }
}

/// The SDK of a checkout, as manifests name it.
fn find_sdk(sdk: &Path, language: &Language) -> Result<String, CliError> {
    let found = std::fs::canonicalize(sdk).map_err(|error| CliError::File { path: sdk.to_owned(), error })?;
    let is_sdk = language.sdk_files.iter().all(|(file, _)| found.join(file).is_file());
    if !is_sdk {
        let (title, directory) = (language.title, language.sdk);
        let text = format!("{} is no SDK for {title}; in a checkout of ringback, that is {directory}", sdk.display());
        return Err(CliError::Refused(text));
    }
    let quoted = format!("{:?}", found.display().to_string());
    Ok(quoted.trim_matches('"').to_owned())
}

/// Writes the copy of the SDK that a project has, with the interface that it is for.
pub(super) fn write_sdk(project: &Path, language: &Language) -> Result<(), CliError> {
    let own = project.join(OWN);
    for (path, text) in language.sdk_files {
        write(&own.join(language.sdk).join(path), &(language.sdk_file)(path, text))?;
    }
    for (version, files) in WIT {
        files.iter().try_for_each(|(path, text)| write(&own.join("wit").join(version).join(path), text))?;
    }
    Ok(())
}

/// Whether a project has a copy of the SDK that is to be there, and is not.
pub(super) fn lacks_sdk(project: &Path, language: &Language) -> bool {
    let own = format!("{OWN}/{}", language.sdk);
    let names_it = |mark: &&str| std::fs::read_to_string(project.join(mark)).is_ok_and(|text| text.contains(&own));
    language.marks.iter().any(names_it) && !project.join(own).exists()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, bytes));
    written.map_err(|error| CliError::File { path: path.to_owned(), error })
}

/// A callback to try a new plugin with.
fn callback(role: Role) -> &'static str {
    match role {
        Role::Condition => include_str!("templates/callback/condition.json"),
        Role::Verifier => include_str!("templates/callback/verifier.json"),
        Role::Parser => include_str!("templates/callback/parser.json"),
        Role::Step => include_str!("templates/callback/step.json"),
        Role::Responder => include_str!("templates/callback/responder.json"),
    }
}
