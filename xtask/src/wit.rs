//! The WIT package: it parses, and every item says what it is.

use crate::process::root;
use anyhow::{Context, Result, ensure};
use wit_parser::{Resolve, TypeDefKind, WorldItem};

/// Checks the package of the current version.
pub fn check() -> Result<()> {
    let directory = root().join("wit/1.0.0");
    let mut resolve = Resolve::new();
    let (package, _) =
        resolve.push_dir(&directory).with_context(|| format!("{} does not parse", directory.display()))?;
    let package = resolve.packages.get(package).context("the package is not there")?;
    let mut survey = Survey::default();
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        survey.note(name, interface.docs.contents.as_ref());
        for (function, item) in &interface.functions {
            survey.note(&format!("{name}.{function}"), item.docs.contents.as_ref());
        }
        for (type_name, id) in &interface.types {
            survey.note_type(&resolve, &format!("{name}.{type_name}"), *id);
        }
    }
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        survey.note(name, world.docs.contents.as_ref());
        let functions = world.exports.values().filter(|item| matches!(item, WorldItem::Function(_)));
        ensure!(functions.count() == 0, "the world {name} exports functions outside of an interface");
    }
    ensure!(survey.undocumented.is_empty(), "not documented: {}", survey.undocumented.join(", "));
    println!("wit: {} items, all documented", survey.items);
    Ok(())
}

#[derive(Default)]
struct Survey {
    items: usize,
    undocumented: Vec<String>,
}

impl Survey {
    fn note(&mut self, name: &str, docs: Option<&String>) {
        self.items += 1;
        if docs.is_none_or(|docs| docs.trim().is_empty()) {
            self.undocumented.push(name.to_owned());
        }
    }

    fn note_type(&mut self, resolve: &Resolve, name: &str, id: wit_parser::TypeId) {
        let definition = &resolve.types[id];
        // A `use` repeats a type that is documented where it is defined.
        if matches!(&definition.kind, TypeDefKind::Type(wit_parser::Type::Id(_))) {
            return;
        }
        self.note(name, definition.docs.contents.as_ref());
        let members: Vec<(&String, Option<&String>)> = match &definition.kind {
            TypeDefKind::Record(record) => record.fields.iter().map(|f| (&f.name, f.docs.contents.as_ref())).collect(),
            TypeDefKind::Enum(cases) => cases.cases.iter().map(|c| (&c.name, c.docs.contents.as_ref())).collect(),
            TypeDefKind::Variant(cases) => cases.cases.iter().map(|c| (&c.name, c.docs.contents.as_ref())).collect(),
            TypeDefKind::Flags(flags) => flags.flags.iter().map(|f| (&f.name, f.docs.contents.as_ref())).collect(),
            _ => Vec::new(),
        };
        for (member, docs) in members {
            self.note(&format!("{name}.{member}"), docs);
        }
    }
}
