//! The load of executions that wait, as JSON:
//!
//! * `waits fill ADDRESS START CONNECTIONS COUNT < body` starts executions;
//! * `waits pairs ADDRESS START RESUME CONNECTIONS SECONDS < body` starts executions and resumes each by a second callback.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    let body: Arc<[u8]> = body.into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let started = Instant::now();
    let (address, start, resume, connections, seconds, count) = match words.as_slice() {
        ["fill", address, start, connections, count] => (*address, *start, None, connections, u64::MAX, count.parse()?),
        ["pairs", address, start, resume, connections, seconds] => {
            (*address, *start, Some(*resume), connections, seconds.parse()?, u64::MAX)
        }
        _ => return Err(
            "usage: waits fill ADDRESS START CONNECTIONS COUNT | waits pairs ADDRESS START RESUME CONNECTIONS SECONDS"
                .into(),
        ),
    };
    let until = started.checked_add(Duration::from_secs(seconds.min(86_400))).unwrap_or(started);
    let left = Arc::new(AtomicU64::new(count));
    let mut latencies = runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..connections.parse::<usize>()? {
            let work = Work {
                address: address.to_owned(),
                start: start.to_owned(),
                resume: resume.map(str::to_owned),
                body: Arc::clone(&body),
                left: Arc::clone(&left),
                until,
            };
            tasks.push(tokio::spawn(work.run()));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.append(&mut task.await??);
        }
        Ok::<_, Failure>(all)
    })?;
    let elapsed = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies.get(((latencies.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default();
    println!(
        "{{\"count\": {}, \"per_second\": {:.0}, \"p50_us\": {}, \"p99_us\": {}}}",
        latencies.len(),
        latencies.len() as f64 / elapsed,
        at(0.5),
        at(0.99)
    );
    Ok(())
}

struct Work {
    address: String,
    start: String,
    resume: Option<String>,
    body: Arc<[u8]>,
    left: Arc<AtomicU64>,
    until: Instant,
}

impl Work {
    async fn run(self) -> Result<Vec<u32>, Failure> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let mut latencies = Vec::new();
        let take = |left: u64| left.checked_sub(1);
        while Instant::now() < self.until && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
        {
            let sent = Instant::now();
            let answer = self.post(&mut stream, &self.start).await?;
            if let Some(resume) = &self.resume {
                let answer: serde_json::Value = serde_json::from_slice(&answer)?;
                let id =
                    answer.get("execution").and_then(serde_json::Value::as_str).ok_or("no execution was started")?;
                self.post(&mut stream, &format!("{resume}?execution={id}")).await?;
            }
            latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        Ok(latencies)
    }

    /// Posts the body: the body of a 202.
    async fn post(&self, stream: &mut TcpStream, path: &str) -> Result<Vec<u8>, Failure> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            self.body.len()
        );
        stream.write_all(&[head.as_bytes(), &self.body].concat()).await?;
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            received.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(received.get(..end).unwrap_or_default()).to_ascii_lowercase();
            if !head.starts_with("http/1.1 202 ") {
                return Err(format!("not accepted: {}", String::from_utf8_lossy(&received)).into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no length")?;
            let length: usize = length.trim().parse()?;
            if received.len() >= end + 4 + length {
                return Ok(received.split_off(end + 4));
            }
        }
    }
}
