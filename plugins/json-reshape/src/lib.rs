//! A step that builds a JSON value from paths of what the flow knows.

use ringback_guest::{Execution, Failure, Value, plugin};
use serde::Deserialize;

/// The configuration: the shape to build.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The result's shape. In it, `{"path": "$.data.x"}` is replaced by what the path selects, and everything else
    /// stays as it is.
    shape: Shape,
}

/// A value with places to fill in.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
enum Shape {
    Literal(Value),
    List(Vec<Shape>),
    Object(Vec<(String, Shape)>),
    Pick(Pick),
}

/// A place to fill in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pick {
    /// A JSONPath over the scope: `$.data`, `$.triggers`, results by name.
    path: String,
    /// `one` takes the only value, `all` takes the list of values.
    #[serde(default)]
    take: Take,
    /// What stands for a missing value. Without it, a missing value is a failure.
    #[serde(default)]
    default: Option<Value>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Take {
    #[default]
    One,
    All,
}

impl TryFrom<Value> for Shape {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        Ok(match value {
            Value::Object(members) if members.contains_key("path") => {
                let pick: Pick = Pick::deserialize(Value::Object(members)).map_err(|error| {
                    format!("{error}; an object with `path` is a place to fill in, and takes `path`, `take`, `default`")
                })?;
                if !pick.path.starts_with('$') {
                    return Err(format!("path `{}` is not a JSONPath: it must begin with `$`", pick.path));
                }
                Self::Pick(pick)
            }
            Value::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(name, value)| Ok((name, Self::try_from(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            Value::Array(items) => Self::List(items.into_iter().map(Self::try_from).collect::<Result<_, String>>()?),
            literal => Self::Literal(literal),
        })
    }
}

impl Shape {
    fn build(self, execution: &Execution) -> Result<Value, Failure> {
        Ok(match self {
            Self::Literal(value) => value,
            Self::List(items) => {
                items.into_iter().map(|item| item.build(execution)).collect::<Result<Value, Failure>>()?
            }
            Self::Object(members) => members
                .into_iter()
                .map(|(name, shape)| Ok((name, shape.build(execution)?)))
                .collect::<Result<Value, Failure>>()?,
            Self::Pick(pick) => pick.build(execution)?,
        })
    }
}

impl Pick {
    fn build(self, execution: &Execution) -> Result<Value, Failure> {
        let mut found = execution.select(&self.path)?;
        if self.take == Take::All {
            return Ok(if found.is_empty() { self.default.unwrap_or(Value::Array(found)) } else { found.into() });
        }
        match (found.len(), self.default) {
            (1, _) => Ok(found.remove(0)),
            (0, Some(default)) => Ok(default),
            (0, None) => {
                let message = format!("{} selects nothing; give a `default` if it may be missing", self.path);
                Err(Failure::new("missing-value", message))
            }
            (count, _) => {
                let message = format!("{} selects {count} values; use `take: all` for the list of them", self.path);
                Err(Failure::new("several-values", message))
            }
        }
    }
}

/// The shape, filled in.
///
/// # Errors
///
/// `missing-value`, `several-values`, `invalid-path`.
pub fn json_reshape(execution: &Execution, config: Config) -> Result<Value, Failure> {
    config.shape.build(execution)
}

plugin! {
    step: json_reshape,
    schema: include_str!("../schema.json"),
    vectors: include_str!("../vectors.json"),
}

#[cfg(test)]
mod tests {
    use super::{Config, json_reshape};
    use ringback_guest::{Failure, Value, json, testing};

    fn refused(shape: Value) -> String {
        testing::config::<Config>(json!({ "shape": shape })).unwrap_err().message
    }

    fn reshape(shape: Value) -> Result<Value, Failure> {
        let scope = json!({ "data": { "id": 7, "items": [{ "sku": "a" }, { "sku": "b" }], "note": null } });
        json_reshape(&testing::execution(scope), testing::config(json!({ "shape": shape })).unwrap())
    }

    #[test]
    fn a_wrong_shape_is_refused() {
        assert!(refused(json!({ "path": "data.id" })).contains("must begin with `$`"));
        assert!(refused(json!([{ "path": "$.a", "tke": "all" }])).contains("unknown field `tke`"));
        assert!(refused(json!({ "a": { "path": 1 } })).contains("a place to fill in"));
        assert!(testing::config::<Config>(json!(null)).unwrap_err().message.contains("missing field `shape`"));
    }

    #[test]
    fn what_cannot_be_filled_in_is_a_failure() {
        assert_eq!(reshape(json!({ "path": "$.data.nope" })).unwrap_err().code, "missing-value");
        assert_eq!(reshape(json!({ "path": "$.data.items[*].sku" })).unwrap_err().code, "several-values");
        assert_eq!(reshape(json!({ "path": "$.data[" })).unwrap_err().code, "invalid-path");
    }

    #[test]
    fn places_are_filled_in_and_the_rest_stays() {
        let shape = json!({
            "order": { "path": "$.data.id" },
            "skus": { "path": "$.data.items[*].sku", "take": "all" },
            "none": { "path": "$.data.none[*]", "take": "all" },
            "note": { "path": "$.data.note", "default": "-" },
            "memo": { "path": "$.data.memo", "default": "-" },
            "fixed": [1, true, { "path": "$.data.items[0].sku" }],
        });
        let built = json!({
            "order": 7, "skus": ["a", "b"], "none": [], "note": null, "memo": "-", "fixed": [1, true, "a"],
        });
        assert_eq!(reshape(shape).unwrap(), built);
    }
}
