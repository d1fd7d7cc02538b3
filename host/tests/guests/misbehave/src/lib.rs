//! A plugin for the host's tests that does what its configuration says, mostly wrong.

use ringback_guest::{
    Callback, Decision, Execution, Failure, Proof, Reply, Value, Verdict, call, http, json, log, plugin, secrets, state,
};
use serde::{Deserialize, Deserializer};

/// What to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Config {
    /// Nothing wrong.
    Behave,
    /// Panic, which traps.
    Trap,
    /// Loop for ever.
    Loop,
    /// Allocate for ever.
    Grow,
    /// Call itself for ever.
    Recurse,
    /// Log this many lines of this many bytes.
    Log(usize, usize),
    /// Call the host for ever.
    CallHost,
    /// Answer with this many bytes.
    Long(usize),
    /// Answer with text that is not JSON, or a header that is not one.
    IllFormed,
    /// Answer a failure.
    Fail,
    /// Answer a failure about this place of the configuration, with this detail.
    FailAt(String, Value),
    /// Say whether it holds, and why; accept, for this subject.
    Say(bool, String),
    /// Accept, and claim this.
    Claim(Value),
    /// Log what the callback knows of itself.
    Site,
    /// Answer so many times a failure that may pass, then none, counted in the plugin's state under this key.
    FailFirst(u8, String),
    /// Answer with this status and this header.
    Reply(u16, String, String),
    /// Count calls in the plugin's state.
    Count,
    /// Verify a keyed hash under this secret, in hexadecimal or base64 as the callback's header `x-mac` has it, over these
    /// bytes and the body.
    Mac(String, String, String),
    /// Ask for the equality of a secret.
    Secret(String, String),
    /// Send a request.
    Http(String),
    /// Select a path.
    Select(String),
    /// Ask for this many random bytes.
    Random(u32),
    /// Use the processor for so many rounds.
    Burn(u64),
    /// The same while the configuration is checked.
    CheckBurns(#[serde(deserialize_with = "burnt")] u64),
    /// Ask about a secret by its name, and then search the whole memory for these bytes, each less by one; how often they
    /// are there. With `true` they are put there first.
    Search(String, Vec<u8>, bool),
    /// Sleep by asking for the time until it changes.
    Wait,
}

#[expect(clippy::panic, reason = "what the configuration asks for")]
fn misbehave(config: &Config) -> Result<Value, Failure> {
    match config {
        Config::Trap => panic!("as configured"),
        Config::Loop => loop {
            std::hint::black_box(());
        },
        Config::Grow => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&kept);
            }
        }
        Config::Recurse => Ok(json!(recurse(1))),
        Config::Log(lines, bytes) => {
            for _ in 0..*lines {
                log::info(&"\u{1b}[31mx\r\n".repeat(bytes / 8));
            }
            Ok(Value::Null)
        }
        Config::CallHost => loop {
            std::hint::black_box(call::now());
        },
        Config::Wait => {
            let start = call::now();
            while call::now() == start {}
            Ok(Value::Null)
        }
        Config::FailAt(pointer, detail) => {
            Err(Failure::new("as-configured", "the configuration says so").at(pointer.as_str()).detail(detail.clone()))
        }
        Config::Fail => Err(Failure::new("as-configured", "the configuration says so")),
        Config::FailFirst(times, key) => {
            let failed = state::get(key)?.map_or(0, |bytes| bytes.first().copied().unwrap_or_default());
            if failed < *times {
                state::set(key, &[failed + 1])?;
                return Err(Failure::new("not-yet", "it will pass").retryable());
            }
            Ok(json!(failed))
        }
        Config::Count => {
            let count = state::get("count")?.map_or(0, |bytes| bytes.first().copied().unwrap_or_default()) + 1;
            state::set("count", &[count])?;
            Ok(json!(count))
        }
        Config::Secret(name, value) => Ok(json!(secrets::equals(name, value.as_bytes())?)),
        Config::Http(url) => {
            let request = http::Request { method: "GET".into(), url: url.clone(), headers: Vec::new(), body: None };
            let response = http::send(&request)?;
            Ok(json!({ "status": response.status, "body": String::from_utf8_lossy(&response.body) }))
        }
        Config::Burn(rounds) => {
            burn(*rounds);
            Ok(Value::Null)
        }
        Config::Search(name, disguised, planted) => {
            let asked = [
                secrets::equals(name, b"wrong")?,
                secrets::verify_mac(
                    name,
                    secrets::MacAlgorithm::HmacSha256,
                    &[secrets::Part::Text("message")],
                    secrets::Encoded::Bytes(b"wrong"),
                )?,
            ];
            let here: Vec<u8> = match planted {
                true => disguised.iter().map(|byte| byte.wrapping_add(1)).collect(),
                false => Vec::new(),
            };
            let found = search(disguised);
            drop(std::hint::black_box(here));
            Ok(json!({ "asked": asked, "found": found }))
        }
        Config::Random(length) => Ok(json!(call::random(*length).len())),
        Config::Long(bytes) => Ok(json!("x".repeat(*bytes))),
        Config::Behave
        | Config::CheckBurns(_)
        | Config::Mac(..)
        | Config::IllFormed
        | Config::Reply(..)
        | Config::Say(..)
        | Config::Claim(_)
        | Config::Site
        | Config::Select(_) => Ok(Value::Null),
    }
}

