use super::{Cel, Truth};
use crate::expression::{Budget, EvaluationError, Scope, ScopeOfSecrets};
use ringback_records::callback::Input;
use ringback_records::name::Name;
use serde_json::{Value, json};

fn refused(source: &str) -> String {
    Cel::compile(source).unwrap_err().message
}

fn with_scope<T>(data: &Value, act: impl FnOnce(&Scope<'_>) -> T) -> T {
    let (name, input) = (Name::default_name(), Input { data: data.clone().into(), ..Input::default() });
    act(&Scope::of_input(&name, &input))
}

fn try_evaluate(source: &str, data: &Value) -> Result<Value, EvaluationError> {
    let cel = Cel::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    with_scope(data, |scope| cel.evaluate(scope))
}

fn evaluate(source: &str, data: Value) -> Value {
    try_evaluate(source, &data).unwrap_or_else(|error| panic!("{error}"))
}

fn fails(source: &str, data: Value) -> String {
    try_evaluate(source, &data).unwrap_err().problem.to_string()
}

fn truth(source: &str, data: Value) -> Truth {
    with_scope(&data, |scope| Cel::compile(source).unwrap().truth(scope)).unwrap()
}

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    assert!(refused(" ").contains("empty"));
    assert!(refused(&"a".repeat(5000)).contains("4096 bytes"));
    for (source, offset, message) in [
        ("data.a = 1", 7, "write `==`"),
        ("data.a &", 7, "written twice: `&&`"),
        ("'ü' + §", 6, "means nothing here"),
        ("data.a ==", 9, "expected a value, but the expression ends"),
        ("data.a b", 7, "found `b`"),
        ("[1, 2", 5, "expected `]`"),
        ("f(1", 3, "expected `)`"),
        ("data.", 5, "a name after `.`"),
        ("'abc", 0, "not closed"),
        ("'''abc''", 0, "not closed"),
        ("'a\nb'", 2, "use three quotes"),
        (r"'\q'", 1, "`\\q` is no escape"),
        (r"'\u12'", 1, "not followed by 4 digits"),
        (r"'\ud800'", 1, "no character of Unicode"),
        ("`a", 0, "backquotes is not closed"),
        ("data.`a*b`", 5, "name in backquotes"),
        ("9223372036854775808", 0, "too large"),
        ("-9223372036854775809", 0, "too small"),
        ("1e999", 0, "not a number that CEL knows"),
        ("12ab", 2, "followed by a letter"),
        ("if", 0, "reserved word"),
        ("data.lenght() > 1", 0, "no function `lenght`"),
        ("data.sise()", 0, "did you mean `size`?"),
        ("data.transformMapEntry(k, v, {k: v})", 0, "there is no function `transformMapEntry`"),
        ("all(data, x)", 0, "`all` is written `value.all(x, condition)`"),
        ("has(data.a, data.b)", 0, "`has` is written `has(value.member)`"),
        ("data.has()", 0, "`has` is written"),
        ("startsWith('a')", 0, "is written `value.startsWith(…)`"),
        ("data.int()", 0, "is written `int(…)`"),
        ("data.contains()", 0, "takes 1 arguments, not 0"),
        ("has(data)", 4, "asks for a member"),
        ("data.all(1, true)", 9, "plain name"),
        ("data.all(x)", 0, "`all` is written `value.all(x, condition)`"),
        ("data.map(x, x, x, x)", 0, "`map` takes"),
        ("data.all(x, x, true)", 0, "are the same"),
        ("data.exists(x, y, z, w)", 0, "`exists` takes"),
        ("Message{a: 1}", 0, "no message types"),
        ("data.matches(data)", 13, "must be a text in quotes"),
        ("data.matches('(')", 13, "not a regular expression: unclosed group"),
    ] {
        let error = Cel::compile(source).unwrap_err();
        assert!(error.message.contains(message), "{source}: {error}");
        assert_eq!(error.offset, Some(offset), "{source}: {error}");
    }
}

