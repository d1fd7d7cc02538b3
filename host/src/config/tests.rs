use super::Config;
use super::settings::{MANUAL, RawConfig};
use ringback_records::time::parse_duration;
use serde_json::{Value, json};

const README: &str = include_str!("../../../README.md");

/// The settings with one of them changed.
fn with(name: &str, value: Value) -> RawConfig {
    let mut settings = serde_json::to_value(RawConfig::default()).unwrap();
    settings[name] = value;
    serde_json::from_value(settings).unwrap()
}

/// A setting is described where it is defined; the manual's table is made of that, and printed here when it is another one.
#[test]
fn the_manual_has_every_setting_with_its_default() {
    let defaults = serde_json::to_value(RawConfig::default()).unwrap();
    let mut table = "| setting | default | meaning |\n| --- | --- | --- |\n".to_owned();
    for (name, words, meaning) in MANUAL {
        let default = match &defaults[name] {
            Value::Null | Value::Object(_) => (*words).to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let name = if *name == "workspaces" { "[workspaces.NAME]" } else { name };
        let default = if default.is_empty() { " ".to_owned() } else { format!(" {default} ") };
        table += &format!("| `{name}` |{default}|{meaning} |\n");
    }
    assert!(README.contains(&table), "the manual's table of settings should be:\n{table}");
}

/// Whatever has no good value of nothing or of too much says so under its own name.
#[test]
fn a_setting_is_named_by_what_is_wrong_with_it() {
    let defaults = serde_json::to_value(RawConfig::default()).unwrap();
    let mut checked = 0;
    for (name, ..) in MANUAL {
        let wrong = match &defaults[name] {
            // These take any number.
            Value::Number(_) if ["store_cache_bytes", "keep_executions_max"].contains(name) => continue,
            Value::Number(_) => json!(u32::MAX),
            Value::String(text) if parse_duration(text).is_ok() => json!("0s"),
            _ => continue,
        };
        let error = Config::check(with(name, wrong)).unwrap_err();
        assert_eq!(error.settings, [*name], "{}", error.problem);
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}
