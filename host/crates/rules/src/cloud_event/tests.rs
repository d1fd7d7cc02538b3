use super::{Mode, attributes};
use http::{HeaderMap, HeaderName};
use ringback_records::callback::Request;
use ringback_records::stop::Stop;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

fn request(headers: &[(&str, &str)], body: &[u8]) -> Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    Request { headers: map, body: bytes::Bytes::copy_from_slice(body), ..Request::for_testing() }
}

fn read(request: &Request) -> Result<Value, Stop> {
    super::read(request, |what, _| Stop::refused(400, "malformed_json", "It is no JSON.", what))
}

fn structured(event: &Value) -> Request {
    request(&[("content-type", STRUCTURED)], event.to_string().as_bytes())
}

/// The least event there can be, with these members, or without those that are null here.
fn event(changes: &Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": "minimal", "type": "io.cloudevents.test", "source": "https://cloudevents.io" });
    for (name, value) in changes.as_object().unwrap() {
        match (value, event.as_object_mut().unwrap()) {
            (Value::Null, event) => drop(event.shift_remove(name)),
            (value, event) => drop(event.insert(name.clone(), value.clone())),
        }
    }
    event
}

fn refused(request: &Request) -> (u16, &'static str, String, String) {
    let stop = read(request).unwrap_err();
    let pointer = stop.misplaced.map(|misplaced| misplaced.pointer).unwrap_or_default();
    (stop.problem.status, stop.problem.code, pointer, stop.reason)
}

/// `format/json/invalid-events.json` of <https://github.com/cloudevents/conformance> (Apache-2.0), each by what tells it from the least
/// event.
#[test]
fn the_events_of_the_conformance_suite_that_are_none_are_refused() {
    for (member, changes) in [
        ("specversion", json!({ "specversion": null })),
        ("id", json!({ "id": null })),
        ("type", json!({ "type": null })),
        ("source", json!({ "source": null })),
        ("time", json!({ "time": "lunchtime" })),
        ("time", json!({ "time": "2018-04-05T18:31Z" })),
        ("time", json!({ "time": "2018-04-05T18:31:00X" })),
        ("time", json!({ "time": "2018-04-05T18:31:00+25:00" })),
        ("time", json!({ "time": "2018-04-05T18:31:00+xx:00" })),
        ("time", json!({ "time": "2018-04-05T18:31:00+05" })),
        ("id", json!({ "id": "" })),
        ("type", json!({ "type": "" })),
        ("source", json!({ "source": "" })),
        ("specversion", json!({ "specversion": "" })),
        ("specversion", json!({ "specversion": "0.9" })),
        ("datacontenttype", json!({ "datacontenttype": "xyz" })),
        ("datacontenttype", json!({ "datacontenttype": "" })),
        ("dataschema", json!({ "dataschema": "" })),
        ("subject", json!({ "subject": "" })),
        ("id", json!({ "id": 25 })),
        ("id", json!({ "id": { "xyz": "abc" } })),
        ("MyExtension", json!({ "MyExtension": "bad" })),
        ("my.extension", json!({ "my.extension": "bad" })),
        ("my.extension", json!({ "my.extension": 1.5 })),
        ("data_base64", json!({ "data": "text", "data_base64": "eyAieHl6IjogMTIzIH0=" })),
        // And more of them.
        ("extension", json!({ "extension": 1.5 })),
        ("extension", json!({ "extension": 2_147_483_648_u32 })),
        ("extension", json!({ "extension": [] })),
        ("id", json!({ "id": "a\u{7}b" })),
        ("time", json!({ "time": "2018-02-30T18:31:00Z" })),
        ("time", json!({ "time": "2018-04-05 18:31:00Z" })),
        ("data_base64", json!({ "data_base64": "%" })),
        ("data_base64", json!({ "data_base64": 1 })),
        ("data", json!({ "data_base64": "eyA=" })),
    ] {
        let found = refused(&structured(&event(&changes)));
        assert_eq!(
            (found.0, found.1, &*found.2),
            (400, "malformed_event", &*format!("/{member}")),
            "{changes}: {}",
            found.3
        );
        assert_eq!(attributes(&structured(&json!({})), &event(&json!({ "id": null }))), Value::Null);
    }
    for body in ["[]", "1", "null"] {
        assert_eq!(refused(&request(&[("content-type", STRUCTURED)], body.as_bytes())).1, "malformed_event", "{body}");
    }
    assert_eq!(refused(&request(&[("content-type", STRUCTURED)], b"{")).1, "malformed_json");
    for kind in [JSON, "application/cloudevents+xml", "application/cloudevents-batch+avro", "text/plain"] {
        assert_eq!(refused(&request(&[("content-type", kind)], b"{}")).0, 415, "{kind}");
    }
}

