//! What values have in common.

use serde_json::{Map, Value};

/// An object with more members than this has them by keys that mean something: it is a table.
const MEMBERS_MAX: usize = 64;

/// What values of one place are, all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    pub null: bool,
    pub boolean: bool,
    pub integer: bool,
    /// A number that is no integer.
    pub fraction: bool,
    pub text: bool,
    /// What the items of lists are.
    pub list: Option<Box<Self>>,
    pub object: Option<Object>,
}

/// What objects of one place have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object {
    seen: usize,
    members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub name: String,
    pub shape: Shape,
    seen: usize,
}

impl Shape {
    pub(super) fn add(&mut self, value: &Value) {
        match value {
            Value::Null => self.null = true,
            Value::Bool(_) => self.boolean = true,
            Value::Number(number) if number.is_i64() || number.is_u64() => self.integer = true,
            Value::Number(_) => self.fraction = true,
            Value::String(_) => self.text = true,
            Value::Array(items) => {
                let list = self.list.get_or_insert_default();
                items.iter().for_each(|item| list.add(item));
            }
            Value::Object(members) => self.object.get_or_insert_default().add(members),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.null |= other.null;
        self.boolean |= other.boolean;
        self.integer |= other.integer;
        self.fraction |= other.fraction;
        self.text |= other.text;
        if let Some(list) = &other.list {
            self.list.get_or_insert_default().merge(list);
        }
        if let Some(object) = &other.object {
            self.object.get_or_insert_default().merge(object);
        }
    }

    /// Whether it was a number.
    pub(super) fn is_number(&self) -> bool {
        self.integer || self.fraction
    }
}

impl Object {
    fn add(&mut self, members: &Map<String, Value>) {
        self.seen += 1;
        for (name, value) in members {
            let member = self.member(name);
            member.seen += 1;
            member.shape.add(value);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        for found in &other.members {
            let member = self.member(&found.name);
            member.seen += found.seen;
            member.shape.merge(&found.shape);
        }
    }

    fn member(&mut self, name: &str) -> &mut Member {
        let index = self.members.iter().position(|member| member.name == name).unwrap_or_else(|| {
            self.members.push(Member { name: name.to_owned(), shape: Shape::default(), seen: 0 });
            self.members.len() - 1
        });
        &mut self.members[index]
    }

    /// Its members in the order in which they came, each with whether it may be absent; `None` when it is a table.
    pub(super) fn members(&self) -> Option<impl Iterator<Item = (&Member, bool)>> {
        let is_table = self.members.len() > MEMBERS_MAX;
        (!is_table).then(|| self.members.iter().map(|member| (member, member.seen < self.seen)))
    }

    /// What the values of a table are.
    pub(super) fn value(&self) -> Shape {
        self.members.iter().fold(Shape::default(), |mut shape, member| {
            shape.merge(&member.shape);
            shape
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MEMBERS_MAX, Shape};
    use serde_json::json;

    #[test]
    fn what_is_in_all_values_is_not_optional() {
        let mut shape = Shape::default();
        for value in [json!({ "a": 1, "b": null }), json!({ "a": 1.5, "c": ["x", 2] })] {
            shape.add(&value);
        }
        let object = shape.object.unwrap();
        let found: Vec<(&str, bool)> =
            object.members().unwrap().map(|(member, optional)| (member.name.as_str(), optional)).collect();
        assert_eq!(found, [("a", false), ("b", true), ("c", true)]);
        let list = object.members[2].shape.list.as_ref().unwrap();
        assert!(list.text && list.integer && !list.fraction && object.members[0].shape.fraction);
    }

    #[test]
    fn an_object_of_very_many_members_is_a_table() {
        let members: serde_json::Map<_, _> =
            (0..=MEMBERS_MAX).map(|number| (format!("id-{number}"), json!({ "n": number, "x": null }))).collect();
        let mut shape = Shape::default();
        shape.add(&json!(members));
        let object = shape.object.unwrap();
        assert!(object.members().is_none());
        assert!(object.value().object.unwrap().members().unwrap().all(|(_, optional)| !optional));
    }
}
