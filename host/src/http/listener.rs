//! Accepting connections, with limits on their number, in all and by address, and on how long each may keep us waiting; and
//! letting them end.

use super::connection::{Silence, Watch, Watched};
use super::error::Problem;
use super::peer::{self, Peer};
use axum::Router;
use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use ringback_records::sync::lock;
use ringback_rules::network::{Network, Origin, customer, origin};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

/// Most headers of a request, and their bytes.
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// How long to wait when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) header_read_timeout: Duration,
    /// For the next request to begin.
    pub(super) keep_alive_timeout: Duration,
    /// For a part of an answer to be taken.
    pub(super) write_timeout: Duration,
    pub(super) connections_max: usize,
    pub(super) connections_per_address_max: usize,
    pub(super) drain_timeout: Duration,
    /// Who may say for whom requests are passed on.
    pub(super) trusted_proxies: Arc<[Network]>,
}

pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let addresses = Arc::new(Addresses { counts: Mutex::default(), max: settings.connections_per_address_max });
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = is_set(&mut stopped) => break,
        };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => (stream, address.ip()),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = is_set(&mut stopped) => break,
        };
        // Of those that come through a proxy, requests are counted in place of connections.
        let is_proxy = settings.trusted_proxies.iter().any(|network| network.contains(address));
        let counted = if is_proxy { Some(None) } else { addresses.enter(address).map(Some) };
        let Some(counted) = counted else {
            metrics::counter!("ringback_connections_refused_total").increment(1);
            tracing::debug!(%address, "an address has too many connections");
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (stream, peer) = peer::split(stream);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(settings.write_timeout));
        let watch = Watch::new(settings.header_read_timeout, settings.keep_alive_timeout);
        let stream = Watched::new(Box::pin(stream), Arc::clone(&watch));
        let service = service(
            router.clone(),
            address,
            peer,
            Arc::clone(&watch),
            settings.trusted_proxies.clone(),
            Arc::clone(&addresses),
        );
        let mut stopped = stopped.clone();
        connections.spawn(async move {
            let _held = (place, counted);
            let connection = http1::Builder::new()
                // Both times are watched outside: here they would be one.
                .header_read_timeout(None)
                // A caller that has said everything may still want the answer.
                .half_close(true)
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let mut stop = std::pin::pin!(is_set(&mut stopped));
            let (mut closing, mut stopping) = (false, false);
            let ended = loop {
                tokio::select! {
                    ended = connection.as_mut() => break ended,
                    silence = watch.silence(), if !closing => match silence {
                        Silence::Heading => return tracing::debug!("the headers of a request took too long"),
                        Silence::Idle => closing = true,
                    },
                    () = &mut stop, if !stopping => {
                        watch.stop();
                        (closing, stopping) = (true, true);
                    }
                }
                connection.as_mut().graceful_shutdown();
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    let drained =
        tokio::time::timeout(settings.drain_timeout, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "some connections did not end in time and are closed");
    }
    Ok(())
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteAddress(pub(super) Origin);

/// The router, telling the watch when a request begins and when it was answered.
fn service(
    router: Router,
    address: IpAddr,
    peer: Peer,
    watch: Arc<Watch>,
    trusted: Arc<[Network]>,
    addresses: Arc<Addresses>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    service_fn(move |mut request: Request<Incoming>| {
        watch.begin();
        let origin = origin(address, request.headers(), &trusted);
        let counted = if origin.address == address.to_canonical() {
            Some(None)
        } else {
            addresses.enter(origin.address).map(Some)
        };
        request.extensions_mut().insert(RemoteAddress(origin));
        request.extensions_mut().insert(peer.clone());
        let (watch, router) = (Arc::clone(&watch), router.clone());
        async move {
            let answer = match (ambiguous(request.version(), request.headers()), &counted) {
                (Some(what), _) => Ok(refusal(what)),
                (None, None) => Ok(crowded()),
                (None, Some(_)) => router.oneshot(request).await,
            };
            watch.rest();
            answer
        }
    })
}

/// What another server in between could have understood differently, of what the library lets through (RFC 9112, 3.2 and 6.1).
fn ambiguous(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if codings.next().is_some() || coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Some("Send `Transfer-Encoding` once, and with nothing but `chunked`, or not at all.");
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => None,
        (Some(_), None) => Some("Send a host in the `Host` header, and a port at most."),
        (None, _) if version < Version::HTTP_11 => None,
        _ => Some("Send one `Host` header."),
    }
}

/// A host with or without a port (RFC 9110, 7.2), or nothing, where a request has none.
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

/// Of one address behind a proxy there are as many requests as there may be connections of one.
fn crowded() -> Response<Body> {
    metrics::counter!("ringback_connections_refused_total").increment(1);
    let detail = "There are too many requests of this address at the same time.";
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_at_once", detail).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// What follows such a request may be no request: the connection cannot be used again.
fn refusal(what: &'static str) -> Response<Body> {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "ambiguous_request", what);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// How many connections each address has.
struct Addresses {
    counts: Mutex<HashMap<IpAddr, usize>>,
    max: usize,
}

/// A connection that is counted until this is dropped.
struct Counted {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// `None` when the address has as many as it may have.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let address = customer(address);
        let mut counts = lock(&self.counts);
        let count = counts.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Counted { addresses: Arc::clone(self), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = lock(&self.addresses.counts);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

async fn is_set(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped, too.
    drop(stopped.wait_for(|stopped| *stopped).await);
}
