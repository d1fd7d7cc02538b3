//! A responder that renders a template (minijinja) to HTML, XML, JSON or plain text, escaped by type.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, context};
use ringback_guest::{Callback, Execution, Failure, Reply, Value, plugin};
use serde::Deserialize;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    template: String,
    kind: Kind,
    status: u16,
    headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    template: String,
    #[serde(default, rename = "type")]
    kind: Kind,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
}

fn ok() -> u16 {
    200
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Html,
    Xml,
    Json,
    Text,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Xml => "application/xml; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// XML's own entities are among HTML's, and the HTML escape writes only those and numbers.
    fn escape(self) -> AutoEscape {
        match self {
            Self::Html | Self::Xml => AutoEscape::Html,
            Self::Json => AutoEscape::Json,
            Self::Text => AutoEscape::None,
        }
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Self, Self::Error> {
        let RawConfig { template, kind, status, headers } = raw;
        if !(200..=599).contains(&status) {
            return Err(format!("status must be 200 to 599, not {status}"));
        }
        // Only the syntax counts here: an environment without filters is made at once.
        Environment::empty()
            .add_template("reply", &template)
            .map_err(|error| format!("template: {}", describe(&error)))?;
        Ok(Self { template, kind, status, headers: headers.into_iter().collect() })
    }
}

/// The template, rendered.
///
/// In scope: what the flow knows (`data`, `fields`, `triggers`, results by name, `execution.id`) when an execution
/// belongs to the callback, else `data`; and `callback` with `id`, `method`, `path` and `query`.
///
/// # Errors
///
/// `template-failed` with the line, when a value is missing or a filter does not fit.
pub fn template_reply(callback: &Callback, execution: Option<&Execution>, config: Config) -> Result<Reply, Failure> {
    let Config { template, kind, status, mut headers } = config;
    let failed = |error: minijinja::Error| Failure::new("template-failed", describe(&error));
    let environment = environment(kind, &template).map_err(failed)?;
    let scope = match execution {
        Some(execution) => execution.scope()?,
        None => ringback_guest::json!({ "data": callback.data().unwrap_or_default() }),
    };
    let query: Value = callback.query_pairs().into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    let callback =
        context! { id => callback.id(), method => callback.method(), path => callback.path(), query => Serde(query) };
    let scope = context! { callback, ..minijinja::Value::from(Serde(scope)) };
    let body = environment.get_template("reply").and_then(|template| template.render(scope)).map_err(failed)?;
    if kind == Kind::Json && !is_json(&body) {
        return Err(Failure::new("template-failed", "the template did not render to JSON"));
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".into(), kind.content_type().into()));
    }
    Ok(Reply { status, headers, body: body.into_bytes() })
}

fn environment(kind: Kind, template: &str) -> Result<Environment<'_>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(move |_| kind.escape());
    environment.add_template("reply", template)?;
    Ok(environment)
}

fn describe(error: &minijinja::Error) -> String {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::UndefinedError, None) => "a value is missing (use `default` or `is defined`)".to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    error.line().map_or_else(|| what.clone(), |line| format!("line {line}: {what}"))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

plugin! {
    responder: template_reply,
    schema: include_str!("../schema.json"),
    vectors: include_str!("../vectors.json"),
}

#[cfg(test)]
mod tests {
    use super::{Config, template_reply};
    use ringback_guest::{Failure, Reply, Value, json, testing};

    fn refused(with: Value) -> String {
        testing::config::<Config>(with).unwrap_err().message
    }

    fn render(with: Value) -> Result<Reply, Failure> {
        let execution = testing::execution(json!({ "data": { "name": "<Ada> & \"Bob\"", "total": 12.5 } }));
        let callback = testing::callback().url("https://example.test/h/k?lang=nl").body("{}").build();
        template_reply(&callback, Some(&execution), testing::config(with).unwrap())
    }

    fn text(with: Value) -> String {
        String::from_utf8(render(with).unwrap().body).unwrap()
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        assert!(refused(json!({ "template": "{{ a" })).starts_with("template: line 1: syntax error"));
        assert!(refused(json!({ "template": "", "status": 100 })).contains("200 to 599"));
        assert!(refused(json!({ "template": "", "type": "pdf" })).contains("unknown variant `pdf`"));
        assert!(refused(json!({ "tmplate": "" })).contains("unknown field `tmplate`"));
    }

    #[test]
    fn a_missing_value_is_a_failure_with_its_line() {
        let failure = render(json!({ "template": "\n{{ data.nope }}" })).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.contains("line 2")), ("template-failed", true));
        let failure = render(json!({ "template": "{ {{ data.name }}", "type": "json" })).unwrap_err();
        assert!(failure.message.contains("did not render to JSON"));
    }

    #[test]
    fn each_type_escapes_its_own_way() {
        assert_eq!(text(json!({ "template": "<b>{{ data.name }}</b>" })), "<b>&lt;Ada&gt; &amp; &quot;Bob&quot;</b>");
        assert_eq!(text(json!({ "template": "{{ data.name }}", "type": "text" })), "<Ada> & \"Bob\"");
        let json = text(json!({ "template": "{\"to\": {{ data.name }}, \"sum\": {{ data.total }}}", "type": "json" }));
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!({ "to": "<Ada> & \"Bob\"", "sum": 12.5 }));
        assert!(text(json!({ "template": "<a>{{ data.name }}</a>", "type": "xml" })).contains("&lt;Ada&gt; &amp;"));
    }

    #[test]
    fn status_headers_and_the_callback_are_there() {
        let reply = render(json!({
            "template": "{{ callback.query.lang }}", "type": "text", "status": 201, "headers": { "x-a": "b" },
        }))
        .unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (201, b"nl".as_slice()));
        let headers = [("x-a".to_owned(), "b".to_owned()), ("content-type".into(), "text/plain; charset=utf-8".into())];
        assert_eq!(reply.headers, headers);
    }

    #[test]
    fn without_an_execution_the_data_is_the_callbacks() {
        let callback = testing::callback().body(r#"{"a": "one"}"#).build();
        let config = testing::config(json!({ "template": "{{ data.a }}" })).unwrap();
        assert_eq!(template_reply(&callback, None, config).unwrap().body, b"one");
    }
}
