//! Rules about the structure, so that they do not drift.

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

#[test]
fn each_library_is_known_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50);
    for file in files {
        let path = file.strip_prefix(&root).unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        for (library, allowed) in
            [("axum", "http"), ("sled", "store"), ("wasmtime", "plugin"), ("wasmtime_wasi", "plugin")]
        {
            let uses = text.contains(&format!("use {library}::")) || text.contains(&format!(" {library}::"));
            assert!(!uses || path.starts_with(allowed), "{path} uses {library}, which only {allowed} may");
        }
        assert!(!path.ends_with("mod.rs"), "{path}");
        let lines = text.lines().count();
        assert!(lines <= 900, "{path} has {lines} lines: part it");
    }
}
