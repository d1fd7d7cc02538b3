//! The id of a data directory, made on the first start. The server says it on its health pages, so that a command line knows
//! whether what answers keeps the directory that it was told of. It opens nothing.

use ringback_records::file::write_durably;
use std::io;
use std::path::{Path, PathBuf};

fn file(data: &Path) -> PathBuf {
    data.join("instance")
}

/// The id of a directory that a server has used.
pub fn read(data: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file(data)).ok()?;
    text.trim().parse().ok().map(|id: uuid::Uuid| id.to_string())
}

/// The id of the directory, a new one when it has none.
///
/// # Errors
///
/// The file cannot be written.
pub fn read_or_make(data: &Path) -> io::Result<String> {
    if let Some(id) = read(data) {
        return Ok(id);
    }
    let id = ringback_records::name::random_id()
        .map_err(|_| io::Error::other("the operating system gave no random bytes"))?;
    write_durably(&file(data), format!("{id}\n").as_bytes())?;
    Ok(id.to_string())
}
