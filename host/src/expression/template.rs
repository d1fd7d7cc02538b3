use super::{Cel, CompileError, EvaluationError, Scope};
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
            let Some(length) = end_of_expression(after) else {
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

    /// The value with every expression evaluated.
    ///
    /// # Errors
    ///
    /// The first expression that has no value.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(cel) => cel.evaluate(scope)?,
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Literal(literal) => text.push_str(literal),
                        Part::Expression(cel) => text.push_str(&as_text(cel.evaluate(scope)?)),
                    }
                }
                Value::String(text)
            }
            Self::List(items) => items.iter().map(|item| item.render(scope)).collect::<Result<Value, _>>()?,
            Self::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, member)| Ok((name.clone(), member.render(scope)?)))
                    .collect::<Result<_, EvaluationError>>()?,
            ),
        })
    }

    /// The value as text: a string as it is, anything else as JSON.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_text(&self, scope: &Scope<'_>) -> Result<String, EvaluationError> {
        self.render(scope).map(as_text)
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

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Where `}}` closes the expression: not inside a quoted text, and not where it closes a map in a map.
fn end_of_expression(text: &str) -> Option<usize> {
    let (mut quote, mut open) = (None, 0_usize);
    let mut characters = text.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(quoted), close) if quoted == close => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '{') => open += 1,
            (None, '}') if open > 0 => open -= 1,
            (None, '}') if characters.peek().is_some_and(|(_, next)| *next == '}') => return Some(index),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Template;
    use crate::callback::Input;
    use crate::expression::Scope;
    use crate::name::Name;
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
