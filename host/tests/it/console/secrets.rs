//! Secrets in the console: a value goes in, and is on no page.

use super::{Browser, location};
use crate::support::TestServer;
use reqwest::StatusCode;
use serde_json::json;

const VALUE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn a_value_goes_in_and_never_comes_out() {
    let server = TestServer::start().await;
    let browser = Browser::of(&server, "author").await;
    let viewer = Browser::of(&server, "viewer").await;
    assert!(!viewer.page("/console/secrets").await.contains("<form method=\"post\" action=\"/console/secrets\""));
    let set = |name: &'static str, keep: &'static str| {
        [("name", name), ("environment", "default"), ("value", VALUE), ("keep", keep)]
    };
    for (path, form) in [
        ("/console/secrets", &set("KEY", "")[..]),
        ("/console/secrets/default/KEY/retire", &[]),
        ("/console/secrets/default/KEY/remove", &[]),
    ] {
        assert_eq!(viewer.submit(path, form).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    // What is wrong is said beside the form, which has everything again but the value.
    for (name, environment) in
        [("no name", "default"), ("<script>alert(1)</script>", "default"), ("KEY", "nowhere"), ("", "default")]
    {
        let form = [("name", name), ("environment", environment), ("value", VALUE)];
        let refused = browser.submit("/console/secrets", &form).await;
        assert!(refused.status().is_client_error(), "{name}: {}", refused.status());
        let page = refused.text().await.unwrap();
        assert!(page.contains("<b>Nothing was set.</b>") && !page.contains(VALUE), "{page}");
        assert!(!page.contains("<script>alert"), "{page}");
    }
    let empty = [("name", "KEY"), ("environment", "default"), ("value", "")];
    assert!(browser.submit("/console/secrets", &empty).await.status().is_client_error());
    assert_eq!(server.get("/v1/secrets").await["items"], json!([]));
    let done = browser.submit("/console/secrets", &set("KEY", "")).await;
    assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, "/console/secrets?set=KEY"));
    let page = browser.page(location(&done)).await;
    assert!(page.contains("<b>KEY</b> counts from the next callback on.") && !page.contains(VALUE), "{page}");
    assert!(page.contains("none count"), "{page}");
    // It is what callers prove themselves with.
    browser.submit("/console/secrets", &set("KEY", "24h")).await;
    let page = browser.page("/console/secrets").await;
    assert!(page.contains("1 until ") && page.contains("version 2") && !page.contains(VALUE), "{page}");
    assert!(!browser.page("/console/secrets?set=%3Cb%3E").await.contains("counts from the next callback"));
    browser.submit("/console/secrets/default/KEY/retire", &[]).await;
    assert_eq!(server.get("/v1/secrets").await["items"][0]["previous"], json!([]));
    let gone = browser.submit("/console/secrets/default/KEY/remove", &[]).await;
    assert_eq!(gone.status(), StatusCode::SEE_OTHER);
    let missing = browser.submit("/console/secrets/default/KEY/remove", &[]).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}
