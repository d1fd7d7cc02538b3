//! A condition on fields of the data: JSONPath, operator, value; all of them or any of them.

use ringback_guest::{Callback, Decision, Execution, Failure, Value, plugin};
use serde::Deserialize;

/// The configuration: rules, of which all or any must hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Config {
    /// True when every rule holds.
    All(Rules),
    /// True when at least one rule holds.
    Any(Rules),
}

/// One or more rules.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<Rule>")]
pub struct Rules(Vec<Rule>);

impl TryFrom<Vec<Rule>> for Rules {
    type Error = &'static str;

    fn try_from(rules: Vec<Rule>) -> Result<Self, Self::Error> {
        if rules.is_empty() { Err("give at least one rule") } else { Ok(Self(rules)) }
    }
}

/// A test of the values that a path selects. It holds when one of the values passes; `absent` holds when the path
/// selects nothing.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawRule")]
pub struct Rule {
    path: String,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Test {
    Equals(Value),
    Differs(Value),
    In(Vec<Value>),
    Compare(Ordering, f64),
    Contains(Value),
    StartsWith(String),
    EndsWith(String),
    Exists,
    Absent,
}

#[derive(Debug, PartialEq)]
enum Ordering {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    path: String,
    op: Operator,
    #[serde(default)]
    value: Option<Value>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operator {
    #[serde(alias = "==")]
    Equals,
    #[serde(alias = "!=")]
    Differs,
    In,
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterOrEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessOrEqual,
    Contains,
    StartsWith,
    EndsWith,
    Exists,
    Absent,
}

impl TryFrom<RawRule> for Rule {
    type Error = String;

    fn try_from(RawRule { path, op, value }: RawRule) -> Result<Self, Self::Error> {
        if !path.starts_with('$') {
            return Err(format!("path `{path}` is not a JSONPath: it must begin with `$`"));
        }
        if matches!(op, Operator::Exists | Operator::Absent) && value.is_some() {
            return Err(format!("rule on `{path}`: this operator takes no value"));
        }
        let test = match (op, value) {
            (Operator::Exists, _) => Test::Exists,
            (Operator::Absent, _) => Test::Absent,
            (_, None) => return Err(format!("rule on `{path}`: this operator needs a value")),
            (Operator::Equals, Some(value)) => Test::Equals(value),
            (Operator::Differs, Some(value)) => Test::Differs(value),
            (Operator::Contains, Some(value)) => Test::Contains(value),
            (Operator::In, Some(Value::Array(values))) => Test::In(values),
            (Operator::In, Some(_)) => return Err(format!("rule on `{path}`: `in` needs a list")),
            (Operator::StartsWith, Some(Value::String(text))) => Test::StartsWith(text),
            (Operator::EndsWith, Some(Value::String(text))) => Test::EndsWith(text),
            (Operator::StartsWith | Operator::EndsWith, Some(_)) => {
                return Err(format!("rule on `{path}`: this operator needs a text"));
            }
            (Operator::Greater, Some(value)) => Test::Compare(Ordering::Greater, number(&path, &value)?),
            (Operator::GreaterOrEqual, Some(value)) => Test::Compare(Ordering::GreaterOrEqual, number(&path, &value)?),
            (Operator::Less, Some(value)) => Test::Compare(Ordering::Less, number(&path, &value)?),
            (Operator::LessOrEqual, Some(value)) => Test::Compare(Ordering::LessOrEqual, number(&path, &value)?),
        };
        Ok(Self { path, test })
    }
}

fn number(path: &str, value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("rule on `{path}`: this operator needs a number"))
}

impl Test {
    fn passes(&self, found: &Value) -> bool {
        match self {
            Self::Equals(value) => same(found, value),
            Self::Differs(value) => !same(found, value),
            Self::In(values) => values.iter().any(|value| same(found, value)),
            Self::Compare(ordering, limit) => found.as_f64().is_some_and(|number| match ordering {
                Ordering::Greater => number > *limit,
                Ordering::GreaterOrEqual => number >= *limit,
                Ordering::Less => number < *limit,
                Ordering::LessOrEqual => number <= *limit,
            }),
            Self::Contains(value) => match found {
                Value::String(text) => value.as_str().is_some_and(|part| text.contains(part)),
                Value::Array(items) => items.iter().any(|item| same(item, value)),
                Value::Object(members) => value.as_str().is_some_and(|name| members.contains_key(name)),
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
            },
            Self::StartsWith(start) => found.as_str().is_some_and(|text| text.starts_with(start.as_str())),
            Self::EndsWith(end) => found.as_str().is_some_and(|text| text.ends_with(end.as_str())),
            Self::Exists => true,
            Self::Absent => false,
        }
    }
}

/// `1` and `1.0` are the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

impl Rule {
    fn holds(&self, callback: &Callback) -> Result<bool, Failure> {
        let found = callback.select(&self.path)?;
        Ok(match self.test {
            Test::Absent => found.is_empty(),
            _ => found.iter().any(|value| self.test.passes(value)),
        })
    }
}

/// Whether the rules hold for the callback's data.
///
/// # Errors
///
/// `invalid-path` when a path is not a JSONPath.
pub fn field_match(callback: &Callback, _: Option<&Execution>, config: Config) -> Result<Decision, Failure> {
    let (Rules(rules), all) = match config {
        Config::All(rules) => (rules, true),
        Config::Any(rules) => (rules, false),
    };
    for rule in &rules {
        match rule.holds(callback)? {
            true if !all => return Ok(true.into()),
            false if all => return Ok(Decision::no(format!("the rule on `{}` does not hold", rule.path))),
            _ => {}
        }
    }
    Ok(all.into())
}

plugin! {
    condition: field_match,
    schema: include_str!("../schema.json"),
    vectors: include_str!("../vectors.json"),
}

#[cfg(test)]
mod tests {
    use super::{Config, field_match};
    use ringback_guest::{Failure, Value, json, testing};

