use super::CompileError;
use super::cel::count_values;
use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

/// Longest path, in bytes.
const SOURCE_BYTES_MAX: usize = 512;
/// Most values of the data that a path is run over whose cost grows with the square of the data: `..` twice, or `..` or
/// a filter in a filter.
const SQUARE_VALUES_MAX: usize = 1000;

/// A compiled JSONPath (RFC 9535).
#[derive(Clone, Debug)]
pub struct JsonPath {
    source: String,
    query: Query,
}

#[derive(Clone, Debug)]
enum Query {
    /// Names and indices only: at most one value, found without the general machinery.
    Singular(Vec<Place>),
    General {
        query: JpQuery,
        square: bool,
    },
}

#[derive(Clone, Debug)]
enum Place {
    Name(String),
    Index(i64),
}

impl JsonPath {
    /// Compiles a path.
    ///
    /// # Errors
    ///
    /// The path is not one, is too long, or uses `match` or `search`, which compile a pattern per value.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(CompileError::new(format!("the path is longer than {SOURCE_BYTES_MAX} bytes")));
        }
        if !source.starts_with('$') {
            return Err(CompileError::new(format!("`{source}` is not a JSONPath: it must begin with `$`")));
        }
        let survey = Survey::of(source);
        if survey.uses_patterns {
            return Err(CompileError::new("match() and search() are not available in paths; use CEL's matches()"));
        }
        let query = parse_json_path(source).map_err(|error| {
            let text = error.to_string();
            let first = text.lines().find(|line| line.trim_start().starts_with('=')).unwrap_or(&text);
            CompileError::new(format!("`{source}` is not a JSONPath: {}", first.trim_start_matches([' ', '='])))
        })?;
        let query = match singular(&query) {
            Some(places) => Query::Singular(places),
            None => Query::General { query, square: survey.square },
        };
        Ok(Self { source: source.to_owned(), query })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The values that the path selects, in document order.
    ///
    /// # Errors
    ///
    /// The data is too large for a path of this kind.
    pub fn select<'a>(&self, data: &'a Value) -> Result<Vec<&'a Value>, String> {
        match &self.query {
            Query::Singular(places) => Ok(find(places, data).into_iter().collect()),
            Query::General { query, square } => {
                if *square && count_values(data, SQUARE_VALUES_MAX) > SQUARE_VALUES_MAX {
                    return Err(format!(
                        "`{}` is only run over data of at most {SQUARE_VALUES_MAX} values, because its cost grows with \
                         their square",
                        self.source
                    ));
                }
                let found = js_path_process(query, data).map_err(|error| format!("`{}`: {error}", self.source))?;
                Ok(found.into_iter().map(jsonpath_rust::query::QueryRef::val).collect())
            }
        }
    }

    /// One value as it is, several as a list, none as `None`.
    ///
    /// # Errors
    ///
    /// As [`select`](Self::select).
    pub fn pick(&self, data: &Value) -> Result<Option<Value>, String> {
        let mut found = self.select(data)?;
        Ok(match (found.len(), &self.query) {
            (0, _) => None,
            (1, _) => found.pop().cloned(),
            _ => Some(found.into_iter().cloned().collect()),
        })
    }
}

fn singular(query: &JpQuery) -> Option<Vec<Place>> {
    query
        .segments
        .iter()
        .map(|segment| match segment {
            Segment::Selector(Selector::Name(name)) => Some(Place::Name(unquote(name)?)),
            Segment::Selector(Selector::Index(index)) => Some(Place::Index(*index)),
            Segment::Selector(_) | Segment::Selectors(_) | Segment::Descendant(_) => None,
        })
        .collect()
}

/// The library keeps the quotes of `['a']`; a name with an escape is left to it.
fn unquote(name: &str) -> Option<String> {
    if name.contains('\\') {
        return None;
    }
    let quoted = |quote: char| name.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    Some(quoted('\'').or_else(|| quoted('"')).unwrap_or(name).to_owned())
}

fn find<'a>(places: &[Place], data: &'a Value) -> Option<&'a Value> {
    places.iter().try_fold(data, |value, place| match place {
        Place::Name(name) => value.as_object()?.get(name),
        Place::Index(index) => {
            let items = value.as_array()?;
            let index = if *index < 0 { i64::try_from(items.len()).ok()?.checked_add(*index)? } else { *index };
            items.get(usize::try_from(index).ok()?)
        }
    })
}

