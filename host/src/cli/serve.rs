//! `ringback serve`.

use super::{CliError, Connection, output};
use crate::app::{App, Listeners};
use crate::config::{Config, Flags, LogForm};
use crate::http::reachable;
use crate::server::{RunError, run};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Settings file [default: `ringback.toml`, if it is there].
    #[arg(long, env = "RINGBACK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for callbacks [default: 0.0.0.0:8080].
    #[arg(long, value_name = "ADDRESS")]
    public: Option<String>,
    /// Address for the API, health and metrics [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Scheme, host and port under which callers reach the server [default: http:// and the address for callbacks].
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

impl Serve {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        let Self { config, public, admin, public_url } = self;
        let data = connection.data.clone();
        let config = Config::load(config.as_deref(), &Flags { data, public, admin, public_url })?;
        start_log(config.log, &config.log_filter);
        let metrics = start_metrics();
        let bind = |address, flag| async move {
            TcpListener::bind(address).await.map_err(|error| {
                let text = format!("cannot listen on {address}: {error}; choose another address with {flag}");
                RunError::Listener(std::io::Error::other(text))
            })
        };
        let (public, admin) = (bind(config.public, "--public").await?, bind(config.admin, "--admin").await?);
        let listeners = Listeners { public, admin };
        let (public, admin) = (listeners.public.local_addr()?, listeners.admin.local_addr()?);
        let announce = |app: &App| {
            let version = env!("CARGO_PKG_VERSION");
            let (callbacks, api) = (&app.public_url, format!("http://{}", reachable(admin)));
            let console = app.config.console.then(|| format!("{}/console", app.admin_url));
            let data = app.config.data.display().to_string();
            let plugins = app.plugins.clone();
            tokio::spawn(async move {
                // What follows a start, such as what waited for it, goes first.
                tokio::time::sleep(BEFORE_SCRIPTS).await;
                plugins.prepare_scripts().await;
            });
            if connection.json {
                let ready = serde_json::json!({
                    "version": version, "callbacks": callbacks, "public": public, "api": api, "admin": admin, "data": data,
                    "console": console,
                });
                return output::announce(&ready.to_string());
            }
            output::announce(&format!("ringback {version} is ready"));
            output::announce(&format!("  callbacks  {callbacks} (listening on {public})"));
            output::announce(&format!("  admin API  {api} (listening on {admin})"));
            if let Some(console) = console {
                output::announce(&format!(
                    "  console    {console} (`ringback console` makes a link that signs you in)"
                ));
            }
            output::announce(&format!("  data       {data}"));
        };
        run(config, listeners, ringback_plugin::default_compiler(), metrics, stop_signal(), announce).await?;
        Ok(())
    }
}

/// How long after its start a server makes ready what runs scripts.
const BEFORE_SCRIPTS: Duration = Duration::from_secs(3);

/// Libraries that requests go through: beyond `info` they log hosts and more, which secrets may be part of.
const OF_REQUESTS: [&str; 6] = ["reqwest", "hyper", "hyper_util", "h2", "rustls", "tower"];

fn start_log(form: LogForm, filter: &str) {
    let filter = EnvFilter::new(filter);
    let is_harmless = filter_fn(|line| {
        let library = line.target().split("::").next().unwrap_or_default();
        *line.level() <= Level::INFO || !OF_REQUESTS.contains(&library)
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match form {
        LogForm::Text => builder.with_ansi(false).finish().with(is_harmless).try_init(),
        LogForm::Json => builder.json().finish().with(is_harmless).try_init(),
    };
    if let Err(error) = started {
        output::note(&format!("ringback: the log could not be started: {error}"));
    }
}

fn start_metrics() -> Option<PrometheusHandle> {
    const SECONDS: [f64; 12] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .inspect_err(|error| output::note(&format!("ringback: metrics could not be started: {error}")))
        .ok()
}

/// SIGTERM or ctrl-c, from now on: one that comes before anybody waits for it is not missed.
fn stop_signal() -> impl Future<Output = ()> {
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    async {
        let [terminate, interrupt] = signals.map(|signal| async {
            match signal {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        });
        tokio::select! {
            () = terminate => {}
            () = interrupt => {}
        }
        tracing::info!("stopping");
    }
}
