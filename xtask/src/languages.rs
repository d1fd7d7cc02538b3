//! What a condition costs in each language: the same one, asked by a flow of a server, one callback at a time. The server says how long it
//! took, the instance, the call and its end included.

use crate::process::target;
use crate::server::Server;
use crate::{conformance, http, plugins, tools};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// They take turns so many times, and are asked so often in each; of these calls a part is looked at.
const ROUNDS: usize = 5;
const CALLS: usize = 200;
const LOOKED_AT: usize = 20;
/// What the others are held against, and which may take so many times as long.
const REFERENCE: &str = "plugin in Rust, `field-match`";
const SCRIPT: &str = "script";
const SCRIPT_GOAL: f64 = 2.0;

/// A way to write the condition.
struct Way {
    what: &'static str,
    /// What makes its plugin, by the name of its flow.
    plugin: Option<fn() -> Result<PathBuf>>,
    when: &'static str,
}

const FIELD: &str = "{ plugin: NAME, with: { path: $.order.total, minimum: 100 } }";

const WAYS: [Way; 9] = [
    Way { what: "CEL", plugin: None, when: "data.order.total >= 100" },
    Way {
        what: REFERENCE,
        plugin: Some(field_match),
        when: "{ plugin: NAME, with: { all: [{ path: $.order.total, op: '>=', value: 100 }] } }",
    },
    Way { what: "plugin in Rust", plugin: Some(|| conformance::built("rust")), when: FIELD },
    Way { what: "plugin in C", plugin: Some(|| conformance::built("c")), when: FIELD },
    Way { what: SCRIPT, plugin: None, when: "{ script: data.order.total >= 100 }" },
    Way { what: "plugin in JavaScript, as it is", plugin: Some(conformance::bundled), when: FIELD },
    Way { what: "plugin in JavaScript, a component", plugin: Some(|| conformance::built("js")), when: FIELD },
    Way { what: "plugin in Go", plugin: Some(|| conformance::built("go")), when: FIELD },
    Way { what: "plugin in Python", plugin: Some(|| conformance::built("python")), when: FIELD },
];

fn field_match() -> Result<PathBuf> {
    Ok(plugins::directory().join("field-match.wasm"))
}

/// The same with the programs of a directory, by itself.
pub fn run(programs: &Path) -> Result<()> {
    plugins::build_all()?;
    measure(programs, &target().join("bench/languages")).map(drop)
}

/// Measures all of them, and prints it: lines of a table.
pub fn measure(programs: &Path, data: &Path) -> Result<String> {
    let _ = std::fs::remove_dir_all(data);
    std::fs::create_dir_all(data)?;
    let settings = [("RINGBACK_LARGE_PLUGINS", "true")];
    let server = Server::start_with(&programs.join("ringback"), data, ["127.0.0.1:0", "127.0.0.1:0"], &settings)?;
    let (mut ways, mut missing) = (Vec::new(), Vec::new());
    let left_out = tools::without();
    for (index, way) in WAYS.iter().enumerate() {
        let is_left_out = left_out.iter().any(|language| way.what.to_lowercase() == format!("plugin in {language}"));
        match is_left_out {
            true => missing.push(way.what),
            false => ways.push((way, deploy(&server, data, &format!("way-{index}"), way)?, Vec::new())),
        }
    }
    for round in 0..=ROUNDS {
        for (_, url, micros) in &mut ways {
            let taken = ask(&server, url)?;
            // The first turn warms up what is read, and what is read ahead.
            if round > 0 {
                micros.extend(taken);
            }
        }
    }
    let mut rows: Vec<(&str, [u64; 3])> =
        ways.into_iter().map(|(way, _, micros)| (way.what, quartiles(micros))).collect();
    rows.sort_by_key(|(_, [_, median, _])| *median);
    let of = |what: &str| rows.iter().find(|(known, _)| *known == what).map(|(_, [_, median, _])| *median as f64);
    let reference = of(REFERENCE).context("the reference was not measured")?;
    let mut lines = String::new();
    for (what, [low, median, high]) in &rows {
        let goal = if *what == SCRIPT { format!("{SCRIPT_GOAL:.1}") } else { "–".to_owned() };
        let ratio = *median as f64 / reference;
        lines.push_str(&format!("| {what} | {low}, {median}, {high} µs | {ratio:.1} | {goal} |\n"));
    }
    for what in missing {
        lines.push_str(&format!("| {what} | not measured: its tools are not there | – | – |\n"));
    }
    print!("{lines}");
    Ok(lines)
}

/// The URL of a flow with this condition.
fn deploy(server: &Server, data: &Path, name: &str, way: &Way) -> Result<String> {
    if let Some(make) = way.plugin {
        let made = make().with_context(|| format!("making {}", way.what))?;
        server.json(&["plugin", "push", name, &made.display().to_string()])?;
    }
    let file = data.join(format!("{name}.yaml"));
    let when = way.when.replace("NAME", name);
    std::fs::write(&file, format!("flow: {name}\nsteps:\n  - trigger: Hook\n    verify: none\n    when: {when}\n"))?;
    server.json(&["flow", "apply", &file.display().to_string()])?;
    server.url_of(name, 0)
}

/// How many microseconds the condition took, in some of the calls.
fn ask(server: &Server, url: &str) -> Result<Vec<u64>> {
    let body = br#"{"order": {"id": 4711, "total": 99.5, "lines": [{"sku": "a", "price": 99.5}]}}"#;
    let mut callbacks = Vec::new();
    for _ in 0..CALLS {
        let answer = http::post(url, &[], body)?;
        ensure!(answer.status == 204, "it answered {} {}", answer.status, answer.body);
        callbacks.push(answer.callback);
    }
    // The last ones may not be written yet.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let some = callbacks.iter().step_by(CALLS / LOOKED_AT);
    some.map(|callback| {
        let record = server.json(&["callback", "show", callback])?;
        let mut trace = record["trace"].as_array().into_iter().flatten();
        let entry = trace.find(|entry| entry["stage"] == "condition");
        entry.and_then(|entry| entry["duration_us"].as_u64()).context("no condition in the record")
    })
    .collect()
}

fn quartiles(mut micros: Vec<u64>) -> [u64; 3] {
    micros.sort_unstable();
    [1, 2, 3].map(|quarter| micros.get(micros.len() * quarter / 4).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{REFERENCE, SCRIPT, WAYS, quartiles};

    #[test]
    fn every_figure_is_held_against_one_that_is_there() {
        assert_eq!(quartiles((1..=100).rev().collect()), [26, 51, 76]);
        let names: Vec<&str> = WAYS.iter().map(|way| way.what).collect();
        assert!(names.contains(&REFERENCE) && names.contains(&SCRIPT), "{names:?}");
    }
}
