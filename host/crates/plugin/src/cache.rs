//! Plugins on disk: components by their digest, and compiled code that only this server can have written.
//!
//! Compiled code is run without a further check, so a file is used only when its MAC is right: HMAC-SHA256 under a key
//! outside the store, over the digest, the engine's hash and the code.

use super::{engine, image};
use aws_lc_rs::{constant_time, hmac};
use ringback_records::file::{sync_directory, write_durably};
use ringback_records::name::{random_key, sha256_hex};
use ringback_records::plugin::{Language, VersionRecord, file_name};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

const MAC_BYTES: usize = 32;

pub(super) struct Cache {
    /// Components, and the sources of plugins in JavaScript.
    files: PathBuf,
    artifacts: PathBuf,
    key: hmac::Key,
    engine_hash: u64,
}

impl Cache {
    pub(super) fn open(data: &Path, engine: &Engine) -> io::Result<Self> {
        let (files, artifacts) = (data.join("plugins"), data.join("cache"));
        for directory in [&files, &artifacts] {
            std::fs::create_dir_all(directory)?;
        }
        sync_directory(data)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        engine::wasmtime_version().hash(&mut hasher);
        // Code that was made of a source is of this engine as well.
        image::BUILT.hash(&mut hasher);
        let key = read_or_make_key(&data.join("artifact.key"))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let cache = Self { files, artifacts, key, engine_hash: hasher.finish() };
        if let Err(error) = cache.forget_other_engines() {
            tracing::warn!(%error, "compiled code of earlier engines could not be removed");
        }
        Ok(cache)
    }

    /// Removes compiled code that no engine but an earlier one can load.
    fn forget_other_engines(&self) -> io::Result<()> {
        let of_this = format!("-{:016x}.cwasm", self.engine_hash);
        for entry in std::fs::read_dir(&self.artifacts)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".cwasm") && !name.ends_with(&of_this) {
                std::fs::remove_file(self.artifacts.join(&*name))?;
            }
        }
        Ok(())
    }

    /// Keeps a component durably, or a source, under its digest.
    pub(super) fn keep(&self, digest: &str, language: Option<Language>, bytes: &[u8]) -> io::Result<()> {
        write_durably(&self.files.join(file_name(digest, language)), bytes)
    }

    /// The file of a version.
    pub(super) fn read(&self, version: &VersionRecord) -> io::Result<Vec<u8>> {
        let bytes = std::fs::read(self.files.join(version.file_name()))?;
        if sha256_hex(&bytes) != version.digest {
            return Err(io::Error::other(format!("the file of plugin {} was changed", version.digest)));
        }
        Ok(bytes)
    }

    /// Removes the file of a version, and its compiled code.
    pub(super) fn forget(&self, version: &VersionRecord) -> io::Result<()> {
        for path in [self.files.join(version.file_name()), self.artifact_path(&version.digest)] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn keep_artifact(&self, digest: &str, artifact: &[u8]) -> io::Result<()> {
        let mac = self.mac(digest, artifact);
        write_durably(&self.artifact_path(digest), &[mac.as_ref(), artifact].concat())
    }

    /// The compiled code of a plugin, when it is here, whole and of this engine.
    pub(super) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        self.loaded(digest, |artifact| deserialize(engine, artifact))
    }

    /// The same of a core module.
    pub(super) fn load_module(&self, engine: &Engine, digest: &str) -> Option<Module> {
        self.loaded(digest, |artifact| deserialize_module(engine, artifact))
    }

    fn loaded<T>(&self, digest: &str, load: impl FnOnce(&[u8]) -> wasmtime::Result<T>) -> Option<T> {
        let bytes = std::fs::read(self.artifact_path(digest)).ok()?;
        let (mac, artifact) = bytes.split_at_checked(MAC_BYTES)?;
        if constant_time::verify_slices_are_equal(self.mac(digest, artifact).as_ref(), mac).is_err() {
            tracing::warn!(plugin.digest = digest, "compiled code in the cache was changed; compiling it again");
            return None;
        }
        load(artifact)
            .inspect_err(|error| tracing::warn!(plugin.digest = digest, %error, "compiled code did not load"))
            .ok()
    }

    fn artifact_path(&self, digest: &str) -> PathBuf {
        self.artifacts.join(format!("{digest}-{:016x}.cwasm", self.engine_hash))
    }

    fn mac(&self, digest: &str, artifact: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(digest.as_bytes());
        context.update(&self.engine_hash.to_be_bytes());
        context.update(artifact);
        context.sign()
    }
}

