//! Rules about the structure, so that they do not drift.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names before `[dev-dependencies]` in a crate's Cargo.toml.
fn dependencies(host: &Path, room: &str) -> Vec<String> {
    let text = std::fs::read_to_string(host.join(room).join("Cargo.toml")).unwrap();
    let (_, after) = text.split_once("\n[dependencies]\n").unwrap();
    let section = after.split("\n[").next().unwrap();
    section.lines().filter_map(|line| line.split(['.', ' ']).next()).map(str::to_owned).collect()
}

const ROOMS: [&str; 8] = [
    "crates/records",
    "crates/rules",
    "crates/share",
    "crates/store",
    "crates/outbound",
    "crates/plugin",
    "crates/console",
    ".",
];

#[test]
fn each_library_has_one_owner() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (library, owners) in [
        ("sled", &["crates/store"][..]),
        ("wasmtime", &["crates/plugin"]),
        ("wasmtime-wasi", &["crates/plugin"]),
        // The command line is a client of the server.
        ("reqwest", &["crates/outbound", "."]),
        ("axum", &["."]),
        ("askama", &["crates/console"]),
        ("tokio", &["crates/share", "crates/store", "crates/outbound", "crates/plugin", "."]),
    ] {
        for room in ROOMS {
            let knows = dependencies(host, room).iter().any(|name| name == library);
            assert_eq!(knows, owners.contains(&room), "{room} and {library}");
        }
    }
    let mut files = Vec::new();
    sources(&host.join("src"), &mut files);
    assert!(files.len() > 50);
    for file in files {
        let path = file.strip_prefix(host).unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        for (library, owner) in [("axum", "src/http"), ("reqwest", "src/cli")] {
            let uses = text.contains(&format!("use {library}::")) || text.contains(&format!(" {library}::"));
            assert!(!uses || path.starts_with(owner), "{path} uses {library}, which only {owner} may");
        }
    }
}

/// Data flows one way: words, rules about them, what is kept, what is done.
#[test]
fn rooms_know_those_below_alone() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (room, below) in [
        ("crates/records", &[][..]),
        ("crates/rules", &["ringback-records"]),
        ("crates/share", &["ringback-records"]),
        ("crates/store", &["ringback-records", "ringback-share"]),
        ("crates/outbound", &["ringback-records", "ringback-rules"]),
        ("crates/plugin", &["ringback-outbound", "ringback-records", "ringback-rules", "ringback-share"]),
        ("crates/console", &["ringback-records"]),
    ] {
        let mut known = dependencies(host, room);
        known.retain(|name| name.starts_with("ringback"));
        known.sort();
        assert_eq!(known, below, "{room}");
    }
}

/// Another engine may be elsewhere: what is asked of the store is asynchronous, and data. What is not is about this one's files, or is
/// never waited for.
#[test]
fn the_contract_of_the_store_is_asynchronous_and_data() {
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/store/src");
    let of_this_engine = ["open", "keep_recent", "write_behind", "backup", "verify", "live_bytes"];
    let with_functions = ["backup", "restore"];
    let mut files = Vec::new();
    sources(&store, &mut files);
    let (mut reads, mut others) = (0, Vec::new());
    for text in files.iter().map(|file| std::fs::read_to_string(file).unwrap()) {
        for block in text.split("\nimpl Store {\n").skip(1) {
            let block = block.split("\n}\n").next().unwrap();
            for method in block.split("\n    pub ").skip(1) {
                let signature = method.split(" {\n").next().unwrap();
                let (kind, rest) = signature.split_once("fn ").unwrap();
                let name = rest.split(['(', '<']).next().unwrap();
                if kind == "async " {
                    reads += 1;
                } else {
                    others.push(name.to_owned());
                }
                let has_function = ["Fn(", "FnMut(", "FnOnce(", "fn("].iter().any(|what| rest.contains(what));
                assert!(!has_function || with_functions.contains(&name), "{name} takes a function");
            }
        }
    }
    others.sort_unstable();
    let mut expected = of_this_engine.to_vec();
    expected.sort_unstable();
    assert!(reads > 40, "{reads}");
    assert_eq!(others, expected);
}

#[test]
fn a_file_can_be_read_at_once() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&host.join("src"), &mut files);
    sources(&host.join("crates"), &mut files);
    assert!(files.len() > 100);
    for file in files {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        let path = file.strip_prefix(host).unwrap().display();
        assert!(lines <= 900, "{path} has {lines} lines: part it");
        assert!(!file.ends_with("mod.rs"), "{path}");
    }
}

