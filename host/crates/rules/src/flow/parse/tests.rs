use super::parse;
use crate::flow::{Parsed, Step};
use crate::verify::{DESCRIBED, providers, schemes};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn mistakes(source: &str) -> Vec<String> {
    parse(source, 1).unwrap_err().iter().map(ToString::to_string).collect()
}

fn only(source: &str) -> String {
    let mistakes = mistakes(source);
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    mistakes.into_iter().next().unwrap()
}

fn parsed(source: &str) -> Parsed {
    parse(source, 1).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// A flow with these lines added to its trigger.
fn trigger(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("flow: test\nsteps:\n  - trigger: Hook\n{lines}")
}

/// A synchronous flow with these lines as further steps.
fn steps(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("flow: test\nsteps:\n  - trigger: Hook\n    mode: sync\n{lines}")
}

#[test]
fn every_mistake_is_reported_with_line_and_column() {
    let found = mistakes(
        "flow: Test\nsteps:\n  - trigger: Hook\n    verfy: none\n    parse: xlm\n    when: 'data.a ='\n  - plug: x\n",
    );
    let starts: Vec<&str> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(starts, ["1:7", "4:5", "5:12", "6:11", "7:5"], "{found:#?}");
    assert!(found[1].contains("did you mean `verify`?"), "{}", found[1]);
    assert!(found[4].contains("did you mean `plugin`?"), "{}", found[4]);
}

/// A-FR-4: the first step is the one trigger that starts executions.
#[test]
fn what_a_flow_needs_is_said() {
    assert!(only("a").contains("expected a flow"));
    assert!(only("flow: a\nsteps: []").contains("at least one step"));
    assert!(only("flow: a\nsteps:\n  - fail: x").contains("first step must be a `trigger`"));
    assert!(mistakes("steps: 1\n").iter().any(|mistake| mistake.contains("`flow` is missing")));
    assert!(only(&steps("- trigger: Hook")).contains("the same id"));
    assert!(only(&steps("- trigger: Second\n  id: hook")).contains("the same id"));
    assert!(only("flow: a\nsteps:\n  - trigger: '!!'").contains("give it an `id:`"));
}

#[test]
fn verification_is_checked() {
    for (lines, expected) in [
        ("verify: maybe", "allowed: none"),
        ("verify: { secret: A }", "needs `scheme`"),
        ("verify: { scheme: githab, secret: A }", "did you mean `github`?"),
        ("verify: { scheme: github }", "`secret` is missing"),
        ("verify: { scheme: github, secret: 'a b' }", "not the name of a secret"),
        ("verify: { scheme: github, secret: [] }", "list of 1 to 4 names"),
        ("verify: { scheme: github, secret: A, header: x }", "has no `header`"),
        ("verify: { scheme: hmac, secret: A }", "either `header` or `query`"),
        ("verify: { scheme: hmac, secret: A, header: 'a b' }", "name of a header"),
        ("verify: { scheme: hmac, secret: A, header: x, algorithm: md5 }", "allowed: sha256, sha1, sha384, sha512"),
        ("verify: { scheme: hmac, secret: A, header: x, signed: '{bdy}' }", "no {bdy}"),
        ("verify: { scheme: hmac, secret: A, header: x, signed: 'x' }", "must contain {body}"),
        ("verify: { scheme: hmac, secret: A, header: x, signed: '{timestamp}.{body}' }", "needs `timestamp_header`"),
        ("verify: { scheme: hmac, secret: A, header: x, timestamp_header: t }", "not signed proves nothing"),
        ("verify: { scheme: standard-webhooks, secret: A, tolerance: 5 }", "expected a text"),
        ("verify: { scheme: standard-webhooks, secret: A, tolerance: 2h }", "a duration from"),
    ] {
        let found = only(&trigger(lines));
        assert!(found.contains(expected), "{lines}: {found}");
    }
}

#[test]
fn conditions_fields_and_replies_are_checked() {
    for (lines, expected) in [
        ("when: 5", "CEL expression in quotes"),
        ("when: dta.a == 1", "did you mean `data`?"),
        ("when: { jsonpath: a }", "begin with `$`"),
        ("when: { all: [] }", "at least one condition"),
        ("when: { all: ['true'], not: 'true' }", "exactly one of"),
        ("when: { every: [] }", "has no `every`"),
        ("fields: { a: 'b' }", "begin with `$`"),
        ("fields: [a]", "aliases and paths"),
        ("reply: { status: 100 }", "200 to 599"),
        ("reply: { json: 1, text: a }", "either `json` or `text`"),
        ("reply: { status: 204, json: 1 }", "an answer with the status 204 has no body"),
        ("reply: { status: 205, text: a }", "an answer with the status 205 has no body"),
        ("reply: { status: 304, text: '' }", "an answer with the status 304 has no body"),
        ("reply: { headers: { 'Content-Length': '1' } }", "host"),
        ("reply: { plugin: x, status: 200 }", "has no `status`"),
        ("methods: [TRACE]", "allowed: GET"),
        ("methods: []", "at least one method"),
        ("respond_within: 5s", "only for `mode: sync`"),
        ("timeout: 5s", "an execution waits at"),
        ("mailbox: off", "an execution waits at"),
        ("dedupe: never", "allowed: off"),
        ("dedupe: { window: 0s }", "a duration from"),
        ("dedupe: { by: 1 }", "expected a text"),
        ("mode: sinc", "did you mean `sync`?"),
        ("face: grex", "allowed: native"),
        ("reply: { json: '${{ execution.id' }", "not closed"),
    ] {
        let found = mistakes(&trigger(lines)).join("\n");
        assert!(found.contains(expected), "{lines}: {found}");
    }
}

#[test]
fn steps_are_checked() {
    for (lines, expected) in [
        ("- set: { data: 1 }", "meaning of its own"),
        ("- set: { 'a-b': 1 }", "letters, digits and `_`"),
        ("- set: { a: '${{ b }}' }", "no `b` here"),
        ("- if: 'true'", "`then` is missing"),
        ("- if: true\n  then: []", "expected a text"),
        ("- plugin: X", "not a name"),
        ("- plugin: x\n  as: secrets", "meaning of its own"),
        ("- respond: { end: 1 }", "true or false"),
        ("- fail: { msg: x }", "`message` is missing"),
        ("- { plugin: x, nothing: 1 }", "has no `nothing`"),
        ("- trigger: Second\n  on_timeout: fail", "needs a `timeout`"),
        ("- trigger: Second\n  timeout: 5s\n  on_timeout: stop", "allowed: continue, fail"),
        ("- trigger: Second\n  timeout: 5s\n  on_timeout: { a: 1 }", "a list of steps"),
        ("- trigger: Second\n  mailbox: { for: 1h }", "has no `for`"),
        ("- delay: 5", "expected a text"),
        ("- delay: 5 minutes", "is not a duration"),
        ("- delay: { until: 1 }", "expected a text"),
        ("- http: {}", "`url` is missing"),
        ("- http: { url: x, body: 1 }", "has no `body`"),
        ("- http: { url: x, json: 1, text: a }", "either `json` or `text`"),
        ("- http: { url: x, retry: { attempts: 0 } }", "from 1 to 20"),
        ("- http: { url: x, headers: { Host: a } }", "the server's to set"),
        ("- http: { url: x, method: TRACE }", "allowed: GET"),
        ("- set: { a: '${{ secrets.A }}' }", "only there in the URL"),
        ("- http: { url: 'https://a.example/${{ secrets[data.a] }}' }", "`secrets.NAME`"),
    ] {
        let found = mistakes(&steps(lines)).join("\n");
        assert!(found.contains(expected), "{lines}: {found}");
    }
    assert!(only(&(trigger("") + "  - respond: { status: 200 }\n")).contains("mode: sync"));
}

#[test]
fn a_flow_becomes_blocks_of_steps() {
    let parsed = parsed(&steps(
        "- plugin: score\n  with: { threshold: 0.8, id: '${{ execution.id }}' }\n  as: fraud\n- if: fraud.score > 0.8\n  \
             then:\n    - fail: 'score ${{ fraud.score }}'\n  else:\n    - set: { ok: true }\n- respond: { json: { ok: '${{ ok }}' }, end: true }",
    ));
    let paths = |steps: &[Step]| -> Vec<(String, usize)> {
        steps.iter().map(|step| (step.path.clone(), step.number)).collect()
    };
    let at = |path: &str, number| (path.to_owned(), number);
    let steps = &parsed.flow.steps;
    assert_eq!(paths(steps), [at("steps[0]", 0), at("steps[1]", 1), at("steps[2]", 2), at("steps[3]", 6)]);
    let [then, otherwise] = steps[2].kind.blocks() else { panic!("{steps:?}") };
    // Between them was a jump once, the step 4.
    assert_eq!((paths(then), paths(otherwise)), (vec![at("steps[2].then[0]", 3)], vec![at("steps[2].else[0]", 5)]));
    assert_eq!(parsed.plugins.len(), 1);
    assert!(parsed.plugins[0].config.is_none(), "it depends on the execution");
    assert_eq!(parsed.flow.triggers[0].id.as_str(), "hook");
}

/// Schemes are listed by the parser alone. One that the schema or the manual lacks is printed as it belongs there.
#[test]
fn the_schema_and_the_manual_have_every_scheme() {
    let schema: Value = serde_json::from_str(crate::flow::SCHEMA).unwrap();
    let resolved = |way: &Value| match way["$ref"].as_str() {
        Some(name) => schema.pointer(name.trim_start_matches('#')).unwrap().clone(),
        None => way.clone(),
    };
    let ways: Vec<Value> = schema["$defs"]["verify"]["oneOf"].as_array().unwrap().iter().map(resolved).collect();
    let names = |way: &Value| -> Vec<String> {
        let scheme = &way["properties"]["scheme"];
        let several = scheme["enum"].as_array().map_or(&[][..], Vec::as_slice);
        scheme.get("const").into_iter().chain(several).map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let mut known: Vec<String> = ways.iter().flat_map(names).collect();
    let mut listed = schemes();
    known.sort();
    listed.sort_unstable();
    assert_eq!(known, listed, "the schema has other schemes");
    let may_be_absent = ["tolerance", "url", "enforce"];
    for provider in providers() {
        let name = provider.name;
        let way = ways.iter().find(|way| names(way).iter().any(|known| known == name)).unwrap();
        let keys: BTreeSet<&str> = way["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, provider.keys().into_iter().collect(), "{name} in the schema");
        let needed: Vec<&str> = provider.keys().into_iter().filter(|key| !may_be_absent.contains(key)).collect();
        assert_eq!(way["required"], json!(needed), "{name} in the schema");
    }
    let manual = crate::flow::schema::README;
    for other in DESCRIBED.iter().filter(|name| **name != "none") {
        let rows = manual.matches(&format!("\n| `{{ scheme: {other}, ")).count();
        assert_eq!(rows, 1, "{other} in the manual's table of verification");
    }
}

/// The manual's table of providers is the catalogue: where it is not, it is printed.
#[test]
fn the_manual_has_the_catalogue_of_providers() {
    let manual = include_str!("../../../../../../docs/providers.md");
    let row = |provider: &crate::verify::Provider| {
        let mut said = vec![provider.proof()];
        said.extend(provider.question().map(|question| format!("Answers {question}.")));
        said.extend((!provider.note.is_empty()).then(|| provider.note.to_owned()));
        format!(
            "| `{}` | [{}]({}) | {} |\n",
            provider.name,
            provider.title,
            provider.docs,
            said.join(". ").replace("..", ".").replace('|', "\\|")
        )
    };
    let table: String = providers().iter().map(row).collect();
    let rows: Vec<&str> = manual.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.join("\n") + "\n" == table, "docs/providers.md has another table than this:\n{table}");
    assert!(manual.contains(&format!("These {} providers", providers().len())), "{} providers", providers().len());
}

#[test]
fn a_scheme_that_is_unknown_gets_the_nearest_name() {
    for (verify, expected) in [
        ("{ scheme: githb, secret: S }", "did you mean `github`?"),
        ("{ scheme: githb, secret: S }", "`ringback verify list`"),
        ("{ scheme: hmca, secret: S, header: x }", "did you mean `hmac`?"),
        ("{ scheme: somebody, secret: S }", "is no scheme; there are none, standard-webhooks"),
        ("{ secret: S }", "needs `scheme`"),
        ("{ scheme: github }", "`secret` is missing"),
        ("{ scheme: github, secret: S, tolerance: 5m }", "has no `tolerance`"),
        ("{ scheme: github, secret: S, url: 'https://a.example' }", "has no `url`"),
        ("{ scheme: square, secret: S, url: ftp://a }", "the https URL"),
        ("{ scheme: github, secret: S, enforce: maybe }", "true or false"),
        ("{ scheme: hmac, secret: S }", "either `header` or `query`"),
        ("{ scheme: hmac, secret: S, header: x, query: y }", "either `header` or `query`"),
        ("{ scheme: hmac, secret: S, header: x, algorithm: ed25519 }", "not an algorithm"),
        ("{ scheme: signature, secret: S, header: x }", "`algorithm` is missing"),
        ("{ scheme: signature, secret: S, header: x, algorithm: sha256 }", "not an algorithm"),
        ("{ scheme: hmac, secret: S, header: x, value: 'v1=' }", "must contain {signature}"),
        ("{ scheme: hmac, secret: S, header: x, value: '{signature}', prefix: a }", "what stands before the signature"),
        ("{ scheme: hmac, secret: S, header: x, value: 't={timestamp},v1={signature}' }", "proves nothing"),
        ("{ scheme: hmac, secret: S, header: x, value: 'v={signature}', separator: ab }", "one character"),
        ("{ scheme: hmac, secret: S, header: x, signed: '{timestamp}{body}' }", "needs `timestamp_header`"),
        ("{ scheme: hmac, secret: S, header: x, signed: '{header:x-y}' }", "must contain {body}"),
        ("{ scheme: hmac, secret: S, header: x, signed: '{other:x}{body}' }", "is no place"),
        ("{ scheme: hmac, secret: S, header: x, signed: '{nothing}{body}' }", "there is no {nothing} to sign"),
        ("{ scheme: http-message-signatures, secret: S }", "`algorithm` is missing"),
        ("{ scheme: http-message-signatures, secret: S, algorithm: sha256 }", "not an algorithm"),
        ("{ scheme: http-message-signatures, secret: S, algorithm: ed25519, covered: date }", "a list of headers"),
        (
            "{ scheme: http-message-signatures, secret: S, algorithm: ed25519, covered: ['a b'] }",
            "the name of a header",
        ),
        (
            "{ scheme: http-message-signatures, secret: S, algorithm: ed25519, covered: ['@methods'] }",
            "or one of @method, @target-uri",
        ),
        (
            "{ scheme: http-message-signatures, secret: S, algorithm: ed25519, covered: ['@query-param'] }",
            "or one of @method, @target-uri",
        ),
        ("{ scheme: plaid, secret: S }", "`client_id` is missing"),
        ("{ scheme: plaid, client_id: C, secret: S, url: plaid }", "the https URL"),
        ("{ scheme: paypal }", "`webhook_id` is missing"),
        ("{ scheme: sns }", "`topics` is missing"),
        ("{ scheme: sns, topics: [] }", "the ARNs of topics"),
        ("{ scheme: sns, topics: [orders] }", "the ARNs of topics"),
        ("{ scheme: sns, topics: ['arn:aws:sns:a:1:b'], confirm: maybe }", "true or false"),
        ("{ scheme: api-key, secret: S }", "either `header` or `query`"),
        ("{ scheme: basic, secret: S, header: x }", "has no `header`"),
    ] {
        let found = mistakes(&trigger(&format!("verify: {verify}"))).join("\n");
        assert!(found.contains(expected), "{verify}: {found}");
    }
    for verify in [
        "{ scheme: zoom, secret: S, tolerance: 1m, enforce: false }",
        "{ scheme: square, secret: [S, T], url: 'https://a.example/x' }",
        "{ scheme: api-key, secret: S, query: key }",
        "{ scheme: api-key, secret: S, header: X-Door, prefix: 'Bearer ' }",
        "{ scheme: basic, secret: S }",
        "{ scheme: plaid, client_id: C, secret: S, url: 'https://sandbox.plaid.com' }",
        "{ scheme: paypal, webhook_id: 1JE4291016473214C }",
        "{ scheme: sns, topics: ['arn:aws:sns:us-east-2:123456789012:orders'], confirm: true, enforce: false }",
        "{ scheme: http-message-signatures, secret: S, algorithm: hmac-sha256, key: base64, covered: ['@Method', '@query', Date] }",
        "{ scheme: signature, secret: S, header: x, algorithm: rsa, timestamp_header: t, signed: '{timestamp}{body}' }",
        "{ scheme: hmac, secret: S, query: sig, key: hex, value: 'a={signature}', separator: ';' }",
        "{ scheme: hmac, secret: S, header: x, value: 't={timestamp},v1={signature}', signed: '{timestamp}.{body}' }",
        "{ scheme: hmac, secret: S, header: x, signed: '{body}{header:x-nonce}{query:a}{method}{path}{url}' }",
    ] {
        parsed(&trigger(&format!("verify: {verify}")));
    }
}

/// What carries a secret is kept of no callback, whatever its name.
#[test]
fn a_header_that_is_the_secret_cannot_be_picked() {
    for verify in ["{ scheme: api-key, secret: S, header: x-door }", "{ scheme: cloudflare, secret: S }"] {
        let name = if verify.contains("door") { "x-door" } else { "cf-webhook-auth" };
        let picks = format!("verify: {verify}\nfields: {{ door: {{ header: {name} }} }}");
        assert!(!mistakes(&trigger(&picks)).is_empty(), "{verify}");
        let hidden = parsed(&trigger(&format!("verify: {verify}"))).flow.triggers[0].redact.clone();
        let none = crate::redact::Names::default();
        let lists = crate::redact::Lists { of_server: &none, of_trigger: Some(&hidden) };
        assert!(lists.hide_header(name), "{verify}");
    }
}

/// S11: a name or a member that can never be there is a mistake of the flow, and not of its callers.
#[test]
fn s11_what_can_never_be_there_is_a_mistake_with_a_suggestion() {
    let fields = "fields: { order_id: $.id, total: $.total }\n";
    for (lines, expected) in [
        ("when: fields.order == 'x'", "there is no `fields.order`; the trigger picks order_id, total"),
        ("when: fields['order_ids'] == 'x'", "did you mean `order_id`?"),
        ("when: has(fields.totl)", "did you mean `total`?"),
        ("when: execution.id == 'x'", "no `execution` yet: no execution has begun"),
        ("when: triggers['Hook'].data.a == 1", "no `triggers` yet"),
        ("when: callback.heders.a == 'x'", "no `callback.heders` (did you mean `headers`?)"),
        ("when: flow.version == 1", "no `flow.version`; there are name"),
        ("when: environment.nam == 'x'", "did you mean `name`?"),
        ("reply: { json: '${{ execution.started_at }}' }", "no `execution.started_at`; there are id"),
        ("reply: { json: '${{ triggers.Hok.data }}' }", "did you mean `Hook`?"),
        ("reply: { json: '${{ triggers[\"Hook\"].fields.totals }}' }", "did you mean `total`?"),
        ("parse: { plugin: p, with: { a: '${{ data.a }}' } }", "no `data` yet: the body is not read"),
        ("dedupe: { by: '${{ execution.id }}' }", "no `execution` yet"),
    ] {
        let found = only(&trigger(&format!("{fields}{lines}")));
        assert!(found.contains(expected), "{lines}: {found}");
    }
    let fields = "  - trigger: Second\n    fields: { a: $.a }\n";
    for (lines, expected) in [
        ("  - set: { x: '${{ triggers.Third.data }}' }\n  - trigger: Third\n", "no trigger `Third` comes before this"),
        ("  - set: { x: '${{ triggers[\"Second\"].dta }}' }\n", "no `triggers[\"Second\"].dta` (did you mean `data`?)"),
        ("  - set: { x: '${{ triggers.Hook.fields.a }}' }\n", "the trigger picks no `fields`"),
        ("  - set: { x: '${{ fields.b }}' }\n", "no `fields.b`"),
        ("  - set: { x: '${{ callback.id }}' }\n", "`callback` is only there in a trigger"),
        (
            "  - http: { url: 'https://example.com' }\n    as: mail\n  - set: { x: '${{ mail.statsu }}' }\n",
            "did you mean `status`?",
        ),
        (
            "  - ticket: { response: { body: a } }\n    as: t\n  - set: { x: '${{ t.link }}' }\n",
            "there are url, state, id",
        ),
        ("  - set: { x: '${{ y }}', y: 1 }\n", "there is no `y` here"),
    ] {
        let found = only(&format!("flow: test\nsteps:\n  - trigger: Hook\n{fields}{lines}"));
        assert!(found.contains(expected), "{lines}: {found}");
    }
    parsed(&format!(
        "flow: test\nsteps:\n  - trigger: Hook\n    reply: {{ json: '${{{{ triggers.Hook.data.x + fields[data.x] + data.items.map(f, f.b) }}}}' }}\n\
         {fields}    when: triggers.Hook.data.n == data.n && callback.query.a == fields.a\n    \
         on_timeout: [fail: '${{{{ string(triggers.Second.timed_out) }}}}']\n    timeout: 1h\n  \
         - set: {{ list: '${{{{ triggers.Second.fields.a }}}}', int: 1 }}\n  - set: {{ x: '${{{{ list.anything + int(fields.a) }}}}' }}\n"
    ));
}

/// K10: a pause that can never end is a mistake now, and not weeks later.
#[test]
fn k10_a_constant_pause_is_checked() {
    for (delay, expected) in [
        ("{ until: nonsense }", "`nonsense` is not a time"),
        ("{ until: 2026-02-30T00:00:00Z }", "is not a time"),
        ("'forever'", "duration"),
    ] {
        let found = only(&steps(&format!("- delay: {delay}")));
        assert!(found.contains(expected), "{delay}: {found}");
    }
    parsed(&steps("- delay: { until: 2026-12-24T18:00:00Z }\n- delay: { until: '${{ data.at }}' }"));
}

/// NB-30, S1: where the first trigger is NocoBase's, a response ends the flow, unless it says otherwise.
#[test]
fn s1_a_response_ends_a_flow_of_nocobase() {
    for (face, end, expected) in [
        ("nocobase", "", true),
        ("nocobase", ", end: false", false),
        ("native", "", false),
        ("native", ", end: true", true),
    ] {
        let source = format!(
            "flow: test\nsteps:\n  - trigger: Hook\n    face: [{face}, flowrunner]\n    mode: sync\n  - respond: {{ status: 201{end} }}\n"
        );
        let parsed = parsed(&source);
        let ends = format!("{:?}", parsed.flow.steps[1].kind).contains("end: true");
        assert_eq!(ends, expected, "{source}");
    }
}

/// S2.
#[test]
fn s2_a_redirect_is_checked() {
    for (answer, expected) in [
        ("{ type: redirect }", "`redirect_url` is missing"),
        ("{ type: redirect, redirect_url: /a, status: 200 }", "a status of a redirect"),
        ("{ type: redirect, redirect_url: /a, json: {} }", "a redirect has no body"),
        ("{ type: response, redirect_url: /a }", "is for `type: redirect`"),
        ("{ type: moved, redirect_url: /a }", "allowed: response, redirect"),
    ] {
        let found = only(&steps(&format!("- respond: {answer}")));
        assert!(found.contains(expected), "{answer}: {found}");
    }
    parsed(&steps("- respond: { redirect_url: 'https://shop.example/${{ data.id }}', headers: { x-a: b } }"));
}

/// The one mistake that refuses a deployment, and no flow that is deployed.
fn refused(source: &str) -> String {
    let refused = parsed(source).refused;
    assert_eq!(refused.len(), 1, "{source}: {refused:#?}");
    refused[0].to_string()
}

/// What is the same in every execution is a mistake now, at its place, and not when the step runs.
#[test]
fn who_proves_itself_to_nobody_or_to_everybody_is_refused() {
    let trigger = |verify: &str| format!("flow: a\nsteps:\n  - trigger: A\n    verify: {verify}\n");
    for (verify, expected) in [
        ("{ scheme: cloudevents, origins: ['*', 'a b'] }", "4:51: steps[0].verify.origins[1]: no sender can say"),
        ("{ scheme: cloudevents, origins: [''] }", "no sender can say"),
        ("{ scheme: plaid, client_id: C, secret: S, url: 'http://a.example' }", "write https"),
        ("{ scheme: plaid, client_id: C, secret: S, url: 'http://10.0.0.7' }", "write https"),
    ] {
        let found = refused(&trigger(verify));
        assert!(found.contains(expected), "{found}");
    }
    for verify in [
        "{ scheme: cloudevents, origins: ['*', eventgrid.azure.net] }",
        "{ scheme: plaid, client_id: C, secret: S, url: 'https://a.example' }",
        "{ scheme: plaid, client_id: C, secret: S, url: 'http://127.0.0.1:80' }",
    ] {
        assert_eq!(parsed(&trigger(verify)).refused, [], "{verify}");
    }
}

#[test]
fn what_a_ticket_and_a_request_always_are_is_checked() {
    for (step, expected) in [
        ("ticket: {}", "ticket: give a `handler`, a `response`, or both"),
        ("ticket: { retryable: true }", "ticket: give a `handler`"),
        (
            "ticket: { response: {}, retryable: 'yes' }",
            "ticket.retryable: expected true or false, found the text \"yes\"",
        ),
        ("ticket: { response: {}, confirm: 1 }", "ticket.confirm: expected true or false, found `1`"),
        ("ticket: { response: {}, expires_in: 4000000d }", "ticket.expires_in: `4000000d` is too long"),
        ("ticket: { response: {}, expires_in: 0s }", "is no time at all"),
        ("ticket: { response: {}, expires_in: 60 }", "ticket.expires_in: expected a duration, like 1h, found `60`"),
        ("ticket: { response: {}, state_parameter: 'a b' }", "ticket.state_parameter: `a b` cannot name"),
        ("ticket: { response: {}, alternative_domain: 'http://a.example' }", "ticket.alternative_domain: "),
        ("ticket: { close: 7 }", "ticket.close: expected the `id` of a ticket, found `7`"),
        (
            "ticket: { handler: { execution: x, trigger: t } }",
            "ticket.handler.execution: expected the id of an execution",
        ),
        ("ticket: { response: { type: page } }", "response.type: expected `redirect` or `response`, found the text"),
        ("ticket: { response: { code: '200' } }", "response.code: expected a status from 200 to 599, found the text"),
        ("ticket: { response: { code: 99 } }", "ticket.response: "),
        ("ticket: { response: { code: 204, body: x } }", "ticket.response: "),
        ("ticket: { response: { headers: [] } }", "response.headers: expected an object"),
        ("ticket: { response: { headers: { set-cookie: a } } }", "ticket.response: "),
        ("ticket: { response: { type: redirect } }", "a redirect needs `redirect_url`"),
        (
            "ticket: { response: { type: redirect, redirect_url: 'ftp://a' } }",
            "redirect_url: `ftp://a` is neither a path",
        ),
        ("ticket: { response: { redirect_url: 1 } }", "redirect_url: expected a text, found `1`"),
        ("respond: { redirect_url: 'ftp://a' }", "respond.redirect_url: `ftp://a` is neither a path"),
        ("respond: { headers: { x-a: \"a\\nb\" } }", "headers.x-a: the header `x-a` cannot have this value"),
        ("http: { url: 'ftp://a.example/' }", "http.url: the scheme is neither http nor https"),
        ("http: { url: 'ftp://${{ data.host }}/' }", "http.url: the scheme is neither http nor https"),
        ("http: { url: 'https://user:word@a.example/' }", "must not carry a user name"),
        ("http: { url: a.example/hook }", "http.url: `a.example/hook` is not a URL"),
        ("http: { url: 'https://a.example', headers: { x-a: \"a\\nb\" } }", "headers.x-a: the header `x-a` cannot"),
    ] {
        let found = refused(&steps(&format!("- {step}")));
        assert!(found.contains(expected), "{step}: {found}");
    }
    for right in [
        "ticket: { response: {}, expires_in: '${{ data.time }}', retryable: '${{ data.again }}' }",
        "ticket: { response: {}, expires_in: null, state_parameter: '', alternative_domain: null }",
        "ticket: { response: { type: '${{ data.type }}', code: 99 } }",
        "ticket: { response: { type: redirect, redirect_url: '${{ data.url }}', code: 200 } }",
        "ticket: { response: { code: 301, headers: { x-a: '${{ data.a }}', x-b: 1 }, body: [1] } }",
        "ticket: { close: '${{ data.id }}' }",
        "http: { url: '${{ data.url }}' }",
        "http: { url: 'HTTPS://${{ data.host }}/' }",
    ] {
        assert_eq!(parsed(&steps(&format!("- {right}"))).refused, [], "{right}");
    }
    // What refuses a deployment is said together with what nobody can run.
    let both = mistakes(&steps("- ticket: {}\n- http: { url: 'https://a.example', body: 1 }"));
    assert!(both[0].contains("give a `handler`") && both[1].contains("has no `body`"), "{both:#?}");
}

#[test]
fn a_key_that_stands_too_high_is_told_where_it_belongs() {
    for (lines, within) in [
        ("- ticket: { response: {} }\n  expires_in: 1h", "`ticket`"),
        ("- http: { url: 'https://a.example' }\n  retry: { attempts: 2 }", "`http`"),
        ("- http: { url: 'https://a.example', attempts: 2 }", "`retry`"),
        ("- ticket: { body: x, response: {} }", "`response`"),
        ("- trigger: Second\n  status: 200", "`reply`"),
        ("- trigger: Second\n  scheme: github", "`verify`"),
    ] {
        let found = only(&steps(lines));
        assert!(found.contains(&format!("(it belongs within {within})")), "{lines}: {found}");
    }
    let elsewhere = only(&steps("- set: { a: 1 }\n  expires_in: 1h"));
    assert!(!elsewhere.contains("belongs"), "{elsewhere}");
}

#[test]
fn a_result_is_named_by_no_word_of_cel() {
    for (step, word) in [
        ("set: { 'true': 1 }", "true"),
        ("set: { in: 1 }", "in"),
        ("plugin: x, as: 'null'", "null"),
        ("plugin: x, as: if", "if"),
    ] {
        let found = refused(&steps(&format!("- {{ {step} }}")));
        assert!(found.contains(&format!("`{word}` is a word of CEL")), "{step}: {found}");
    }
    assert!(only(&steps("- { plugin: x, as: true }")).contains("expected a text, found `true`"));
}