fn burn(rounds: u64) {
    for round in 0..rounds {
        std::hint::black_box(round);
    }
}

fn burnt<'d, D: Deserializer<'d>>(rounds: D) -> Result<u64, D::Error> {
    let rounds = u64::deserialize(rounds)?;
    burn(rounds);
    Ok(rounds)
}

/// How often the disguised bytes are anywhere in memory.
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the whole memory can be read in no other way")]
fn search(disguised: &[u8]) -> usize {
    let bytes = core::arch::wasm32::memory_size(0) << 16;
    let at = |address: usize| {
        // SAFETY: every address below the size of the memory can be read.
        unsafe { std::ptr::read_volatile(std::ptr::without_provenance::<u8>(address)) }
    };
    let is_here =
        |start: usize| disguised.iter().enumerate().all(|(offset, byte)| at(start + offset) == byte.wrapping_add(1));
    (1..bytes.saturating_sub(disguised.len())).filter(|start| is_here(*start)).count()
}

#[cfg(not(target_arch = "wasm32"))]
fn search(_: &[u8]) -> usize {
    0
}

#[expect(unconditional_recursion, reason = "what the configuration asks for")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(depth) + recurse(depth + 1)
}

/// True unless something goes wrong.
///
/// # Errors
///
/// As configured.
pub fn evaluate(callback: &Callback, _: Option<&Execution>, config: Config) -> Result<Decision, Failure> {
    match &config {
        Config::Select(path) => Ok((!callback.select(path)?.is_empty()).into()),
        Config::Say(true, why) => Ok(Decision::yes(why)),
        Config::Say(false, why) => Ok(Decision::no(why)),
        Config::Site => {
            log_site(callback);
            Ok(true.into())
        }
        _ => Ok((misbehave(&config)? != json!(false)).into()),
    }
}

fn log_site(callback: &Callback) {
    let site = json!({
        "environment": callback.environment(), "flow": callback.flow(), "trigger": callback.trigger(),
        "remote": callback.remote_address(), "size": callback.body_size(), "claims": callback.claims(),
    });
    log::info(&site.to_string());
}

/// Accepts unless something goes wrong.
///
/// # Errors
///
/// As configured.
pub fn verify(callback: &Callback, config: Config) -> Result<Verdict, Failure> {
    if let Config::Mac(secret, form, prefix) = &config {
        let sent = callback.header("x-mac").unwrap_or_default();
        let mac = if form == "hex" { secrets::Encoded::Hex(&sent) } else { secrets::Encoded::Base64(&sent) };
        let message = [secrets::Part::Text(prefix), secrets::Part::Body(callback)];
        let key = match secret.split_once(':') {
            Some(("hex", name)) => secrets::Key::Hex(name),
            Some(("base64", name)) => secrets::Key::Base64(name),
            _ => secrets::Key::Plain(secret),
        };
        return Ok(match secrets::verify_mac(key, secrets::MacAlgorithm::HmacSha256, &message, mac)? {
            true => Verdict::Accepted(Proof::default()),
            false => Verdict::Rejected("another hash".into()),
        });
    }
    if let Config::Claim(claims) = config {
        return Ok(Verdict::Accepted(Proof { claims: Some(claims), ..Proof::default() }));
    }
    if let Config::Site = config {
        log_site(callback);
    }
    Ok(match misbehave(&config)? {
        Value::Bool(false) => Verdict::Rejected("as configured".into()),
        _ => Verdict::Accepted(Proof::default()),
    })
}

/// What `misbehave` answers.
///
/// # Errors
///
/// As configured.
pub fn parse(_: &Callback, config: Config) -> Result<Value, Failure> {
    misbehave(&config)
}

/// What `misbehave` answers.
///
/// # Errors
///
/// As configured.
pub fn run(_: &Execution, config: Config) -> Result<Value, Failure> {
    misbehave(&config)
}

/// What `misbehave` answers, as a body.
///
/// # Errors
///
/// As configured.
pub fn respond(_: &Callback, _: Option<&Execution>, config: Config) -> Result<Reply, Failure> {
    let (status, headers) = match &config {
        Config::Reply(status, name, value) => (*status, vec![(name.clone(), value.clone())]),
        Config::IllFormed => (200, vec![("x-bad".into(), "a\r\nset-cookie: b".into())]),
        _ => (200, Vec::new()),
    };
    Ok(Reply { status, headers, body: misbehave(&config)?.to_string().into_bytes() })
}

plugin! { condition: evaluate, verifier: verify, parser: parse, step: run, responder: respond }