#[test]
fn what_could_cost_without_bound_is_refused_when_compiled() {
    for (source, message) in [
        (format!("{}1{}", "(".repeat(500), ")".repeat(500)), "nested deeper than 64"),
        (format!("{}1{}", "[".repeat(500), "]".repeat(500)), "nested deeper than 64"),
        (format!("{}1{}", "size(".repeat(500), ")".repeat(500)), "nested deeper than 64"),
        (format!("{}1{}", "1?1:".repeat(500), ""), "nested deeper than 64"),
        (format!("a{}", ".b".repeat(1000)), "128 members"),
        (format!("a{}", "[0]".repeat(1000)), "128 members"),
        (format!("a{}", ".trim()".repeat(500)), "in a row"),
        (format!("1{}", "+1".repeat(1500)), "1000 parts"),
        (format!("data.a.matches('{}')", "x".repeat(300)), "256 bytes"),
        ("data.a.matches('((a{100}){100}){100}')".to_owned(), "not a regular expression"),
    ] {
        assert!(refused(&source).contains(message), "{source:.60}: {}", refused(&source));
    }
    assert_eq!(evaluate(&format!("1{}", "+1".repeat(400)), json!(null)), json!(401));
    assert_eq!(evaluate(&format!("{}true", "!".repeat(4000)), json!(null)), json!(true));
    assert_eq!(evaluate(&format!("{}5", "-".repeat(4001)), json!(null)), json!(-5));
}

/// A4: whatever the expression and the data say, an evaluation ends after so many steps and bytes, and the next one is run.
#[test]
fn a4_an_evaluation_takes_no_more_than_it_may() {
    let numbers = json!((0..3000).collect::<Vec<u32>>());
    let megabyte = json!({ "s": "x".repeat(1 << 20), "spaces": " ".repeat(1 << 20), "zeros": "0".repeat(1 << 20), "items": vec![0; 20_000], "order": { "a": "y".repeat(1000) } });
    for (source, data, message) in [
        ("data.all(x, data.all(y, x != y || true))", &numbers, "computes too much"),
        ("data.map(x, data.map(y, y))", &numbers, "too"),
        ("data.exists(x, data.exists(y, data.exists(z, z < 0)))", &numbers, "computes too much"),
        ("lists.range(1000000000)", &numbers, "too"),
        ("lists.range(100000).distinct().size()", &numbers, "computes too much"),
        ("lists.range(3000).all(x, !data.s.contains('yyyyyyyyyyyyyyyyy'))", &megabyte, "computes too much"),
        ("lists.range(3000).all(x, !data.s.matches('y'))", &megabyte, "computes too much"),
        ("lists.range(3000).all(x, data.spaces.trim() == '')", &megabyte, "computes too much"),
        ("lists.range(3000).all(x, int(data.zeros) == 0)", &megabyte, "computes too much"),
        ("lists.range(3000).all(x, size({ data.s: 1 }) == 1)", &megabyte, "computes too much"),
        ("lists.range(3000).all(x, !(data.s in data))", &megabyte, "computes too much"),
        ("lists.range(3000).all(x, !data[?data.s].hasValue())", &megabyte, "computes too much"),
        ("data.items.map(i, [data.order, 1])", &megabyte, "values are too large"),
        ("data.items.map(i, data.s.replace('x', 'yy'))", &megabyte, "too"),
        ("data.s.replace('x', data.s)", &megabyte, "values are too large"),
        ("data.s.split('').join('---').split('')", &megabyte, "too"),
        ("lists.range(64).map(i, data.s + data.s)", &megabyte, "values are too large"),
        (
            "'%s%s%s%s%s%s%s%s'.format([data.s,data.s,data.s,data.s,data.s,data.s,data.s,data.s])",
            &megabyte,
            "too large",
        ),
        ("[data.items,data.items,data.items,data.items,data.items,data.items,data.items]", &megabyte, "too large"),
        ("cel.bind(a, data.s + data.s, cel.bind(b, a + a, cel.bind(c, b + b, c + c)))", &megabyte, "too large"),
    ] {
        let error = try_evaluate(source, data).unwrap_err();
        assert_eq!(error.code(), "expression_limit", "{source}: {error}");
        assert!(error.problem.to_string().contains(message), "{source}: {error}");
        assert_eq!(try_evaluate("size(data) > 0", data).unwrap(), json!(true));
    }
    // What decides does not hide that there was too much to do.
    let hidden = "true || data.all(x, data.all(y, x != y || true))";
    assert_eq!(try_evaluate(hidden, &numbers).unwrap(), json!(true));
    let hidden = "data.all(x, data.all(y, x != y || true)) || true";
    assert_eq!(try_evaluate(hidden, &numbers).unwrap_err().code(), "expression_limit");
}

