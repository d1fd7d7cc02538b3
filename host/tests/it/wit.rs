//! The released interfaces of plugins stay as they are, and the next version of a line is compatible with the one before it.

use crate::support::cases;
use ringback_records::name::sha256_hex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeId, WorldItem};

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("wit")
}

fn inside(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Whatever is released is what it was: who builds against it builds against the same tomorrow. A new version has a line of its
/// own here, and none is ever changed.
#[test]
fn released_interfaces_do_not_change() {
    let digest = |version: &Path| {
        let texts = inside(version).into_iter().flat_map(|file| {
            let text = std::fs::read(&file).unwrap();
            [name_of(&file).as_bytes().to_vec(), text]
        });
        sha256_hex(&texts.collect::<Vec<_>>().join(&0))
    };
    let versions = inside(&wit());
    let found: Vec<(&str, String)> = versions.iter().map(|version| (name_of(version), digest(version))).collect();
    let released = [
        ("0.1.0", "05ab2f08618cbeb3984713bcad77a708df1efd1644913726a8f80a8d75822b64"),
        ("0.1.1", "d25f8d7c19fc9bd76a2a87cbf54bce2d070aec92110af22f273284783433ac7f"),
        ("1.0.0", "e008c1ea81b7ea2fa8b1e957348218c11bd1844a415f724f75b004a715940d5e"),
    ];
    assert_eq!(found, released.map(|(version, digest)| (version, digest.to_owned())));
}

/// What there is of a package, each by its name and with all that it is made of.
#[derive(Debug, Default, PartialEq)]
struct Package {
    /// What plugins import: types and functions, of an interface each.
    imports: BTreeMap<String, String>,
    /// What plugins export.
    exports: BTreeMap<String, String>,
}

impl Package {
    fn read(directory: &Path) -> Self {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(directory).unwrap();
        let world = &resolve.worlds[resolve.packages[package].worlds["plugin"]];
        let mut read = Self::default();
        for (items, into) in [(&world.imports, &mut read.imports), (&world.exports, &mut read.exports)] {
            for item in items.values() {
                let WorldItem::Interface { id, .. } = item else { panic!("{item:?}") };
                let interface = &resolve.interfaces[*id];
                let of = interface.name.as_ref().unwrap();
                let types = interface.types.iter().map(|(name, id)| (name, described(&resolve, Type::Id(*id))));
                let functions =
                    interface.functions.iter().map(|(name, function)| (name, signature(&resolve, function)));
                into.extend(types.chain(functions).map(|(name, what)| (format!("{of}.{name}"), what)));
            }
        }
        read
    }

    /// Whether what was built for this links with a host that has the other: plugins import no more than is there, and export what
    /// is asked for.
    fn runs_on(&self, host: &Self) -> bool {
        self.imports.iter().all(|(name, what)| host.imports.get(name) == Some(what))
            && host.exports.iter().all(|(name, what)| {
                // An interface that was not there is asked of nobody who was built before.
                let (interface, _) = name.split_once('.').unwrap();
                let is_new = !self.exports.keys().any(|known| known.starts_with(&format!("{interface}.")));
                is_new || self.exports.get(name) == Some(what)
            })
            && self.exports.keys().all(|name| host.exports.contains_key(name))
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters =
        function.params.iter().map(|parameter| format!("{}: {}", parameter.name, described(resolve, parameter.ty)));
    let result = function.result.map(|result| described(resolve, result)).unwrap_or_default();
    format!("({}) -> {result}", parameters.collect::<Vec<_>>().join(", "))
}

/// A type with all that it is made of.
fn described(resolve: &Resolve, of: Type) -> String {
    let Type::Id(id) = of else { return format!("{of:?}") };
    let definition = &resolve.types[id];
    let optional = |of: Option<Type>| of.map(|of| described(resolve, of)).unwrap_or_default();
    let named = |id: TypeId| resolve.types[root(resolve, id)].name.clone().unwrap();
    match &definition.kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter().map(|field| format!("{}: {}", field.name, described(resolve, field.ty)));
            format!("record {{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter().map(|case| format!("{}({})", case.name, optional(case.ty)));
            format!("variant {{ {} }}", cases.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Enum(cases) => {
            let cases: Vec<&str> = cases.cases.iter().map(|case| case.name.as_str()).collect();
            format!("enum {{ {} }}", cases.join(", "))
        }
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<String> = tuple.types.iter().map(|of| described(resolve, *of)).collect();
            format!("({})", types.join(", "))
        }
        TypeDefKind::Option(of) => format!("option<{}>", described(resolve, *of)),
        TypeDefKind::Result(result) => format!("result<{}, {}>", optional(result.ok), optional(result.err)),
        TypeDefKind::List(of) => format!("list<{}>", described(resolve, *of)),
        TypeDefKind::Resource => format!("resource {}", named(id)),
        TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", named(*id)),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", named(*id)),
        TypeDefKind::Type(of) => described(resolve, *of),
        other => panic!("{}", other.as_str()),
    }
}

fn root(resolve: &Resolve, id: TypeId) -> TypeId {
    match resolve.types[id].kind {
        TypeDefKind::Type(Type::Id(of)) => root(resolve, of),
        _ => id,
    }
}

/// The package with one text changed.
fn changed(version: &str, from: &str, to: &str) -> Package {
    let directory = tempfile::tempdir().unwrap();
    let mut found = 0;
    for file in inside(&wit().join(version)) {
        let text = std::fs::read_to_string(&file).unwrap();
        found += text.matches(from).count();
        std::fs::write(directory.path().join(name_of(&file)), text.replace(from, to)).unwrap();
    }
    assert_eq!(found, 1, "{from}");
    Package::read(directory.path())
}

/// Each version of a line runs what was built for those before it; and this notices what would not.
#[test]
fn a_later_version_of_a_line_runs_what_was_built_for_an_earlier_one() {
    let versions = inside(&wit());
    let line = |version: &Path| match name_of(version).split('.').collect::<Vec<_>>()[..] {
        ["0", minor, _] => format!("0.{minor}"),
        [major, ..] => major.to_owned(),
        _ => panic!("{version:?}"),
    };
    for (earlier, later) in versions.iter().flat_map(|one| versions.iter().map(move |other| (one, other))) {
        if earlier < later && line(earlier) == line(later) {
            assert!(Package::read(earlier).runs_on(&Package::read(later)), "{earlier:?} {later:?}");
        }
    }
    let released = Package::read(&wit().join("1.0.0"));
    assert!(released.imports.len() > 40 && released.exports.len() > 10, "{released:#?}");
    assert!(!Package::read(&wit().join("0.1.1")).runs_on(&released), "that is another line");
    let now = "  now: func() -> u64;";
    let world = "  export vectors;";
    for (from, to, expected) in [
        (now, "  now: func() -> u64;\n  now-text: func() -> string;", true),
        ("    body: func() -> list<u8>;", "    body: func() -> list<u8>;\n    hash: func() -> list<u8>;", true),
        ("/// Turns the body into data.", "interface shadow { see: func(); }\n/// Turns the body into data.", true),
        (world, "  export vectors;\n  export more;\n}\ninterface more {\n  more: func();", true),
        (now, "", false),
        (now, "  now: func() -> u32;", false),
        ("    detail: option<json>,", "    detail: option<json>,\n    more: bool,", false),
        ("    hmac-sha1,", "    hmac-md5,\n    hmac-sha1,", false),
        ("    rejected(string),", "    rejected(string),\n    unsure,", false),
        ("  cases: func() -> json;", "  cases: func() -> json;\n  more: func() -> json;", false),
        ("  cases: func() -> json;", "  cases: func() -> list<json>;", false),
        (world, "", false),
    ] {
        assert_eq!(released.runs_on(&changed("1.0.0", from, to)), expected, "{from} became {to}");
        cases(1);
    }
}
