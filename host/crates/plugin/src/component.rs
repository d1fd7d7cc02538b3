//! A core module that carries its component type becomes a component, so that authors need nothing but their compiler.
//!
//! What a libc asks of WASI preview 1 is asked of WASI 0.2 by an adapter, which grants no more than WASI 0.2 does here.

use super::error::{UploadError, one_line};
use std::collections::BTreeSet;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wasmparser::{Parser, Payload};

/// The component that a core module describes.
pub(super) fn componentize(module: &[u8]) -> Result<Vec<u8>, UploadError> {
    let refused = |problem: &str| UploadError::NotAComponent(one_line(problem));
    let needs = Needs::of(module).map_err(|error| UploadError::Malformed(one_line(error.message())))?;
    if let Some(missing) = needs.missing() {
        return Err(refused(&missing));
    }
    let encode = || -> Result<Vec<u8>, String> {
        let mut encoder = wit_component::ComponentEncoder::default()
            .validate(false)
            .module(module)
            .map_err(|error| format!("{error:#}"))?;
        if needs.preview1() {
            encoder = encoder.adapter(PREVIEW1, ADAPTER).map_err(|error| format!("{error:#}"))?;
        }
        encoder.encode().map_err(|error| format!("{error:#}"))
    };
    encode().map_err(|problem| refused(&problem))
}

/// What a module takes from elsewhere, and offers.
#[derive(Default)]
struct Needs<'m> {
    imports: Vec<(&'m str, &'m str)>,
    exports: BTreeSet<&'m str>,
}

impl<'m> Needs<'m> {
    fn of(module: &'m [u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut needs = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        needs.imports.push((import.module, import.name));
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        needs.exports.insert(export?.name);
                    }
                }
                _ => {}
            }
        }
        Ok(needs)
    }

    fn preview1(&self) -> bool {
        self.imports.iter().any(|(module, _)| *module == PREVIEW1)
    }

    /// What nobody here has for it, in words for its author.
    fn missing(&self) -> Option<String> {
        let adapter = Needs::of(ADAPTER).unwrap_or_default();
        for (module, name) in &self.imports {
            let missing = match *module {
                PREVIEW1 if adapter.exports.contains(name) => continue,
                PREVIEW1 => format!("it imports `{name}` of WASI preview 1, which is not part of it: build it without"),
                "wasi_unstable" => "it is built for WASI preview 0 (`wasi_unstable`): build it with a newer compiler, \
                                    for WASI preview 1 (`wasm32-wasip1`)"
                    .to_owned(),
                "env" => format!(
                    "it imports `{name}` of `env`, which nothing here provides: link what defines it, or build it \
                     without what needs it"
                ),
                _ => continue,
            };
            return Some(missing);
        }
        if self.preview1() && self.exports.contains("_start") && !self.exports.contains("_initialize") {
            let library = "it is a program (it exports `_start`), and what is called in it would find nothing set up: \
                           build it as a library, with `-mexec-model=reactor` (clang, Zig), `-buildmode=c-shared` \
                           (Go, TinyGo) or `crate-type = [\"cdylib\"]` (Rust)";
            return Some(library.to_owned());
        }
        if self.preview1() && !self.exports.contains("memory") {
            return Some("it does not export its memory as `memory`, where WASI preview 1 is answered".to_owned());
        }
        None
    }
}