#[test]
fn a4_several_expressions_take_together_no_more_than_their_turn() {
    let (name, data) = (Name::default_name(), json!((0..1000).collect::<Vec<u32>>()));
    let input = Input { data: data.into(), ..Input::default() };
    let budget = Budget::of_turn();
    let scope = Scope { budget: Some(&budget), ..Scope::of_input(&name, &input) };
    let cel = Cel::compile("data.filter(x, data.exists(y, y == 100)).size()").unwrap();
    let worked = (0..1000).take_while(|_| cel.evaluate(&scope).is_ok()).count();
    assert!((1..100).contains(&worked), "{worked}");
    assert_eq!(cel.evaluate(&scope).unwrap_err().code(), "expression_limit");
    assert!(cel.evaluate(&Scope { budget: None, ..scope }).is_ok(), "another turn has its own");
}

/// S3: what is not there is neither true nor false, and is told apart from a mistake.
#[test]
fn s3_a_condition_about_something_absent_does_not_hold_and_says_what() {
    for (source, absent) in [
        ("data.payment.status == 'confirmed'", "data.payment"),
        ("!data.cancelled", "data.cancelled"),
        ("data.a.b == 1", "data.a.b"),
        ("data.items[0].sku == 'x'", "data.items[0]"),
        ("data['no such'] == 1", "data['no such']"),
        ("data.nothing.here == 1", "data.nothing.here"),
        ("fraud.score > 1", "fraud"),
        ("data.a.b == 1 || data.a.n == 2", "data.a.b"),
        ("data.a.n == 1 && data.a.b == 2", "data.a.b"),
        ("data.list.all(x, x.y == 1)", "x.y"),
    ] {
        let data = json!({ "a": { "n": 1 }, "items": [], "nothing": null, "list": [{}] });
        assert_eq!(truth(source, data), Truth::Absent(absent.to_owned()), "{source}");
    }
    for (source, expected) in [
        ("has(data.a.b)", false),
        ("!has(data.a.b) && !has(data.x.y.z) && !has(data.nothing.x)", true),
        ("data.a.b == 1 || data.a.n == 1", true),
        ("data.a.b == 1 && data.a.n == 2", false),
        ("data.?a.?b.orValue(7) == 7", true),
        ("data.?x.y.z.hasValue()", false),
        ("data.a.n == 1 ? true : data.x", true),
    ] {
        let data = json!({ "a": { "n": 1 }, "nothing": null });
        assert_eq!(evaluate(source, data), json!(expected), "{source}");
    }
    // A wrong type is a mistake all the same.
    assert!(fails("data.a.b == 1", json!({ "a": "text" })).contains("a string has no member `b`"));
    assert!(fails("data.a + 'x' == 'x'", json!({ "a": 1 })).contains("`+` is not there for int, string"));
    assert!(fails("has(data.a.b)", json!({ "a": 1 })).contains("no member `b`"));
    let error = with_scope(&json!({ "a": 1 }), |scope| Cel::compile("data.a").unwrap().truth(scope)).unwrap_err();
    assert!(error.to_string().contains("must be true or false"), "{error}");
    assert!(fails("'${{ data.x }}' + data.x", json!({})).contains("there is no `data.x`"));
}

