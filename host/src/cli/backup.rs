//! `ringback backup` and `ringback restore`.

use super::client::Client;
use super::output::done;
use super::{CliError, Connection};
use crate::catalogue::tokens::{TokenError, Tokens};
use crate::server::RunError;
use ringback_records::file::{sync_directory, write_durably};
use ringback_store::{BackupError, BackupFile, Lock, OpenError, Store, StoreOptions};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where a restore works.
const UNFINISHED: &str = "restore.unfinished";
/// Where one of before did.
const UNFINISHED_BEFORE: &str = "store.unfinished";
/// Files of a data directory.
const PLUGINS: &str = "plugins";
const TOKEN: &str = "admin-token";
const KEY: &str = "secret.key";

/// What the last line of a backup fits into.
const LAST_LINE_BYTES: usize = 160;

/// Takes a backup of a running server. The file appears under its name when it is whole.
pub(super) async fn backup(client: &Client, file: &Path) -> Result<(), CliError> {
    if std::fs::symlink_metadata(file).is_ok_and(|found| !found.is_file()) {
        let text = format!("{} is no plain file; name a new one, or a backup that is to be replaced", file.display());
        return Err(CliError::Refused(text));
    }
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.is_dir()) {
        return Err(CliError::Refused(format!("there is no directory {}", parent.display())));
    }
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let taken = take(client, file, &unfinished).await;
    if taken.is_err() {
        // Nothing of it is of use.
        let _ = std::fs::remove_file(&unfinished);
    }
    taken
}

async fn take(client: &Client, file: &Path, unfinished: &Path) -> Result<(), CliError> {
    let failed = |error| CliError::File { path: unfinished.to_owned(), error };
    let mut out = File::create(unfinished).map_err(failed)?;
    let mut last = Vec::new();
    let mut bytes = 0;
    let mut write = |chunk: &[u8]| {
        bytes += chunk.len();
        last.extend_from_slice(chunk);
        let keep = last.len().saturating_sub(LAST_LINE_BYTES);
        last.drain(..keep);
        out.write_all(chunk)
    };
    client.download("/v1/backup", &mut write).await?;
    if !last.ends_with(b"\n") || !String::from_utf8_lossy(&last).contains("{\"line\":{\"end\":{\"lines\":") {
        return Err(CliError::Refused("the backup is cut off; see the server's log, and take it again".to_owned()));
    }
    out.sync_all().map_err(failed)?;
    std::fs::rename(unfinished, file).map_err(failed)?;
    client.done(&format!("{bytes} bytes in {}; keep it together with a copy of secret.key", file.display()));
    Ok(())
}

/// Makes a data directory from a backup.
pub(super) async fn restore(connection: &Connection, file: &Path) -> Result<(), CliError> {
    let data = connection.data();
    if data.join("store").exists() {
        let text = format!("there is a store in {} already; name an empty directory with --data", data.display());
        return Err(CliError::Refused(text));
    }
    if let Some(found) = in_the_way(data)? {
        let text = format!(
            "{} is in the way: name a directory with --data that is empty or not there; a secret.key may be there already",
            data.join(found).display()
        );
        return Err(CliError::Refused(text));
    }
    let backup = File::open(file).map_err(|error| CliError::File { path: file.to_owned(), error })?;
    if file.is_dir() {
        let text = format!("{} is a directory; name the file that `ringback backup` wrote", file.display());
        return Err(CliError::Refused(text));
    }
    let _nobody_else = Lock::take(data).map_err(RunError::from)?;
    // Another one may have ended while this one waited.
    if data.join("store").exists() {
        let problem = "another restore has just made a store there; choose another with --data".to_owned();
        return Err(RunError::from(OpenError::Unusable { path: data.to_owned(), problem }).into());
    }
    // Half a store must not look like a whole one, whatever ends this; what an earlier try has left is of no use.
    let unfinished = data.join(UNFINISHED);
    forget(&unfinished)?;
    let restored = fill(&unfinished, BufReader::new(backup)).await;
    let lines = match restored {
        Ok(lines) => lines,
        Err(Unrestored::Backup(error)) => {
            forget(&unfinished)?;
            return Err(CliError::Refused(format!("{}: {error}", file.display())));
        }
        Err(Unrestored::Run(error)) => return Err(error.into()),
    };
    // What an earlier try has put there; it may have got so far.
    forget(&data.join(PLUGINS))?;
    for name in [PLUGINS, TOKEN, "store"] {
        match std::fs::rename(unfinished.join(name), data.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound && name == PLUGINS => {}
            renamed => renamed?,
        }
        // The store makes a data directory of it: what belongs to it is there before.
        sync_directory(data)?;
    }
    forget(&unfinished)?;
    let text = format!(
        "{lines} lines restored into {}; put secret.key there before you start the server. A new administrator's token is in {}",
        data.display(),
        data.join(TOKEN).display()
    );
    done(connection.json, &text);
    Ok(())
}

/// What a directory has that a restore would mix with what it restores.
fn in_the_way(data: &Path) -> Result<Option<OsString>, CliError> {
    let failed = |error| CliError::File { path: data.to_owned(), error };
    let entries = match std::fs::read_dir(data) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(failed)?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<BTreeSet<_>, _>>();
    let names = names.map_err(failed)?;
    // One that was interrupted has left what it made.
    let was_interrupted = [UNFINISHED, UNFINISHED_BEFORE].iter().any(|name| names.contains(OsStr::new(name)));
    let ours: &[&str] = match was_interrupted {
        true => &["lock", KEY, UNFINISHED, UNFINISHED_BEFORE, PLUGINS, TOKEN],
        false => &["lock", KEY],
    };
    Ok(names.into_iter().find(|name| !ours.iter().any(|our| name == our)))
}

enum Unrestored {
    Backup(BackupError),
    Run(RunError),
}

/// Makes a store of a backup, in a directory of its own, with the files that belong to it.
async fn fill(directory: &Path, backup: impl BufRead) -> Result<u64, Unrestored> {
    let store = Store::open(directory, StoreOptions::default()).map_err(|error| Unrestored::Run(error.into()))?;
    let put = |BackupFile { name, bytes }: BackupFile| {
        let path = directory.join(name);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        write_durably(&path, &bytes)
    };
    let restored = match store.restore(backup, put).await {
        // Nobody can read the tokens of the backup any more: who has lost them gets in with a new one.
        Ok(lines) => match new_token(&store, &directory.join(TOKEN)).await {
            Ok(()) => Ok(lines),
            Err(error) => Err(Unrestored::Run(error.into())),
        },
        Err(error) => Err(Unrestored::Backup(error)),
    };
    store.close().await;
    restored
}

/// Removes a directory that may not be there.
fn forget(directory: &Path) -> Result<(), CliError> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(CliError::File { path: directory.to_owned(), error }),
        _ => Ok(()),
    }
}

async fn new_token(store: &Store, file: &Path) -> Result<(), TokenError> {
    Tokens::open(store.clone(), file).await?.make_admin(file, "restored").await
}