    fn refused(with: Value) -> String {
        testing::config::<Config>(with).unwrap_err().message
    }

    fn holds(with: Value, data: &str) -> Result<bool, Failure> {
        let decision = field_match(&testing::callback().body(data).build(), None, testing::config(with).unwrap());
        decision.map(|decision| decision.holds)
    }

    fn rule(op: &str, value: Value, data: &str) -> bool {
        holds(json!({ "all": [{ "path": "$.a", "op": op, "value": value }] }), data).unwrap()
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_what_to_do() {
        assert!(refused(json!({ "all": [] })).contains("at least one rule"));
        assert!(refused(json!({ "some": [] })).contains("unknown variant `some`"));
        assert!(refused(json!({ "all": [{ "path": "a", "op": "exists" }] })).contains("must begin with `$`"));
        assert!(refused(json!({ "all": [{ "path": "$.a", "op": "equals" }] })).contains("needs a value"));
        assert!(refused(json!({ "all": [{ "path": "$.a", "op": "exists", "value": 1 }] })).contains("takes no value"));
        assert!(refused(json!({ "all": [{ "path": "$.a", "op": ">", "value": "1" }] })).contains("needs a number"));
        assert!(refused(json!({ "all": [{ "path": "$.a", "op": "in", "value": 1 }] })).contains("needs a list"));
        assert!(refused(json!({ "all": [{ "path": "$.a", "op": "starts_with", "value": 1 }] })).contains("a text"));
        assert!(refused(json!({ "all": [{ "path": "$.a", "op": "like", "value": 1 }] })).contains("unknown variant"));
        assert!(refused(json!({ "all": [{ "path": "$.a", "op": "exists", "x": 1 }] })).contains("unknown field `x`"));
    }

    #[test]
    fn a_wrong_path_is_a_failure_and_not_a_decision() {
        let failure = holds(json!({ "any": [{ "path": "$.[", "op": "exists" }] }), "{}").unwrap_err();
        assert_eq!(failure.code, "invalid-path");
    }

    #[test]
    fn every_operator_tells_true_from_false() {
        for (op, value, yes, no) in [
            ("equals", json!(1), r#"{"a": 1.0}"#, r#"{"a": "1"}"#),
            ("==", json!({ "b": [null] }), r#"{"a": {"b": [null]}}"#, r#"{"a": {"b": []}}"#),
            ("differs", json!("x"), r#"{"a": "y"}"#, r#"{"a": "x"}"#),
            ("!=", json!("x"), r#"{"a": 1}"#, "{}"),
            ("in", json!(["x", 2]), r#"{"a": 2}"#, r#"{"a": 3}"#),
            (">", json!(5), r#"{"a": 5.5}"#, r#"{"a": 5}"#),
            (">=", json!(5), r#"{"a": 5}"#, r#"{"a": "6"}"#),
            ("<", json!(0), r#"{"a": -1}"#, r#"{"a": 0}"#),
            ("<=", json!(0), r#"{"a": 0}"#, r#"{"a": 0.1}"#),
            ("contains", json!("ell"), r#"{"a": "hello"}"#, r#"{"a": "help"}"#),
            ("contains", json!(2), r#"{"a": [1, 2]}"#, r#"{"a": [1]}"#),
            ("contains", json!("k"), r#"{"a": {"k": 0}}"#, r#"{"a": {}}"#),
            ("starts_with", json!("refs/heads/"), r#"{"a": "refs/heads/main"}"#, r#"{"a": "refs/tags/1"}"#),
            ("ends_with", json!(".wasm"), r#"{"a": "a.wasm"}"#, r#"{"a": ["a.wasm"]}"#),
        ] {
            assert!(rule(op, value.clone(), yes), "{op} {value} on {yes}");
            assert!(!rule(op, value.clone(), no), "{op} {value} on {no}");
        }
        assert!(holds(json!({ "all": [{ "path": "$.a", "op": "exists" }] }), r#"{"a": null}"#).unwrap());
        assert!(!holds(json!({ "all": [{ "path": "$.a", "op": "exists" }] }), "{}").unwrap());
        assert!(holds(json!({ "all": [{ "path": "$.a", "op": "absent" }] }), "{}").unwrap());
    }

    #[test]
    fn all_needs_every_rule_and_any_needs_one() {
        let rules = json!([
            { "path": "$.ref", "op": "equals", "value": "refs/heads/main" },
            { "path": "$.commits[*].author.name", "op": "equals", "value": "Ada" },
        ]);
        let both =
            r#"{"ref": "refs/heads/main", "commits": [{"author": {"name": "Bob"}}, {"author": {"name": "Ada"}}]}"#;
        let one = r#"{"ref": "refs/heads/main", "commits": []}"#;
        assert!(holds(json!({ "all": rules }), both).unwrap());
        assert!(!holds(json!({ "all": rules }), one).unwrap());
        assert!(holds(json!({ "any": rules }), one).unwrap());
        assert!(!holds(json!({ "any": rules }), "{}").unwrap());
    }
}
