//! Tickets, environments, people and settings in the console: what is refused, what stands in its fields again, and who sees what.

use super::{Browser, ORDERS, location};
use crate::support::TestServer;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Sends a form that is refused: what the page says.
async fn refused(browser: &Browser<'_>, path: &str, form: &[(&str, &str)], status: u16, said: &str) -> String {
    let response = browser.submit(path, form).await;
    assert_eq!(response.status().as_u16(), status, "{path} {form:?}");
    let page = response.text().await.unwrap();
    assert!(page.contains(said), "{path} {form:?}: {page}");
    page
}

#[tokio::test]
async fn a_ticket_is_made_called_and_closed() {
    let server = TestServer::start().await;
    server.deploy(ORDERS).await;
    let (viewer, author) = (Browser::of(&server, "viewer").await, Browser::of(&server, "author").await);
    assert!(viewer.page("/console/tickets").await.contains("No ticket is here yet"));
    refused(&viewer, "/console/tickets", &[("handler", "none"), ("body", "x")], 403, "needs author access").await;
    let page = author.page("/console/new-ticket?handler=execution&execution=01a2&trigger=paid").await;
    assert!(page.contains("value=\"01a2\"") && page.contains("value=\"paid\""), "{page}");
    for (form, said) in [
        (&[("handler", "execution"), ("execution", "x"), ("body", "kept")][..], "give the id of the execution"),
        (&[("handler", "flow"), ("flow", "nothing"), ("body", "kept")], "there is no flow nothing"),
        (&[("handler", "plugin"), ("plugin", "a"), ("with", "{"), ("body", "kept")], "is no JSON"),
        (&[("handler", "none"), ("code", "many"), ("body", "kept")], "is a number"),
        (&[("handler", "none"), ("headers", "no header"), ("body", "kept")], "is not a header"),
        (&[("handler", "none"), ("type", "redirect"), ("body", "kept")], "needs <code>redirect_url</code>"),
        (&[("handler", "none"), ("expires_in", "soon"), ("body", "kept")], "expires_in"),
    ] {
        let page = refused(&author, "/console/tickets", form, 422, said).await;
        assert!(page.contains("kept</textarea>"), "{page}");
    }
    let form = [("handler", "none"), ("body", "thanks"), ("code", "201"), ("uses", "one"), ("headers", "x-a: b")];
    let made = author.submit("/console/tickets", &form).await;
    assert_eq!(made.status(), StatusCode::SEE_OTHER);
    let path = location(&made).split('?').next().unwrap().to_owned();
    let page = author.page(location(&made)).await;
    assert!(page.contains("It is made") && page.contains(">open</span> a call gets the stored answer"), "{page}");
    let url = page.split("<code id=\"url\">").nth(1).unwrap().split('<').next().unwrap();
    let called = server.fetch(url).await;
    assert_eq!((called.status().as_u16(), called.headers()["x-a"].to_str().unwrap()), (201, "b"));
    let used = author.page(&path).await;
    assert!(used.contains(">closed</span>") && used.contains("used it up") && !used.contains("Close…"), "{used}");
    let form = [("handler", "flow"), ("flow", "orders"), ("environment", "default"), ("uses", "never")];
    let other = author.submit("/console/tickets", &form).await;
    let other = location(&other).split('?').next().unwrap().to_owned();
    assert!(viewer.page(&other).await.contains("starts orders") && !viewer.page(&other).await.contains("Close…"));
    refused(&viewer, &format!("{other}/close"), &[], 403, "needs author access").await;
    assert_eq!(location(&author.submit(&format!("{other}/close"), &[]).await), other);
    assert!(author.page("/console/tickets?status=open").await.contains("None is open"));
    let closed = author.page("/console/tickets?status=closed").await;
    assert_eq!(closed.matches("outcome completed").count(), 2, "{closed}");
    let wrong = author.get("/console/tickets?status=lost").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    refused(&author, "/console/tickets/x/close", &[], 404, "there is no ticket x").await;
}

