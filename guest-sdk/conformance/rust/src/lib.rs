//! See README.md beside this directory.

use ringback_guest::secrets::{self, Encoded, MacAlgorithm, Part};
use ringback_guest::{
    Callback, Decision, Execution, Failure, Proof, Reply, Value, Verdict, http, json, log, plugin, state,
};
use serde::Deserialize;

plugin! {
    verifier: signed,
    parser: parse,
    condition: large,
    step: work,
    responder: respond,
    vectors: include_str!("../../vectors.json"),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    secret: String,
}

fn signed(callback: &Callback, config: Signed) -> Result<Verdict, Failure> {
    let Some(signature) = callback.header("x-signature") else {
        return Ok(Verdict::Rejected("there is no x-signature".into()));
    };
    let timestamp = callback.header("x-timestamp").unwrap_or_default();
    let message = [Part::Text(&timestamp), Part::Text("."), Part::Body(callback)];
    if !secrets::verify_mac(&config.secret, MacAlgorithm::HmacSha256, &message, Encoded::Hex(&signature))? {
        return Ok(Verdict::Rejected("the signature is wrong".into()));
    }
    Ok(Verdict::Accepted(Proof {
        delivery_id: callback.header("x-id"),
        subject: Some("conformance".into()),
        claims: Some(json!({ "bytes": callback.body_size(), "flow": callback.flow() })),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, tag = "do", rename_all = "lowercase")]
pub enum Parse {
    Text {},
    Data {},
}

fn parse(callback: &Callback, config: Parse) -> Result<Value, Failure> {
    if let Parse::Data {} = config {
        return callback.data();
    }
    Ok(json!({
        "method": callback.method(),
        "path": callback.path(),
        "query": callback.query_pairs(),
        "a": callback.query("a"),
        "header": callback.header("X-A"),
        "headers": callback.headers().len(),
        "size": callback.body_size(),
        "environment": callback.environment(),
        "flow": callback.flow(),
        "trigger": callback.trigger(),
        "from": callback.remote_address(),
        "text": callback.text()?,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Minimum {
    path: String,
    minimum: f64,
    #[serde(default)]
    of: Of,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Of {
    #[default]
    Data,
    Execution,
}

fn large(callback: &Callback, execution: Option<&Execution>, config: Minimum) -> Result<Decision, Failure> {
    let values = match (config.of, execution) {
        (Of::Data, _) => callback.select(&config.path)?,
        (Of::Execution, Some(execution)) => execution.select(&config.path)?,
        (Of::Execution, None) => return Err(Failure::new("no-execution", "no execution waits")),
    };
    Ok(match values.first().and_then(Value::as_f64) {
        Some(value) if value >= config.minimum => Decision::yes("it is large enough"),
        Some(_) => Decision::no("it is too small"),
        None => Decision::no("there is none"),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, tag = "do", rename_all = "lowercase")]
pub enum Do {
    Echo { value: Value },
    Seen {},
    Count { key: String },
    Forget { key: String },
    Fetch { url: String },
    Token { secret: String, value: String },
    Random {},
    Fail { code: String },
    Crash {},
    Log {},
}

fn work(execution: &Execution, config: Do) -> Result<Value, Failure> {
    Ok(match config {
        Do::Echo { value } => value,
        Do::Seen {} => json!({
            "id": execution.id(),
            "flow": execution.flow(),
            "environment": execution.environment(),
            "scope": execution.scope()?,
            "lines": execution.select("$.data.lines[*]")?,
        }),
        Do::Count { key } => {
            let before = state::get(&key)?.and_then(|value| String::from_utf8(value).ok()?.parse::<u64>().ok());
            let count = before.unwrap_or(0) + 1;
            state::set(&key, count.to_string().as_bytes())?;
            json!({ "count": count })
        }
        Do::Forget { key } => {
            state::remove(&key)?;
            Value::Null
        }
        Do::Fetch { url } => {
            let headers = vec![("x-ping".into(), "1".into())];
            let request = http::Request { method: "POST".into(), url, headers, body: Some(b"ping".to_vec()) };
            let answer = http::send(&request)?;
            let pong = answer.headers.iter().find(|(name, _)| name == "x-pong").map(|(_, value)| value);
            json!({ "status": answer.status, "pong": pong, "text": String::from_utf8_lossy(&answer.body) })
        }
        Do::Token { secret, value } => json!(secrets::equals(&secret, &value)?),
        Do::Random {} => {
            let digits: String = ringback_guest::call::random(8).iter().map(|byte| format!("{byte:02x}")).collect();
            json!(digits)
        }
        Do::Fail { code } => {
            return Err(Failure::new(code, "failed on purpose").retryable().detail(json!({ "on": "purpose" })));
        }
        #[expect(clippy::panic, reason = "that is what is tried")]
        Do::Crash {} => panic!("crashed on purpose"),
        Do::Log {} => {
            log::debug("a");
            log::info("b");
            log::warn("c");
            log::error("d");
            Value::Null
        }
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    status: u16,
    #[serde(default)]
    text: String,
    bytes: Option<Vec<u8>>,
}

fn respond(callback: &Callback, execution: Option<&Execution>, config: Answer) -> Result<Reply, Failure> {
    let id = execution.map_or_else(|| "none".to_owned(), Execution::id);
    Ok(Reply {
        status: config.status,
        headers: vec![
            ("content-type".into(), "text/plain".into()),
            ("x-size".into(), callback.body_size().to_string()),
        ],
        body: config.bytes.unwrap_or_else(|| format!("{}:{id}", config.text).into_bytes()),
    })
}
