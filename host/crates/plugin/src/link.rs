//! Holds a component against the interface: what it imports, and the roles that it exports.

use super::call::Linked;
use super::compile::with_causes;
use super::error::UploadError;
use super::exports::Exports;
use super::host::CallState;
use super::interface::{check_import, other_version};
use super::sandbox::Inner;
use ringback_records::plugin::Role;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

/// The interfaces by which a call leaves something behind. Of WASI nothing is granted.
const EFFECTS: [&str; 2] = ["ringback:plugin/state@", "ringback:plugin/http@"];

pub(super) fn link(
    inner: &Inner,
    component: &Component,
    digest: String,
    large: bool,
) -> Result<Arc<Linked>, UploadError> {
    for import in import_names(&inner.caller.engine, component) {
        check_import(&import)?;
    }
    link_by(inner, &inner.linker, component, digest, large, &Role::ALL)
}

/// A component of the server's own making, of whose roles it has only these.
pub(super) fn link_ours(
    inner: &Inner,
    linker: &Linker<CallState>,
    component: &Component,
    digest: String,
    roles: Option<&[Role]>,
) -> Result<Arc<Linked>, UploadError> {
    link_by(inner, linker, component, digest, false, roles.unwrap_or(&Role::ALL))
}

fn link_by(
    inner: &Inner,
    linker: &Linker<CallState>,
    component: &Component,
    digest: String,
    large: bool,
    of: &[Role],
) -> Result<Arc<Linked>, UploadError> {
    let engine = &inner.caller.engine;
    let imports = import_names(engine, component);
    let pre = linker.instantiate_pre(component).map_err(|error| UploadError::ImportType(with_causes(&error)))?;
    let exported: Vec<String> = component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
    let exports = Exports::of(&pre, &exported)?.only(of);
    if exports.roles().is_empty() {
        if let Some(other) = exported.iter().find_map(|name| other_version(name)) {
            return Err(other);
        }
        let found = if exported.is_empty() { String::new() } else { format!("; it exports {}", exported.join(", ")) };
        return Err(UploadError::NoRole(found));
    }
    let imports_any =
        |prefixes: &[&str]| imports.iter().any(|import| prefixes.iter().any(|prefix| import.starts_with(prefix)));
    let wants_wasi = imports_any(&["wasi:"]);
    let has_effects = imports_any(&EFFECTS);
    let (long, schemas) = (AtomicU8::new(0), Arc::new(OnceCell::new()));
    Ok(Arc::new(Linked { pre, exports, digest, large, wants_wasi, has_effects, long, schemas }))
}

pub(super) fn import_names(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}
