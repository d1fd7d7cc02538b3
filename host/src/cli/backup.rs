//! `ringback backup` and `ringback restore`.

use super::client::Client;
use super::output::line;
use super::{CliError, Connection};
use crate::app::RunError;
use crate::file::write_durably;
use crate::store::{BackupFile, Store, StoreOptions};
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Component, Path, PathBuf};

/// Takes a backup of a running server. The file appears under its name when it is whole.
pub(super) async fn backup(client: &Client, file: &Path) -> Result<(), CliError> {
    let unfinished = PathBuf::from(format!("{}.unfinished", file.display()));
    let failed = |error| CliError::File { path: unfinished.clone(), error };
    let mut out = File::create(&unfinished).map_err(failed)?;
    let mut last = Vec::new();
    let mut bytes = 0;
    let mut write = |chunk: &[u8]| {
        bytes += chunk.len();
        last.extend_from_slice(chunk);
        let keep = last.len().saturating_sub(64);
        last.drain(..keep);
        out.write_all(chunk)
    };
    client.download("/v1/backup", &mut write).await?;
    if !String::from_utf8_lossy(&last).contains("{\"end\":{\"lines\":") {
        return Err(CliError::Refused("the backup is cut off; see the server's log, and take it again".to_owned()));
    }
    out.sync_all().map_err(failed)?;
    std::fs::rename(&unfinished, file).map_err(failed)?;
    line(&format!("{bytes} bytes in {}; keep it together with a copy of secret.key", file.display()));
    Ok(())
}

/// Makes a data directory from a backup.
pub(super) async fn restore(connection: &Connection, file: &Path) -> Result<(), CliError> {
    let data = connection.data();
    if data.join("store").exists() {
        let text = format!("there is a store in {} already; name an empty directory with --data", data.display());
        return Err(CliError::Refused(text));
    }
    let backup = File::open(file).map_err(|error| CliError::File { path: file.to_owned(), error })?;
    let store = Store::open(data, StoreOptions::default()).map_err(RunError::from)?;
    let put = |BackupFile { name, bytes }: BackupFile| {
        let plain = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return Err(std::io::Error::other(format!("the backup names the file {name}")));
        }
        let path = data.join(name);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        write_durably(&path, &bytes)
    };
    let restored = store.restore(BufReader::new(backup), put).await;
    store.close().await;
    drop(store);
    let lines = match restored {
        Ok(lines) => lines,
        Err(error) => {
            // Half a store must not look like a whole one.
            std::fs::rename(data.join("store"), data.join("store.unfinished"))?;
            return Err(CliError::Refused(format!("{}: {error}", file.display())));
        }
    };
    line(&format!("{lines} lines restored into {}; put secret.key there before you start the server", data.display()));
    Ok(())
}