#[test]
fn s3_a_pick_that_is_not_in_the_request_is_null() {
    let (name, fields) = (Name::default_name(), json!({ "there": null }).as_object().unwrap().clone());
    let input = Input { fields: fields.into(), ..Input::default() };
    let value = |source: &str| Cel::compile(source).unwrap().evaluate(&Scope::of_input(&name, &input)).unwrap();
    assert_eq!(value("[fields.status, fields['status'], fields.there]"), json!([null, null, null]));
    assert_eq!(value("[has(fields.status), has(fields.there)]"), json!([false, true]), "has() tells them apart");
    assert_eq!(value("fields.status == 'paid' || fields.?status.hasValue()"), json!(false));
    assert_eq!(value("fields"), json!({ "there": null }));
}

/// B2, as outsiders wrote them.
#[test]
fn b2_macros_have_variables_of_their_own() {
    let data =
        json!({ "items": [{ "price": 3, "n": "a" }, { "price": 9.5, "n": "b" }], "x": 1, "map": { "k": 1, "l": 2 } });
    for (source, expected) in [
        ("data.items.exists(x, x.price > 5)", json!(true)),
        ("data.items.all(x, x.price > 5)", json!(false)),
        ("data.items.exists_one(x, x.price > 5)", json!(true)),
        ("data.items.map(x, x.n)", json!(["a", "b"])),
        ("data.items.map(x, x.price > 5, x.n)", json!(["b"])),
        ("data.items.filter(i, i.price < 5).map(i, i.n)[0]", json!("a")),
        ("data.items.exists(data, data.price > 5)", json!(true)),
        ("data.items.map(data, data.n) + [string(data.x)]", json!(["a", "b", "1"])),
        ("data.items.map(x, data.items.map(x, x.n))", json!([["a", "b"], ["a", "b"]])),
        ("data.items.map(x, data.items.map(y, x.n + y.n))", json!([["aa", "ab"], ["ba", "bb"]])),
        ("data.map.exists(k, k == 'l')", json!(true)),
        ("data.map.all(k, v, v > 0 && k != '')", json!(true)),
        ("data.map.transformList(k, v, k + string(v))", json!(["k1", "l2"])),
        ("data.map.transformMap(k, v, v > 1, v * 10)", json!({ "l": 20 })),
        ("[1, 2, 3].transformList(i, v, i * v)", json!([0, 2, 6])),
        ("cel.bind(x, data.items[1], x.price + 0.5)", json!(10.0)),
        ("data.items.map(x, .data.x)", json!([1, 1])),
    ] {
        assert_eq!(evaluate(source, data.clone()), expected, "{source}");
    }
}

