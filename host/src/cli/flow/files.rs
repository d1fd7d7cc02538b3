//! The files that a flow names: read beside the flow file, and sent with it.

use crate::cli::typescript::{Form, is_typescript, without_types};
use crate::cli::{CliError, not_utf8};
use ringback_rules::flow::{MissingFile, missing_files, with_files as added};
use std::path::{Path, PathBuf};

/// More is never a script, or a schema.
const BYTES_MAX: u64 = 1 << 20;

/// A flow file with those that it names; one from standard input names those of the current directory.
pub(super) fn with_files(flow: &Path, source: Vec<u8>) -> Result<Vec<u8>, CliError> {
    let Ok(text) = std::str::from_utf8(&source) else { return Ok(source) };
    let missing = missing_files(text);
    if missing.is_empty() {
        return Ok(source);
    }
    let folder = flow.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for file in missing {
        let text = read(folder, &file).map_err(|error| {
            let MissingFile { line, column, .. } = file;
            CliError::Refused(format!("{}:{line}:{column}: {error}", flow.display()))
        })?;
        files.push((file.path, text));
    }
    let added = added(text, &files).ok_or_else(|| {
        let names: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        CliError::Refused(format!(
            "{}: nothing can be added to it as it is written, and so not {}: take `files` out of it, and end it with its last step",
            flow.display(),
            names.join(", ")
        ))
    })?;
    Ok(added.into_bytes())
}

fn read(folder: &Path, MissingFile { what, path: name, .. }: &MissingFile) -> Result<String, CliError> {
    let refused = |why: String| CliError::Refused(format!("the {what} {name} {why}"));
    let path = within(folder, name)?.ok_or_else(|| refused("leads out of the folder of the flow file".to_owned()))?;
    let unread = |error| CliError::File { path: path.clone(), error };
    let about = std::fs::metadata(&path).map_err(unread)?;
    if !about.is_file() {
        return Err(refused("is no file".to_owned()));
    }
    if about.len() > BYTES_MAX {
        let instead = if *what == "script" { ": what is so long is better a plugin" } else { ", which is too long" };
        return Err(refused(format!("has {} bytes{instead}", about.len())));
    }
    let bytes = std::fs::read(&path).map_err(unread)?;
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(&path, error.utf8_error()))?;
    let text = text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned);
    if is_typescript(&path) { without_types(&path, &text, Form::Script) } else { Ok(text) }
}

/// Where a file is, whose path has no `..`; `None` where links lead out of the folder.
fn within(folder: &Path, name: &str) -> Result<Option<PathBuf>, CliError> {
    let path = folder.join(name);
    let real = |path: &Path| path.canonicalize().map_err(|error| CliError::File { path: path.to_owned(), error });
    Ok(real(&path)?.starts_with(real(&Path::new(".").join(folder))?).then_some(path))
}
