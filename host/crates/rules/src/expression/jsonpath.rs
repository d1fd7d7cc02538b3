mod query;

use super::CompileError;
use jsonpath_rust::parser::parse_json_path;
use query::Query;
use ringback_records::weight::weight;
use serde_json::Value;

/// Longest path, in bytes.
const SOURCE_BYTES_MAX: usize = 512;

/// Largest integer of a path, 2^53 - 1.
const INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// A compiled JSONPath (RFC 9535). The library reads it; it is run here, where what it looks at is counted.
#[derive(Clone, Debug)]
pub struct JsonPath {
    source: String,
    query: Query,
}

impl JsonPath {
    /// Compiles a path.
    ///
    /// # Errors
    ///
    /// The path is not one, is too long, or uses a pattern that is not written out.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(CompileError::new(format!("the path is longer than {SOURCE_BYTES_MAX} bytes")));
        }
        if !source.starts_with('$') {
            return Err(CompileError::new(format!("`{source}` is not a JSONPath: it must begin with `$`")));
        }
        let wrong = |problem: &str| CompileError::new(format!("`{source}` is not a JSONPath: {problem}"));
        let parsed = parse_json_path(source).map_err(|error| {
            if let Some(digits) = too_large(source) {
                return wrong(&format!(
                    "{digits} is too large; the numbers of a path lie between -{INTEGER_MAX} and {INTEGER_MAX} (RFC 9535). \
                     Compare larger ones in a condition of CEL, such as `data.id == {digits}`, up to 64 bits"
                ));
            }
            let text = error.to_string();
            let first = text.lines().find(|line| line.trim_start().starts_with('=')).unwrap_or(&text);
            wrong(first.trim_start_matches([' ', '=']))
        })?;
        let query = Query::of(&parsed).map_err(|problem| wrong(&problem))?;
        Ok(Self { source: source.to_owned(), query })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The values that the path selects, in document order.
    ///
    /// # Errors
    ///
    /// It would have to look at too many values of the data, in words.
    pub fn select<'a>(&self, data: &'a Value) -> Result<Vec<&'a Value>, String> {
        let found = self.query.run(data);
        found.ok_or_else(|| format!("`{}` would look at too many values of this data", self.source))
    }

    /// One value as it is, several as a list, none as `None`. `room` is how many bytes of memory what is picked may still take.
    ///
    /// # Errors
    ///
    /// As [`select`](Self::select), or what is selected is larger.
    pub fn pick(&self, data: &Value, room: &mut usize) -> Result<Option<Value>, String> {
        let mut found = self.select(data)?;
        for value in &found {
            let left = room.checked_sub(weight(value, *room));
            *room =
                left.ok_or_else(|| format!("what `{}` and the picks before it select is too large", self.source))?;
        }
        Ok(match found.len() {
            0 => None,
            1 => found.pop().cloned(),
            _ => Some(found.into_iter().cloned().collect()),
        })
    }
}

/// The first integer outside quotes that no path may have, without its sign.
fn too_large(source: &str) -> Option<&str> {
    let mut quote = None;
    let mut is_escaped = false;
    // What is in quotes ends words, as everything does that no name and no number has.
    let words = source.split(|character: char| {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if character == '\\' => is_escaped = true,
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None => return !(character.is_alphanumeric() || matches!(character, '_' | '.')),
        }
        true
    });
    let mut numbers =
        words.map(|word| word.split(|character: char| !character.is_ascii_digit()).next().unwrap_or_default());
    numbers.find(|digits| !digits.is_empty() && digits.parse().map_or(true, |number: u64| number > INTEGER_MAX))
}

