use super::cel::length_before_braces;
use super::{Budget, Cel, CompileError, EvaluationError, Scope};
use ringback_records::journal::Settled;
use serde_json::{Map, Value};

/// JSON with `${{ … }}` in its texts. A text that is one expression keeps the value's type.
#[derive(Debug)]
pub enum Template {
    Literal(Value),
    Expression(Cel),
    Text(Vec<Part>),
    List(Vec<Template>),
    Object(Vec<(String, Template)>),
}

/// A piece of a text.
#[derive(Debug)]
pub enum Part {
    Literal(String),
    Expression(Cel),
}

/// What a piece of a text came to.
#[derive(Debug)]
pub struct Piece<'t> {
    pub text: String,
    /// The expression that it comes from.
    pub of: Option<&'t Cel>,
    /// Whether that is null or an empty text.
    pub is_nothing: bool,
}

impl Template {
    /// Compiles one text.
    ///
    /// # Errors
    ///
    /// An expression that is not CEL, or is not closed; the offset counts characters from the beginning of the text.
    pub fn text(text: &str) -> Result<Self, CompileError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let offset = text.chars().count() - after.chars().count();
            let Some(length) = length_before_braces(after) else {
                return Err(CompileError { message: "`${{` is not closed by `}}`".into(), offset: Some(offset - 3) });
            };
            let (source, closed) = after.split_at(length);
            let cel = Cel::compile(source.trim()).map_err(|error| CompileError {
                offset: Some(offset + (source.len() - source.trim_start().len()) + error.offset.unwrap_or_default()),
                ..error
            })?;
            if !before.is_empty() {
                parts.push(Part::Literal(before.to_owned()));
            }
            parts.push(Part::Expression(cel));
            rest = closed.get(2..).unwrap_or_default();
        }
        if parts.is_empty() {
            return Ok(Self::Literal(text.into()));
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(match (parts.len(), parts.pop()) {
            (1, Some(Part::Expression(cel))) => Self::Expression(cel),
            (_, last) => {
                parts.extend(last);
                Self::Text(parts)
            }
        })
    }

    /// The value when nothing in it depends on a callback.
    pub fn constant(&self) -> Option<Value> {
        Some(match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(_) | Self::Text(_) => return None,
            Self::List(items) => items.iter().map(Self::constant).collect::<Option<Value>>()?,
            Self::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, member)| Some((name.clone(), member.constant()?)))
                    .collect::<Option<Map<_, _>>>()?,
            ),
        })
    }

    /// The value with every expression evaluated. Together they may use what one may.
    ///
    /// # Errors
    ///
    /// The first expression that has no value.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let own = Budget::default();
        self.value(&Scope { budget: scope.budget.or(Some(&own)), ..*scope })
    }

    fn value(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(cel) => cel.evaluate(scope)?,
            Self::Text(_) => Value::String(self.text_of(scope)?),
            Self::List(items) => items.iter().map(|item| item.value(scope)).collect::<Result<Value, _>>()?,
            Self::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, member)| Ok((name.clone(), member.value(scope)?)))
                    .collect::<Result<_, EvaluationError>>()?,
            ),
        })
    }

    /// The value, written as JSON.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_json(&self, scope: &Scope<'_>) -> Result<String, EvaluationError> {
        let own = Budget::default();
        self.json_of(&Scope { budget: scope.budget.or(Some(&own)), ..*scope })
    }

    fn json_of(&self, scope: &Scope<'_>) -> Result<String, EvaluationError> {
        let (open, parts, close) = match self {
            Self::Expression(cel) => return cel.evaluate_json(scope),
            Self::Literal(_) | Self::Text(_) => return Ok(self.value(scope)?.to_string()),
            Self::List(items) => ('[', items.iter().map(|item| (String::new(), item)).collect::<Vec<_>>(), ']'),
            Self::Object(members) => {
                let named = members.iter().map(|(name, member)| (format!("{}:", Value::from(name.as_str())), member));
                ('{', named.collect(), '}')
            }
        };
        let mut text = String::from(open);
        for (at, (name, part)) in parts.into_iter().enumerate() {
            text += if at == 0 { "" } else { "," };
            text += &name;
            text += &part.json_of(scope)?;
        }
        text.push(close);
        Ok(text)
    }

    /// The value as text: a string as it is, anything else as JSON.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_text(&self, scope: &Scope<'_>) -> Result<String, EvaluationError> {
        let own = Budget::default();
        self.text_of(&Scope { budget: scope.budget.or(Some(&own)), ..*scope })
    }

    fn text_of(&self, scope: &Scope<'_>) -> Result<String, EvaluationError> {
        match self {
            Self::Expression(cel) => cel.evaluate_text(scope),
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Literal(literal) => text.push_str(literal),
                        Part::Expression(cel) => text.push_str(&cel.evaluate_text(scope)?),
                    }
                }
                Ok(text)
            }
            Self::Literal(Value::String(text)) => Ok(text.clone()),
            Self::Literal(_) | Self::List(_) | Self::Object(_) => self.json_of(scope),
        }
    }

    /// The pieces of the text, in order.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_pieces<'t>(&'t self, scope: &Scope<'_>) -> Result<Vec<Piece<'t>>, EvaluationError> {
        let own = Budget::default();
        let scope = Scope { budget: scope.budget.or(Some(&own)), ..*scope };
        let written = |text: String| Piece { text, of: None, is_nothing: false };
        let made = |cel: &'t Cel| -> Result<Piece<'t>, EvaluationError> {
            let (text, is_nothing) = cel.evaluate_text_or_nothing(&scope)?;
            Ok(Piece { text, of: Some(cel), is_nothing })
        };
        match self {
            Self::Expression(cel) => Ok(vec![made(cel)?]),
            Self::Text(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Literal(text) => Ok(written(text.clone())),
                    Part::Expression(cel) => made(cel),
                })
                .collect(),
            Self::Literal(_) | Self::List(_) | Self::Object(_) => Ok(vec![written(self.text_of(&scope)?)]),
        }
    }

    /// Every expression, in order.
    pub fn expressions(&self) -> Vec<&Cel> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Expression(cel) => vec![cel],
            Self::Text(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Literal(_) => None,
                    Part::Expression(cel) => Some(cel),
                })
                .collect(),
            Self::List(items) => items.iter().flat_map(Self::expressions).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, member)| member.expressions()).collect(),
        }
    }
}

