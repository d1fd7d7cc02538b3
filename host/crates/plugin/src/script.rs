//! What runs scripts, and plugins in JavaScript. It comes with the server, and is compiled once for all of them.

use super::cache::{deserialize, deserialize_module};
use super::call::{Answer, Linked, PATIENCE, Question};
use super::compile::{Compiled, Job, with_causes};
use super::error::{CallError, UploadError};
use super::host;
use super::image::{self, Scripts};
use super::images::Script;
use super::limits::{NORMAL, SCRIPT_BYTES_MAX};
use super::link::{Parts, link_ours};
use super::sandbox::{Inner, Sandbox};
use super::subject::Subject;
use super::upload::Upload;
use super::version::Version;
use bytes::Bytes;
use ringback_records::name::{Name, NameError, sha256_hex};
use ringback_records::plugin::VersionRecord;
use ringback_share::Full;
use std::sync::Arc;
use wasmtime::component::Linker;

/// What it is called in messages, and by the compiler.
const NAME: &str = "script";

impl Sandbox {
    /// Makes ready what runs scripts.
    ///
    /// # Errors
    ///
    /// It cannot be compiled, or this engine of WebAssembly does not take it.
    pub async fn prepare_scripts(&self) -> Result<(), String> {
        self.scripts().await.map(drop)
    }

    /// What runs a script that comes with its configuration.
    ///
    /// # Errors
    ///
    /// As [`prepare_scripts`](Self::prepare_scripts).
    pub async fn script(&self, name: &Name) -> Result<Version, String> {
        Ok(Version::new(self, name, Arc::clone(&self.scripts().await?.empty)))
    }

