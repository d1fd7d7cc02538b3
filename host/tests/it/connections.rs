//! Callers who are slow, rude or wrong on the wire: each is ended on time, and the next good caller is answered.

use crate::process::Server;
use crate::support::{TestServer, cases};
use reqwest::StatusCode;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const FLOW: &str = "flow: hook\nsteps:\n  - trigger: Hook\n    parse: text\n";

/// A server, the address of its public listener, and the path of a trigger.
async fn server() -> (TestServer, SocketAddr, String) {
    with(|_| {}).await
}

async fn with(change: impl FnOnce(&mut ringback::config::Config)) -> (TestServer, SocketAddr, String) {
    let server = TestServer::start_with(change).await;
    let url = server.deploy(FLOW).await;
    let address: SocketAddr = server.public.strip_prefix("http://").unwrap().parse().unwrap();
    let path = url.strip_prefix(&server.public).unwrap().to_owned();
    (server, address, path)
}

/// A connection from an address of this machine's own.
async fn from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Everything that is answered until the server closes, or for so long.
async fn answers(stream: &mut TcpStream, at_most: Duration) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(at_most, stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn send(to: SocketAddr, request: &[u8]) -> String {
    cases(1);
    let mut stream = TcpStream::connect(to).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(request).await;
    answers(&mut stream, Duration::from_secs(5)).await
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

async fn works(server: &TestServer, path: &str) {
    let answered = server.post(&format!("{}{path}", server.public), &json!({})).await;
    assert_eq!(answered.status(), StatusCode::ACCEPTED);
}

/// What two readers could understand differently is refused, and nothing that follows on the connection is a request.
#[tokio::test]
async fn ambiguous_requests_are_refused_and_end_the_connection() {
    let (server, address, path) = server().await;
    let second = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n");
    for (name, request) in [
        ("two lengths", format!("{head}content-length: 4\r\ncontent-length: 5\r\n\r\nabcd{second}")),
        ("a list of lengths", format!("{head}content-length: 4, 5\r\n\r\nabcd{second}")),
        ("a signed length", format!("{head}content-length: +4\r\n\r\nabcd{second}")),
        ("a negative length", format!("{head}content-length: -1\r\n\r\n{second}")),
        ("a length in hexadecimal", format!("{head}content-length: 0x4\r\n\r\nabcd{second}")),
        ("a length beyond all", format!("{head}content-length: 99999999999999999999\r\n\r\n{second}")),
        ("chunked, and then not", format!("{head}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{second}")),
        ("not chunked", format!("{head}transfer-encoding: gzip\r\n\r\n{second}")),
        ("a folded header", format!("{head}x-a: b\r\n c\r\ncontent-length: 0\r\n\r\n{second}")),
        ("a space before the colon", format!("{head}content-length : 4\r\n\r\nabcd{second}")),
        ("a header without a name", format!("{head}: b\r\n\r\n{second}")),
        ("a zero in a header", format!("{head}x-a: b\0c\r\n\r\n{second}")),
        ("a bare carriage return", format!("{head}x-a: b\rc: d\r\n\r\n{second}")),
        ("another version", format!("POST {path} HTTP/3.0\r\nhost: a\r\n\r\n{second}")),
        ("no version", format!("POST {path}\r\n\r\n{second}")),
        ("a space in the path", format!("POST {path} x HTTP/1.1\r\nhost: a\r\n\r\n{second}")),
        ("HTTP/2 at once", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("no HTTP", "\x16\x03\x01\x02\x00\x01\x00".to_owned()),
        ("101 headers", format!("{head}{}\r\n{second}", "x-a: b\r\n".repeat(101))),
        ("a header too long", format!("{head}x-a: {}\r\n\r\n{second}", "b".repeat(70_000))),
        ("a path too long", format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000))),
    ] {
        let answer = send(address, request.as_bytes()).await;
        assert!(count(&answer, "HTTP/1.1 ") <= 1, "{name}: {answer}");
        assert_eq!(count(&answer, "HTTP/1.1 2"), 0, "{name}: {answer}");
    }
    for (name, body) in [
        ("a chunk that is too short", "5\r\nabc\r\n0\r\n\r\n"),
        ("a chunk of no number", "z\r\nabc\r\n0\r\n\r\n"),
        ("a chunk of a negative size", "-1\r\nabc\r\n0\r\n\r\n"),
        ("a chunk beyond all", "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("a chunk without its end", "3\r\nabcX\r\n0\r\n\r\n"),
    ] {
        let answer = send(address, format!("{head}transfer-encoding: chunked\r\n\r\n{body}{second}").as_bytes()).await;
        assert_eq!(count(&answer, "HTTP/1.1 2"), 0, "{name}: {answer}");
    }
    let api: SocketAddr = server.admin.strip_prefix("http://").unwrap().parse().unwrap();
    let (line, chunks) = (format!("POST {path} HTTP/1.1\r\n"), "\r\n3\r\nabc\r\n0\r\n\r\n");
    for (name, request) in [
        ("chunked twice", format!("{head}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n{chunks}")),
        ("chunked twice in one", format!("{head}transfer-encoding: chunked, chunked\r\n{chunks}")),
        ("packed and chunked", format!("{head}transfer-encoding: gzip, chunked\r\n{chunks}")),
        ("two kinds", format!("{head}transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n{chunks}")),
        ("a host of two words", format!("POST {path} HTTP/1.1\r\nhost: a b\r\ncontent-length: 0\r\n\r\n")),
        ("a host with a path", format!("POST {path} HTTP/1.1\r\nhost: a/b\r\ncontent-length: 0\r\n\r\n")),
        ("a host with a user", format!("POST {path} HTTP/1.1\r\nhost: a@b\r\ncontent-length: 0\r\n\r\n")),
        ("a host with two ports", format!("POST {path} HTTP/1.1\r\nhost: a:1:2\r\ncontent-length: 0\r\n\r\n")),
        ("two hosts", format!("{head}host: b\r\ncontent-length: 0\r\n\r\n")),
        ("the same host twice", format!("{head}host: a\r\ncontent-length: 0\r\n\r\n")),
        ("two hosts in the old version", "GET /healthz HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n".to_owned()),
        ("no host", format!("{line}content-length: 0\r\n\r\n")),
    ] {
        for to in [address, api] {
            let answer = send(to, format!("{request}{second}").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"), "{name}: {answer}");
            assert!(answer.to_lowercase().contains("connection: close") || name.contains("old"), "{name}: {answer}");
            assert!(answer.contains("ambiguous_request"), "{name}: {answer}");
            assert_eq!(count(&answer, "HTTP/1.1 "), usize::from(!name.contains("old")), "{name}: {answer}");
        }
    }
    for right in [
        format!("{head}transfer-encoding: Chunked\r\nconnection: close\r\n{chunks}"),
        format!("POST {path} HTTP/1.0\r\ncontent-length: 0\r\n\r\n"),
    ] {
        assert!(send(address, right.as_bytes()).await.contains(" 202 "), "{right}");
    }
    // RFC 9112, 6.3: with both, the chunks count, and the connection ends after the answer.
    let both = format!("{head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{second}");
    let answer = send(address, both.as_bytes()).await;
    assert!(count(&answer, "HTTP/1.1 ") <= 1, "{answer}");
    works(&server, &path).await;
}

/// What is no path of a callback leads nowhere: not into files, not to other hosts.
#[tokio::test]
async fn strange_targets_lead_nowhere() {
    let (server, address, path) = server().await;
    for target in [
        "*",
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%5c..%5cetc",
        "/h/%00",
        "/h/..%2f..%2fadmin-token",
        "//evil.example/h/a",
        "/v1/flows",
        "/metrics",
        "/healthz",
        "http://127.0.0.1:1/",
        &format!("{path}//"),
        &format!("{path}%2f"),
        &path.to_uppercase(),
    ] {
        let answer =
            send(address, format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{target}: {answer}");
    }
    let connect = send(address, b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(connect.starts_with("HTTP/1.1 404") || connect.starts_with("HTTP/1.1 400"), "{connect}");
    works(&server, &path).await;
}

/// Many requests at once are answered in order; a caller that has said everything still gets its answer.
#[tokio::test]
async fn pipelined_and_half_closed_requests_are_answered() {
    let (server, address, path) = server().await;
    let one = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    let last = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx");
    let answer = send(address, format!("{}{last}", one.repeat(199)).as_bytes()).await;
    assert_eq!(count(&answer, "HTTP/1.1 202"), 200);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(one.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(count(&answers(&mut stream, Duration::from_secs(5)).await, "HTTP/1.1 202"), 1);
    works(&server, &path).await;
}

/// Who does not go on is ended: before the headers, in the middle of them, in the body, between two requests.
#[tokio::test]
async fn who_does_not_go_on_is_ended() {
    let (server, address, path) = server().await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n");
    let whole = format!("{head}content-length: 0\r\n\r\n");
    for (name, request, expected) in [
        ("nothing", String::new(), ""),
        ("half a line", "POST /h".to_owned(), ""),
        ("half the headers", format!("{head}x-a: "), ""),
        ("half the body", format!("{head}content-length: 10\r\n\r\nabc"), "408"),
        ("half a chunk", format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nab"), "408"),
        ("a body that is only announced", format!("{head}content-length: 10\r\nexpect: 100-continue\r\n\r\n"), "408"),
        ("nothing after a request", whole, "202"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let started = Instant::now();
        let answer = answers(&mut stream, Duration::from_secs(10)).await;
        // Both times are one second here, and tests share the machine.
        assert!(started.elapsed() < Duration::from_secs(8), "{name} was not ended");
        assert!(answer.contains(expected), "{name}: {answer}");
    }
    let mut slow = TcpStream::connect(address).await.unwrap();
    for byte in head.bytes().cycle() {
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    works(&server, &path).await;
}

/// A body that never ends is refused at its limit, whole or in chunks, and so is what breaks off.
#[tokio::test]
async fn bodies_end_at_their_limit() {
    let (server, address, path) = server().await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n");
    let answer = send(address, format!("{head}content-length: 10000000000\r\n\r\nabc").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let answer =
        send(address, format!("{head}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(100)).as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}content-length: 100\r\n\r\nabc").as_bytes()).await.unwrap();
        // A reset, in place of an end.
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
    works(&server, &path).await;
}

/// A callback that has begun comes to its end, also when its caller has gone.
#[tokio::test]
async fn who_hangs_up_does_not_stop_its_callback() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let url =
        server.deploy("flow: hook\nsteps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: loop }\n").await;
    let address = server.public.strip_prefix("http://").unwrap();
    let path = url.strip_prefix(&server.public).unwrap();
    for gone in 1..=4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        if gone % 2 == 0 {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
        server.eventually("/v1/callbacks", |list| list["items"].as_array().unwrap().len() == gone).await;
    }
}

/// Who does not take its answers is ended, and gives its place free.
#[tokio::test]
async fn who_does_not_read_is_ended() {
    let (server, address, _) = with(|config| config.connections_max = 2).await;
    let large = "flow: large\nsteps:\n  - trigger: Large\n    reply: { text: '${{ vars.large }}' }\n";
    let put = server.api(reqwest::Method::PUT, "/v1/vars/large").json(&json!({ "value": "x".repeat(60_000) }));
    assert!(put.send().await.unwrap().status().is_success());
    let url = server.deploy(large).await;
    let path = url.strip_prefix(&server.public).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").repeat(400);
    let mut stuck = Vec::new();
    for _ in 0..2 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(300), stream.write_all(request.as_bytes())).await;
        stuck.push(stream);
    }
    let started = Instant::now();
    assert_eq!(server.fetch(&url).await.status(), StatusCode::OK);
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Without a handle left, callers wait; when handles are given back, they are answered.
#[tokio::test(flavor = "multi_thread")]
async fn handles_may_run_out_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(&directory.path().join("data")).after("ulimit -n 120");
    let process = server.start();
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let put = client.put(format!("{}/v1/flows/hook", process.admin)).bearer_auth(&token).body(FLOW);
    let deployed: serde_json::Value = put.send().await.unwrap().json().await.unwrap();
    let url = deployed["triggers"][0]["urls"]["default"]["native"].as_str().unwrap();
    let address: SocketAddr = process.public.strip_prefix("http://").unwrap().parse().unwrap();
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let waiting = client.post(url).timeout(Duration::from_millis(500)).send().await;
    assert!(waiting.is_err(), "there is no handle for it");
    held.clear();
    let answered = client.post(url).timeout(Duration::from_secs(20)).send().await.unwrap();
    assert_eq!(answered.status(), StatusCode::ACCEPTED);
}

/// SIGTERM: what is under way is answered, and what was accepted is there after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_is_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(&directory.path().join("data"));
    let mut process = server.start();
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let slow = "flow: slow\nsteps:\n  - trigger: Slow\n    mode: sync\n  - delay: 1s\n  - respond: { text: done }\n";
    let put = client.put(format!("{}/v1/flows/slow", process.admin)).bearer_auth(&token).body(slow);
    let deployed: serde_json::Value = put.send().await.unwrap().json().await.unwrap();
    let url = deployed["triggers"][0]["urls"]["default"]["native"].as_str().unwrap();
    let calls = (0..20).map(|_| async { client.post(url).send().await.unwrap().text().await.unwrap() });
    let stop = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        process.terminate();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), stop);
    assert_eq!(answers, ["done"; 20]);
    assert_eq!(process.wait(Duration::from_secs(20)), Some(0));
    let process = server.start();
    let list = client.get(format!("{}/v1/executions?limit=200", process.admin)).bearer_auth(&token);
    let list: serde_json::Value = list.send().await.unwrap().json().await.unwrap();
    let items = list["items"].as_array().unwrap();
    assert_eq!((items.len(), items.iter().filter(|run| run["status"] == "completed").count()), (20, 20));
}

/// One address cannot have all the places.
#[tokio::test]
async fn an_address_has_so_many_connections() {
    let (server, address, path) = with(|config| config.connections_per_address_max = 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(from(7, address).await);
    }
    let mut refused = from(7, address).await;
    assert_eq!(answers(&mut refused, Duration::from_millis(500)).await, "");
    assert!(refused.write_all(b"x").await.is_err() || refused.read_u8().await.is_err(), "it was closed at once");
    works(&server, &path).await;
    held.clear();
    for _ in 0..100 {
        let mut again = from(7, address).await;
        let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = again.write_all(request.as_bytes()).await;
        if answers(&mut again, Duration::from_secs(5)).await.starts_with("HTTP/1.1 202") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the places were not given back");
}

/// A caller that sends all of its body before it reads finds the answer all the same: what is left of the body is read and
/// thrown away.
#[tokio::test]
async fn w13_who_sends_everything_first_gets_the_answer() {
    let (server, address, path) = server().await;
    let (_other, large, path_there) = with(|config| config.body_bytes_max = 8 << 20).await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n");
    let length = 4 << 20;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for (name, head, body, status) in [
        ("a length over the limit", format!("{head}content-length: {length}\r\n\r\n"), "x".repeat(length), "413"),
        (
            "chunks over the limit",
            format!("{head}transfer-encoding: chunked\r\n\r\n"),
            chunk.repeat(64) + "0\r\n\r\n",
            "413",
        ),
        (
            "an encoding",
            format!(
                "POST {path_there} HTTP/1.1\r\nhost: a\r\ncontent-encoding: compress\r\ncontent-length: {length}\r\n\r\n"
            ),
            "x".repeat(length),
            "415",
        ),
    ] {
        let address = if status == "415" { large } else { address };
        for attempt in 0..10 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let sent = stream.write_all(body.as_bytes()).await;
            assert!(sent.is_ok(), "{name}, {attempt}: {sent:?}");
            let mut answer = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
            let text = String::from_utf8_lossy(&answer);
            assert!(read.is_ok_and(|read| read.is_ok()), "{name}, {attempt}: {text}");
            assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{name}, {attempt}: {text}");
            assert!(text.to_lowercase().contains("connection: close"), "{text}");
            cases(1);
        }
    }
    works(&server, &path).await;
}

/// The time for headers is not the time between two requests: proxies keep connections open for a minute.
#[tokio::test]
async fn k11_an_idle_connection_has_a_time_of_its_own() {
    let (server, address, path) = with(|config| {
        config.header_read_timeout = Duration::from_millis(400);
        config.keep_alive_timeout = Duration::from_secs(3);
    })
    .await;
    let one = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answered = vec![0; 4096];
    for _ in 0..3 {
        stream.write_all(one.as_bytes()).await.unwrap();
        let length = stream.read(&mut answered).await.unwrap();
        assert!(answered[..length].starts_with(b"HTTP/1.1 202"), "it is still open");
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    // A head that has begun has its own time, also on a connection that was idle.
    let started = Instant::now();
    stream.write_all(&one.as_bytes()[..20]).await.unwrap();
    assert_eq!(answers(&mut stream, Duration::from_secs(8)).await, "");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(one.as_bytes()).await.unwrap();
    let answer = answers(&mut idle, Duration::from_secs(10)).await;
    assert_eq!(count(&answer, "HTTP/1.1 202"), 1, "and then it is closed: {answer}");
    works(&server, &path).await;
}
