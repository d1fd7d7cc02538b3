//! The server, put together: opened in the order of dependence, stopped in the reverse.

use crate::app::{App, Listeners};
use crate::catalogue::environments::Environments;
use crate::catalogue::flows::Flows;
use crate::catalogue::plugins::{Plugins, StoredState};
use crate::catalogue::redirects::Redirects;
use crate::catalogue::secrets::{SecretError, Secrets};
use crate::catalogue::tickets::Tickets;
use crate::catalogue::tokens::{TokenError, Tokens};
use crate::catalogue::users::Users;
use crate::config::Config;
use crate::http;
use crate::instance;
use crate::pipeline::{Certificates, JwtUsers, Pipeline, Rooms};
use crate::retention::forget_repeatedly;
use crate::runner::{Parts, Runner};
use metrics_exporter_prometheus::PrometheusHandle;
use ringback_outbound::flow::Sender;
use ringback_outbound::plugin::Outbound;
use ringback_plugin::{Sandbox, SetUpError, Settings};
use ringback_rules::rate_limit::Limiter;
use ringback_store::{OpenError, Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Sandbox(#[from] SetUpError),
    #[error("the store could not be read: {0}")]
    Store(#[from] StoreError),
    #[error("a listener failed: {0}")]
    Listener(#[from] std::io::Error),
    /// Acknowledged callbacks are on disk; a restart goes on from there.
    #[error(
        "the store has failed: {0}. Nothing was acknowledged after that; free space or repair the disk, and start again"
    )]
    StoreFailed(String),
}

/// Runs the server until `shutdown` is done. Connections that arrive before everything is open wait in the listeners'
/// queues; `ready` is called when they are served.
///
/// # Errors
///
/// Something could not be opened, or the store failed.
pub async fn run(
    config: Config,
    listeners: Listeners,
    compiler: PathBuf,
    metrics: Option<PrometheusHandle>,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(&App),
) -> Result<(), RunError> {
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => format!("http://{}", http::reachable(listeners.public.local_addr()?)),
    };
    let admin_url = match &config.admin_url {
        Some(url) => url.clone(),
        None => format!("http://{}", http::reachable(listeners.admin.local_addr()?)),
    };
    let store = Store::open(&config.data, config.store)?;
    let instance = instance::read_or_make(&config.data)
        .map_err(|error| OpenError::Unusable { path: config.data.clone(), problem: error.to_string() })?;
    store.renew().await?;
    let environments = Environments::open(store.clone()).await?;
    let secrets = Secrets::open(store.clone(), Some(environments.clone()), &config.secret_key).await?;
    let tokens = Tokens::open(store.clone(), &config.data.join("admin-token")).await?;
    let users = Users::new(store.clone());
    let settings = Settings {
        data: config.data.clone(),
        compiler,
        limits: config.plugin_limits.clone(),
        body_bytes_max: config.body_bytes_max,
        large_plugins: config.large_plugins,
    };
    let outbound = Outbound::new(config.plugin_http_hosts.iter().cloned());
    let state = Arc::new(StoredState::new(store.clone()));
    let sandbox = Sandbox::open(settings, state, secrets.vault().clone(), outbound)?;
    let plugins = Plugins::open(store.clone(), sandbox.clone()).await?;
    let flows = Flows::open(store.clone(), config.retention.flow_versions).await?;
    let redirects = Redirects::open(Arc::clone(&config.redirect_origins), store.clone()).await?;
    let tickets = Tickets::new(
        store.clone(),
        flows.clone(),
        plugins.clone(),
        environments.clone(),
        redirects.clone(),
        &public_url,
    );
    let sender =
        Sender::new(secrets.vault().clone(), config.http_private_hosts.iter().cloned(), Arc::clone(&config.redact));
    let parts = Parts {
        store: store.clone(),
        flows: flows.clone(),
        plugins: plugins.clone(),
        sandbox: sandbox.clone(),
        environments: environments.clone(),
        tickets: tickets.clone(),
        http: sender.clone(),
        public_url: public_url.clone(),
        execution_bytes_max: config.execution_bytes_max,
    };
    let runner = Runner::new(parts, config.executions_max);
    let workspaces_to_resume = runner.resume_all().await?;
    let pipeline = Pipeline {
        store: store.clone(),
        flows: flows.clone(),
        plugins: plugins.clone(),
        sandbox,
        secrets: secrets.vault().clone(),
        users: users.clone(),
        jwt_users: JwtUsers::new(secrets.vault().clone(), sender.clone()),
        certificates: Certificates::new(sender.clone()),
        environments: environments.clone(),
        tickets: tickets.clone(),
        limiter: Arc::default(),
        delivering: Arc::default(),
        rooms: Rooms::new(config.body_bytes_max, config.bodies_bytes_max),
        runner,
        mailbox: config.mailbox,
        early_kib_max: config.early_kib_max,
        deferred_for_max: config.deferred_for_max,
        body_bytes_max: config.body_bytes_max,
        hidden: Arc::clone(&config.redact),
        public_url: public_url.clone(),
    };
    let app = Arc::new(App {
        config,
        store: store.clone(),
        flows,
        plugins,
        secrets,
        tokens,
        users,
        environments,
        tickets,
        redirects,
        pipeline,
        public_url,
        admin_url,
        instance,
        metrics,
        sign_ins: Limiter::default(),
        stopping: watch::Sender::new(false),
    });
    tracing::info!(workspaces_to_resume, "ready");
    ready(&app);
    let result = tokio::select! {
        result = http::serve(Arc::clone(&app), listeners, shutdown, || app.stop()) => {
            result.map_err(RunError::from)
        }
        reason = store.failed() => Err(RunError::StoreFailed(reason)),
        never = store.clean_repeatedly() => match never {},
        never = forget_repeatedly(&store, &app.flows, &app.tickets, app.config.retention) => match never {},
        never = app.pipeline.runner.run_timers() => match never {},
        never = app.pipeline.runner.run_lines() => match never {},
        never = app.pipeline.run_deferred() => match never {},
        never = app.pipeline.run_turns() => match never {},
    };
    store.close().await;
    result
}