    /// Reads the source of a plugin in JavaScript.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub async fn take_script(&self, workspace: &Name, source: Bytes) -> Result<Upload, UploadError> {
        self.take_source(workspace, source, None).await
    }

    /// The same, where it is known what the file has.
    async fn take_source(&self, workspace: &Name, source: Bytes, known: Option<Parts>) -> Result<Upload, UploadError> {
        if source.is_empty() {
            return Err(UploadError::Empty);
        }
        if source.len() > SCRIPT_BYTES_MAX {
            return Err(UploadError::LongScript { found: source.len(), max: SCRIPT_BYTES_MAX });
        }
        let scripts = self.scripts().await.map_err(UploadError::Host)?;
        let (component, found) = self.read_plugin(scripts, workspace, &source).await?;
        let parts = known.unwrap_or(found);
        let imports = parts.all_imports();
        let (linked, artifact) = self.link_image(scripts, workspace, component, sha256_hex(&source), parts).await?;
        let vectors = self.try_out(&linked, workspace).await?;
        Ok(Upload::of_script(self, linked, imports, vectors, source, artifact))
    }

    /// Reads a script aside, so that calls to come need not: where there is a place for what it becomes.
    pub(super) fn read_ahead(&self, workspace: &Name, script: &Arc<Script>) {
        let Some(turn) = self.inner.images.turn(workspace) else { return };
        let (sandbox, workspace, script) = (self.clone(), workspace.clone(), Arc::clone(script));
        tokio::spawn(async move {
            match sandbox.read_script(&workspace, &script).await {
                Ok(linked) => sandbox.inner.images.add(&workspace, &script, linked),
                Err(error) => {
                    script.failed();
                    tracing::debug!(flow.name = %script.flow, %workspace, %error, "a script was not read ahead");
                }
            }
            drop(turn);
        });
    }

    /// How many scripts are read ahead of their calls.
    pub fn images(&self) -> usize {
        self.inner.images.count()
    }

    async fn read_script(&self, workspace: &Name, script: &Script) -> Result<Arc<Linked>, UploadError> {
        let scripts = self.scripts().await.map_err(UploadError::Host)?;
        let (_, memory) = self.read(scripts, workspace, Question::ReadScript, &script.to_read()).await?;
        let component = scripts.image.component(&memory).map_err(UploadError::Host)?;
        let digest = scripts.empty.digest.clone();
        Ok(self.link_image(scripts, workspace, component, digest, Parts::default()).await?.0)
    }

    /// Makes a component ready that has an image, with what it is compiled to.
    async fn link_image(
        &self,
        scripts: &Scripts,
        workspace: &Name,
        component: Vec<u8>,
        digest: String,
        parts: Parts,
    ) -> Result<(Arc<Linked>, Bytes), UploadError> {
        let Compiled { artifact, .. } = self.compile(workspace, component.into(), Job::Plugin { large: false }).await?;
        let (linker, of) = (scripts.linker.clone(), artifact.clone());
        let take = move |inner: &Inner| {
            let component = deserialize(&inner.caller.engine, &of).map_err(|error| with_causes(&error))?;
            let linked = link_ours(inner, &linker, &component, digest, &parts);
            linked.map_err(|error| error.to_string())
        };
        let linked = self.aside(take).await.flatten().map_err(UploadError::Host)?;
        Ok((linked, artifact))
    }

    /// Makes a version ready whose source is kept.
    pub(super) async fn load_script(
        &self,
        workspace: &Name,
        plugin: &Name,
        version: &VersionRecord,
    ) -> Result<Version, String> {
        let scripts = self.scripts().await?;
        let (linker, digest, parts) = (scripts.linker.clone(), version.digest.clone(), Parts::of(version));
        let cached = move |inner: &Inner| {
            let component = inner.cache.load(&inner.caller.engine, &digest)?;
            Some(link_ours(inner, &linker, &component, digest, &parts).map_err(|error| error.to_string()))
        };
        if let Some(linked) = self.aside(cached).await?.transpose()? {
            return Ok(Version::new(self, plugin, linked));
        }
        tracing::info!(plugin.name = %plugin, version = version.version, "reading a plugin for this engine");
        let file = version.clone();
        let source =
            self.aside(move |inner| inner.cache.read(&file).map_err(|error| error.to_string())).await.flatten()?;
        let known = Some(Parts::of(version));
        let upload = self.take_source(workspace, source.into(), known).await.map_err(|error| error.to_string())?;
        let made = upload.version(plugin);
        upload.keep_compiled().await.map_err(|error| error.to_string())?;
        Ok(made)
    }

    async fn scripts(&self) -> Result<&Scripts, String> {
        self.inner.scripts.get_or_try_init(|| self.load_scripts()).await
    }

    async fn load_scripts(&self) -> Result<Scripts, String> {
        let workspace: Name = NAME.parse().map_err(|error: NameError| error.to_string())?;
        let image = self.aside(|_| image::Engine::of(image::BUILT)).await.flatten()?;
        let digest = sha256_hex(&image.module);
        let of = digest.clone();
        let module = match self.aside(move |inner| inner.cache.load_module(&inner.caller.engine, &of)).await? {
            Some(module) => module,
            None => {
                tracing::info!("compiling what runs scripts, for this engine");
                let compiled = self.compile(&workspace, image.module.clone().into(), Job::Engine).await;
                let artifact = compiled.map_err(|error| error.to_string())?.artifact;
                let take = move |inner: &Inner| {
                    inner.cache.keep_artifact(&digest, &artifact).map_err(|error| error.to_string())?;
                    deserialize_module(&inner.caller.engine, &artifact).map_err(|error| with_causes(&error))
                };
                self.aside(take).await.flatten()?
            }
        };
        let mut linker = Linker::new(&self.inner.caller.engine);
        let linked = host::link_questions(&mut linker).and_then(|()| linker.root().module(image::ENGINE, &module));
        linked.map_err(|error| with_causes(&error))?;
        let component = image.component(&image.memory)?;
        let digest = sha256_hex(&component);
        let (of, by) = (digest.clone(), linker.clone());
        let cached = move |inner: &Inner| {
            let component = inner.cache.load(&inner.caller.engine, &of)?;
            Some(link_ours(inner, &by, &component, of, &Parts::default()).map_err(|error| error.to_string()))
        };
        let empty = match self.aside(cached).await?.transpose()? {
            Some(linked) => linked,
            None => {
                let compiled = self.compile(&workspace, component.into(), Job::Plugin { large: false }).await;
                let artifact = compiled.map_err(|error| error.to_string())?.artifact;
                let by = linker.clone();
                let take = move |inner: &Inner| {
                    inner.cache.keep_artifact(&digest, &artifact).map_err(|error| error.to_string())?;
                    let component =
                        deserialize(&inner.caller.engine, &artifact).map_err(|error| with_causes(&error))?;
                    link_ours(inner, &by, &component, digest, &Parts::default()).map_err(|error| error.to_string())
                };
                self.aside(take).await.flatten()?
            }
        };
        Ok(Scripts { image, linker, empty })
    }

    /// Has the engine read a source, as a call: the component whose calls begin with what it has then, and what it has of
    /// what the engine offers.
    async fn read_plugin(
        &self,
        scripts: &Scripts,
        workspace: &Name,
        source: &[u8],
    ) -> Result<(Vec<u8>, Parts), UploadError> {
        let wrong = |what: String| UploadError::Script(what);
        let source = std::str::from_utf8(source).map_err(|error| {
            wrong(format!("the file is not UTF-8 from byte {} on; save it as UTF-8", error.valid_up_to()))
        })?;
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let (parts, memory) = self.read(scripts, workspace, Question::ReadPlugin, source).await?;
        let component = scripts.image.component(&memory).map_err(UploadError::Host)?;
        if component.len() > NORMAL.bytes_max {
            let mebibytes = NORMAL.bytes_max >> 20;
            let what = format!(
                "what it keeps for its calls has more than {mebibytes} MiB: it makes too much where it is read"
            );
            return Err(wrong(what));
        }
        Ok((component, Parts::read(&parts)))
    }

    /// Has the engine read something, as a call: what it says of that, and its memory then.
    async fn read(
        &self,
        scripts: &Scripts,
        workspace: &Name,
        question: Question,
        source: &str,
    ) -> Result<(String, Vec<u8>), UploadError> {
        let wrong = |what: String| UploadError::Script(what);
        let subject = Subject::tried(workspace);
        let name: Name = NAME.parse().map_err(|error: NameError| UploadError::Host(error.to_string()))?;
        let _place = self.inner.places.take(workspace).await.map_err(|Full| UploadError::Crowded)?;
        let ask = || self.inner.caller.ask(&name, &scripts.empty, question, &subject, source);
        let mut asked = ask().await.0;
        for _ in 1..PATIENCE {
            match &asked {
                Err(error) if error.is_temporary() => asked = ask().await.0,
                _ => break,
            }
        }
        match asked {
            Ok(Answer::Read(Ok(read))) => Ok(read),
            Ok(Answer::Read(Err(what))) => Err(wrong(placed(&what))),
            Ok(_) => Err(UploadError::Host("the engine answered something else".to_owned())),
            Err(CallError::OutOfTime { limit, .. }) => Err(wrong(format!(
                "it runs longer than {limit} where it is read, before any call: let its functions do the work"
            ))),
            Err(CallError::OutOfMemory { limit_bytes, .. }) => {
                Err(wrong(format!("it takes more than {} MiB of memory where it is read", limit_bytes >> 20)))
            }
            Err(CallError::Trapped { reason, .. }) => {
                Err(wrong(format!("it breaks off where it is read, nested or called too deeply: {reason}")))
            }
            Err(error) if error.is_temporary() => Err(UploadError::Crowded),
            Err(error) => Err(UploadError::Host(error.to_string())),
        }
    }
}

/// A mistake with its place in words: the engine says `3:14: …`.
fn placed(what: &str) -> String {
    let parts = || {
        let (line, rest) = what.split_once(':')?;
        let (column, detail) = rest.split_once(": ")?;
        Some((line.parse::<u32>().ok()?, column.parse::<u32>().ok()?, detail))
    };
    match parts() {
        Some((line, column, detail)) => format!("line {line}, column {column}: {detail}"),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::placed;

    #[test]
    fn a_mistake_says_its_place_in_words() {
        assert_eq!(placed("3:14: expecting ';': yes"), "line 3, column 14: expecting ';': yes");
        for other in ["", "it has no end", "3: x", "a:b: c"] {
            assert_eq!(placed(other), other);
        }
    }
}
