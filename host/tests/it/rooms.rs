//! The memory of bodies: how many large ones there are at a time, whose they are, and who waits for none of them.

use crate::process::Server;
use crate::support::{TestServer, cases};
use crate::values::{deploy, peak};
use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const KIB: usize = 1 << 10;
const FLOW: &str = "flow: hook\nsteps:\n  - trigger: Hook\n    parse: text\n";

/// Begins a request, and says nothing more.
async fn begin(server: &TestServer, url: &str, headers: &str) -> TcpStream {
    let address: SocketAddr = server.public.strip_prefix("http://").unwrap().parse().unwrap();
    let path = url.strip_prefix(&server.public).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\n{headers}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn send(server: &TestServer, url: &str, bytes: usize) -> Response {
    server.call(Method::POST, url).header("content-type", "text/plain").body("x".repeat(bytes)).send().await.unwrap()
}

/// Room for eight of the largest: a trigger has two, a workspace four. Those that have it are slow.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_room_for_so_much_of_a_trigger_and_of_a_workspace_and_small_bodies_need_none() {
    let server = TestServer::start_with(|config| {
        config.bodies_bytes_max = 8 * 64 * KIB;
        config.body_read_timeout = Duration::from_secs(60);
    })
    .await;
    let url = server.deploy(FLOW).await;
    let other = server.deploy(&FLOW.replace("hook", "other")).await;
    let third = server.deploy(&FLOW.replace("hook", "third")).await;
    let large = format!("content-length: {}", 64 * KIB);
    let held = [begin(&server, &url, &large).await, begin(&server, &url, &large).await];
    tokio::time::sleep(Duration::from_millis(300)).await;

    // Others of the same trigger wait, also one that does not say how large it is, and one that is small and may become large.
    let mut chunked = begin(&server, &url, "transfer-encoding: chunked").await;
    let chunks = format!("8000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x8000));
    chunked.write_all(chunks.as_bytes()).await.unwrap();
    let mut encoded = begin(&server, &url, "content-encoding: gzip\r\ncontent-length: 100").await;
    let began = Instant::now();
    let waiting = [64 * KIB, 17 * KIB].map(|bytes| send(&server, &url, bytes));
    let (refused, ()) = tokio::join!(join_all(waiting), async {
        // Small ones wait for nothing; nor do other triggers.
        for (url, bytes) in [(&url, 16 * KIB), (&url, 0), (&other, 64 * KIB), (&third, 64 * KIB)] {
            assert_eq!(send(&server, url, bytes).await.status(), 202, "{bytes}");
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
    cases(refused.len() + 2);
    for response in refused {
        let record = server.callback(&response).await;
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (503, &b"5"[..]));
        assert_eq!(response.json::<Value>().await.unwrap()["code"], "too_many_large_bodies");
        assert_eq!((&record["outcome"], &record["body_bytes"]), (&json!("rejected"), &json!(0)));
    }
    for stream in [&mut chunked, &mut encoded] {
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 503 ");
    }

    // A workspace has half of all, and the others the rest.
    let of_other = [begin(&server, &other, &large).await, begin(&server, &other, &large).await];
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = send(&server, &third, 64 * KIB);
    let unknown = send(&server, &format!("{third}x"), 64 * KIB).await;
    assert_eq!(unknown.status(), 404, "what is nobody's is not received");
    let (refused, server) = {
        let refused = refused.await.status();
        (refused, server.in_workspace("bbb"))
    };
    assert_eq!(refused, 503);
    let theirs = server.deploy(FLOW).await;
    assert_eq!(send(&server, &theirs, 64 * KIB).await.status(), 202);

    // Who goes leaves room.
    drop((held, of_other));
    for url in [&url, &other, &third, &theirs] {
        assert_eq!(send(&server, url, 64 * KIB).await.status(), 202);
    }
}

/// All of a body has one time to arrive in, also one that is known to be large only when most of that is over.
#[tokio::test]
async fn a_body_that_becomes_large_late_has_no_more_time() {
    let server = TestServer::start_with(|config| config.body_read_timeout = Duration::from_secs(2)).await;
    let url = server.deploy(FLOW).await;
    let mut stream = begin(&server, &url, "transfer-encoding: chunked").await;
    for chunk in [format!("400\r\n{}\r\n", "x".repeat(0x400)), format!("5000\r\n{}\r\n", "x".repeat(0x5000))] {
        stream.write_all(chunk.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1400)).await;
    }
    let _ = stream.write_all(b"0\r\n\r\n").await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(send(&server, &url, 32 * KIB).await.status(), 202);
}

/// 200 callers send 10 MiB each, of XML and of files, and again. Memory is that of a few of them, and a neighbour's small callbacks are
/// answered all the while.
#[tokio::test(flavor = "multi_thread")]
async fn many_callers_with_very_large_bodies_take_the_memory_of_a_few() {
    const BODY_BYTES: usize = 10 << 20;
    let directory = tempfile::tempdir().unwrap();
    let settings = Server::new(directory.path()).with("RINGBACK_BODY_BYTES_MAX", BODY_BYTES.to_string());
    let process = settings.start();
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap();
    let flow = |name: &str, parse: &str| json!({ "flow": name, "steps": [{ "trigger": "Hook", "parse": parse, "when": "false" }] });
    let url = deploy(&client, &process, directory.path(), &flow("large", "auto")).await;
    let small = deploy(&client, &process, directory.path(), &flow("small", "json")).await;
    let item = format!("<b>{}</b>", "x".repeat(93));
    let xml = Bytes::from(format!("<a>{}</a>", item.repeat(BODY_BYTES / item.len() - 1)));
    let file = "--b\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\n";
    let parts = Bytes::from(format!("{file}{}\r\n--b--\r\n", "x".repeat(BODY_BYTES - 100)));
    let before = peak(&process);
    let calls: Vec<_> = (0..200)
        .map(|number| {
            let (kind, body) =
                if number % 2 == 0 { ("application/xml", &xml) } else { ("multipart/form-data; boundary=b", &parts) };
            let request = client.post(&url).header("content-type", kind).body(body.clone());
            tokio::spawn(async move { request.send().await.map(|response| response.status().as_u16()) })
        })
        .collect();
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    while calls.iter().any(|call| !call.is_finished()) {
        let began = Instant::now();
        let response = client.post(&small).json(&json!({})).send().await.unwrap();
        assert_eq!(response.status(), 204);
        slowest = slowest.max(began.elapsed());
        answered += 1;
    }
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    for call in calls {
        *statuses.entry(call.await.unwrap().unwrap()).or_default() += 1;
    }
    let taken = (peak(&process) - before) >> 20;
    println!("{statuses:?}; {taken} MiB; {answered} small ones, the slowest in {slowest:?}");
    assert_eq!(statuses.keys().copied().filter(|status| ![204, 503].contains(status)).count(), 0, "{statuses:?}");
    assert!(statuses[&204] >= 3 && statuses.contains_key(&503), "{statuses:?}");
    assert!(taken < 700, "{taken} MiB");
    assert!(answered > statuses[&204], "{answered} small ones, {statuses:?}");
    for (kind, body) in [("application/xml", &xml), ("multipart/form-data; boundary=b", &parts)] {
        let request = client.post(&url).header("content-type", kind).body(body.clone());
        assert_eq!(request.send().await.unwrap().status(), 204);
    }
    let metrics = client.get(format!("{}/metrics", process.admin)).send().await.unwrap().text().await.unwrap();
    let refused = format!("ringback_bodies_refused_total {}", statuses[&503]);
    assert!(metrics.contains(&refused) && metrics.contains("ringback_bodies_bytes 0"), "{metrics}");
}
