//! What is forgotten while others still want it, and what would be kept for ever.

use crate::support::{Sink, TestServer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// R7, C3: an execution that is tried again at the very moment at which it is to be forgotten is forgotten or goes on, and one that
/// goes on is whole: it waits, and is resumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r7_c3_what_is_tried_again_is_not_forgotten() {
    const EXECUTIONS: usize = 200;
    let sink = Sink::start().await;
    let host = sink.host();
    let mut server = TestServer::start_with(|config| config.http_private_hosts = vec![host.clone()]).await;
    let source =
        format!("flow: again\nsteps:\n  - trigger: Start\n  - http: {{ url: '{}/x' }}\n  - trigger: Then\n", sink.url);
    let (mut gone, mut went_on) = (0, 0);
    for round in 0..8 {
        let urls = server.deploy_all(&source).await;
        sink.answer("/x", &[(500, Duration::ZERO); EXECUTIONS]);
        let started = (0..EXECUTIONS).map(|n| {
            let (server, url) = (&server, &urls[0]);
            async move {
                let answer: Value = server.post(url, &json!(n)).await.json().await.unwrap();
                let id = answer["execution"].as_str().unwrap().to_owned();
                assert_eq!(server.ended(&id).await["status"], "failed");
                id
            }
        });
        let ids = futures_util::future::join_all(started).await;
        let change = |config: &mut ringback::config::Config| {
            config.http_private_hosts = vec![host.clone()];
            config.retention.executions_max = Some(1);
            config.retention.interval = Duration::from_millis(30);
        };
        server = server.restart_with(change).await;
        let then = server.urls("again").await.remove(1);
        let tried = ids.iter().enumerate().map(|(number, id)| {
            let (server, then) = (&server, &then);
            async move {
                // Some before it is looked for what is too much, some after: the slower the machine, the later that is.
                tokio::time::sleep(Duration::from_millis((number as u64) << round) / 2).await;
                let retried = server.api(Method::POST, &format!("/v1/executions/{id}/retry")).send().await.unwrap();
                if retried.status() == StatusCode::NOT_FOUND {
                    return false;
                }
                assert!(retried.status().is_success(), "{}", retried.text().await.unwrap());
                let path = format!("/v1/executions/{id}");
                server.eventually(&path, |run| run["status"] == "waiting").await;
                let resumed = server.post(&format!("{then}?execution={id}"), &json!({})).await;
                assert_eq!(resumed.status(), StatusCode::ACCEPTED);
                true
            }
        });
        let tried = futures_util::future::join_all(tried).await;
        went_on += tried.iter().filter(|went_on| **went_on).count();
        gone += tried.iter().filter(|went_on| !**went_on).count();
        if gone > 0 && went_on > 0 {
            break;
        }
        server = server.restart_with(|config| config.http_private_hosts = vec![host.clone()]).await;
    }
    println!("{gone} were forgotten, {went_on} went on");
    assert!(gone > 0 && went_on > 0, "nothing was tried: {gone} were forgotten, {went_on} went on");
}

/// A ticket of which nothing can come any more is kept as long as all that is over, although it does not expire; the others stay.
#[tokio::test]
async fn tickets_of_which_nothing_can_come_are_forgotten() {
    let server = TestServer::start_with(|config| {
        config.retention.keep_for = Some(Duration::from_secs(3));
        config.retention.interval = Duration::from_millis(100);
    });
    let server = server.await;
    let put = server.api(Method::PUT, "/v1/environments/staging").json(&json!({})).send().await.unwrap();
    assert!(put.status().is_success());
    for name in ["goes", "stays"] {
        server.deploy(&format!("flow: {name}\nsteps:\n  - trigger: Start\n")).await;
    }
    let urls = server.deploy_all("flow: waits\nsteps:\n  - trigger: Start\n  - trigger: Then\n").await;
    let run: Value = server.post(&urls[0], &json!({})).await.json().await.unwrap();
    let run = run["execution"].as_str().unwrap();
    let mut tickets = Vec::new();
    for request in [
        json!({ "handler": { "flow": "goes" } }),
        json!({ "handler": { "flow": "stays" }, "environment": "staging" }),
        json!({ "handler": { "execution": run, "trigger": "then" } }),
        json!({ "handler": { "flow": "stays" } }),
        json!({ "response": { "body": "thanks" } }),
    ] {
        let ticket = server.ticket(&request).await;
        tickets.push(format!("/v1/tickets/{}", ticket["id"].as_str().unwrap()));
    }
    for path in ["/v1/flows/goes", "/v1/environments/staging"] {
        assert_eq!(server.api(Method::DELETE, path).send().await.unwrap().status(), StatusCode::NO_CONTENT, "{path}");
    }
    let cancel = server.api(Method::POST, &format!("/v1/executions/{run}/cancel")).send().await.unwrap();
    assert!(cancel.status().is_success());
    for (ticket, status) in tickets.iter().zip(["gone", "gone", "open", "open", "open"]) {
        assert_eq!(server.get(ticket).await["status"], status);
    }
    for ticket in &tickets[..3] {
        let status = async || server.api(Method::GET, ticket).send().await.unwrap().status();
        while status().await == StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(status().await, StatusCode::NOT_FOUND);
    }
    for ticket in &tickets[3..] {
        assert_eq!(server.get(ticket).await["status"], "open");
    }
}
