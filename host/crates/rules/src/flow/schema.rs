//! The JSON Schema of flow files. It is the one list of their objects and keys: the parser takes them from here, editors complete
//! them, and tests hold the manual to it.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The JSON Schema of flow files, for editors.
pub const SCHEMA: &str = include_str!("schema.json");

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(SCHEMA).unwrap_or_default());

/// The keys of an object, by its name among the schema's definitions; of the whole file for `flow`.
pub(crate) fn keys(object: &str) -> Vec<&'static str> {
    let definition = if object == "flow" { Some(&*DOCUMENT) } else { DOCUMENT["$defs"].get(object) };
    let properties = definition.and_then(|definition| definition["properties"].as_object());
    debug_assert!(properties.is_some(), "the schema has no object `{object}`");
    properties.into_iter().flat_map(Map::keys).map(String::as_str).collect()
}

/// Which of some keys has an object in which a key would be right.
pub(crate) fn within<'k>(keys: &[&'k str], key: &str) -> Option<&'k str> {
    static INNER: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
        let mut inner: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let definitions = DOCUMENT["$defs"].as_object().into_iter().flat_map(Map::values);
        for (name, value) in definitions.filter_map(|definition| definition["properties"].as_object()).flatten() {
            inner.entry(name.clone()).or_default().extend(members(value));
        }
        inner
    });
    keys.iter().copied().find(|outer| INNER.get(*outer).is_some_and(|members| members.contains(key)))
}

/// The keys of the object that a value may be.
fn members(value: &Value) -> Vec<String> {
    let referred = value["$ref"].as_str().and_then(|place| DOCUMENT.pointer(place.trim_start_matches('#')));
    let choices = value["oneOf"].as_array().into_iter().flatten();
    let own = value["properties"].as_object().into_iter().flat_map(Map::keys).cloned();
    own.chain(referred.into_iter().chain(choices).flat_map(members)).collect()
}

#[cfg(test)]
pub(crate) const README: &str = include_str!("../../../../../README.md");

#[cfg(test)]
mod tests {
    use super::{README, SCHEMA, keys};
    use crate::execution::KINDS;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// The files under a directory, all in one text.
    fn text_under(directory: &Path, extension: &str) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                text += &text_under(&path, extension);
            } else if path.extension().is_some_and(|of_file| of_file == extension) {
                text += &std::fs::read_to_string(&path).unwrap();
            }
        }
        text
    }

    fn here() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    /// The objects by their names, the whole file first.
    fn objects(schema: &Value) -> Vec<(&str, &Value)> {
        let definitions = schema["$defs"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value));
        let all = [("flow", schema)].into_iter().chain(definitions);
        all.filter(|(_, value)| value.get("properties").is_some()).collect()
    }

    fn count(value: &Value) -> usize {
        match value {
            Value::Object(members) => {
                let own = usize::from(members.contains_key("properties"));
                own + members.values().map(count).sum::<usize>()
            }
            Value::Array(items) => items.iter().map(count).sum(),
            _ => 0,
        }
    }

    #[test]
    fn every_object_has_a_name_by_which_the_parser_asks_for_its_keys() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let objects = objects(&schema);
        assert_eq!(count(&schema), objects.len(), "an object is described where it is used: give it a name in `$defs`");
        let (sources, whole) = (text_under(&here().join("src"), "rs"), schema.to_string());
        for (name, object) in objects {
            assert_eq!(object["additionalProperties"], false, "{name}: the parser takes no other keys");
            assert_eq!(keys(name).len(), object["properties"].as_object().unwrap().len());
            // The keys of a provider follow from its row.
            assert!(
                name.starts_with("providers") || sources.contains(&format!("keys(\"{name}\")")),
                "{name}: nobody asks for its keys"
            );
            assert!(name == "flow" || whole.contains(&format!("\"#/$defs/{name}\"")), "{name} is not used");
        }
    }

    #[test]
    fn every_key_is_described_to_editors_and_in_the_manual() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let manual = README.to_owned() + &text_under(&here().join("../../../docs"), "md");
        let words: BTreeSet<&str> =
            manual.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').collect();
        for (name, object) in objects(&schema) {
            for (key, value) in object["properties"].as_object().unwrap() {
                let description = value["description"].as_str().unwrap_or_default();
                assert!(description.ends_with('.') && !description.contains('\n'), "{name}.{key}: {description:?}");
                assert!(words.contains(key.as_str()), "{name}.{key} is not in the manual");
            }
        }
        let section =
            |title: &str| README.split(&format!("\n### {title}\n")).nth(1).unwrap().split("\n#").next().unwrap();
        let rows = |title: &str| section(title).lines().filter_map(|line| line.strip_prefix("| `")).collect::<Vec<_>>();
        let in_table: BTreeSet<&str> = rows("Trigger").iter().filter_map(|row| row.split('`').next()).collect();
        assert_eq!(in_table, keys("trigger").into_iter().collect(), "the manual's tables of triggers");
        let steps: BTreeSet<&str> = rows("Steps").iter().filter_map(|row| row.split(':').next()).collect();
        let kinds: Vec<&str> = KINDS.iter().map(|(word, _)| *word).filter(|word| *word != "trigger").collect();
        assert_eq!(steps, kinds.iter().copied().collect(), "the manual's table of steps");
        let in_schema = schema["$defs"]["step"]["oneOf"].as_array().unwrap().iter().skip(1);
        let in_schema: BTreeSet<&str> = in_schema.map(|step| step["$ref"].as_str().unwrap()).collect();
        let named: BTreeSet<String> = kinds.iter().map(|word| format!("#/$defs/{word}Step")).collect();
        assert_eq!(in_schema, named.iter().map(String::as_str).collect(), "the steps of the schema");
    }
}
