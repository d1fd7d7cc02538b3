//! The floor: a bare axum handler that reads the body, checks one HMAC and parses the JSON. Nothing is decided or stored.

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"benchmark");
    let handler = move |headers: HeaderMap, body: Bytes| {
        let key = key.clone();
        async move {
            let tag = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).and_then(decode);
            let Some(tag) = tag else { return StatusCode::UNAUTHORIZED };
            if hmac::verify(&key, &body, &tag).is_err() {
                return StatusCode::UNAUTHORIZED;
            }
            match serde_json::from_slice::<serde_json::Value>(&body) {
                Ok(_) => StatusCode::NO_CONTENT,
                Err(_) => StatusCode::BAD_REQUEST,
            }
        }
    };
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        axum::serve(listener, Router::new().fallback(post(handler))).await?;
        Ok(())
    })
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