impl Template {
    /// Evaluates every expression but those that are open.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn settle(&self, scope: &Scope<'_>, is_open: fn(&Cel) -> bool) -> Result<Settled, EvaluationError> {
        let own = Budget::default();
        let scope = Scope { budget: scope.budget.or(Some(&own)), ..*scope };
        self.settle_from(&scope, is_open, &mut 0)
    }

    fn settle_from(
        &self,
        scope: &Scope<'_>,
        is_open: fn(&Cel) -> bool,
        number: &mut usize,
    ) -> Result<Settled, EvaluationError> {
        let expressions = self.expressions();
        if !expressions.iter().any(|cel| is_open(cel)) {
            *number += expressions.len();
            return self.value(scope).map(Settled::Value);
        }
        let mut open = |cel: &Cel| {
            *number += 1;
            is_open(cel).then_some(Settled::Expression(*number - 1))
        };
        Ok(match self {
            Self::Literal(value) => Settled::Value(value.clone()),
            Self::Expression(cel) => match open(cel) {
                Some(settled) => settled,
                None => Settled::Value(cel.evaluate(scope)?),
            },
            Self::Text(parts) => {
                let part = |part: &Part| match part {
                    Part::Literal(text) => Ok(Settled::Value(text.clone().into())),
                    Part::Expression(cel) => match open(cel) {
                        Some(settled) => Ok(settled),
                        None => cel.evaluate_text(scope).map(|text| Settled::Value(text.into())),
                    },
                };
                Settled::Text(parts.iter().map(part).collect::<Result<_, _>>()?)
            }
            Self::List(items) => Settled::List(
                items.iter().map(|item| item.settle_from(scope, is_open, number)).collect::<Result<_, _>>()?,
            ),
            Self::Object(members) => Settled::Object(
                members
                    .iter()
                    .map(|(name, member)| Ok((name.clone(), member.settle_from(scope, is_open, number)?)))
                    .collect::<Result<_, EvaluationError>>()?,
            ),
        })
    }
}

impl Template {
    /// The value of what it was settled to, with what was left open.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn finish(&self, settled: &Settled, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let own = Budget::default();
        let scope = Scope { budget: scope.budget.or(Some(&own)), ..*scope };
        finished(settled, &self.expressions(), &scope)
    }
}

fn finished(settled: &Settled, expressions: &[&Cel], scope: &Scope<'_>) -> Result<Value, EvaluationError> {
    Ok(match settled {
        Settled::Value(value) => value.clone(),
        Settled::Expression(number) => match expressions.get(*number) {
            Some(cel) => cel.evaluate(scope)?,
            None => Value::Null,
        },
        Settled::Text(pieces) => {
            let mut text = String::new();
            for piece in pieces {
                text.push_str(&as_text(finished(piece, expressions, scope)?));
            }
            Value::String(text)
        }
        Settled::List(items) => {
            items.iter().map(|item| finished(item, expressions, scope)).collect::<Result<Value, _>>()?
        }
        Settled::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, member)| Ok((name.clone(), finished(member, expressions, scope)?)))
                .collect::<Result<_, EvaluationError>>()?,
        ),
    })
}

/// A string as it is, anything else as JSON.
pub fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::Template;
    use crate::expression::Scope;
    use ringback_records::callback::Input;
    use ringback_records::name::Name;
    use serde_json::{Value, json};

    fn render(text: &str) -> Value {
        let data = json!({ "n": 7, "s": "x", "b": 1, "a": 2 });
        let (name, input) = (Name::default_name(), Input { data: data.into(), ..Input::default() });
        let scope = Scope::of_input(&name, &input);
        Template::text(text).unwrap().render(&scope).unwrap()
    }

    #[test]
    fn mistakes_are_found_with_their_place() {
        assert_eq!(Template::text("ab ${{ data.n").unwrap_err().offset, Some(3));
        let error = Template::text("ab ${{ data.n + }}").unwrap_err();
        assert!(error.message.contains("not a CEL expression"), "{error}");
        assert!(error.offset.unwrap() >= 7, "{error:?}");
    }

    #[test]
    fn one_expression_keeps_its_type_and_text_around_it_makes_text() {
        assert_eq!(render("${{ data.n }}"), json!(7));
        assert_eq!(render("n=${{ data.n }}, s=${{ data.s }}"), json!("n=7, s=x"));
        assert_eq!(render("${{ '}}' + data.s }}!"), json!("}}x!"));
        assert_eq!(render("${{ {'a': {'b': data.n}}.a.b }}"), json!(7));
        assert_eq!(render("no expression: $ {{ }}"), json!("no expression: $ {{ }}"));
    }
}
