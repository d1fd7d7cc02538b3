//! Compares what callers were answered with what the server knows.

use crate::load::Api;
use crate::process::Server;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a check has seen.
pub struct Checked {
    pub executions: usize,
    /// Callbacks that came before their execution waited, and resumed it.
    pub resumed_early: usize,
    /// Executions that were resumed by a callback for all.
    pub of_all: usize,
}

/// Panics when the server has lost something that it acknowledged, or done something twice, once everything has come to
/// its end.
pub async fn check(server: &Server, lines: &BTreeSet<String>) -> Checked {
    let data = server.data();
    let mut process = server.start();
    let mut api = Api::new(&process, data);
    let mut runs = BTreeMap::new();
    for round in 1..=600 {
        let items = api.all("/v1/executions").await;
        let unended = items.iter().filter(|run| run["ended_at"].is_null()).count();
        let deferred = api.get("/v1/callbacks?outcome=kept&flow=judged").await.unwrap();
        runs = items.into_iter().map(|run| (run["id"].as_str().unwrap().to_owned(), run)).collect();
        if unended == 0 && deferred["items"].as_array().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        if round % 40 == 0 {
            // A start lets a plugin that rests be asked again.
            process.kill();
            process = server.start();
            api = Api::new(&process, data);
        }
    }
    // By the callback that did it: which execution was started, and which resumed.
    let (mut starts, mut resumes) = (BTreeMap::new(), BTreeMap::<String, BTreeSet<String>>::new());
    let mut started_by = BTreeMap::new();
    for (id, run) in &mut runs {
        *run = api.get(&format!("/v1/executions/{id}")).await.unwrap();
        let cancelled = run["status"] == "cancelled";
        assert!(cancelled || run["status"] == "completed", "it has not come to its end: {run:#}");
        let journal = run["journal"].as_array().unwrap();
        let of = |kind: &str| journal.iter().filter(|entry| entry["kind"] == kind).collect::<Vec<_>>();
        let key = format!("{} {}", run["flow"], of("started")[0]["data"]["n"]);
        assert!(started_by.insert(key.clone(), id.clone()).is_none(), "two executions for {key}");
        starts.insert(run["callback"].as_str().unwrap().to_owned(), id.clone());
        let (resumed, late) = (of("resumed"), of("timed-out"));
        let waits = usize::from(run["flow"] != "judged" && run["flow"] != "answered");
        let ended = resumed.len() + late.len() + usize::from(cancelled);
        assert_eq!(ended, waits, "a wait ends once: {run:#}");
        for entry in resumed {
            resumes.entry(entry["callback"].as_str().unwrap().to_owned()).or_default().insert(id.clone());
        }
    }
    let mut checked = Checked { executions: runs.len(), resumed_early: 0, of_all: 0 };
    let mut all = BTreeSet::new();
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["what"] == "cancel" && line["status"] == 200 {
            assert_eq!(runs[line["execution"].as_str().unwrap()]["status"], "cancelled", "{line}");
        }
        if line["status"] != 202 {
            continue;
        }
        let (callback, execution) = (line["callback"].as_str().unwrap(), line["answer"]["execution"].as_str());
        let record = api.get(&format!("/v1/callbacks/{callback}")).await;
        let record = record.unwrap_or_else(|| panic!("the acknowledged callback {callback} is lost: {line}"));
        let kept = line["answer"]["outcome"] == "kept";
        match line["what"].as_str().unwrap() {
            "start" => assert_eq!(starts.get(callback).map(String::as_str), execution, "{line}"),
            "judged" if !kept => assert_eq!(starts.get(callback).map(String::as_str), execution, "{line}"),
            "judged" => {
                let expected = if line["sent"]["act"] == "trap" { "failed" } else { "started" };
                assert_eq!(record["outcome"], expected, "{record:#}");
            }
            "wrong" => assert!(!resumes.contains_key(callback), "{line}"),
            "all" => {
                let said = line["answer"]["executions"].as_array().unwrap();
                let said: BTreeSet<_> = said.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
                assert_eq!(resumes.get(callback), Some(&said), "{line}");
                checked.of_all += said.len();
                all.insert(callback.to_owned());
            }
            // The only one that counts: kept or not, it must have ended the wait.
            _ => {
                let resumed = resumes.get(callback).and_then(|resumed| resumed.first());
                assert_eq!(resumed.map(String::as_str), execution, "{line}\n{record:#}");
                checked.resumed_early += usize::from(kept);
            }
        }
    }
    for (callback, resumed) in &resumes {
        let is_all = || resumed.iter().all(|id| runs[id]["flow"] == "all");
        assert!(resumed.len() == 1 || all.contains(callback) || is_all(), "{callback} resumed {resumed:?}");
    }
    process.kill();
    checked
}
