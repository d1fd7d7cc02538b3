//! The console as HTML over HTTP: what is refused, who sees what, and that whatever callers wrote is text.

mod people;
mod secrets;
mod triggers;

use crate::support::{BINARY, TestServer, plugin};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const ORDERS: &str = "flow: orders\nsteps:\n  - trigger: Order received\n    when: data.total > 100\n";

/// Somebody who looks at pages.
struct Browser<'s> {
    server: &'s TestServer,
    cookie: String,
}

impl<'s> Browser<'s> {
    async fn sign_in(server: &'s TestServer, token: &str) -> Self {
        let response = submit(server, "/console/login", &[("token", token)]).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        Self { server, cookie: cookie(&response) }
    }

    async fn of(server: &'s TestServer, access: &str) -> Self {
        Self::sign_in(server, &token(server, access).await.1).await
    }

    fn get(&self, path: &str) -> RequestBuilder {
        look(self.server, path).header("cookie", &self.cookie)
    }

    async fn page(&self, path: &str) -> String {
        let response = self.get(path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        response.text().await.unwrap()
    }

    /// Sends a form with a file.
    async fn upload(&self, path: &str, fields: &[(&str, &str)], file: &str, content: &[u8]) -> Response {
        let mut body = Vec::new();
        for (name, value) in fields {
            let field = format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend(field.into_bytes());
        }
        let file = format!("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\n\r\n");
        body.extend([file.as_bytes(), content, b"\r\n--B--\r\n"].concat());
        let request = self.server.call(Method::POST, &format!("{}{path}", self.server.admin)).body(body);
        let request = request.header("content-type", "multipart/form-data; boundary=B").header("accept", "text/html");
        let request = request.header("cookie", &self.cookie).header("sec-fetch-site", "same-origin");
        request.send().await.unwrap()
    }

    async fn submit(&self, path: &str, form: &[(&str, &str)]) -> Response {
        submit(self.server, path, form).header("cookie", &self.cookie).send().await.unwrap()
    }
}

fn look(server: &TestServer, path: &str) -> RequestBuilder {
    server.call(Method::GET, &format!("{}{path}", server.admin)).header("accept", "text/html,*/*")
}

fn submit(server: &TestServer, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = server.call(Method::POST, &format!("{}{path}", server.admin)).body(body);
    request.header("content-type", "application/x-www-form-urlencoded").header("sec-fetch-site", "same-origin")
}

/// The cookie that an answer sets, without what is said of it.
fn cookie(response: &Response) -> String {
    response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// A token: its id and itself.
async fn token(server: &TestServer, access: &str) -> (String, String) {
    let body = json!({ "name": format!("the {access}"), "access": access });
    let made: Value = server.api(Method::POST, "/v1/tokens").json(&body).send().await.unwrap().json().await.unwrap();
    (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
}

fn location(response: &Response) -> &str {
    response.headers()["location"].to_str().unwrap()
}

#[tokio::test]
async fn nothing_of_it_is_on_the_public_side_and_none_of_it_where_it_is_switched_off() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, &server.token).await;
    let page = browser.page("/console/callbacks").await;
    let css =
        page.split("href=\"").find_map(|part| part.split('"').next().filter(|part| part.ends_with(".css"))).unwrap();
    let on_admin = browser.get(css).send().await.unwrap();
    assert_eq!(on_admin.headers()["cache-control"], "public, max-age=31536000, immutable");
    for path in ["/", "/console", "/console/login", "/console/callbacks", css] {
        let response = server.fetch(&format!("{}{path}", server.public)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let policy = response.headers().get("content-security-policy").map(|policy| policy.to_str().unwrap());
        assert!(!policy.unwrap_or_default().contains("trusted-types"), "{path}");
        assert!(!response.text().await.unwrap().contains("<html"), "{path}");
    }
    let server = server.restart_with(|config| config.console = false).await;
    for path in ["/", "/console", "/console/login", "/console/callbacks", css] {
        let response = look(&server, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let link = server.api(Method::POST, "/v1/session/link").send().await.unwrap();
    assert_eq!(link.json::<Value>().await.unwrap()["code"], "no_console");
}

#[tokio::test]
async fn who_is_not_signed_in_is_sent_to_sign_in_and_back() {
    let server = TestServer::start().await;
    let response = look(&server, "/console/callbacks?outcome=failed").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let sign_in = location(&response).to_owned();
    assert_eq!(sign_in, "/console/login?next=%2Fconsole%2Fcallbacks%3Foutcome%3Dfailed");
    let page = look(&server, &sign_in).send().await.unwrap().text().await.unwrap();
    assert!(page.contains(r#"name="next" value="/console/callbacks?outcome=failed""#), "{page}");
    assert!(page.contains(r#"<label for="token">"#));
    let of_script = server.call(Method::GET, &format!("{}/console/callbacks/tail?after=1", server.admin));
    assert_eq!(of_script.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(look(&server, "/").send().await.unwrap().headers()["location"], "/console");
    assert_eq!(server.fetch(&format!("{}/", server.admin)).await.status(), StatusCode::NOT_FOUND);
    for wrong in ["", "x", "rbk_0123", &server.token[1..]] {
        let refused = submit(&server, "/console/login", &[("token", wrong)]).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(!refused.headers().contains_key("set-cookie"));
        let page = refused.text().await.unwrap();
        assert!(page.contains("The token is unknown, or has expired."), "{page}");
        assert!(wrong.is_empty() || !page.contains(&format!("value=\"{wrong}\"")), "it is not filled in again");
    }
    let form = [("token", &*format!(" {}\n", server.token)), ("next", "/console/callbacks?outcome=failed")];
    let response = submit(&server, "/console/login", &form).send().await.unwrap();
    assert_eq!(location(&response), "/console/callbacks?outcome=failed");
    let said = response.headers()["set-cookie"].to_str().unwrap();
    assert!(said.ends_with("; Path=/console; Max-Age=43200; HttpOnly; SameSite=Lax"), "{said}");
    assert!(!said.contains(&server.token));
    for elsewhere in ["//evil.example", "https://evil.example", "/v1/flows"] {
        let form = [("token", &*server.token), ("next", elsewhere)];
        let response = submit(&server, "/console/login", &form).send().await.unwrap();
        assert_eq!(location(&response), "/console", "{elsewhere}");
    }
}

#[tokio::test]
async fn a_session_is_what_this_server_made_and_ends_with_its_token() {
    let server = TestServer::start().await;
    let (id, value) = token(&server, "viewer").await;
    let browser = Browser::sign_in(&server, &value).await;
    browser.page("/console/callbacks").await;
    let status = async |cookie: &str| {
        let response = look(&server, "/console/callbacks").header("cookie", cookie).send().await.unwrap();
        response.status().as_u16()
    };
    let good = browser.cookie.clone();
    assert_eq!(status(&format!("other=1; {good}; more=2")).await, 200);
    assert_eq!(status(&format!("{good}; {good}")).await, 303, "something else has set the other");
    assert_eq!(status(&format!("{good}; ringback_session=x")).await, 303);
    assert_eq!(status(&format!("ringback_session={value}")).await, 303, "a token is no session");
    assert_eq!(status("ringback_session=").await, 303);
    for at in [20, 40, good.len() - 2] {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(status(&String::from_utf8(changed).unwrap()).await, 303, "{at}");
    }
    // The API takes none.
    let api = server.call(Method::GET, &format!("{}/v1/flows", server.admin)).header("cookie", &good);
    assert_eq!(api.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // Nothing of it is kept by the server, and a restart does not end it.
    let server = server.restart().await;
    let browser = Browser { server: &server, cookie: good };
    browser.page("/console/callbacks").await;
    let out = browser.submit("/console/logout", &[]).await;
    assert_eq!((out.status(), location(&out)), (StatusCode::SEE_OTHER, "/console/login"));
    assert!(out.headers()["set-cookie"].to_str().unwrap().starts_with("ringback_session=; Path=/console; Max-Age=0;"));
    assert_eq!(out.headers()["clear-site-data"], "\"cache\", \"storage\"");
    let removed = server.api(Method::DELETE, &format!("/v1/tokens/{id}")).send().await.unwrap();
    assert!(removed.status().is_success());
    assert_eq!(browser.get("/console/callbacks").send().await.unwrap().status(), StatusCode::SEE_OTHER);
    // Behind https, the cookie is for that alone.
    let server = server.restart_with(|config| config.admin_url = Some("https://console.example".to_owned())).await;
    let response = submit(&server, "/console/login", &[("token", &server.token)]).send().await.unwrap();
    assert!(response.headers()["set-cookie"].to_str().unwrap().ends_with("; SameSite=Lax; Secure"));
}

/// A page of the public side, on another port of the same host, is the same site, and another origin.
#[tokio::test]
async fn changes_come_from_pages_of_the_console_alone() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, &server.token).await;
    let post = |path: &str| {
        let request = server.call(Method::POST, &format!("{}{path}", server.admin)).header("cookie", &browser.cookie);
        request.body("workspace=default")
    };
    for path in ["/console/logout", "/console/workspace", "/console/login", "/console/callbacks/x/replay"] {
        let refused = async |request: RequestBuilder| {
            assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{path}");
        };
        refused(post(path)).await;
        refused(post(path).header("sec-fetch-site", "cross-site")).await;
        refused(post(path).header("sec-fetch-site", "same-site")).await;
        refused(post(path).header("sec-fetch-site", "none")).await;
        refused(post(path).header("origin", &server.public)).await;
        refused(post(path).header("origin", "null")).await;
        refused(post(path).header("origin", &server.admin).header("sec-fetch-site", "same-site")).await;
    }
    for request in [
        post("/console/workspace").header("sec-fetch-site", "same-origin"),
        post("/console/workspace").header("origin", &server.admin),
    ] {
        assert_eq!(request.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    }
    // A name that somebody else lets lead here is not one of ours.
    let port = server.admin.rsplit(':').next().unwrap().to_owned();
    let called = async |server: &TestServer, host: &str| {
        look(server, "/console/login").header("host", host).send().await.unwrap().status().as_u16()
    };
    assert_eq!(called(&server, "evil.example").await, 421);
    assert_eq!(called(&server, &format!("evil.example:{port}")).await, 421);
    assert_eq!(called(&server, "localhost.evil.example").await, 421);
    assert_eq!(called(&server, "console.example").await, 421);
    assert_eq!(called(&server, &format!("localhost:{port}")).await, 200);
    assert_eq!(called(&server, "[::1]:8081").await, 200);
    let server = server.restart_with(|config| config.admin_url = Some("https://console.example".to_owned())).await;
    assert_eq!(called(&server, "console.example").await, 200);
    assert_eq!(called(&server, "evil.example").await, 421);
}

#[tokio::test]
async fn a_page_may_do_nothing_that_its_files_do_not_say() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, &server.token).await;
    let sent = server.post(&server.deploy(ORDERS).await, &json!({ "total": 1 })).await;
    let id = server.callback(&sent).await["id"].as_str().unwrap().to_owned();
    for path in [
        "/console/login",
        "/console/callbacks",
        "/console/nothing",
        &format!("/console/callbacks/{id}"),
        "/console/callbacks/x",
    ] {
        let mut request = browser.get(path);
        if path.ends_with("login") {
            request = look(&server, path);
        }
        let response = request.send().await.unwrap();
        let headers = response.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(
            policy.ends_with("require-trusted-types-for 'script'; trusted-types ringback")
                && !policy.contains("unsafe")
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[name], value, "{path} {name}");
        }
        let page = response.text().await.unwrap();
        for inline in [" style=", "<style", " onclick", " onerror", "<script>", "javascript:"] {
            assert!(!page.contains(inline), "{path} has {inline}");
        }
        assert!(page.contains("<html lang=\"en\">") && page.contains("<h1"), "{path}");
    }
}

/// Whatever a caller or a plugin's author writes, everywhere where it can stand.
#[tokio::test]
async fn what_callers_wrote_is_text_and_is_seen() {
    const MARKUP: &str = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'><b x=\"${7*7}{{7*7}}";
    const UNSEEN: &str = "\u{202e}\u{2066}\u{200b}\u{feff}\u{7f}";
    let server = TestServer::start().await;
    let hostile = format!("{MARKUP}{UNSEEN}");
    let url = server.deploy("flow: hostile\nsteps:\n  - trigger: Hook\n    when: data.a.b == 1\n").await;
    let query = form_urlencoded::byte_serialize(hostile.as_bytes()).collect::<String>();
    let header = axum::http::HeaderValue::from_bytes(MARKUP.as_bytes()).unwrap();
    let sent = server.call(Method::POST, &format!("{url}?{query}={query}")).header("x-word", header);
    let body = json!({ hostile.clone(): [hostile.clone()], "a": hostile });
    let sent = sent.json(&body).send().await.unwrap();
    let id = server.callback(&sent).await["id"].as_str().unwrap().to_owned();
    // One whose reason quotes the body.
    let broken = server.call(Method::POST, &url).header("content-type", "text/xml").body(hostile.clone());
    let broken = server.callback(&broken.send().await.unwrap()).await["id"].as_str().unwrap().to_owned();
    let browser = Browser::sign_in(&server, &server.token).await;
    let search: String = form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
    let mut pages = vec![
        browser.page("/console/callbacks").await,
        browser.page(&format!("/console/callbacks?search={search}")).await,
        browser.page(&format!("/console/callbacks/{id}")).await,
        browser.page(&format!("/console/callbacks/{id}?body=raw")).await,
        browser.page(&format!("/console/callbacks/{id}?body=hex")).await,
        browser.page(&format!("/console/callbacks/{broken}")).await,
    ];
    for wrong in [format!("flow={search}"), format!("outcome={search}"), format!("since={search}")] {
        let response = browser.get(&format!("/console/callbacks?{wrong}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{wrong}");
        pages.push(response.text().await.unwrap());
    }
    let missing = browser.get(&format!("/console/{search}")).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    pages.push(missing.text().await.unwrap());
    let replay = browser.submit(&format!("/console/callbacks/{id}/replay?dry_run=true"), &[]).await;
    // What stands in a field is sent back, and stays what it is.
    let replay = replay.text().await.unwrap();
    let (before, field) = replay.split_once("<textarea").unwrap();
    let (field, after) = field.split_once("</textarea>").unwrap();
    assert!(field.contains(UNSEEN) && !field.contains("</td>"), "{field}");
    pages.push(format!("{before}{after}"));
    for page in &pages {
        for live in ["<script>alert", "<img src=x", "<b x=", "'><b"] {
            assert!(!page.contains(live), "{live} in {page}");
        }
        assert!(!page.contains(|c: char| c == '\u{7f}' || UNSEEN.contains(c)), "{page}");
    }
    assert!(pages[2].contains(r"\u{202e}\u{2066}\u{200b}\u{feff}\u{007f}"), "{}", pages[2]);
    assert!(pages[2].contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let raw = browser.get(&format!("/console/callbacks/{id}/raw")).send().await.unwrap();
    assert_eq!(raw.headers()["content-type"], "application/octet-stream");
    assert_eq!(raw.headers()["content-disposition"], format!("attachment; filename=\"callback-{id}.body\""));
    assert_eq!(raw.headers()["content-security-policy"], "sandbox; default-src 'none'");
    assert_eq!(raw.json::<Value>().await.unwrap(), body);
}

#[tokio::test]
async fn who_may_not_do_something_has_no_button_for_it_and_is_refused() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    let sent = server.post(&url, &json!({ "total": 1 })).await;
    let id = server.callback(&sent).await["id"].as_str().unwrap().to_owned();
    let path = format!("/console/callbacks/{id}");
    let replay = format!("{path}/replay");
    let viewer = Browser::of(&server, "viewer").await;
    let page = viewer.page(&path).await;
    assert!(!page.contains("/replay") && !page.contains("Replay"), "{page}");
    assert!(page.contains("the viewer, viewer"));
    for query in ["", "?dry_run=true"] {
        let refused = viewer.submit(&format!("{replay}{query}"), &[]).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        let page = refused.text().await.unwrap();
        assert!(
            page.contains("this needs author access; yours is viewer") && page.contains("aria-label=\"Pages\""),
            "{page}"
        );
    }
    assert_eq!(server.get("/v1/callbacks").await["items"].as_array().unwrap().len(), 1);
    let author = Browser::of(&server, "author").await;
    assert!(author.page(&path).await.contains("Replay…"));
    let other = author.submit("/console/workspace", &[("workspace", "shop")]).await;
    assert_eq!(other.status(), StatusCode::FORBIDDEN);
    assert!(!author.page(&path).await.contains("name=\"workspace\""));
    // An administrator goes from one workspace to another.
    let shop = json!({ "name": "shop", "access": "author" });
    let made = server.api(Method::POST, "/v1/tokens").header("ringback-workspace", "shop").json(&shop);
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    let admin = Browser::sign_in(&server, &server.token).await;
    assert!(admin.page(&path).await.contains("<option>shop</option>"));
    let chosen = admin.submit("/console/workspace", &[("workspace", "shop")]).await;
    let in_shop = Browser { server: &server, cookie: cookie(&chosen) };
    assert_eq!(in_shop.get(&path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert!(in_shop.page("/console/callbacks").await.contains("No flow is deployed yet"));
    let of_shop = Browser::sign_in(&server, made["token"].as_str().unwrap()).await;
    let foreign = of_shop.get(&path).send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND, "of another workspace");
    assert!(foreign.text().await.unwrap().contains("There is no such thing"));
}

#[tokio::test]
async fn the_list_shows_what_the_api_lists_and_keeps_what_is_looked_for() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, &server.token).await;
    let page = browser.page("/console/callbacks").await;
    assert!(page.contains("No flow is deployed yet") && page.contains("ringback flow apply"), "{page}");
    let url = server.deploy(ORDERS).await;
    let page = browser.page("/console/callbacks").await;
    assert!(page.contains("No callback has come yet") && page.contains(&url) && page.contains("curl -X"), "{page}");
    for total in 0..52 {
        server.post(&url, &json!({ "id": format!("o-{total}"), "total": if total == 7 { 1000 } else { total } })).await;
    }
    server.eventually("/v1/callbacks?limit=200", |list| list["items"].as_array().unwrap().len() == 52).await;
    let list = server.get("/v1/callbacks").await;
    let ids = |page: &str| -> Vec<String> {
        page.split("data-id=\"").skip(1).map(|part| part.split('"').next().unwrap().to_owned()).collect()
    };
    let expected: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    let first = browser.page("/console/callbacks").await;
    assert_eq!(ids(&first), expected);
    assert!(first.len() < 80_000, "{}", first.len());
    let older =
        first.split("href=\"").find_map(|part| part.split('"').next().filter(|part| part.contains("cursor="))).unwrap();
    let second = browser.page(older).await;
    assert_eq!(ids(&second).len(), 2);
    assert!(first.contains("data-tail=") && !second.contains("data-tail="));
    assert!(first.contains("52 callbacks in the last hour") && first.contains("<rect class=\"ignored\""), "{first}");
    let started = browser.page("/console/callbacks?outcome=started").await;
    assert_eq!(ids(&started).len(), 1);
    assert!(started.contains(r#"href="/console/callbacks?outcome=started%2Cfailed""#), "{started}");
    assert_eq!(ids(&browser.page("/console/callbacks?search=O-51").await).len(), 1);
    let by_id = browser.get(&format!("/console/callbacks?search={}", expected[3])).send().await.unwrap();
    assert_eq!(location(&by_id), format!("/console/callbacks/{}", expected[3]));
    // A form says everything; the address that is left says what there is.
    let form = browser.get("/console/callbacks?search=&flow=orders&since=").send().await.unwrap();
    assert_eq!(location(&form), "/console/callbacks?flow=orders");
    let nothing = browser.page("/console/callbacks?flow=orders&outcome=duplicate").await;
    assert!(
        nothing.contains("Nothing matches") && nothing.contains(r#"href="/console/callbacks?flow=orders""#),
        "{nothing}"
    );
    let wrong = browser.get("/console/callbacks?since=yesterday&flow=orders").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    let wrong = wrong.text().await.unwrap();
    assert!(wrong.contains("is not a time") && wrong.contains("<option selected>orders</option>"), "{wrong}");
    // Every field has a label.
    for field in ["name=\"search\"", "name=\"flow\"", "name=\"since\""] {
        let before = first.split(field).next().unwrap();
        assert!(before.rfind("<label>").unwrap() > before.rfind("</label>").unwrap_or_default(), "{field}");
    }
}

#[tokio::test]
async fn a_callback_says_why_and_what_would_happen_now() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    let sent = server.call(Method::POST, &format!("{url}?shop=berlin")).header("x-shop", "it's");
    let sent = sent.json(&json!({ "id": "o'1", "total": 50 })).send().await.unwrap();
    let id = server.callback(&sent).await["id"].as_str().unwrap().to_owned();
    let browser = Browser::of(&server, "author").await;
    let page = browser.page(&format!("/console/callbacks/{id}")).await;
    let record = server.get(&format!("/v1/callbacks/{id}")).await;
    let trace = record["trace"].as_array().unwrap();
    for entry in trace {
        assert!(page.contains(&format!("<span class=\"name\">{}</span>", entry["stage"].as_str().unwrap())), "{entry}");
    }
    assert!(page.contains("</span> by condition: "), "{page}");
    assert!(page.contains("not reached") && page.contains("<b>204</b>"));
    assert!(page.contains(r#"data-path="$.total" data-cel="data.total""#), "{page}");
    assert!(page.contains("x-shop: it&#39;\\&#39;&#39;s") && page.contains("o&#39;\\&#39;&#39;1"), "{page}");
    assert!(browser.page(&format!("/console/callbacks/{id}?body=hex")).await.contains("000000  7b 22 69 64"));
    // Nothing is different yet.
    let replay = format!("/console/callbacks/{id}/replay");
    let tried = browser.submit(&format!("{replay}?dry_run=true"), &[]).await.text().await.unwrap();
    assert!(tried.contains("Nothing would be different") && !tried.contains("<ins>"), "{tried}");
    server.deploy(&ORDERS.replace("100", "10")).await;
    let tried = browser.submit(&format!("{replay}?dry_run=true"), &[]).await.text().await.unwrap();
    assert!(tried.contains("<del>ignored</del>") && tried.contains("<ins>started</ins>"), "{tried}");
    assert_eq!(server.get("/v1/callbacks").await["items"].as_array().unwrap().len(), 1, "nothing was sent");
    let sent = browser.submit(&replay, &[]).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let again = browser.page(location(&sent)).await;
    assert!(again.contains("</span> by select: ") && again.contains(&format!("/console/callbacks/{id}\"")), "{again}");
    let gone = browser.get("/console/callbacks/01a217d5-5f7c-7579-b889-0bb9dfbbfa13").send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    assert!(gone.text().await.unwrap().contains("may have gone"));
    // Who did not prove himself is not replayed.
    server.set_secret("S", "secret").await;
    let url =
        server.deploy("flow: signed\nsteps:\n  - trigger: Hook\n    verify: { scheme: github, secret: S }\n").await;
    let refused = server.callback(&server.post(&url, &json!({})).await).await["id"].as_str().unwrap().to_owned();
    let page = browser.page(&format!("/console/callbacks/{refused}")).await;
    assert!(page.contains("only its sender can send it again") && !page.contains("Replay…"), "{page}");
    let conflict = browser.submit(&format!("/console/callbacks/{refused}/replay"), &[]).await;
    assert_eq!(conflict.status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn rows_come_while_the_page_is_open_and_none_is_missed_in_between() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    let browser = Browser::of(&server, "viewer").await;
    let page = browser.page("/console/callbacks?outcome=ignored").await;
    let part = |name: &str| page.split(name).nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    let (tail, after) = (part("data-tail=\""), part("data-after=\""));
    assert_eq!(tail, "/console/callbacks/tail?outcome=ignored");
    server.post(&url, &json!({ "total": 1 })).await;
    server.post(&url, &json!({ "total": 1000 })).await;
    let mut response = browser.get(&format!("{tail}&after={after}")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut said = String::new();
    while !said.contains("</tr>") {
        let chunk = tokio::time::timeout(Duration::from_secs(5), response.chunk()).await.unwrap().unwrap().unwrap();
        said += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(said.contains("event: row") && said.contains("data: <tr id=\"c-"), "{said}");
    assert!(said.contains("ignored") && !said.contains("started</span>"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once() {
    let server = TestServer::start().await;
    let command = |json: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["--server", &server.admin, "--token", &server.token]).args(json).arg("console");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let link = command(&[]);
    let (page, code) = link.trim().split_once("#code=").unwrap();
    assert_eq!(page, format!("{}/console/login", server.admin), "the code is behind what a server sees");
    assert!(!link.contains(&server.token));
    let used = submit(&server, "/console/login", &[("token", ""), ("code", code)]).send().await.unwrap();
    assert_eq!(used.status(), StatusCode::SEE_OTHER);
    let browser = Browser { server: &server, cookie: cookie(&used) };
    browser.page("/console/callbacks").await;
    for wrong in [code, "x"] {
        let again = submit(&server, "/console/login", &[("code", wrong)]).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
        assert!(again.text().await.unwrap().contains("The link has been used"));
    }
    // It opens what its token does, and nothing when that is gone.
    let (id, token) = token(&server, "viewer").await;
    let of_viewer = server.call(Method::POST, &format!("{}/v1/session/link", server.admin)).bearer_auth(&token);
    let of_viewer: Value = of_viewer.send().await.unwrap().json().await.unwrap();
    let code = of_viewer["url"].as_str().unwrap().split_once("#code=").unwrap().1;
    server.api(Method::DELETE, &format!("/v1/tokens/{id}")).send().await.unwrap();
    let gone = submit(&server, "/console/login", &[("code", code)]).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::UNAUTHORIZED);
    let as_json: Value = serde_json::from_str(&command(&["--json"])).unwrap();
    assert!(as_json["expires_at"].is_string());
}

#[tokio::test]
async fn an_execution_says_what_happened_and_ends_or_goes_on_when_told() {
    let server = TestServer::start().await;
    let source =
        "flow: f\nsteps:\n  - trigger: Start\n  - trigger: Paid\n    timeout: 1h\n  - fail: 'no: ${{ data.why }}'\n";
    let urls = server.deploy_all(source).await;
    let started = async || server.post(&urls[0], &json!({ "why": "<b>" })).await.json::<Value>().await.unwrap();
    let id = started().await["execution"].as_str().unwrap().to_owned();
    let browser = Browser::of(&server, "author").await;
    let list = browser.page("/console/executions").await;
    assert!(
        list.contains(&format!("/console/executions/{id}")) && list.contains("for a callback of paid until"),
        "{list}"
    );
    let page = browser.page(&format!("/console/executions/{id}")).await;
    let resume = page.split("id=\"url-1\">").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(resume, format!("{}?execution={id}", urls[1]));
    assert!(
        page.contains("<b>started</b> by a callback of Start") && page.contains("Cancel…") && !page.contains("Retry")
    );
    let viewer = Browser::of(&server, "viewer").await;
    let seen = viewer.page(&format!("/console/executions/{id}")).await;
    assert!(!seen.contains("Cancel") && !seen.contains("Retry"), "{seen}");
    for change in ["cancel", "retry"] {
        let refused = viewer.submit(&format!("/console/executions/{id}/{change}"), &[]).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
    let wrong = browser.submit(&format!("/console/executions/{id}/retry"), &[]).await;
    assert_eq!(wrong.status(), StatusCode::CONFLICT);
    assert!(wrong.text().await.unwrap().contains("only one that failed or timed out can be retried"));
    // What it waits for comes, and it fails: then it can be tried again.
    assert!(server.post(resume, &json!({ "why": "<script>alert(1)</script>" })).await.status().is_success());
    server.ended(&id).await;
    let page = browser.page(&format!("/console/executions/{id}")).await;
    assert!(page.contains("Retry steps[2]") && page.contains("no: &lt;script&gt;"), "{page}");
    assert!(!page.contains("<script>alert") && page.contains("data-path=\"$.data.why\""), "{page}");
    let failed = browser.page("/console/executions?status=failed&reason=NO:").await;
    assert!(failed.contains(&id));
    let retried = browser.submit(&format!("/console/executions/{id}/retry"), &[]).await;
    assert_eq!(location(&retried), format!("/console/executions/{id}"));
    let other = started().await["execution"].as_str().unwrap().to_owned();
    let cancelled = browser.submit(&format!("/console/executions/{other}/cancel"), &[]).await;
    assert_eq!(cancelled.status(), StatusCode::SEE_OTHER);
    assert_eq!(server.get(&format!("/v1/executions/{other}")).await["status"], "cancelled");
    assert!(browser.page("/console/executions?status=waiting").await.contains("Nothing matches"));
    let wrong = browser.get("/console/executions?status=done").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert!(wrong.text().await.unwrap().contains("is not a status"));
    assert_eq!(browser.get("/console/executions/x").send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_flow_is_written_checked_deployed_and_taken_back() {
    let server = TestServer::start().await;
    let browser = Browser::of(&server, "author").await;
    assert!(browser.page("/console/flows").await.contains("New flow"));
    let viewer = Browser::of(&server, "viewer").await;
    assert!(!viewer.page("/console/flows").await.contains("New flow"));
    assert_eq!(viewer.get("/console/new-flow").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert!(browser.page("/console/new-flow").await.contains("<textarea name=\"source\""));
    // What is wrong is said at its place, and what was typed is still there.
    let wrong = "flow: orders\r\nsteps:\r\n  - trigger: Order </textarea><script>\r\n    wen: data.total > 100\r\n";
    let form = [("source", wrong), ("version", "0"), ("do", "deploy")];
    let refused = browser.submit("/console/flows", &form).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(
        page.contains("data-line=\"4\" data-column=\"5\"") && page.contains("<li class=\"wrong\">4</li>"),
        "{page}"
    );
    assert!(page.contains("- trigger: Order &lt;/textarea&gt;&lt;script&gt;") && !page.contains("<script>"), "{page}");
    let checked = browser.submit("/console/flows", &[("source", ORDERS), ("version", "0"), ("do", "check")]).await;
    assert!(checked.text().await.unwrap().contains("No mistakes. Nothing was deployed."));
    assert_eq!(server.get("/v1/flows").await["items"], json!([]));
    let deployed = browser.submit("/console/flows", &[("source", ORDERS), ("version", "0"), ("do", "deploy")]).await;
    assert_eq!(location(&deployed), "/console/flows/orders?deployed=true");
    let page = browser.page(location(&deployed)).await;
    let url = server.urls("orders").await[0].clone();
    assert!(
        page.contains("Version 1 is deployed.") && page.contains(&url) && page.contains("Deploy version 2"),
        "{page}"
    );
    // Two at once: the second sees who was first, and loses nothing.
    let path = "/console/flows/orders";
    let change = |to: &str| ORDERS.replace("100", to);
    let first = browser.submit(path, &[("source", &change("200")), ("version", "1"), ("do", "deploy")]).await;
    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    let second = browser.submit(path, &[("source", &change("300")), ("version", "1"), ("do", "deploy")]).await;
    assert_eq!(second.status(), StatusCode::CONFLICT);
    let page = second.text().await.unwrap();
    assert!(
        page.contains("Somebody has deployed version 2 in the meantime") && page.contains("data.total &gt; 300"),
        "{page}"
    );
    assert!(
        page.contains("-     when: data.total &gt; 200") && page.contains("+     when: data.total &gt; 300"),
        "{page}"
    );
    assert!(page.contains("name=\"version\" value=\"2\""));
    let again = browser.submit(path, &[("source", &change("300")), ("version", "2"), ("do", "deploy")]).await;
    assert_eq!(again.status(), StatusCode::SEE_OTHER);
    // The API says the same.
    let put = |version: &'static str| {
        server.api(Method::PUT, "/v1/flows/orders").header("if-match", version).body(change("400"))
    };
    let overtaken = put("\"2\"").send().await.unwrap();
    assert_eq!(overtaken.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(overtaken.json::<Value>().await.unwrap()["code"], "version_changed");
    assert_eq!(put("x").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(put("\"3\"").send().await.unwrap().json::<Value>().await.unwrap()["version"], 4);
    let page = browser.page(&format!("{path}/versions/1")).await;
    assert!(page.contains("Deploy this again") && page.contains("-     when: data.total &gt; 100"), "{page}");
    let back = browser.submit(&format!("{path}/versions/1/activate"), &[]).await;
    assert_eq!(back.status(), StatusCode::SEE_OTHER);
    assert_eq!(server.get("/v1/flows/orders").await["version"], 5);
    assert_eq!(browser.submit(&format!("{path}/disable"), &[]).await.status(), StatusCode::SEE_OTHER);
    assert!(browser.page(path).await.contains("its URLs answer 404"));
    assert_eq!(server.post(&url, &json!({ "total": 500 })).await.status(), StatusCode::NOT_FOUND);
    browser.submit(&format!("{path}/enable"), &[]).await;
    assert_eq!(server.post(&url, &json!({ "total": 500 })).await.status(), StatusCode::ACCEPTED);
    let seen = viewer.page(path).await;
    assert!(!seen.contains("<textarea") && !seen.contains("Disable") && seen.contains("data.total &gt; 100"), "{seen}");
    for path in ["/console/flows", path, "/console/flows/orders/disable", "/console/flows/orders/versions/1/activate"] {
        assert_eq!(viewer.submit(path, &[("source", ORDERS)]).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(browser.get("/console/flows/nothing").send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_plugin_is_uploaded_checked_called_and_removed() {
    let server = TestServer::start().await;
    let browser = Browser::of(&server, "author").await;
    let viewer = Browser::of(&server, "viewer").await;
    let page = browser.page("/console/plugins").await;
    assert!(page.contains("No plugin is here yet") && page.contains("enctype=\"multipart/form-data\""), "{page}");
    assert!(page.contains("<label for=\"file\">") && page.contains("<label for=\"plugin-name\">"), "{page}");
    let page = viewer.page("/console/plugins").await;
    assert!(!page.contains("type=\"file\"") && page.contains("needs author access"), "{page}");
    // What is no plugin is refused in its own words, and nothing of it is kept.
    let hostile = "<script>alert(1)</script>";
    for (name, file, content) in [
        ("", "notes.wasm", &b"not wasm"[..]),
        ("", "empty.wasm", b""),
        (hostile, "x.wasm", &plugin("field-match")),
        ("", hostile, &plugin("field-match")[..100]),
    ] {
        let refused = browser.upload("/console/plugins", &[("name", name), ("do", "upload")], file, content).await;
        assert!(refused.status().is_client_error(), "{}", refused.status());
        let page = refused.text().await.unwrap();
        assert!(page.contains("<b>Refused; nothing was kept.</b>") && !page.contains(hostile), "{page}");
    }
    // What was written is still there when it is wrong.
    let written = [("name", "big"), ("source", "export function condition( {\r\n  </textarea>"), ("do", "upload")];
    let refused = browser.upload("/console/plugins", &written, "", b"").await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("<b>Refused; nothing was kept.</b>") && page.contains("value=\"big\""), "{page}");
    assert!(page.contains("export function condition( {\n  &lt;/textarea&gt;</textarea>"), "{page}");
    let checked = [("name", ""), ("do", "check")];
    let checked = browser.upload("/console/plugins", &checked, "field_match.wasm", &plugin("field-match")).await;
    let page = checked.text().await.unwrap();
    assert!(page.contains("It would be accepted; nothing was kept.") && page.contains("condition; "), "{page}");
    assert_eq!(server.get("/v1/plugins").await["items"], json!([]));
    let no_form = browser.submit("/console/plugins", &[("name", "x")]).await;
    assert_eq!(no_form.status(), StatusCode::BAD_REQUEST);
    for path in ["/console/plugins", "/console/plugins/field-match"] {
        let refused = viewer.upload(path, &[("name", "")], "x.wasm", &plugin("field-match")).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let kept = [("name", ""), ("do", "upload")];
    let kept = browser.upload("/console/plugins", &kept, "field_match.wasm", &plugin("field-match")).await;
    assert_eq!((kept.status(), location(&kept)), (StatusCode::SEE_OTHER, "/console/plugins/field-match?uploaded=1"));
    let page = browser.page(location(&kept)).await;
    assert!(page.contains("Version 1 is called from now on.") && page.contains("sends no requests and keeps nothing"));
    assert!(page.contains("the schema of <code>with</code>") && page.contains("Upload another version"), "{page}");
    // A second version of it, and back.
    let path = "/console/plugins/field-match";
    let again = browser.upload(path, &[("do", "upload")], "whatever.wasm", &plugin("json-reshape")).await;
    assert_eq!(location(&again), "/console/plugins/field-match?uploaded=2");
    let page = browser.page(path).await;
    assert!(page.contains("Call version 1"), "{page}");
    assert!(!viewer.page(path).await.contains("Call version 1"));
    for action in ["versions/1/activate", "remove"] {
        let refused = viewer.submit(&format!("{path}/{action}"), &[]).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{action}");
    }
    assert_eq!(browser.submit(&format!("{path}/versions/9/activate"), &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(browser.submit(&format!("{path}/versions/x/activate"), &[]).await.status(), StatusCode::NOT_FOUND);
    browser.submit(&format!("{path}/versions/1/activate"), &[]).await;
    assert_eq!(server.get("/v1/plugins/field-match").await["active"], 1);
    let sample = browser.page("/console/plugins").await;
    let sample = sample.split("class=\"mono\">\n").nth(1).unwrap().split("</textarea>").next().unwrap();
    let sample = sample.replace("&gt;", ">");
    let written = [("name", "sample"), ("source", &*sample), ("do", "upload")];
    let written = browser.upload("/console/plugins", &written, "", b"").await;
    assert_eq!(location(&written), "/console/plugins/sample?uploaded=1");
    let page = browser.page(location(&written)).await;
    assert!(page.contains(" of js") && page.contains("<span class=\"outcome completed\">condition</span>"), "{page}");
    // A flow that asks it, drafted with a configuration that it takes.
    let page = browser.page("/console/new-flow?plugin=field-match").await;
    assert!(page.contains("plugin: field-match") && page.contains("with: {&quot;all&quot;:[{"), "{page}");
    let source = "flow: f\nsteps:\n  - trigger: T\n    when: { plugin: field-match, with: { all: [{ path: $.a, op: exists }] } }\n";
    server.deploy(source).await;
    let page = browser.page(path).await;
    assert!(page.contains("the flow <a href=\"/console/flows/f\">f</a>"), "{page}");
    let refused = browser.submit(&format!("{path}/remove"), &[]).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(refused.text().await.unwrap().contains("is needed by the flow f"));
    let unconfirmed = browser.submit("/console/flows/f/remove", &[("name", "g")]).await;
    assert_eq!(unconfirmed.status(), StatusCode::BAD_REQUEST);
    assert_eq!(viewer.submit("/console/flows/f/remove", &[("name", "f")]).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(browser.submit("/console/flows/f/remove", &[("name", "f")]).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(browser.submit(&format!("{path}/remove"), &[]).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(browser.get(path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_trigger_is_tried_and_says_what_became_of_it() {
    let server = TestServer::start().await;
    let browser = Browser::of(&server, "author").await;
    let url = server.deploy(ORDERS).await;
    let id = server.get("/v1/flows/orders").await["triggers"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/console/flows/orders/triggers/{id}");
    let page = browser.page(&path).await;
    assert!(page.contains(&url) && page.contains("by its URL alone") && page.contains("Send it"), "{page}");
    let viewer = Browser::of(&server, "viewer").await;
    assert!(!viewer.page(&path).await.contains("Send it"));
    let body = "{ \"total\": 20 }";
    let form = |url: &str, query: &str, headers: &str| {
        let fields = [("url", url), ("method", "POST"), ("query", query), ("headers", headers), ("body", body)];
        fields.map(|(name, value)| (name, value.to_owned()))
    };
    let send = async |by: &Browser<'_>, form: [(&str, String); 5]| {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        by.submit(&path, &form).await
    };
    let json = "content-type: application/json\r\nx-note: hello";
    assert_eq!(send(&viewer, form(&url, "", json)).await.status(), StatusCode::FORBIDDEN);
    // What is no request is said beside the form, which keeps what was typed; no other URL is called from here.
    for (to, query, headers) in [
        ("http://127.0.0.1:1/h/x", "", json),
        (&*url, "", "no header"),
        (&*url, "", "a b: c"),
        (&*url, "", "<script>alert(1)</script>"),
        (&*url, "a b", json),
    ] {
        let refused = send(&browser, form(to, query, headers)).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{to} {query} {headers}");
        let page = refused.text().await.unwrap();
        assert!(page.contains("<b>It was not sent.</b>") && page.contains("{ &quot;total&quot;: 20 }"), "{page}");
        assert!(!page.contains("<script>alert"), "{page}");
    }
    assert_eq!(server.get("/v1/callbacks").await["items"], json!([]));
    let sent = send(&browser, form(&url, "a=1", json)).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let page = browser.page(location(&sent)).await;
    assert!(page.contains("by condition: <code>data.total &gt; 100</code> is false"), "{page}");
    let kept = server.get(&location(&sent).replace("/console", "/v1")).await;
    assert_eq!((kept["query"].as_str(), kept["body"].as_str()), (Some("a=1"), Some(body)), "{kept}");
    assert!(kept["headers"].to_string().contains("hello"));
    // One that leads nowhere is answered, and there is nothing to go on to.
    browser.submit("/console/flows/orders/disable", &[]).await;
    let nowhere = send(&browser, form(&url, "", json)).await.text().await.unwrap();
    assert!(nowhere.contains("It was answered 404, and is not kept."), "{nowhere}");
    assert!(nowhere.contains("its URLs answer 404 until the flow is enabled"));
    let missing = browser.get("/console/flows/orders/triggers/none").send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_first_page_says_what_comes_next() {
    let server = TestServer::start().await;
    let browser = Browser::of(&server, "author").await;
    let at_first = async || location(&browser.get("/console").send().await.unwrap()).to_owned();
    assert_eq!(at_first().await, "/console/start");
    let done = |page: &str| page.matches("class=\"step done\"").count();
    let page = browser.page("/console/start").await;
    assert!(done(&page) == 0 && page.contains("type=\"file\""), "{page}");
    let fields = [("tour", "yes"), ("do", "upload")];
    let kept = browser.upload("/console/plugins", &fields, "field-match.wasm", &plugin("field-match")).await;
    assert_eq!(location(&kept), "/console/start");
    let page = browser.page("/console/start").await;
    assert!(done(&page) == 1 && page.contains("/console/new-flow?plugin=field-match"), "{page}");
    let draft = browser.page("/console/new-flow?plugin=field-match").await;
    let draft = draft.split("aria-describedby=\"said\">\n").nth(1).unwrap().split("</textarea>").next().unwrap();
    let draft = draft.replace("&quot;", "\"").replace("&gt;", ">");
    let deployed = browser.submit("/console/flows", &[("source", &draft), ("version", "0"), ("do", "deploy")]).await;
    assert_eq!(deployed.status(), StatusCode::SEE_OTHER, "{draft}: {}", deployed.text().await.unwrap());
    assert_eq!(at_first().await, "/console/callbacks");
    let url = server.urls("field-match").await[0].clone();
    let page = browser.page("/console/start").await;
    assert!(done(&page) == 2 && page.contains(&url), "{page}");
    server.post(&url, &json!({ "total": 500 })).await;
    assert_eq!(done(&browser.page("/console/start").await), 3);
    server.post(&url, &json!({ "total": 20 })).await;
    let page = browser.page("/console/start").await;
    assert!(done(&page) == 4 && page.contains("by condition: the plugin field-match says false"), "{page}");
    let viewer = Browser::of(&server, "viewer").await;
    assert!(!viewer.page("/console/start").await.contains("Send one from here"));
}