/// What the text of a path says about its cost.
#[derive(Debug, Default)]
struct Survey {
    uses_patterns: bool,
    square: bool,
}

impl Survey {
    fn of(source: &str) -> Self {
        let mut survey = Self::default();
        let (mut quote, mut brackets, mut filters, mut descendants) = (None, Vec::new(), 0_usize, 0_usize);
        let mut characters = source.char_indices().peekable();
        while let Some((index, character)) = characters.next() {
            match (quote, character) {
                (Some(_), '\\') => drop(characters.next()),
                (Some(open), close) if open == close => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(character),
                (None, '[') => brackets.push(false),
                (None, ']') => filters -= usize::from(brackets.pop() == Some(true)),
                (None, '?') => {
                    survey.square |= filters > 0;
                    filters += 1;
                    if let Some(filter) = brackets.last_mut() {
                        // A second `?` in the same bracket is a union of filters, counted once.
                        filters -= usize::from(*filter);
                        *filter = true;
                    }
                }
                (None, '.') if characters.next_if(|(_, next)| *next == '.').is_some() => {
                    descendants += 1;
                    survey.square |= filters > 0 || descendants > 1;
                }
                (None, '(') => {
                    let before = source.get(..index).unwrap_or_default().trim_end();
                    survey.uses_patterns |= before.ends_with("match") || before.ends_with("search");
                }
                (None, _) => {}
            }
        }
        survey
    }
}

#[cfg(test)]
mod tests {
    use super::JsonPath;
    use serde_json::{Value, json};

    fn refused(path: &str) -> String {
        JsonPath::compile(path).unwrap_err().message
    }

    fn select(path: &str, data: &Value) -> Value {
        JsonPath::compile(path).unwrap().select(data).unwrap().into_iter().cloned().collect()
    }

    #[test]
    fn what_is_no_path_or_costs_without_bound_is_refused() {
        assert!(refused("a.b").contains("begin with `$`"));
        assert!(refused("$.[").contains("not a JSONPath"));
        assert!(refused(&format!("$.{}", "a".repeat(600))).contains("512 bytes"));
        assert!(refused("$.a[?match(@.b, 'x')]").contains("not available"));
        assert!(refused("$.a[?search (@.b, 'x')]").contains("not available"));
        assert!(refused(&format!("${}", "[?@".repeat(150))).contains("not a JSONPath"));
        let large = json!(vec![json!({ "a": 1 }); 4000]);
        for path in ["$..a..b", "$[?@..a]", "$[?$[?@.a]]"] {
            assert!(JsonPath::compile(path).unwrap().select(&large).unwrap_err().contains("1000 values"), "{path}");
        }
        assert_eq!(JsonPath::compile("$..a").unwrap().select(&large).unwrap().len(), 4000);
        assert_eq!(JsonPath::compile("$[?@.a == 1 && @.a > 0]").unwrap().select(&large).unwrap().len(), 4000);
    }

    #[test]
    fn paths_select_in_document_order() {
        let data = json!({ "a": { "b": [1, 2, { "c": "x" }] }, "match(": 7, "it's": 8 });
        assert_eq!(select("$", &data), json!([data]));
        assert_eq!(select("$.a.b[0]", &data), json!([1]));
        assert_eq!(select("$.a.b[-1].c", &data), json!(["x"]));
        assert_eq!(select("$['a']['b'][1]", &data), json!([2]));
        assert_eq!(select("$.a.b[-4]", &data), json!([]));
        assert_eq!(select("$.a.b.c", &data), json!([]));
        assert_eq!(select("$.a.b[*]", &data), json!([1, 2, { "c": "x" }]));
        assert_eq!(select("$..c", &data), json!(["x"]));
        assert_eq!(select("$.a.b[?@ > 1]", &data), json!([2]));
        assert_eq!(select("$['match(']", &data), json!([7]));
        assert_eq!(select("$[\"it's\"]", &data), json!([8]));
    }

    #[test]
    fn a_pick_is_one_value_or_a_list_or_nothing() {
        let data = json!({ "a": [1, 2] });
        let pick = |path: &str| JsonPath::compile(path).unwrap().pick(&data).unwrap();
        assert_eq!((pick("$.a[0]"), pick("$.a[*]"), pick("$.b")), (Some(json!(1)), Some(json!([1, 2])), None));
    }
}