/// `format/json/valid-events.json` of the same.
#[test]
fn the_events_of_the_conformance_suite_are_events() {
    let minimal = event(&json!({}));
    for (changes, expected) in [
        (json!({}), json!({})),
        (
            json!({ "datacontenttype": "text/plain", "dataschema": "https://cloudevents.io/dataschema", "subject": "tests" }),
            json!({}),
        ),
        (json!({ "time": "2018-04-05T17:31:00Z" }), json!({})),
        (json!({ "time": "2018-04-05T17:31:00.000000000Z" }), json!({})),
        (json!({ "time": "2018-04-05T18:31:00+01:00" }), json!({})),
        (json!({ "time": "2018-04-05T16:31:00-01:00" }), json!({})),
        (json!({ "source": "#fragment" }), json!({})),
        (json!({ "datacontenttype": "text/plain", "data": "Simple text" }), json!({})),
        (
            json!({
                "extinteger": 10, "extboolean": true, "extstring": "text", "exturi": "https://cloudevents.io",
                "exturiref": "//authority/path", "exttimestamp": "2023-03-31T15:12:00Z", "extbinary": "TWE="
            }),
            json!({ "extinteger": "10", "extboolean": "true" }),
        ),
        (json!({ "data_base64": "eyJhIjoxfQ==" }), json!({ "data_base64": null, "data": { "a": 1 } })),
        (
            json!({ "datacontenttype": "Text/Plain; charset=utf-8", "data_base64": "YQ==" }),
            json!({ "data_base64": null, "data": "a" }),
        ),
        (json!({ "datacontenttype": "image/png", "data_base64": "/w==" }), json!({})),
    ] {
        let sent = event(&changes);
        let mut expected_event = sent.clone();
        for (name, value) in expected.as_object().unwrap() {
            let members = expected_event.as_object_mut().unwrap();
            if value.is_null() {
                drop(members.shift_remove(name))
            } else {
                drop(members.insert(name.clone(), value.clone()))
            }
        }
        assert_eq!(read(&structured(&sent)).unwrap(), expected_event, "{sent}");
        // What is absent may be null.
        let mut with_nulls = sent.clone();
        for name in ["datacontenttype", "dataschema", "subject", "time", "data"] {
            with_nulls.as_object_mut().unwrap().entry(name).or_insert(Value::Null);
        }
        if sent.get("data_base64").is_none() && sent.get("data").is_none() {
            let read = read(&structured(&with_nulls)).unwrap();
            assert_eq!((&read["data"], &read["id"]), (&Value::Null, &sent["id"]), "{with_nulls}");
        }
        let mut seen = expected_event;
        seen.as_object_mut().unwrap().retain(|name, _| !["data", "data_base64"].contains(&name.as_str()));
        assert_eq!(attributes(&structured(&sent), &sent), seen);
    }
    assert_eq!(read(&structured(&minimal)).unwrap(), minimal);
}

