//! A look at the structure of an uploaded file before anything is compiled: size is a security control.

use super::engine::features;
use super::error::{UploadError, one_line};
use super::limits::{TABLE_ELEMENTS_MAX, UploadLimits};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Component,
    /// A core module that carries its component type.
    Module,
}

/// Largest number of entries of one `br_table`; the compiler's faults with huge ones were severe.
const BRANCH_TABLE_MAX: u32 = 4096;
/// Largest number of locals of one function.
const LOCALS_MAX: u32 = 10_000;
const PAGE_BYTES: u64 = 65_536;

/// Says what the first bytes are when they are not WebAssembly.
pub(super) fn check_magic(bytes: &[u8]) -> Result<(), UploadError> {
    let not_wasm = |what: &str| Err(UploadError::NotWasm(what.to_owned()));
    match bytes {
        [] => Err(UploadError::Empty),
        [b'\0', b'a', b's', b'm', ..] => Ok(()),
        [0x7f, b'E', b'L', b'F', ..] if bytes.windows(9).take(4096).any(|window| window == b".wasmtime") => {
            Err(UploadError::Artifact)
        }
        [0x7f, b'E', b'L', b'F', ..] => not_wasm("it is a program or library for this machine; build for wasm32"),
        [b'P', b'K', 3, 4, ..] => not_wasm("it is a ZIP archive; upload the `.wasm` file inside it"),
        [0x1f, 0x8b, ..] => not_wasm("it is compressed with gzip; unpack it first"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => not_wasm("it is compressed with zstd; unpack it first"),
        _ if starts_with_text(bytes, "(module") || starts_with_text(bytes, "(component") => {
            not_wasm("it is WebAssembly text; make it binary with `wasm-tools parse`")
        }
        _ if bytes.iter().take(512).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => not_wasm(
            "it is text; upload the compiled `.wasm` file. JavaScript is taken as it is, by `ringback plugin push NAME \
                 FILE.js`, or over the API with the content type text/javascript",
        ),
        _ => not_wasm("it does not begin with the four bytes of a WebAssembly file"),
    }
}

fn starts_with_text(bytes: &[u8], text: &str) -> bool {
    bytes.trim_ascii_start().starts_with(text.as_bytes())
}

/// Validates a file and holds it against the limits.
pub(super) fn scan(bytes: &[u8], limits: &UploadLimits) -> Result<Form, UploadError> {
    check_magic(bytes)?;
    let form = survey(bytes, limits)?;
    if let Err(error) = Validator::new_with_features(features()).validate_all(bytes) {
        let text = message(&error);
        let valid_elsewhere = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).is_ok();
        return Err(if valid_elsewhere {
            UploadError::Feature(format!("{text}{}", cure(&text)))
        } else {
            UploadError::Malformed(text)
        });
    }
    Ok(form)
}

/// What its author does about a feature that is missing here.
fn cure(feature: &str) -> &'static str {
    if feature.contains("component model async") {
        "; calls of plugins do not wait: build it with `--sync` (componentize-qjs), or without what is asynchronous"
    } else {
        ""
    }
}

fn malformed(error: wasmparser::BinaryReaderError) -> UploadError {
    UploadError::Malformed(message(&error))
}

fn message(error: &wasmparser::BinaryReaderError) -> String {
    one_line(error.message()).chars().take(300).collect()
}

fn survey(bytes: &[u8], limits: &UploadLimits) -> Result<Form, UploadError> {
    let too_complex = |what: String| Err(UploadError::TooComplex(what));
    let (mut form, mut depth, mut functions, mut has_component_type) = (None, 0_u32, 0_u32, false);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                let this = if encoding == Encoding::Component { Form::Component } else { Form::Module };
                form.get_or_insert(this);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > limits.nesting_max {
                    return too_complex(format!("components are nested deeper than {}", limits.nesting_max));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentStartSection { .. } => return Err(UploadError::StartFunction),
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory.map_err(malformed)?;
                    let bytes = memory.initial.saturating_mul(PAGE_BYTES);
                    let max = limits.memory_bytes_max as u64;
                    if bytes > max && !memory.memory64 && !memory.shared {
                        return Err(UploadError::TooMuchMemory { found: bytes, max });
                    }
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let entries = table.map_err(malformed)?.ty.initial;
                    if entries > TABLE_ELEMENTS_MAX as u64 {
                        return too_complex(format!("a table of {entries} entries, at most {TABLE_ELEMENTS_MAX}"));
                    }
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                functions = functions.saturating_add(count);
                if functions > limits.functions_max {
                    return too_complex(format!("{functions} functions, at most {}", limits.functions_max));
                }
            }
            Payload::CodeSectionEntry(body) => check_function(&body, limits)?,
            Payload::CustomSection(section) => has_component_type |= section.name().starts_with("component-type"),
            _ => {}
        }
    }
    match form {
        Some(Form::Module) if !has_component_type => Err(UploadError::NoComponentType),
        Some(form) => Ok(form),
        None => Err(UploadError::Malformed("it has no header".to_owned())),
    }
}

fn check_function(body: &wasmparser::FunctionBody<'_>, limits: &UploadLimits) -> Result<(), UploadError> {
    let size = body.range().len();
    if size > limits.function_bytes_max {
        let max = limits.function_bytes_max;
        return Err(UploadError::TooComplex(format!("a function of {size} bytes, at most {max}")));
    }
    let mut locals = 0_u32;
    for group in body.get_locals_reader().map_err(malformed)? {
        locals = locals.saturating_add(group.map_err(malformed)?.0);
    }
    if locals > LOCALS_MAX {
        return Err(UploadError::TooComplex(format!("a function with {locals} locals, at most {LOCALS_MAX}")));
    }
    for operator in body.get_operators_reader().map_err(malformed)? {
        if let wasmparser::Operator::BrTable { targets } = operator.map_err(malformed)?
            && targets.len() > BRANCH_TABLE_MAX
        {
            let found = targets.len();
            return Err(UploadError::TooComplex(format!(
                "a branch table of {found} entries, at most {BRANCH_TABLE_MAX}"
            )));
        }
    }
    Ok(())
}
