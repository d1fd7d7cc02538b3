//! The interface of plugins and its versions: what was built for an earlier one of the same line runs here, as the engine
//! links it.

use super::error::UploadError;
use semver::Version;
use std::cmp::Ordering;

/// The version that this host has; the bindings are made of it.
pub(super) const VERSION: Version = Version::new(0, 1, 1);
const PACKAGE: &str = "ringback:plugin/";
/// What a plugin may import of it.
const IMPORTS: [&str; 6] = ["types", "log", "call", "secrets", "state", "http"];

/// What an interface of another version is for this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// This one, or an earlier one of the same line.
    Fits,
    /// It may have what this host has not.
    Newer,
    /// Of another line, or not finished.
    Older,
}

/// Holds a plugin's version against a host's: within a major version, and before 1.0 within a minor one, nothing is taken away.
fn fit(plugin: &Version, host: &Version) -> Fit {
    let order = plugin.cmp_precedence(host);
    let is_finished = plugin.pre.is_empty() && host.pre.is_empty();
    let is_line = match host.major {
        0 => plugin.major == 0 && plugin.minor == host.minor && host.minor > 0,
        major => plugin.major == major,
    };
    match order {
        Ordering::Equal => Fit::Fits,
        Ordering::Less if is_line && is_finished => Fit::Fits,
        Ordering::Less => Fit::Older,
        Ordering::Greater => Fit::Newer,
    }
}

/// The interface of ours that a component imports or exports by this name, and what its version is for this host.
fn ours(name: &str) -> Option<(&str, Fit)> {
    let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some((interface, fit(&Version::parse(version).ok()?, &VERSION)))
}

/// Whether a component exports this interface in a version that is called here.
pub(super) fn is_role(name: &str, role: &str) -> bool {
    ours(name) == Some((role, Fit::Fits))
}

/// What an exported interface of ours says that is called nowhere; `None` when it is none.
pub(super) fn other_version(name: &str) -> Option<UploadError> {
    name.starts_with(PACKAGE).then(|| UploadError::OtherVersion {
        found: name.to_owned(),
        is_newer: ours(name).is_some_and(|(_, fit)| fit == Fit::Newer),
    })
}

/// Says which import is the problem, where the linker would only say that types differ.
pub(super) fn check_import(name: &str) -> Result<(), UploadError> {
    let unknown = || UploadError::UnknownImport(name.to_owned());
    if name.starts_with("wasi:http/") || name.starts_with("wasi:keyvalue/") {
        return Err(unknown());
    }
    if name.starts_with("wasi:") && name.contains("@0.2.") {
        return Ok(());
    }
    match ours(name) {
        Some((interface, _)) if !IMPORTS.contains(&interface) => Err(unknown()),
        Some((_, Fit::Fits)) => Ok(()),
        _ => Err(other_version(name).unwrap_or_else(unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fit, VERSION, check_import, fit, is_role, ours};
    use crate::engine;
    use semver::Version;
    use wasmtime::component::{Component, Linker};

    /// A component that imports and exports interfaces of this version.
    fn component(version: &str) -> String {
        format!(
            r#"(component
                (import "ringback:plugin/log@{version}" (instance $log (export "say" (func))))
                (core func $say (canon lower (func $log "say")))
                (core module $m (import "log" "say" (func $say)) (func (export "run") call $say))
                (core instance $i (instantiate $m (with "log" (instance (export "say" (func $say))))))
                (func $run (canon lift (core func $i "run")))
                (instance $step (export "run" (func $run)))
                (export "ringback:plugin/step@{version}" (instance $step)))"#
        )
    }

    /// What is taken is what the engine links, of imports and of exports; and never more than this host has.
    #[test]
    fn versions_fit_where_the_engine_links_them() {
        let engine = engine::compiling().unwrap();
        for (plugin, host, expected) in [
            ("0.1.0", "0.1.0", Fit::Fits),
            ("0.1.0", "0.1.7", Fit::Fits),
            ("0.1.7", "0.1.0", Fit::Newer),
            ("0.1.0", "0.2.0", Fit::Older),
            ("0.2.0", "0.1.0", Fit::Newer),
            ("0.1.0", "1.0.0", Fit::Older),
            ("1.0.0", "1.0.0", Fit::Fits),
            ("1.0.0", "1.4.2", Fit::Fits),
            ("1.4.2", "1.4.3", Fit::Fits),
            ("1.5.0", "1.4.2", Fit::Newer),
            ("1.9.0", "2.0.0", Fit::Older),
            ("2.0.0", "1.9.0", Fit::Newer),
            ("0.0.1", "0.0.2", Fit::Older),
            ("1.0.0-rc.1", "1.0.0", Fit::Older),
            ("1.0.0-rc.1", "1.0.0-rc.1", Fit::Fits),
            ("1.0.0-rc.1", "1.0.0-rc.2", Fit::Older),
            ("1.0.0", "1.1.0-rc.1", Fit::Older),
            ("1.0.0+one", "1.0.0", Fit::Fits),
        ] {
            let fit = fit(&Version::parse(plugin).unwrap(), &Version::parse(host).unwrap());
            assert_eq!(fit, expected, "{plugin} on {host}");
            let component = Component::new(&engine, wat::parse_str(component(plugin)).unwrap()).unwrap();
            let mut linker = Linker::<()>::new(&engine);
            let mut log = linker.instance(&format!("ringback:plugin/log@{host}")).unwrap();
            log.func_wrap("say", |_, (): ()| Ok(())).unwrap();
            let links = linker.instantiate_pre(&component).is_ok();
            let finds = component.get_export_index(None, format!("ringback:plugin/step@{host}")).is_some();
            assert_eq!(links, finds, "{plugin} on {host}");
            assert!(links || fit != Fit::Fits, "{plugin} on {host} is taken, and not linked");
        }
    }

    #[test]
    fn names_are_read_whole() {
        for (name, expected) in [
            ("ringback:plugin/step@0.1.0", Some(("step", Fit::Fits))),
            ("ringback:plugin/step@0.1.1", Some(("step", Fit::Fits))),
            ("ringback:plugin/step@0.1.2", Some(("step", Fit::Newer))),
            ("ringback:plugin/step", None),
            ("ringback:plugin/step@1", None),
            ("ringback:plugins/step@0.1.0", None),
            ("step", None),
        ] {
            assert_eq!(ours(name), expected, "{name}");
        }
        assert!(is_role("ringback:plugin/step@0.1.0", "step") && !is_role("ringback:plugin/step@0.1.0", "parser"));
        for fine in ["ringback:plugin/log@0.1.0", "wasi:cli/stdout@0.2.12"] {
            check_import(fine).unwrap();
        }
        for other in
            ["ringback:plugin/step@0.1.0", "ringback:plugin/log", "wasi:cli/stdout@0.3.0", "wasi:http/types@0.2.0"]
        {
            assert!(check_import(other).is_err(), "{other}");
        }
    }

    /// The bindings, the files that authors build against, and this number are changed together.
    #[test]
    fn the_version_is_that_of_the_bindings() {
        let directory = format!("wit/{VERSION}");
        assert!(include_str!("bindings.rs").contains(&directory), "{directory}");
    }
}
