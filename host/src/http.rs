//! The two listeners: the public one, where callbacks arrive, and the admin one.

mod admin;
mod connection;
mod console;
mod error;
mod listener;
mod peer;
mod public;
mod stream;

pub use admin::VERSION_HEADER;

use crate::app::{App, Listeners};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Serves both listeners until `shutdown` is done, then lets requests under way end.
pub async fn serve(
    app: Arc<App>,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
    on_stopping: impl FnOnce(),
) -> std::io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let settings = listener::Settings {
        header_read_timeout: app.config.header_read_timeout,
        keep_alive_timeout: app.config.keep_alive_timeout,
        write_timeout: app.config.write_timeout,
        connections_max: app.config.connections_max,
        connections_per_address_max: app.config.connections_per_address_max,
        drain_timeout: app.config.drain_timeout,
        trusted_proxies: Arc::clone(&app.config.trusted_proxies),
    };
    let public = listener::serve(listeners.public, public::router(Arc::clone(&app)), settings.clone(), stopped.clone());
    let admin = listener::serve(listeners.admin, admin::router(Arc::clone(&app)), settings, stopped);
    let wait = async {
        shutdown.await;
        on_stopping();
        stop.send_replace(true);
    };
    let (public, admin, ()) = tokio::join!(public, admin, wait);
    public.and(admin)
}

/// The OpenAPI document of the admin API.
pub fn openapi() -> serde_json::Value {
    admin::document()
}

/// An address under which this machine reaches itself, when it listens on all.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
