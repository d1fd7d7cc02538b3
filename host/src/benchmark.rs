//! A view of the inside for the benchmarks alone.

use crate::catalogue::plugins::StoredState;
use crate::catalogue::secrets::{KeySource, Secrets};
use bytes::Bytes;
use ringback_outbound::plugin::Outbound;
use ringback_plugin::{Limits, Sandbox, Settings, Subject};
use ringback_records::callback::{Callback, Request};
use ringback_records::name::{CallbackId, Name};
use ringback_records::time::Timestamp;
use ringback_store::{Store, StoreOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Calls a condition again and again: microseconds of one instance, call and teardown.
///
/// # Errors
///
/// The plugin does not load, or a call fails.
pub async fn condition_calls(
    component: Bytes,
    config: &str,
    calls: u32,
    compiler: &Path,
) -> Result<f64, Box<dyn std::error::Error>> {
    let data = std::env::temp_dir().join(format!("ringback-benchmark-{}", std::process::id()));
    let store = Store::open(&data, StoreOptions::default())?;
    let secrets = Secrets::open(store.clone(), None, &KeySource::File(data.join("secret.key"))).await?;
    let settings = Settings {
        data: data.clone(),
        compiler: compiler.to_owned(),
        limits: Limits::default(),
        body_bytes_max: 1 << 20,
        large_plugins: false,
    };
    let state = Arc::new(StoredState::new(store.clone()));
    let sandbox = Sandbox::open(settings, state, secrets.vault().clone(), Outbound::new([]))?;
    let workspace = Name::default_name();
    let version = sandbox.take_upload(&workspace, component).await?.version(&Name::default_name());
    let body = br#"{"ref": "refs/heads/main", "after": "0", "repository": {"full_name": "a/b"}}"#;
    let request = Request {
        method: http::Method::POST,
        path: "/h/key".to_owned(),
        query: String::new(),
        headers: http::HeaderMap::new(),
        body: Bytes::from_static(body),
        expanded: None,
        unread: None,
        received_at: Timestamp::now(),
        remote_address: None,
        address_doubt: None,
    };
    let callback = Callback {
        id: CallbackId::new(),
        workspace: workspace.clone(),
        environment: Name::default_name(),
        request,
        base_url: String::new(),
        site: None,
        claims: None,
    };
    let data_value = serde_json::from_slice(body)?;
    let subject = Subject {
        callback: Some(Arc::new(callback)),
        data: Some(Arc::new(data_value)),
        ..Subject::unseen(&workspace, &Name::default_name())
    };
    let mut started = Instant::now();
    for call in 0..calls + calls / 10 {
        if call == calls / 10 {
            started = Instant::now();
        }
        let mut uses = Vec::new();
        version.evaluate(&subject, config, &mut uses).await?;
    }
    let micros = started.elapsed().as_secs_f64() * 1e6 / f64::from(calls);
    store.close().await;
    std::fs::remove_dir_all(data)?;
    Ok(micros)
}
