//! C: functions, which clang and Debian's libc make a small module of.

use super::{Files, Language, Scaffold, files};
use crate::cli::CliError;
use crate::cli::plugin::build::{Build, Tool};
use ringback_records::plugin::Role;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub(super) const LANGUAGE: Language = Language {
    name: "c",
    title: "C",
    marks: &["Makefile", "plugin.c"],
    sdk: "guest-sdk/c",
    sdk_files: files!("guest-sdk/c":
        "README.md", "bindings/condition.o", "bindings/configurable.o", "bindings/exports.h", "bindings/imports.c",
        "bindings/imports.o", "bindings/parser.o", "bindings/plugin.h", "bindings/responder.o", "bindings/step.o",
        "bindings/vectors.o", "bindings/verifier.o", "ringback.c", "ringback.h", "ringback.mk", "ringback_export.c",
        "ringback_host.c", "ringback_test.c", "ringback_test.h"),
    sdk_file: |_, text| Cow::Borrowed(text),
    files,
    test: "make test",
    build,
};

/// All at once: whoever lacks one of them, lacks most.
const DEBIAN: &str =
    "apt-get install -y --no-install-recommends make gcc libc6-dev clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32";
const OTHER: &str = "the packages of your system for make, clang 19, lld 19, wasi-libc and clang's runtime for wasm32";
const MAKE: Tool = Tool { program: "make", title: "make", debian: DEBIAN, other: OTHER };
const CLANG: Tool = Tool { program: "clang-19", title: "clang", debian: DEBIAN, other: OTHER };
const LINKER: Tool = Tool { program: "wasm-ld-19", title: "lld", debian: DEBIAN, other: OTHER };

fn files(scaffold: &Scaffold<'_>) -> Result<Files, String> {
    let (source, test) = match scaffold.role {
        Role::Condition => {
            (include_str!("../templates/c/condition.c.txt"), include_str!("../templates/c/test_condition.c.txt"))
        }
        Role::Verifier => {
            (include_str!("../templates/c/verifier.c.txt"), include_str!("../templates/c/test_verifier.c.txt"))
        }
        Role::Parser => (include_str!("../templates/c/parser.c.txt"), include_str!("../templates/c/test_parser.c.txt")),
        Role::Step => (include_str!("../templates/c/step.c.txt"), include_str!("../templates/c/test_step.c.txt")),
        Role::Responder => {
            (include_str!("../templates/c/responder.c.txt"), include_str!("../templates/c/test_responder.c.txt"))
        }
    };
    Ok(vec![
        ("plugin.c", source.to_owned()),
        ("test_plugin.c", test.to_owned()),
        ("vectors.json", super::vectors(scaffold.role).to_owned()),
        ("Makefile", scaffold.fill(include_str!("../templates/c/Makefile.txt"))),
        ("README.md", scaffold.fill(include_str!("../templates/c/README.md.txt"))),
        (".gitignore", "/build/\n".to_owned()),
    ])
}

fn build(build: &mut Build) -> Result<PathBuf, CliError> {
    build.ask(&CLANG, &["--version"])?;
    build.ask(&LINKER, &["--version"])?;
    build.step("make", &MAKE, &["--silent"], |said| {
        let lacks = [
            ("'stdlib.h' file not found", "wasi-libc"),
            ("cannot open crt1-reactor.o", "wasi-libc"),
            ("libclang_rt.builtins-wasm32.a", "clang's runtime for wasm32"),
        ];
        let (_, lacking) = lacks.iter().find(|(sign, _)| said.contains(sign))?;
        Some(format!("{lacking} is not installed; install it with `{DEBIAN}`"))
    })?;
    Ok(build.directory.join(Path::new("build/plugin.wasm")))
}
