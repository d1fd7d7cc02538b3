//! The load: sends one request again and again over keep-alive connections, and prints what came back as JSON.
//!
//! `load ADDRESS PATH CONNECTIONS SECONDS STATUS SIGNATURE [RATE] < body`
//!
//! Without a rate, each connection sends as soon as it has its answer. With one, so many requests a second have a time at
//! which they are due, and the latency counts from there. `any` is a status, too.

use std::io::Read;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ([address, path, connections, seconds, status, signature], rate) = match arguments.as_slice() {
        [fixed @ .., rate] if fixed.len() == 6 => (<&[String; 6]>::try_from(fixed)?, Some(rate.parse::<f64>()?)),
        fixed => (<&[String; 6]>::try_from(fixed)?, None),
    };
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request: &'static [u8] = [head.into_bytes(), body].concat().leak();
    let status = if status == "any" { String::new() } else { format!("{status} ") };
    let expected = format!("HTTP/1.1 {status}").into_bytes();
    let (connections, seconds): (u32, u64) = (connections.parse()?, seconds.parse()?);
    let interval = rate.map(|rate| Duration::from_secs_f64(f64::from(connections) / rate));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut latencies, wrong, elapsed) = runtime.block_on(async {
        let started = Instant::now();
        let until = started + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..connections)
            .map(|number| {
                let due = interval.map(|interval| (started + interval * number / connections, interval));
                tokio::spawn(connection(address.clone(), request, expected.clone(), due, until))
            })
            .collect();
        let (mut latencies, mut wrong) = (Vec::new(), 0_usize);
        for task in tasks {
            let (mut some, bad) = task.await??;
            latencies.append(&mut some);
            wrong += bad;
        }
        Ok::<_, Failure>((latencies, wrong, started.elapsed()))
    })?;
    latencies.sort_unstable();
    let at = |share: f64| latencies.get(((latencies.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default();
    println!(
        "{{\"per_second\": {:.0}, \"wrong\": {wrong}, \"p50_us\": {}, \"p99_us\": {}}}",
        latencies.len() as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.99)
    );
    Ok(())
}

type Result2 = Result<(Vec<u32>, usize), std::io::Error>;

/// `due`: when the first request is due, and how long after it the next.
async fn connection(
    address: String,
    request: &'static [u8],
    expected: Vec<u8>,
    mut due: Option<(Instant, Duration)>,
    until: Instant,
) -> Result2 {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut latencies, mut wrong) = (Vec::with_capacity(1 << 16), 0);
    let mut buffer = vec![0; 64 * 1024];
    while Instant::now() < until {
        let sent = match &mut due {
            Some((due, interval)) => {
                let this = std::mem::replace(due, *due + *interval);
                // Who is late waited for an answer; who is not must not count how late a timer is.
                match Instant::now() < this {
                    true => {
                        tokio::time::sleep_until(this.into()).await;
                        Instant::now()
                    }
                    false => this,
                }
            }
            None => Instant::now(),
        };
        stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if is_whole(&buffer[..filled]) {
                break;
            }
        }
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        wrong += usize::from(!buffer.starts_with(&expected));
    }
    Ok((latencies, wrong))
}

/// Whether an answer has arrived with its body.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    answer.len() >= end + 4 + length
}