/// Loads compiled code that this server's own child has just made, or whose MAC was right.
#[expect(unsafe_code, reason = "the bytes are our compiler's: straight from the child, or authenticated by the cache")]
pub(super) fn deserialize(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: callers pass only what `Engine::precompile_component` wrote.
    unsafe { Component::deserialize(engine, artifact) }
}

/// The same of a core module, which [`Engine::precompile_module`] wrote.
#[expect(unsafe_code, reason = "the bytes are our compiler's: straight from the child, or authenticated by the cache")]
pub(super) fn deserialize_module(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: callers pass only what `Engine::precompile_module` wrote; a component is told from a module.
    unsafe { Module::deserialize(engine, artifact) }
}

fn read_or_make_key(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(key) if key.len() == MAC_BYTES => Ok(key),
        Ok(_) => Err(io::Error::other(format!("{} does not hold {MAC_BYTES} bytes; remove it", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random_key().map_err(|_| io::Error::other("the operating system gave no random bytes"))?;
            write_durably(path, key.as_bytes())?;
            Ok(key.into_bytes())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, Language, VersionRecord, file_name};
    use crate::engine;
    use ringback_records::name::sha256_hex;
    use ringback_records::time::Timestamp;

    #[test]
    fn changed_code_is_not_run() {
        let data = tempfile::tempdir().unwrap();
        let engine = engine::compiling().unwrap();
        let cache = Cache::open(data.path(), &engine).unwrap();
        let component = wat::parse_str("(component)").unwrap();
        let digest = sha256_hex(&component);
        let artifact = engine.precompile_component(&component).unwrap();
        cache.keep_artifact(&digest, &artifact).unwrap();
        assert!(cache.load(&engine, &digest).is_some());
        assert!(cache.load(&engine, &sha256_hex(b"another")).is_none());
        let path = cache.artifact_path(&digest);
        let whole = std::fs::read(&path).unwrap();
        for index in [0, 31, 32, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[index] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert!(cache.load(&engine, &digest).is_none(), "byte {index}");
        }
        // Code of another plugin, well signed, is not taken for this one's.
        let other = wat::parse_str("(component (core module))").unwrap();
        cache.keep_artifact(&sha256_hex(&other), &engine.precompile_component(&other).unwrap()).unwrap();
        std::fs::copy(cache.artifact_path(&sha256_hex(&other)), &path).unwrap();
        assert!(cache.load(&engine, &digest).is_none());
    }

    #[test]
    fn r20_compiled_code_of_earlier_engines_goes() {
        let data = tempfile::tempdir().unwrap();
        let engine = engine::compiling().unwrap();
        let cache = Cache::open(data.path(), &engine).unwrap();
        let component = wat::parse_str("(component)").unwrap();
        let digest = sha256_hex(&component);
        cache.keep_artifact(&digest, &engine.precompile_component(&component).unwrap()).unwrap();
        let earlier = data.path().join("cache").join(format!("{digest}-0123456789abcdef.cwasm"));
        std::fs::write(&earlier, "code").unwrap();
        let cache = Cache::open(data.path(), &engine).unwrap();
        assert!(!earlier.exists() && cache.load(&engine, &digest).is_some());
    }

    #[test]
    fn a_changed_component_is_not_compiled() {
        let data = tempfile::tempdir().unwrap();
        let engine = engine::compiling().unwrap();
        let cache = Cache::open(data.path(), &engine).unwrap();
        let digest = sha256_hex(b"one");
        let version = |language| VersionRecord {
            version: 1,
            digest: digest.clone(),
            language,
            roles: Vec::new(),
            imports: Vec::new(),
            vectors: 0,
            size_bytes: 3,
            large: false,
            uploaded_at: Timestamp::now(),
        };
        for language in [None, Some(Language::Js)] {
            cache.keep(&digest, language, b"one").unwrap();
            assert_eq!(cache.read(&version(language)).unwrap(), b"one");
            std::fs::write(cache.files.join(file_name(&digest, language)), b"two").unwrap();
            assert!(cache.read(&version(language)).is_err());
        }
    }
}
