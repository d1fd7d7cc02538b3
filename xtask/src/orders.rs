//! The scenario of `examples/order-processing`, whole: with a mailer that is down at first, and a kill in the middle.

use crate::http::{post, standard_webhooks_signature};
use crate::plugins;
use crate::process::{cargo, root, run as run_command, target};
use crate::server::Server;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The mailer of the order's payload.
const MAILER: &str = "127.0.0.1:9090";

pub fn run() -> Result<()> {
    run_command(cargo().args(["build", "--package", "ringback", "--bin", "ringback", "--locked"]))?;
    plugins::build_all()?;
    let example = root().join("examples/order-processing");
    let data = target().join("order-processing");
    let _ = std::fs::remove_dir_all(&data);
    let mails = mailer()?;
    let binary = target().join("debug/ringback");
    let start = || {
        Server::start_with(
            &binary,
            &data,
            ["127.0.0.1:0"; 2],
            &[("RINGBACK_HTTP_PRIVATE_HOSTS", &format!("[\"{MAILER}\"]"))],
        )
    };
    let server = start()?;
    server.ringback(&["secret", "set", "ORDERS_SECRET"], None, Some(SECRET))?;
    server.ringback(&["flow", "apply"], Some(&example.join("flow.yaml")), None)?;
    let payload = |name: &str| std::fs::read(example.join("payloads").join(name)).context("a payload is missing");

    step("the shop sends an order, and sends it again since it was not sure");
    let order = payload("order.json")?;
    let now = seconds_since_1970()?.to_string();
    let signature = standard_webhooks_signature(SECRET, "msg_1", &now, &order)?;
    let headers =
        [("webhook-id", "msg_1"), ("webhook-timestamp", now.as_str()), ("webhook-signature", signature.as_str())];
    let url = server.url_of("order-processing", 0)?;
    let answer = post(&url, &headers, &order)?;
    let again = post(&url, &headers, &order)?;
    println!("answered {} {}\nand then {} {}", answer.status, answer.body, again.status, again.body);
    ensure!(answer.status == 202 && again.body == answer.body, "the same order started twice");
    let body: Value = serde_json::from_str(&answer.body)?;
    let execution = body.get("execution").and_then(Value::as_str).context("no execution")?.to_owned();

    step("the customer gets a mail, as soon as the mailer is up");
    let mail = mails.recv_timeout(Duration::from_secs(20)).context("no mail was sent")?;
    println!("{mail}");
    ensure!(mail.contains(&format!("executionId={execution}")), "the link does not carry the id");

    step("the payment is still being processed: ignored, the order goes on waiting");
    let select = |server: &Server| {
        Ok::<_, anyhow::Error>(format!("{}?execution={execution}", server.url_of("order-processing", 1)?))
    };
    let answer = post(&select(&server)?, &[], &payload("processing.json")?)?;
    println!("answered {}", answer.status);
    // Before the mail's answer is in the journal, the callback is kept instead, and ignored once it is.
    ensure!(matches!(answer.status, 202 | 204), "expected 202 or 204");
    for _ in 0..100 {
        if server.show(&execution)?.get("waiting_at").is_some_and(|at| at == "payment-confirmed") {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    server.ringback(&["execution", "list"], None, None)?;

    step("kill -9, and a new start");
    drop(server);
    let server = start()?;

    step("the payment is confirmed: the order is complete");
    let answer = post(&select(&server)?, &[], &payload("confirmed.json")?)?;
    println!("answered {} {}", answer.status, answer.body);
    ensure!(answer.status == 202, "expected 202");
    server.explain(&answer.callback)?;
    println!();
    server.ringback(&["execution", "show", &execution], None, None)?;
    let run = server.show(&execution)?;
    ensure!(run.get("status").is_some_and(|status| status == "completed"), "the order is not complete");
    println!("\nThe order is complete.");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the shop has a clock of its own")]
fn seconds_since_1970() -> Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())
}

/// A mailer that is down for the first request: the bodies of what it takes.
fn mailer() -> Result<std::sync::mpsc::Receiver<String>> {
    let listener = TcpListener::bind(MAILER).with_context(|| format!("the mailer cannot listen on {MAILER}"))?;
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { continue };
            let mut request = vec![0; 64 * 1024];
            let Ok(length) = stream.read(&mut request) else { continue };
            let text = String::from_utf8_lossy(request.get(..length).unwrap_or_default()).into_owned();
            let status = if count == 0 { "503 Service Unavailable" } else { "200 OK" };
            println!("the mailer answers {status}");
            let _ = stream
                .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
            if count > 0 {
                let _ = send.send(text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default());
            }
        }
    });
    Ok(receive)
}

fn step(what: &str) {
    println!("\n--- {what}");
}
