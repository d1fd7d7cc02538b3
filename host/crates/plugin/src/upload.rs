//! An upload: compiled and linked, and of which nothing is kept until it is said so.

use super::cache::deserialize;
use super::call::{Linked, Schemas};
use super::compile::{Compiled, Job, with_causes};
use super::error::UploadError;
use super::limits::{LARGE, NORMAL};
use super::link::{import_names, link};
use super::sandbox::{Inner, Sandbox};
use super::vectors;
use super::version::{NoSchema, Version, ask_schemas};
use bytes::Bytes;
use ringback_records::name::{Name, NameError, sha256_hex};
use ringback_records::plugin::{Language, Role, VersionRecord};
use ringback_records::time::Timestamp;
use ringback_rules::schema::{Flaw, Schema};
use std::sync::Arc;

/// A file that may become a version of a plugin.
pub struct Upload {
    sandbox: Sandbox,
    linked: Arc<Linked>,
    imports: Vec<String>,
    /// How many cases it passes that it brought along.
    vectors: u32,
    language: Option<Language>,
    /// What is kept: the component, or the source.
    file: Bytes,
    artifact: Bytes,
}

/// What a plugin is called while it has no name.
const UNNAMED: &str = "upload";

impl Sandbox {
    /// Checks a file, compiles it and links it, asks for the schemas of its configurations, and runs the cases that it brings
    /// along.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub async fn take_upload(&self, workspace: &Name, bytes: Bytes) -> Result<Upload, UploadError> {
        let large_plugins = self.inner.settings.large_plugins;
        let allowed = if large_plugins { LARGE.bytes_max } else { NORMAL.bytes_max };
        if bytes.len() > allowed {
            let needs_large = bytes.len() <= LARGE.bytes_max;
            return Err(UploadError::TooLarge { found: bytes.len(), max: allowed, needs_large });
        }
        let large = bytes.len() > NORMAL.bytes_max;
        let compiled = self.compile(workspace, bytes, Job::Plugin { large }).await?;
        let sandbox = self.clone();
        let take = move |inner: &Inner| {
            let engine = &inner.caller.engine;
            // What the engine does not take of code that was compiled a moment ago is too much for a call.
            let component = deserialize(engine, &compiled.artifact)
                .map_err(|error| UploadError::TooComplex(with_causes(&error)))?;
            let linked = link(inner, &component, sha256_hex(&compiled.component), large)?;
            let Compiled { component: file, artifact } = compiled;
            let imports = import_names(engine, &component);
            Ok(Upload { sandbox, linked, imports, vectors: 0, language: None, file, artifact })
        };
        let mut upload = self.aside(take).await.map_err(UploadError::Host)??;
        upload.vectors = self.try_out(&upload.linked, workspace).await?;
        Ok(upload)
    }

    /// Asks a plugin what it says of itself, and whether that is so: how many cases it passes.
    pub(super) async fn try_out(&self, linked: &Arc<Linked>, workspace: &Name) -> Result<u32, UploadError> {
        let unnamed: Name = UNNAMED.parse().map_err(|error: NameError| UploadError::Host(error.to_string()))?;
        let Inner { caller, places, .. } = &*self.inner;
        let _place = places.take(workspace).await.map_err(|_| UploadError::Crowded)?;
        let schemas = ask_schemas(caller, &unnamed, linked, workspace).await;
        let schemas = schemas.map_err(|error| match error {
            NoSchema::Call(_) => UploadError::Crowded,
            NoSchema::Wrong(role, problem) => UploadError::Schema { role, problem },
        })?;
        // Of a version that is there already it is not asked: what is not understood is not checked.
        let malformed = |(role, schema): (&Role, &Schema)| {
            let Flaw { pointer, detail } = schema.malformed()?;
            Some(UploadError::Schema { role: *role, problem: format!("is none, at `{pointer}`: there {detail}") })
        };
        schemas.iter().find_map(malformed).map_or(Ok(()), Err)?;
        let known: Result<&Schemas, _> =
            linked.schemas.get_or_try_init(|| async { Ok::<_, UploadError>(schemas) }).await;
        known?;
        let vectors = vectors::run(caller, &unnamed, linked, workspace).await?;
        Ok(u32::try_from(vectors).unwrap_or(u32::MAX))
    }
}

impl Upload {
    pub(super) fn of_script(
        sandbox: &Sandbox,
        linked: Arc<Linked>,
        imports: Vec<String>,
        vectors: u32,
        source: Bytes,
        artifact: Bytes,
    ) -> Self {
        let language = Some(Language::Js);
        Self { sandbox: sandbox.clone(), linked, imports, vectors, language, file: source, artifact }
    }

    /// The record of the version that it is under this number.
    pub fn record(&self, number: u32) -> VersionRecord {
        VersionRecord {
            version: number,
            digest: self.linked.digest.clone(),
            language: self.language,
            roles: self.linked.exports.roles(),
            imports: self.imports.clone(),
            vectors: self.vectors,
            size_bytes: self.file.len() as u64,
            large: self.linked.large,
            uploaded_at: Timestamp::now(),
        }
    }

    /// SHA-256 of the component, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.linked.digest
    }

    /// Itself as the version of a plugin that is called.
    pub fn version(&self, plugin: &Name) -> Version {
        Version::new(&self.sandbox, plugin, Arc::clone(&self.linked))
    }

    /// Itself in place of a version that the same component became, maybe in a file of another size: under the limits of that one.
    pub fn version_again(&self, plugin: &Name, known: &VersionRecord) -> Version {
        let linked = Linked { large: known.large, ..self.linked.apart() };
        Version::new(&self.sandbox, plugin, Arc::new(linked))
    }

    /// Keeps its files durably.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub async fn keep(self) -> Result<(), UploadError> {
        let (digest, language, file) = (self.linked.digest.clone(), self.language, self.file.clone());
        let keep = move |inner: &Inner| inner.cache.keep(&digest, language, &file).map_err(|error| error.to_string());
        let kept = self.sandbox.aside(keep).await.flatten();
        kept.map_err(|error| UploadError::Host(format!("the file could not be kept: {error}")))?;
        self.keep_compiled().await
    }

    /// Keeps what it was compiled to.
    pub(super) async fn keep_compiled(self) -> Result<(), UploadError> {
        let Self { sandbox, linked, artifact, .. } = self;
        let keep = move |inner: &Inner| inner.cache.keep_artifact(&linked.digest, &artifact);
        let kept = sandbox.aside(move |inner| keep(inner).map_err(|error| error.to_string())).await.flatten();
        kept.map_err(|error| UploadError::Host(format!("the compiled code could not be kept: {error}")))
    }
}
