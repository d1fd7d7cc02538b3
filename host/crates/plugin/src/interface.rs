//! The interface of plugins and its versions: what was built for an earlier one of a line runs here, as the engine links it.

use super::error::UploadError;
use semver::Version;
use std::cmp::Ordering;

/// The newest version that this host has.
pub(super) const VERSION: Version = Version::new(1, 0, 0);
const PACKAGE: &str = "ringback:plugin/";
/// What a plugin may import of it.
const IMPORTS: [&str; 6] = ["types", "log", "call", "secrets", "state", "http"];

/// A line of versions that this host has bindings of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    V1,
    V0_1,
}

impl Line {
    const ALL: [Self; 2] = [Self::V1, Self::V0_1];

    /// The last version of it that this host has; the bindings are made of it.
    const fn version(self) -> Version {
        match self {
            Self::V1 => VERSION,
            Self::V0_1 => Version::new(0, 1, 1),
        }
    }
}

/// What an interface of a version is for this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// A version of this line, or an earlier one of it.
    Fits(Line),
    /// It may have what this host has not.
    Newer,
    /// Of a line that is not here, or not finished.
    Older,
}

/// Holds a plugin's version against a host's: within a major version, and before 1.0 within a minor one, nothing is taken away.
fn runs_on(plugin: &Version, host: &Version) -> bool {
    let is_finished = plugin.pre.is_empty() && host.pre.is_empty();
    let is_line = match host.major {
        0 => plugin.major == 0 && plugin.minor == host.minor && host.minor > 0,
        major => plugin.major == major,
    };
    match plugin.cmp_precedence(host) {
        Ordering::Equal => true,
        Ordering::Less => is_line && is_finished,
        Ordering::Greater => false,
    }
}

fn fit(plugin: &Version) -> Fit {
    let line = Line::ALL.into_iter().find(|line| runs_on(plugin, &line.version()));
    match (line, plugin.cmp_precedence(&VERSION)) {
        (Some(line), _) => Fit::Fits(line),
        (None, Ordering::Greater) => Fit::Newer,
        (None, _) => Fit::Older,
    }
}

/// The interface of ours that a component imports or exports by this name, and what its version is for this host.
fn ours(name: &str) -> Option<(&str, Fit)> {
    let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some((interface, fit(&Version::parse(version).ok()?)))
}

/// The line in which these exports have an interface; the newest, where there are several.
pub(super) fn line_of(exports: &[String], interface: &str) -> Option<Line> {
    let has = |line: Line| exports.iter().any(|name| ours(name) == Some((interface, Fit::Fits(line))));
    Line::ALL.into_iter().find(|line| has(*line))
}

/// What an interface of ours says that is of no version that is here; `None` when it is none of ours, or is here.
pub(super) fn other_version(name: &str) -> Option<UploadError> {
    let fit = ours(name).map(|(_, fit)| fit);
    let is_other = name.starts_with(PACKAGE) && !matches!(fit, Some(Fit::Fits(_)));
    is_other.then(|| UploadError::OtherVersion { found: name.to_owned(), is_newer: fit == Some(Fit::Newer) })
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
        Some((_, Fit::Fits(_))) => Ok(()),
        _ => Err(other_version(name).unwrap_or_else(unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fit, Line, VERSION, check_import, line_of, ours, runs_on};
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
            ("0.1.0", "0.1.0", true),
            ("0.1.0", "0.1.7", true),
            ("0.1.7", "0.1.0", false),
            ("0.1.0", "0.2.0", false),
            ("0.2.0", "0.1.0", false),
            ("0.1.0", "1.0.0", false),
            ("1.0.0", "1.0.0", true),
            ("1.0.0", "1.4.2", true),
            ("1.4.2", "1.4.3", true),
            ("1.5.0", "1.4.2", false),
            ("1.9.0", "2.0.0", false),
            ("2.0.0", "1.9.0", false),
            ("0.0.1", "0.0.2", false),
            ("1.0.0-rc.1", "1.0.0", false),
            ("1.0.0-rc.1", "1.0.0-rc.1", true),
            ("1.0.0-rc.1", "1.0.0-rc.2", false),
            ("1.0.0", "1.1.0-rc.1", false),
            ("1.0.0+one", "1.0.0", true),
        ] {
            let runs = runs_on(&Version::parse(plugin).unwrap(), &Version::parse(host).unwrap());
            assert_eq!(runs, expected, "{plugin} on {host}");
            let component = Component::new(&engine, wat::parse_str(component(plugin)).unwrap()).unwrap();
            let mut linker = Linker::<()>::new(&engine);
            let mut log = linker.instance(&format!("ringback:plugin/log@{host}")).unwrap();
            log.func_wrap("say", |_, (): ()| Ok(())).unwrap();
            let links = linker.instantiate_pre(&component).is_ok();
            let finds = component.get_export_index(None, format!("ringback:plugin/step@{host}")).is_some();
            assert_eq!(links, finds, "{plugin} on {host}");
            assert!(links || !runs, "{plugin} on {host} is taken, and not linked");
        }
    }

    #[test]
    fn names_are_read_whole() {
        for (name, expected) in [
            ("ringback:plugin/step@0.1.0", Some(("step", Fit::Fits(Line::V0_1)))),
            ("ringback:plugin/step@0.1.1", Some(("step", Fit::Fits(Line::V0_1)))),
            ("ringback:plugin/step@0.1.2", Some(("step", Fit::Older))),
            ("ringback:plugin/step@0.2.0", Some(("step", Fit::Older))),
            ("ringback:plugin/step@1.0.0", Some(("step", Fit::Fits(Line::V1)))),
            ("ringback:plugin/step@1.0.0-rc.1", Some(("step", Fit::Older))),
            ("ringback:plugin/step@1.0.1", Some(("step", Fit::Newer))),
            ("ringback:plugin/step@2.0.0", Some(("step", Fit::Newer))),
            ("ringback:plugin/step", None),
            ("ringback:plugin/step@1", None),
            ("ringback:plugins/step@0.1.0", None),
            ("step", None),
        ] {
            assert_eq!(ours(name), expected, "{name}");
        }
        let exports = ["step@0.1.0", "step@1.0.0", "parser@0.1.1"].map(|name| format!("ringback:plugin/{name}"));
        assert_eq!(line_of(&exports, "step"), Some(Line::V1));
        assert_eq!(line_of(&exports, "parser"), Some(Line::V0_1));
        assert_eq!(line_of(&exports, "condition"), None);
        for fine in ["ringback:plugin/log@0.1.0", "ringback:plugin/log@1.0.0", "wasi:cli/stdout@0.2.12"] {
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
        assert_eq!(Line::V1.version(), VERSION);
        for line in Line::ALL {
            let directory = format!("wit/{}\"", line.version());
            assert!(include_str!("bindings.rs").contains(&directory), "{directory}");
        }
    }
}
