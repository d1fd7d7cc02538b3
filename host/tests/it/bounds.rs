//! What the store takes at once, and what it keeps for one execution: each limit bites, and the next callback still works.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A body that becomes six times as long in the log, 190 times.
fn blown_up(first: &str) -> String {
    let sets = (0..190).map(|number| format!("  - set: {{ s{number}: '${{{{ data }}}}' }}\n")).collect::<String>();
    format!("flow: blown\nsteps:\n  - trigger: Hook\n    parse: text\n    mode: async\n{first}{sets}")
}

/// A change that is too large is refused before it is written: to the caller, when it is the caller's, and to the execution
/// when it is on its way. The store goes on, and opens again.
#[tokio::test]
async fn b1_a_change_that_is_too_large_is_refused_and_the_store_opens_again() {
    let server = TestServer::start_with(|config| config.store.change_bytes_max = 1 << 20).await;
    let url = server.deploy(&blown_up("")).await;
    let post = async |url: &str, bytes: usize| {
        let request = server.call(Method::POST, url).header("content-type", "text/plain").body(vec![1; bytes]);
        request.send().await.unwrap()
    };
    let refused = post(&url, 60_000).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "change_too_large");
    assert_eq!(server.get("/v1/executions").await["items"], json!([]), "nothing has started");
    let taken = post(&url, 10).await;
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
    let first = server.callback(&taken).await["execution"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&first).await["status"], "completed");

    let url = server.deploy(&blown_up("  - delay: 1ms\n").replace("flow: blown", "flow: later")).await;
    let mut executions = Vec::new();
    for bytes in [60_000, 10] {
        let taken = post(&url, bytes).await;
        assert_eq!(taken.status(), StatusCode::ACCEPTED);
        executions.push(server.callback(&taken).await["execution"].as_str().unwrap().to_owned());
    }
    let failed = server.ended(&executions[0]).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("change_too_large")));
    assert_eq!(server.ended(&executions[1]).await["status"], "completed");
    let server = server.restart().await;
    for (id, status) in [(&first, "completed"), (&executions[0], "failed"), (&executions[1], "completed")] {
        assert_eq!(server.get(&format!("/v1/executions/{id}")).await["status"], status);
    }
}