/// `features/http-protocol-binding.feature` of the same, in both modes, and the percent-encoding of the specification (3.1.3.2).
#[test]
fn an_event_is_the_same_in_headers_and_in_the_body() {
    let body = json!({ "message": "Hello World!" });
    let attributes_of = |kind: &str| {
        json!({
            "specversion": "1.0", "type": "com.example.someevent", "time": "2018-04-05T03:56:24Z", "id": "1234-1234-1234",
            "source": "/mycontext/subcontext", "datacontenttype": kind
        })
    };
    for kind in [JSON, "application/json; charset=utf-8"] {
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-type", "com.example.someevent"),
            ("ce-time", "2018-04-05T03:56:24Z"),
            ("CE-ID", "1234-1234-1234"),
            ("ce-source", "/mycontext/subcontext"),
            ("Content-Type", kind),
        ];
        let binary = request(&headers, body.to_string().as_bytes());
        let mut whole = attributes_of(kind);
        whole["data"] = body.clone();
        assert_eq!((Mode::of(&binary), read(&binary).unwrap()), (Some(Mode::Binary), whole.clone()));
        assert_eq!(attributes(&binary, &body), attributes_of(kind));
        for envelope in [STRUCTURED, "Application/CloudEvents+JSON; charset=utf-8"] {
            let structured = request(&[("content-type", envelope)], whole.to_string().as_bytes());
            assert_eq!(read(&structured).unwrap(), whole);
        }
    }
    let base = [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-id", "1"), ("ce-source", "/s")];
    let with = |more: &[(&str, &str)], body: &[u8]| request(&[&base[..], more].concat(), body);
    for (value, expected) in [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("\"a \\\"b\\\" %41\"", "a \"b\" A"),
        ("100%", "100%"),
        ("Euro €", "Euro €"),
    ] {
        let found = read(&with(&[("ce-text", value)], b"")).unwrap();
        assert_eq!((&found["text"], found.get("data")), (&json!(expected), None), "{value}");
    }
    for (headers, expected) in [
        (&[("ce-text", "%ff")][..], "/text"),
        (&[("ce-text", "\"a")], "/text"),
        (&[("ce-text", "%0a")], "/text"),
        (&[("ce-text", "a"), ("ce-text", "b")], "/text"),
        (&[("ce-text-a", "a")], "/text-a"),
        (&[("ce-datacontenttype", "text/plain")], "/datacontenttype"),
        (&[("ce-time", "now")], "/time"),
        (&[("content-type", "x")], "/datacontenttype"),
        (&[("content-type", JSON)], "/data"),
    ] {
        let found = refused(&with(headers, b"{"));
        assert_eq!((found.1, &*found.2), ("malformed_event", expected), "{headers:?}: {}", found.3);
        if expected != "/data" {
            assert_eq!(attributes(&with(headers, b"{"), &Value::Null), Value::Null, "{headers:?}");
        }
    }
    let text = read(&with(&[("content-type", "text/csv")], b"a,b")).unwrap();
    let bytes = read(&with(&[("content-type", "image/png")], &[0xFF])).unwrap();
    assert_eq!((&text["data"], &bytes["data_base64"], bytes.get("data")), (&json!("a,b"), &json!("/w=="), None));
}

/// `format/json/invalid-batches.json` of the same, and batches that are right.
#[test]
fn a_batch_is_a_list_of_events_and_says_which_is_wrong() {
    let batch = |events: Value| request(&[("content-type", BATCH)], events.to_string().as_bytes());
    let minimal = event(&json!({}));
    for (events, pointer) in [
        (json!([minimal, event(&json!({ "specversion": "0.9" }))]), "/1/specversion"),
        (json!([event(&json!({ "id": null }))]), "/0/id"),
        (json!(["not an object", minimal]), "/0"),
        (minimal.clone(), ""),
        (json!([minimal, minimal, event(&json!({ "a/b": "c" }))]), "/2/a~1b"),
    ] {
        let found = refused(&batch(events));
        assert_eq!((found.0, found.1, &*found.2), (400, "malformed_event", pointer), "{}", found.3);
    }
    let second = event(&json!({ "id": "2", "data_base64": "MQ==" }));
    let read = read(&batch(json!([minimal, second]))).unwrap();
    assert_eq!(read, json!([minimal, event(&json!({ "id": "2", "data": 1 }))]));
    assert_eq!(self::read(&batch(json!([]))).unwrap(), json!([]));
}