/// What a browser gets is ours: nothing of others, nothing made by a tool, nothing from elsewhere.
#[test]
fn the_console_is_made_of_files_of_its_own() {
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/console");
    let mut known: Vec<String> = std::fs::read_dir(console.join("assets"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    known.sort();
    assert_eq!(known, ["console.css", "console.js", "icon.svg"]);
    for file in known.iter().map(|name| console.join("assets").join(name)) {
        let text = std::fs::read_to_string(&file).unwrap().replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("://") && !text.contains("@import"), "{} names another place", file.display());
        let longest = text.lines().map(str::len).max().unwrap_or_default();
        assert!(longest < 400, "{} has a line of {longest} bytes: it was made", file.display());
    }
    for file in std::fs::read_dir(console.join("templates")).unwrap().map(|file| file.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        for wrong in ["://", "|safe", "| safe", " style=", "<script>", " onclick"] {
            assert!(!text.contains(wrong), "{} has {wrong}", file.display());
        }
    }
}

/// What people look for by a word that everybody uses is in a file of that name.
#[test]
fn what_people_look_for_has_a_file_of_its_name() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&host.join("src"), &mut files);
    sources(&host.join("crates"), &mut files);
    let names: Vec<_> = files.iter().filter_map(|file| file.file_stem()?.to_str()).collect();
    for word in ["circuit", "dedupe", "mailbox", "rate_limit", "redact", "replay", "retry", "routes", "ssrf", "timers"]
    {
        assert!(names.contains(&word), "{word}");
    }
}

type Module = Vec<String>;

/// The paths of a tree of imports.
fn paths<'t>(tree: &'t str, before: &[&'t str], found: &mut Vec<Vec<&'t str>>) {
    let (head, group) = match tree.split_once('{') {
        Some((head, rest)) => (head, rest.rsplit_once('}').map(|(group, _)| group)),
        None => (tree, None),
    };
    let parts = head.split("::").map(str::trim).filter(|part| !part.is_empty());
    let path: Vec<&str> = before.iter().copied().chain(parts).collect();
    let Some(group) = group else { return found.push(path) };
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                paths(&group[start..at], &path, found);
                start = at + 1;
            }
            _ => {}
        }
    }
    paths(&group[start..], &path, found);
}

/// The modules of the same crate that a file imports, its tests left out.
fn imports(module: &[String], text: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let mut found = Vec::new();
    let mut after = text;
    while let Some((before, rest)) = after.split_once("use ") {
        after = rest;
        let line = before.rsplit('\n').next().unwrap().trim_start();
        if line.is_empty() || (line.starts_with("pub") && !line.contains('"')) {
            paths(rest.split(';').next().unwrap(), &[], &mut found);
        }
    }
    let absolute = |path: Vec<&str>| -> Option<Module> {
        let ups = path.iter().take_while(|part| **part == "super").count();
        let (base, rest) = match path.first() {
            Some(&"crate") => (&[][..], &path[1..]),
            Some(&"super") => (&module[..module.len().checked_sub(ups)?], &path[ups..]),
            _ => (module, &path[..]),
        };
        let names = rest.iter().map(|part| (*part).to_owned());
        Some(base.iter().cloned().chain(names).collect())
    };
    let known =
        |path: Module| (1..=path.len()).rev().map(|end| path[..end].to_vec()).find(|of| modules.contains_key(of));
    // What is of another crate is as if it were within the module itself.
    found.into_iter().filter_map(absolute).filter_map(known).collect()
}

/// The modules that arrows lead to from one of them.
fn reached<'a>(arrows: &'a BTreeMap<Module, BTreeSet<Module>>, from: &'a Module) -> BTreeSet<&'a Module> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        for to in arrows.get(module).into_iter().flatten() {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}

/// No circles but those that ARCHITECTURE.md names. A file and those in the folder of its name are one family.
#[test]
fn no_files_import_each_other_but_those_that_are_named() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut circles = BTreeSet::new();
    for room in ROOMS {
        let (root, mut files) = (host.join(room).join("src"), Vec::new());
        sources(&root, &mut files);
        let module = |file: &PathBuf| {
            let path = file.strip_prefix(&root).unwrap().with_extension("");
            let module: Module = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if module == ["lib"] { Module::new() } else { module }
        };
        let is_of_tests = |module: &Module| module.last().is_some_and(|name| name == "tests");
        let modules: BTreeMap<Module, String> = files
            .iter()
            .map(|file| (module(file), std::fs::read_to_string(file).unwrap()))
            .filter(|(module, _)| !is_of_tests(module))
            .collect();
        // The server's folders hold several families.
        let family = |module: &Module| module.iter().take(if room == "." { 2 } else { 1 }).cloned().collect::<Module>();
        let mut arrows: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, text) in &modules {
            let from = family(module);
            let to = imports(module, text, &modules).iter().map(&family).collect::<BTreeSet<_>>();
            let others = to.into_iter().filter(|to| !to.starts_with(&from) && !from.starts_with(to));
            arrows.entry(from.clone()).or_default().extend(others);
        }
        assert!(room == "crates/share" || arrows.values().any(|to| !to.is_empty()), "{room}: nothing was read");
        for from in arrows.keys() {
            let circle = reached(&arrows, from).into_iter().filter(|to| reached(&arrows, to).contains(from));
            let circle: Vec<String> = circle.map(|module| module.join("/")).collect();
            if !circle.is_empty() {
                circles.insert(format!("{room}: {}", circle.join(" ")));
            }
        }
    }
    let named = [
        ".: pipeline/dedupe pipeline/passage pipeline/respond pipeline/ticket",
        "crates/plugin: error interface",
        "crates/plugin: link sandbox version",
        "crates/rules: execution flow",
        "crates/store: engine journal open",
    ];
    assert_eq!(circles.iter().collect::<Vec<_>>(), named);
}
