//! As much HTTP as the demonstration needs: one request, one answer, on a connection of its own.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
pub struct Answer {
    pub status: u16,
    /// The callback's id, as the server names it.
    pub callback: String,
    pub body: String,
}

/// Posts JSON to an `http://` URL.
pub fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
    let rest = url.strip_prefix("http://").context("only http:// URLs")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).with_context(|| format!("no connection to {host}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    let callback = head.lines().find_map(|line| line.strip_prefix("ringback-callback: ")).unwrap_or_default();
    Ok(Answer { status, callback: callback.to_owned(), body: body.to_owned() })
}

/// The HMAC of a message with SHA-256, in hexadecimal.
pub fn hmac_sha256(key: &str, message: &[u8]) -> Result<String> {
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_bytes())?.chain_update(message).finalize().into_bytes();
    Ok(mac.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// GitHub's signature of a body.
pub fn github_signature(secret: &str, body: &[u8]) -> Result<String> {
    Ok(format!("sha256={}", hmac_sha256(secret, body)?))
}

/// The signature of a body by Standard Webhooks.
pub fn standard_webhooks_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Result<String> {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_"))?;
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key)?.chain_update(signed).finalize().into_bytes();
    Ok(format!("v1,{}", STANDARD.encode(mac)))
}