#[tokio::test]
async fn environments_have_variables_and_what_they_take_over() {
    let server = TestServer::start().await;
    let (viewer, author) = (Browser::of(&server, "viewer").await, Browser::of(&server, "author").await);
    assert!(!viewer.page("/console/environments").await.contains("Make one"));
    refused(&viewer, "/console/environments", &[("name", "staging")], 403, "needs author access").await;
    refused(&author, "/console/environments", &[("name", "Not A Name")], 400, "value=\"Not A Name\"").await;
    refused(&author, "/console/environments", &[("name", "default")], 409, "there is an environment default").await;
    let made = author.submit("/console/environments", &[("name", "staging"), ("prefix", "st1")]).await;
    assert_eq!(location(&made), "/console/environments/staging");
    let (default, staging) = ("/console/environments/default", "/console/environments/staging");
    refused(&author, staging, &[("var", "1x"), ("value", "kept")], 400, "kept</textarea>").await;
    for (page, var, value) in [(default, "shop", "a text"), (default, "rate", "1.50"), (staging, "rate", "[2]")] {
        assert_eq!(author.submit(page, &[("var", var), ("value", value)]).await.status(), StatusCode::SEE_OTHER);
    }
    let page = viewer.page(staging).await;
    assert!(page.contains("<code>[2]</code>") && !page.contains("1.50") && !page.contains("Set one"), "{page}");
    assert!(page.contains("<code>&quot;a text&quot;</code>") && page.contains("in default"), "{page}");
    assert!(author.page(default).await.contains("<code>1.50</code>"), "digits stay as they were typed");
    author.submit(&format!("{staging}/vars/rate/remove"), &[]).await;
    assert!(author.page(staging).await.contains("<code>1.50</code>"));
    refused(&author, &format!("{staging}/prefix"), &[("prefix", "a b")], 400, "value=\"a b\"").await;
    assert_eq!(author.submit(&format!("{staging}/prefix"), &[("prefix", "st2")]).await.status(), StatusCode::SEE_OTHER);
    refused(&author, &format!("{staging}/remove"), &[("name", "stagin")], 400, "type the name of the environment")
        .await;
    refused(&author, &format!("{default}/remove"), &[("name", "default")], 409, "default").await;
    assert_eq!(
        location(&author.submit(&format!("{staging}/remove"), &[("name", "staging")]).await),
        "/console/environments"
    );
    assert_eq!(author.get(staging).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn users_and_tokens_are_made_and_a_token_is_seen_once() {
    let server = TestServer::start().await;
    let (viewer, author) = (Browser::of(&server, "viewer").await, Browser::of(&server, "author").await);
    let admin = Browser::sign_in(&server, &server.token).await;
    let page = author.page("/console/people").await;
    assert!(
        page.contains("They are seen with admin access; yours is author.") && !page.contains("the viewer"),
        "{page}"
    );
    refused(&viewer, "/console/people", &[("do", "user"), ("id", "a")], 403, "needs author access").await;
    refused(&author, "/console/people", &[("do", "token"), ("name", "a")], 403, "needs admin access").await;
    refused(&author, "/console/people", &[("do", "user"), ("id", "a b")], 400, "value=\"a b\"").await;
    let made = author.submit("/console/people", &[("do", "user"), ("id", "jane@shop"), ("roles", "clerk, boss")]).await;
    let jane = location(&made).to_owned();
    refused(&author, "/console/people", &[("do", "user"), ("id", "jane@shop")], 400, "there is a user jane@shop").await;
    refused(&author, &jane, &[("properties", "{"), ("roles", "kept")], 400, "value=\"kept\"").await;
    refused(&author, &jane, &[("properties", "[1]")], 400, "no JSON object").await;
    let saved = author.submit(&jane, &[("properties", "{\"limit\": 10.10}"), ("roles", "clerk")]).await;
    assert_eq!(saved.status(), StatusCode::SEE_OTHER);
    assert!(viewer.page(&jane).await.contains("&quot;limit&quot;: 10.10"));
    refused(&author, &jane, &[("do", "token"), ("expires_in", "soon")], 400, "expires_in").await;
    let page = author.submit(&jane, &[("do", "token"), ("expires_in", "30d")]).await.text().await.unwrap();
    let token = page.split("<code id=\"made\">").nth(1).unwrap().split('<').next().unwrap();
    assert!(!token.is_empty() && !author.page(&jane).await.contains(token), "{page}");
    let id = page.split("/tokens/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert_eq!(author.submit(&format!("{jane}/tokens/{id}/remove"), &[]).await.status(), StatusCode::SEE_OTHER);
    assert!(author.page(&jane).await.contains("<p class=\"muted\">None.</p>"));
    refused(&viewer, &format!("{jane}/remove"), &[], 403, "needs author access").await;
    assert_eq!(location(&author.submit(&format!("{jane}/remove"), &[]).await), "/console/people");
    assert_eq!(author.get(&jane).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    // Tokens of the API.
    refused(&admin, "/console/people", &[("do", "token"), ("name", " ")], 400, "says what the token is for").await;
    let form = [("do", "token"), ("name", "for the shop"), ("access", "author"), ("expires_in", "1d")];
    let page = admin.submit("/console/people", &form).await.text().await.unwrap();
    let token = page.split("<code id=\"made\">").nth(1).unwrap().split('<').next().unwrap();
    assert!(!admin.page("/console/people").await.contains(token));
    let shop = Browser::sign_in(&server, token).await;
    assert!(shop.page("/console/people").await.contains("for the shop, author"));
    let tokens = server.get("/v1/tokens").await;
    let of_shop = tokens["items"].as_array().unwrap().iter().find(|token| token["name"] == "for the shop").unwrap();
    let remove = format!("/console/tokens/{}/remove", of_shop["id"].as_str().unwrap());
    refused(&shop, &remove, &[], 403, "needs admin access").await;
    assert_eq!(admin.submit(&remove, &[]).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(shop.get("/console/people").send().await.unwrap().status(), StatusCode::SEE_OTHER, "out at once");
}

#[tokio::test]
async fn settings_are_said_with_where_they_come_from_and_no_secret_is() {
    let server = TestServer::start().await;
    let (viewer, author) = (Browser::of(&server, "viewer").await, Browser::of(&server, "author").await);
    let refused = viewer.get("/console/settings").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(!viewer.page("/console/people").await.contains("/console/settings"));
    let page = author.page("/console/settings").await;
    assert!(page.contains("<code>body_bytes_max</code>") && page.contains("<code>65536</code>"), "{page}");
    assert!(page.contains("nowhere: the default") && !page.contains("/console/backup"), "{page}");
    assert_eq!(author.get("/console/backup").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let admin = Browser::sign_in(&server, &server.token).await;
    assert!(admin.page("/console/settings").await.contains("/console/backup"));
    let backup = admin.get("/console/backup").send().await.unwrap();
    assert!(backup.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let last: Value = serde_json::from_str(backup.text().await.unwrap().lines().last().unwrap()).unwrap();
    assert!(last.is_object(), "{last}");
    let settings = server.get("/v1/settings").await;
    assert_eq!(settings["status"], json!("ok"));
}