#[cfg(test)]
mod conformance;

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
    fn what_is_no_path_is_refused() {
        assert!(refused("a.b").contains("begin with `$`"));
        assert!(refused("$.[").contains("not a JSONPath"));
        assert!(refused(&format!("$.{}", "a".repeat(600))).contains("512 bytes"));
        assert!(refused("$[?match(@.b, @.c)]").contains("text in quotes"));
        assert!(refused("$[?match(@.b, '((a{100}){100}){100}')]").contains("too large"));
        assert!(refused("$[?length(@.*) > 1]").contains("several values"));
        assert!(refused("$[?count(@.a)]").contains("must be compared"));
        assert!(refused(&format!("${}", "[?@".repeat(150))).contains("not a JSONPath"));
    }

    #[test]
    fn numbers_that_no_path_has_are_refused_with_another_way() {
        let long = "9".repeat(40);
        for number in ["9007199254740992", "9007199254740993", "18446744073709551616", &long] {
            for path in
                ["$[?@.id == NUMBER]", "$[?@.id==-NUMBER]", "$[?@['a\\'b'] < NUMBER.5]", "$[NUMBER]", "$[0:NUMBER]"]
            {
                let why = refused(&path.replace("NUMBER", number));
                let said = format!("{number} is too large; the numbers of a path lie between -9007199254740991 and");
                assert!(
                    why.contains(&said) && why.contains(&format!("CEL, such as `data.id == {number}`")),
                    "{path}: {why}"
                );
            }
            for path in ["$[?@.id == 'NUMBER' x]", "$.aNUMBER[", "$[?@.a == 0.NUMBER x]", "$[?@['\\'NUMBER'] =]"] {
                let why = refused(&path.replace("NUMBER", number));
                assert!(!why.contains("too large"), "{path}: {why}");
            }
        }
        let data = json!([{ "id": 9_007_199_254_740_991_i64 }]);
        assert_eq!(select("$[?@.id == 9007199254740991]", &data), data);
    }

    /// A4: whatever the path and the data are, a run ends after so many values, and the next one is run.
    #[test]
    fn a4_a_path_looks_at_no_more_than_it_may() {
        let large = json!(vec![json!({ "a": 1 }); 4000]);
        for path in ["$[?$[?@.a == 2]]", "$[?$..b]", "$..[?$..b]", "$[?count($.*) == 1]"] {
            assert!(JsonPath::compile(path).unwrap().select(&large).unwrap_err().contains("too many values"), "{path}");
            assert_eq!(select("$[0].a", &large), json!([1]));
        }
        let deep = (0..100).fold(json!({ "a": large }), |inner, _| json!({ "a": inner, "b": [1] }));
        assert!(JsonPath::compile("$..a..a..a..a").unwrap().select(&deep).unwrap_err().contains("too many"));
        assert_eq!(select("$..a", &large).as_array().unwrap().len(), 4000);
        assert_eq!(select("$[?@.a == 1 && @.a > 0]", &large).as_array().unwrap().len(), 4000);
    }

    #[test]
    fn paths_select_in_document_order() {
        let data = json!({ "a": { "b": [1, 2, { "c": "x" }] }, "match(": 7, "it's": 8, "'q'": 9 });
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
        assert_eq!(select("$[\"'q'\"]", &data), json!([9]));
        assert_eq!(select("$.a.b[?match(@.c, 'X|x')].c", &data), json!(["x"]));
        assert_eq!(select("$.a[?in($['match('], @)]", &json!({ "a": [[7], [8]], "match(": 7 })), json!([[7]]));
    }

    /// K8: what is picked keeps its digits; numbers are compared by what they are worth.
    #[test]
    fn k8_numbers_are_picked_as_they_are_written() {
        let data = ringback_records::json::from_slice(br#"{"a": [10.10, 12345678901234567890123, 1]}"#).unwrap();
        assert_eq!(select("$.a[?@ == 10.1]", &data).to_string(), "[10.10]");
        assert_eq!(select("$.a[?@ > 1e20]", &data).to_string(), "[12345678901234567890123]");
        assert_eq!(select("$.a[?@ == 1.0]", &data).to_string(), "[1]");
    }

    #[test]
    fn a_pick_is_one_value_or_a_list_or_nothing() {
        let data = json!({ "a": [1, 2] });
        let pick = |path: &str| JsonPath::compile(path).unwrap().pick(&data, &mut 100_000).unwrap();
        assert_eq!((pick("$.a[0]"), pick("$.a[*]"), pick("$.b")), (Some(json!(1)), Some(json!([1, 2])), None));
    }
}
