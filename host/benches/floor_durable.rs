//! The durable floor: as `floor`, and one record is appended to a file, acknowledged after a group-committed fdatasync.

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, sync_channel};
use tokio::sync::oneshot;

type Record = (Bytes, oneshot::Sender<()>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let file = File::create(arguments.next().unwrap_or_else(|| "floor-durable.log".to_owned()))?;
    let (records, queue) = sync_channel::<Record>(4096);
    std::thread::spawn(move || append(file, &queue));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"benchmark");
    let handler = move |headers: HeaderMap, body: Bytes| {
        let (key, records) = (key.clone(), records.clone());
        async move {
            let tag = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).and_then(decode);
            let Some(tag) = tag else { return StatusCode::UNAUTHORIZED };
            if hmac::verify(&key, &body, &tag).is_err() {
                return StatusCode::UNAUTHORIZED;
            }
            if serde_json::from_slice::<serde_json::Value>(&body).is_err() {
                return StatusCode::BAD_REQUEST;
            }
            let (done, wait) = oneshot::channel();
            if records.try_send((body, done)).is_err() || wait.await.is_err() {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            StatusCode::ACCEPTED
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        axum::serve(listener, Router::new().fallback(post(handler))).await?;
        Ok(())
    })
}

fn append(mut file: File, queue: &Receiver<Record>) {
    while let Ok(first) = queue.recv() {
        let group: Vec<Record> = std::iter::once(first).chain(queue.try_iter().take(1023)).collect();
        let bytes = group.iter().map(|(body, _)| body.as_ref()).collect::<Vec<_>>().concat();
        if file.write_all(&bytes).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        for (_, done) in group {
            let _ = done.send(());
        }
    }
}

fn decode(header: &str) -> Option<Vec<u8>> {
    let hex = header.strip_prefix("sha256=")?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    hex.chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
