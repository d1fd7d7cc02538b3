//! Rust: a crate.

use super::{Files, Language, Scaffold, files};
use crate::cli::CliError;
use crate::cli::plugin::build::{Build, Tool};
use ringback_records::plugin::Role;
use serde_json::Value;
use std::borrow::Cow;
use std::path::PathBuf;

pub(super) const LANGUAGE: Language = Language {
    name: "rust",
    title: "Rust",
    marks: &["Cargo.toml"],
    sdk: "guest-sdk/rust",
    sdk_files: files!("guest-sdk/rust":
        "Cargo.toml", "README.md", "src/allocator.rs", "src/bindings.rs", "src/call.rs", "src/callback.rs", "src/execution.rs",
        "src/failure.rs", "src/http.rs", "src/lib.rs", "src/log.rs", "src/role.rs", "src/secrets.rs", "src/state.rs",
        "src/testing.rs"),
    sdk_file,
    files,
    test: "cargo test",
    build,
};

const CARGO: Tool = Tool {
    program: "cargo",
    title: "Rust",
    debian: "apt-get install cargo",
    other: "curl https://sh.rustup.rs -sSf | sh",
};
const TARGET: &str = "wasm32-unknown-unknown";

fn files(scaffold: &Scaffold<'_>) -> Result<Files, String> {
    let name = scaffold.name;
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("a crate has no name that begins with a digit: choose another one than {name}"));
    }
    let template = match scaffold.role {
        Role::Condition => include_str!("../templates/rust/condition.rs.txt"),
        Role::Verifier => include_str!("../templates/rust/verifier.rs.txt"),
        Role::Parser => include_str!("../templates/rust/parser.rs.txt"),
        Role::Step => include_str!("../templates/rust/step.rs.txt"),
        Role::Responder => include_str!("../templates/rust/responder.rs.txt"),
    };
    let function = match name.replace('-', "_") {
        keyword if KEYWORDS.contains(&keyword.as_str()) => format!("{keyword}_{}", scaffold.role),
        function => function,
    };
    Ok(vec![
        ("Cargo.toml", scaffold.fill(include_str!("../templates/rust/Cargo.toml.txt"))),
        (".cargo/config.toml", include_str!("../templates/rust/config.toml.txt").to_owned()),
        ("src/lib.rs", template.replace("FUNCTION", &function)),
        ("README.md", scaffold.fill(include_str!("../templates/rust/README.md.txt"))),
        (".gitignore", "/build/\n/target/\n".to_owned()),
    ])
}

/// What no function can be called; a crate can.
const KEYWORDS: [&str; 44] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "use",
];

/// In a checkout it has much from the workspace.
fn sdk_file(path: &str, text: &'static [u8]) -> Cow<'static, [u8]> {
    let Some(text) = std::str::from_utf8(text).ok().filter(|_| path == "Cargo.toml") else {
        return Cow::Borrowed(text);
    };
    let inherited = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("edition", "2024"),
        ("rust-version", env!("CARGO_PKG_RUST_VERSION")),
        ("license", env!("CARGO_PKG_LICENSE")),
    ];
    let text = inherited.into_iter().fold(text.replace("\n[lints]\nworkspace = true\n", ""), |text, (name, value)| {
        text.replace(&format!("\n{name}.workspace = true"), &format!("\n{name} = \"{value}\""))
    });
    Cow::Owned(text.into_bytes())
}

fn build(build: &mut Build) -> Result<PathBuf, CliError> {
    let arguments = ["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"];
    let messages = build.step("cargo", &CARGO, &arguments, |said| {
        let is_missing = said.contains("target may not be installed");
        is_missing.then(|| format!("Rust is here without {TARGET}; install that with `rustup target add {TARGET}`"))
    })?;
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_artifact = |message: Value| {
        let files = message.get("filenames")?.as_array()?.clone();
        files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    };
    artifacts.filter_map(of_artifact).next_back().ok_or_else(|| {
        CliError::Refused(
            "the crate makes no .wasm file: Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{LANGUAGE, sdk_file};

    #[test]
    fn the_sdk_needs_no_workspace() {
        let (path, text) = LANGUAGE.sdk_files[0];
        let manifest = String::from_utf8(sdk_file(path, text).into_owned()).unwrap();
        assert!(!manifest.contains("workspace") && manifest.contains("edition = \"2024\""), "{manifest}");
        assert!(manifest.contains(concat!("\nrust-version = \"", env!("CARGO_PKG_RUST_VERSION"), "\"")), "{manifest}");
    }
}
