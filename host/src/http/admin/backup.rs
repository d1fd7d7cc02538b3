//! A backup of everything, while the server runs.

use super::auth::Admin;
use crate::app::App;
use crate::http::error::Problem;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ringback_store::BackupFile;
use std::io;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Lines that wait for the network.
const LINES_MAX: usize = 64;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(take_backup))
}

/// Takes a backup: JSON lines, each with a digest that covers the lines before it. The last line says how many there were before
/// it; without it the backup is cut off. Secrets stay encrypted, and their key is not part of it.
#[utoipa::path(get, path = "/v1/backup", tag = "backup", responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = "4XX", body = Problem)))]
async fn take_backup(State(app): State<Arc<App>>, _: Admin) -> Response {
    stream(app)
}

pub(in crate::http) fn stream(app: Arc<App>) -> Response {
    let (send, receive) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(LINES_MAX);
    tokio::task::spawn_blocking(move || {
        let gone = || io::Error::other("nobody takes the backup any more");
        let mut out = |line: Vec<u8>| send.blocking_send(Ok(line.into())).map_err(|_| gone());
        if let Err(error) = app.store.backup(files(&app), &mut out) {
            tracing::error!(%error, "a backup was not finished");
            let _ = send.blocking_send(Err(io::Error::other("the backup was not finished")));
        }
    });
    let lines = futures_util::stream::unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// The files of plugins, by their digests.
fn files(app: &App) -> impl Iterator<Item = io::Result<BackupFile>> {
    let directory = app.config.data.join("plugins");
    let (entries, failed) = match std::fs::read_dir(directory) {
        Ok(entries) => (Some(entries), None),
        Err(error) => (None, Some(Err(io::Error::other(format!("plugins/ cannot be listed: {error}"))))),
    };
    let files = entries.into_iter().flatten().filter_map(|entry| {
        let read = || {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            match path.extension().is_some_and(|extension| extension == "wasm" || extension == "js") {
                true => Ok(Some(BackupFile { name: format!("plugins/{name}"), bytes: std::fs::read(path)? })),
                false => Ok(None),
            }
        };
        read().transpose()
    });
    files.chain(failed)
}
