//! The page of the settings: what counts and where it is said, how the server is, and the backup.

use super::pages::{self, Trouble, needs};
use super::session::Session;
use crate::app::App;
use crate::http::admin::backup;
use crate::http::admin::settings::{self, SettingsView};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use ringback_console::{Place, SettingItem, Settings};
use ringback_records::token::Access;
use std::sync::Arc;

pub(super) async fn show(State(app): State<Arc<App>>, session: Session) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let SettingsView { items, version, instance, status, store_bytes } =
        settings::view(&app, &session.workspace, session.token.access).await;
    let settings = items.into_iter().map(|setting| SettingItem {
        name: setting.name.to_owned(),
        value: setting.value.to_string(),
        source: setting.source,
    });
    let page = Settings {
        frame: pages::frame(&app, &session, Place::Settings, "Settings"),
        settings: settings.collect(),
        version,
        instance,
        status,
        store_bytes,
    };
    Ok(pages::html(&page))
}

/// The backup, as a file.
pub(super) async fn take_backup(State(app): State<Arc<App>>, session: Session) -> Result<Response, Trouble> {
    needs(&session, Access::Admin)?;
    let mut response = backup::stream(app);
    let name = HeaderValue::from_static("attachment; filename=\"ringback-backup.jsonl\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}
