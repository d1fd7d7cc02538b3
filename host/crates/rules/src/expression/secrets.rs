//! The secrets that a request names, and what its expressions make of them.

use ringback_records::sync::lock;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Shortest value of a secret that is looked for: a shorter one is in too much that has nothing to do with it.
pub const VALUE_BYTES_MIN: usize = 4;

/// What `secrets` is in the expressions of a request.
pub struct ScopeOfSecrets {
    values: Value,
    /// Others that look alike: what comes to the same with them does not come from a secret.
    others: Value,
    derived: Mutex<BTreeSet<Vec<u8>>>,
}

impl ScopeOfSecrets {
    /// By name, those that are there.
    pub fn new(values: Map<String, Value>) -> Self {
        let others = values.iter().map(|(name, value)| (name.clone(), value.as_str().map(other).into()));
        Self { others: Value::Object(others.collect()), values: Value::Object(values), derived: Mutex::default() }
    }

    pub(super) fn values(&self) -> &Value {
        &self.values
    }

    pub(super) fn others(&self) -> &Value {
        &self.others
    }

    pub(super) fn note(&self, derived: impl IntoIterator<Item = Vec<u8>>) {
        lock(&self.derived).extend(derived);
    }

    /// The secrets, and every text, number and piece of bytes that expressions came across on the way from them.
    pub fn into_pieces(self) -> BTreeSet<Vec<u8>> {
        let mut pieces = std::mem::take(&mut *lock(&self.derived));
        let values = self.values.as_object().into_iter().flat_map(Map::values);
        pieces.extend(values.filter_map(|value| Some(value.as_str()?.as_bytes().to_vec())));
        pieces
    }
}

/// A text of the same form, with another letter for every letter and another digit for every digit.
fn other(text: &str) -> String {
    let turned = |from: char, by: u32, of: u32, character: char| {
        let place = (u32::from(character) - u32::from(from) + by) % of;
        char::from_u32(u32::from(from) + place).unwrap_or(character)
    };
    let other = |character: char| match character {
        'a'..='z' => turned('a', 13, 26, character),
        'A'..='Z' => turned('A', 13, 26, character),
        '0'..='9' => turned('0', 5, 10, character),
        _ if character.is_ascii() => character,
        _ => char::from_u32(u32::from(character) ^ 1).unwrap_or(character),
    };
    text.chars().map(other).collect()
}

#[cfg(test)]
mod tests {
    use super::{ScopeOfSecrets, other};
    use crate::expression::{Cel, Scope};
    use ringback_records::callback::Input;
    use ringback_records::name::Name;
    use serde_json::{Value, json};

    #[test]
    fn p2_what_an_expression_makes_of_a_secret_is_known() {
        assert_eq!(other("sk-Az09 ü/"), "fx-Nm54 ý/");
        let (name, input) =
            (Name::default_name(), Input { data: json!({ "id": "order-7" }).into(), ..Input::default() });
        for (source, derived) in [
            ("secrets.A", vec!["user-pass word"]),
            ("secrets.A.split('-')[1]", vec!["pass word", "user", "user-pass word"]),
            ("secrets.A.substring(6, 9) + secrets.A.substring(0, 3)", vec!["assuse", "user-pass word"]),
            (
                "base64.encode(bytes('u:' + secrets.A.split(' ')[1]))",
                vec!["dTp3b3Jk", "u:word", "user-pass", "user-pass word", "word"],
            ),
            (
                "cel.bind(s, secrets.A, [s].map(x, x.replace('user', data.id)))",
                vec!["order-7-pass word", "user-pass word"],
            ),
            ("{'id': data.id, 'key': secrets.A}", vec!["user-pass word"]),
            ("has(secrets.A) ? 'enabled' : 'disabled'", vec![]),
            ("has(secrets.B) ? 'enabled' : 'disabled'", vec![]),
            ("secrets.A.startsWith('user') ? 'enabled' : data.id", vec!["user-pass word"]),
            ("int(secrets.PIN) + 1", vec!["48123", "48124"]),
            ("json(secrets.JSON).k", vec!["inner", "{\"k\":[\"inner\"]}"]),
            ("data.id", vec![]),
        ] {
            let values = json!({ "A": "user-pass word", "PIN": "48123", "JSON": "{\"k\":[\"inner\"]}" });
            let Value::Object(values) = values else { unreachable!() };
            let secrets = ScopeOfSecrets::new(values);
            let scope = Scope { secrets: Some(&secrets), ..Scope::of_input(&name, &input) };
            Cel::compile(source).unwrap().evaluate(&scope).unwrap();
            let found = std::mem::take(&mut *secrets.derived.lock().unwrap());
            let found: Vec<String> = found.into_iter().map(|piece| String::from_utf8(piece).unwrap()).collect();
            assert_eq!(found, derived, "{source}");
        }
    }
}
