//! Holds a component against the interface: what it imports, and the roles that it exports.

use super::call::Linked;
use super::compile::with_causes;
use super::error::UploadError;
use super::exports::Exports;
use super::host::{self, CallState};
use super::interface::{VERSION, check_import, other_version};
use super::sandbox::Inner;
use ringback_records::plugin::{Role, VersionRecord};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

/// The interfaces by which a call leaves something behind. Of WASI nothing is granted.
const EFFECTS: [&str; 2] = ["ringback:plugin/state@", "ringback:plugin/http@"];

/// Whether an import is one of these.
fn is_effect(import: &str) -> bool {
    EFFECTS.iter().any(|effect| import.starts_with(effect))
}

/// What leaves nothing behind, and every file in JavaScript may ask.
const QUESTIONS: [&str; 4] = ["types", "log", "call", "secrets"];

/// What a file in JavaScript has of what its engine offers.
#[derive(Clone, Default)]
pub(super) struct Parts {
    /// `None` for all.
    pub(super) roles: Option<Vec<Role>>,
    /// The interfaces that it imports of those by which a call leaves something behind.
    pub(super) effects: Vec<String>,
}

impl Parts {
    /// What the engine says of a file: the names of roles and of such interfaces.
    pub(super) fn read(names: &str) -> Self {
        let has = |wanted: &str| names.split(' ').any(|name| name == wanted);
        let roles = Role::ALL.into_iter().filter(|role| has(role.as_str())).collect();
        let name = |prefix: &str| format!("{prefix}{VERSION}");
        let of =
            |prefix: &&str| prefix.strip_prefix("ringback:plugin/").is_some_and(|name| has(name.trim_end_matches('@')));
        Self { roles: Some(roles), effects: EFFECTS.into_iter().filter(of).map(name).collect() }
    }

    pub(super) fn of(version: &VersionRecord) -> Self {
        let effects = version.imports.iter().filter(|import| is_effect(import)).cloned().collect();
        Self { roles: Some(version.roles.clone()), effects }
    }

    /// All that it can ask the server.
    pub(super) fn all_imports(&self) -> Vec<String> {
        let questions = QUESTIONS.map(|name| format!("ringback:plugin/{name}@{VERSION}"));
        questions.into_iter().chain(self.effects.iter().cloned()).collect()
    }

    fn imports(&self, interface: &str) -> bool {
        self.effects.iter().any(|import| import.starts_with(interface))
    }
}

pub(super) fn link(
    inner: &Inner,
    component: &Component,
    digest: String,
    large: bool,
) -> Result<Arc<Linked>, UploadError> {
    let imports = import_names(&inner.caller.engine, component);
    imports.iter().try_for_each(|import| check_import(import))?;
    let has_effects = imports.iter().any(|import| is_effect(import));
    link_by(inner, &inner.linker, component, digest, large, &Role::ALL, has_effects)
}

/// A component of the server's own making: its engine imports more than its file does, and what the file does not import is linked
/// with nothing that could be called.
pub(super) fn link_ours(
    inner: &Inner,
    linker: &Linker<CallState>,
    component: &Component,
    digest: String,
    parts: &Parts,
) -> Result<Arc<Linked>, UploadError> {
    let unlinked = |error: wasmtime::Error| UploadError::ImportType(with_causes(&error));
    let mut linker = linker.clone();
    let [state, http] = EFFECTS;
    host::link_effects(&mut linker, parts.imports(state), parts.imports(http)).map_err(unlinked)?;
    linker.define_unknown_imports_as_traps(component).map_err(unlinked)?;
    let has_effects = !parts.effects.is_empty();
    link_by(inner, &linker, component, digest, false, parts.roles.as_deref().unwrap_or(&Role::ALL), has_effects)
}

fn link_by(
    inner: &Inner,
    linker: &Linker<CallState>,
    component: &Component,
    digest: String,
    large: bool,
    of: &[Role],
    has_effects: bool,
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
    let wants_wasi = imports.iter().any(|import| import.starts_with("wasi:"));
    let (long, schemas) = (AtomicU8::new(0), Arc::new(OnceCell::new()));
    Ok(Arc::new(Linked { pre, exports, digest, large, wants_wasi, has_effects, long, schemas }))
}

pub(super) fn import_names(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}
