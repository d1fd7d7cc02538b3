//! The load of executions that wait, as JSON:
//!
//! * `waits fill ADDRESS START CONNECTIONS COUNT < body` starts executions;
//! * `waits pairs ADDRESS START RESUME CONNECTIONS SECONDS < body` starts executions and resumes each by a second callback;
//! * `waits keys ADDRESS START RESUME CONNECTIONS SECONDS < body` resumes each by the key that both say: `KEY` in the body is another
//!   one for each. The latencies are those of the starts and of the resumptions.

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
    let by_key = matches!(words.first(), Some(&"keys"));
    let (address, start, resume, connections, seconds, count) = match words.as_slice() {
        ["fill", address, start, connections, count] => (*address, *start, None, connections, u64::MAX, count.parse()?),
        ["pairs" | "keys", address, start, resume, connections, seconds] => {
            (*address, *start, Some(*resume), connections, seconds.parse()?, u64::MAX)
        }
        _ => return Err(
            "usage: waits fill ADDRESS START CONNECTIONS COUNT | waits pairs|keys ADDRESS START RESUME CONNECTIONS SECONDS"
                .into(),
        ),
    };
    let until = started.checked_add(Duration::from_secs(seconds.min(86_400))).unwrap_or(started);
    let left = Arc::new(AtomicU64::new(count));
    let (mut latencies, mut starts) = runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..connections.parse::<usize>()? {
            let work = Work {
                address: address.to_owned(),
                start: start.to_owned(),
                resume: resume.map(str::to_owned),
                body: Arc::clone(&body),
                left: Arc::clone(&left),
                until,
                by_key,
            };
            tasks.push(tokio::spawn(work.run()));
        }
        let (mut all, mut starts) = (Vec::new(), Vec::new());
        for task in tasks {
            let (mut latencies, mut of_starts) = task.await??;
            all.append(&mut latencies);
            starts.append(&mut of_starts);
        }
        Ok::<_, Failure>((all, starts))
    })?;
    let elapsed = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    starts.sort_unstable();
    let at = |of: &[u32], share: f64| of.get(((of.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default();
    println!(
        "{{\"count\": {}, \"per_second\": {:.0}, \"p50_us\": {}, \"p99_us\": {}, \"start_p50_us\": {}, \"start_p99_us\": {}}}",
        latencies.len(),
        latencies.len() as f64 / elapsed,
        at(&latencies, 0.5),
        at(&latencies, 0.99),
        at(&starts, 0.5),
        at(&starts, 0.99)
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
    by_key: bool,
}

impl Work {
    /// The latencies of what is counted, and by key those of the starts.
    async fn run(self) -> Result<(Vec<u32>, Vec<u32>), Failure> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut latencies, mut starts) = (Vec::new(), Vec::new());
        let micros = |since: Instant| u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
        let template = String::from_utf8(self.body.to_vec())?;
        let unique = uuid::Uuid::now_v7();
        let take = |left: u64| left.checked_sub(1);
        while Instant::now() < self.until && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
        {
            let mut sent = Instant::now();
            let body = template.replace("KEY", &format!("{unique}-{}", latencies.len())).into_bytes();
            let answer = self.post(&mut stream, &self.start, &body).await?;
            if self.by_key {
                starts.push(micros(sent));
                sent = Instant::now();
                self.post(&mut stream, self.resume.as_deref().unwrap_or_default(), &body).await?;
            } else if let Some(resume) = &self.resume {
                let answer: serde_json::Value = serde_json::from_slice(&answer)?;
                let id =
                    answer.get("execution").and_then(serde_json::Value::as_str).ok_or("no execution was started")?;
                self.post(&mut stream, &format!("{resume}?execution={id}"), &body).await?;
            }
            latencies.push(micros(sent));
        }
        Ok((latencies, starts))
    }

    /// Posts a body: the body of a 202.
    async fn post(&self, stream: &mut TcpStream, path: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
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
