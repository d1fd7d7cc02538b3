//! What handlers share.

use crate::catalogue::environments::Environments;
use crate::catalogue::flows::Flows;
use crate::catalogue::plugins::Plugins;
use crate::catalogue::redirects::Redirects;
use crate::catalogue::secrets::Secrets;
use crate::catalogue::tickets::Tickets;
use crate::catalogue::tokens::Tokens;
use crate::catalogue::users::Users;
use crate::config::Config;
use crate::pipeline::Pipeline;
use metrics_exporter_prometheus::PrometheusHandle;
use ringback_rules::rate_limit::Limiter;
use ringback_store::Store;
use std::net::IpAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Everything that handlers share.
pub struct App {
    pub config: Config,
    pub store: Store,
    pub flows: Flows,
    pub plugins: Plugins,
    pub secrets: Secrets,
    pub tokens: Tokens,
    pub users: Users,
    pub environments: Environments,
    pub tickets: Tickets,
    pub redirects: Redirects,
    pub pipeline: Pipeline,
    pub public_url: String,
    /// Where people reach the admin side.
    pub admin_url: String,
    /// The id of the data directory.
    pub instance: String,
    pub metrics: Option<PrometheusHandle>,
    /// Attempts to sign in without a token.
    pub(crate) sign_ins: Limiter<IpAddr>,
    pub(crate) stopping: watch::Sender<bool>,
}

impl App {
    /// Whether the server takes callbacks.
    pub fn is_ready(&self) -> bool {
        !*self.stopping.borrow()
    }

    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until the server stops.
    pub async fn stopped(&self) {
        drop(self.stopping.subscribe().wait_for(|stopping| *stopping).await);
    }
}

/// The listeners, bound but not yet accepting.
pub struct Listeners {
    pub public: TcpListener,
    pub admin: TcpListener,
}