/// K8: order and digits stay where a value is handed on.
#[test]
fn k8_values_stay_as_they_came() {
    let text = r#"{"z":1.10,"a":12345678901234567890123,"m":{"y":1e+2,"b":[10.10,1e+400]}}"#;
    let data = ringback_records::json::from_slice(text.as_bytes()).unwrap();
    for source in [
        "data",
        "[data][0]",
        "cel.bind(d, data, d)",
        "data.a > 0.0 ? data : null",
        "json('{\"d\":1}').d == 1 ? data : 0",
    ] {
        assert_eq!(evaluate(source, data.clone()).to_string(), text, "{source}");
    }
    assert_eq!(evaluate("{'b': data.m.b, 'a': data.z}", data.clone()).to_string(), r#"{"b":[10.10,1e+400],"a":1.10}"#);
    assert_eq!(evaluate("string(data.z) + string(data.a)", data.clone()), json!("1.1012345678901234567890123"));
    assert_eq!(evaluate("data.z == 1.1 && data.m.b[1] > 1e300 && data.m.y == 100", data), json!(true));
}

#[test]
fn values_keep_their_types() {
    let data = json!({ "n": 3, "big": u64::MAX, "f": 2.5, "s": "x", "l": [1, "a"], "z": null, "price": 10 });
    assert_eq!(evaluate("data.n + 1", data.clone()), json!(4));
    assert_eq!(evaluate("data.f * 2.0", data.clone()), json!(5.0));
    assert_eq!(evaluate("data.l", data.clone()), json!([1, "a"]));
    assert_eq!(evaluate("data.big", data.clone()), json!(u64::MAX));
    assert_eq!(evaluate("data.z == null && data.n > 2.5 && data.s in ['x']", data.clone()), json!(true));
    assert_eq!(evaluate("data.l.map(x, string(x))", data.clone()), json!(["1", "a"]));
    // A sender writes the same price as 10 and as 10.5.
    assert_eq!(evaluate("data.price * 1.5 + data.f - data.n", data.clone()), json!(14.5));
    assert_eq!(evaluate("math.round(data.price) == 10", data.clone()), json!(true));
    assert_eq!(
        evaluate("timestamp('2026-01-31T12:00:00Z') + duration('1h30m')", data.clone()),
        json!("2026-01-31T13:30:00Z")
    );
    assert_eq!(
        evaluate("[b'ab', duration('90s'), int, optional.of(1), optional.none()]", data),
        json!(["YWI=", "90s", "int", 1, null])
    );
    assert!(fails("0.0 / 0.0", json!(null)).contains("not-a-number"));
}

/// W1.
#[test]
fn w1_a_text_of_json_can_be_read() {
    let data = json!({ "payload": r#"{"action": "opened", "n": 1.50}"#, "broken": "{", "twice": r#"{"a":1,"a":2}"# });
    assert_eq!(evaluate("json(data.payload).action", data.clone()), json!("opened"));
    assert_eq!(evaluate("json(data.payload)", data.clone()).to_string(), r#"{"action":"opened","n":1.50}"#);
    assert!(fails("json(data.broken)", data.clone()).contains("the text is not JSON"));
    assert!(fails("json(data.twice)", data).contains("is there twice"));
}

/// P2: an error quotes what is wrong, but never what may come from a secret.
#[test]
fn p2_an_error_shows_nothing_of_a_secret() {
    let (name, input) = (Name::default_name(), Input::default());
    let twice = r#"{"hunter2hunter2": 1, "hunter2hunter2": 2}"#;
    let secrets = json!({ "A": "hunter2hunter2", "JSON": twice, "PIN": "8472", "CLAUSE": "%\u{1f511}" });
    let secrets = ScopeOfSecrets::new(secrets.as_object().unwrap().clone());
    let vars = json!({});
    let scope = Scope { secrets: Some(&secrets), vars: &vars, ..Scope::of_input(&name, &input) };
    for source in [
        "secrets.A - 1",
        "vars[secrets.A]",
        "int(secrets.A)",
        "uint(secrets.A)",
        "double(secrets.A)",
        "bool(secrets.A)",
        "timestamp(secrets.A)",
        "duration(secrets.A)",
        "json(secrets.A)",
        "base64.decode(secrets.A)",
        "secrets.A.nothing",
        "secrets[secrets.A]",
        "{secrets.A: 1, secrets.A: 2}",
        "timestamp(0).getHours(secrets.A)",
        "secrets.A.format([1, 2, 3].map(x, secrets.A)) + 1",
        "'%d'.format([secrets.A])",
        "secrets.A.charAt(500)",
        "[1][secrets.A]",
        "!secrets.A",
        "-secrets.A",
        "secrets.A ? 1 : 2",
        "secrets.A < 1",
        "1 in secrets.A",
        "secrets.A.all(x, true)",
        "math.greatest(secrets.A)",
        "secrets.A.join()",
        "has(secrets.A.b)",
        "cel.bind(s, secrets.A, vars[s])",
        "[secrets.A].map(s, int(s))",
        "json(secrets.JSON)",
        "json('{\"a\": [' + secrets.JSON + ']}')",
        "cel.bind(pin, int(secrets.PIN), 'a'.charAt(pin))",
        "'a'.substring(0, int(secrets.PIN))",
        "[1].slice(0, int(secrets.PIN))",
        "[1][int(secrets.PIN)]",
        "secrets.CLAUSE.format([1])",
    ] {
        let error = Cel::compile(source).unwrap().evaluate(&scope).unwrap_err().to_string();
        assert!(!["hunter2", "8472", "\u{1f511}"].iter().any(|part| error.contains(part)), "{source}: {error}");
    }
    let twice = json!({ "text": twice });
    assert!(!fails("json(data.text)", twice).contains("hunter2"), "an answer may have brought it from a secret");
    assert!(fails("int('twelve')", json!(null)).contains("twelve"), "else the value is quoted");
}
