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
            // It takes any number.
            Value::Number(_) if *name == "keep_executions_max" => continue,
            Value::Number(_) => json!(1_u64 << 50),
            Value::String(text) if parse_duration(text).is_ok() => json!("0s"),
            _ => continue,
        };
        let error = Config::check(with(name, wrong)).unwrap_err();
        assert_eq!(error.settings, [*name], "{}", error.problem);
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

/// Signatures are over it as senders write it, whoever wrote it here.
#[test]
fn a_public_url_is_kept_as_senders_write_it() {
    for (wrong, said) in [
        ("x", "must be like"),
        ("ftp://a.example", "must be like"),
        ("https://", "empty host"),
        ("https://[::1]:99999", "invalid port"),
        ("https://a.example:0", "must be like"),
        ("https://user@a.example", "must be like"),
        ("https://a.example/?b", "must be like"),
        ("https://a.example/a%20b", "other characters"),
        ("https://a.example/a//b", "with an empty part"),
        ("https://a.example/../b", "with an empty part"),
    ] {
        let error = Config::check(with("public_url", json!(wrong))).unwrap_err();
        assert!(error.problem.contains(said), "{wrong}: {}", error.problem);
    }
    for (given, kept) in [
        ("https://Hooks.Example.com:443/Hooks/", "https://hooks.example.com/Hooks"),
        ("http://127.0.0.1:9080", "http://127.0.0.1:9080"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ] {
        let config = Config::check(with("public_url", json!(given))).unwrap();
        assert_eq!(config.public_url.as_deref(), Some(kept));
    }
}

/// What no host is would never be reached, whoever writes it.
#[test]
fn hosts_are_hosts_with_or_without_a_port() {
    for setting in ["http_private_hosts", "plugin_http_hosts"] {
        for wrong in [
            "",
            "http://intranet",
            "intranet/path",
            "10.0.0.0/8",
            "*.example.com",
            "a b",
            "user@intranet",
            "intranet:",
            "intranet:0",
            "intranet:65536",
            "intranet:+80",
            "fd00::7",
            "[fd00::7",
            "10.0.0.300",
        ] {
            let error = Config::check(with(setting, json!(["right.example", wrong]))).unwrap_err();
            assert_eq!(error.settings, [setting]);
            assert!(error.problem.contains(&format!("{wrong:?} is not a host; write")), "{}", error.problem);
        }
        let written =
            json!(["Intranet", "api.Example.com:8443", "10.0.0.7", "[FD00:0::7]:80", "localhost:9", "my_host"]);
        let config = Config::check(with(setting, written)).unwrap();
        let hosts = if setting == "http_private_hosts" { config.http_private_hosts } else { config.plugin_http_hosts };
        assert_eq!(hosts, ["intranet", "api.example.com:8443", "10.0.0.7", "[fd00::7]:80", "localhost:9", "my_host"]);
    }
}

#[test]
fn the_cache_of_the_store_has_bounds() {
    for wrong in [0, (8 << 20) - 1, (1_u64 << 40) + 1] {
        let error = Config::check(with("store_cache_bytes", json!(wrong))).unwrap_err();
        assert!(error.problem.contains("must be from 8388608 to 1099511627776"), "{}", error.problem);
    }
    assert!(Config::check(with("store_cache_bytes", json!(8 << 20))).is_ok());
}
