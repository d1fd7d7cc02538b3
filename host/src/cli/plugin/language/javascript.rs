//! JavaScript and TypeScript: an npm package. Functions that are exported under the names of roles become a module, and that a
//! component with an engine in it.

use super::{Files, Language, Scaffold, files, vectors};
use crate::cli::CliError;
use crate::cli::plugin::build::{Build, Tool};
use crate::cli::source_map;
use ringback_records::plugin::Role;
use ringback_rules::suggest::suggest;
use serde_json::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

const SDK_FILES: &[(&str, &[u8])] = files!("guest-sdk/js":
    "package.json", "README.md", "index.d.ts", "testing.d.ts", "src/index.js", "src/bytes.js", "src/call.js", "src/callback.js",
    "src/component.js", "src/execution.js", "src/failure.js", "src/globals.js", "src/http.js", "src/log.js", "src/results.js",
    "src/secrets.js", "src/state.js", "src/host/call.js", "src/host/http.js", "src/host/log.js", "src/host/secrets.js",
    "src/host/state.js", "src/testing/index.js", "src/testing/host.js", "src/testing/jsonpath.js", "src/testing/vectors.js");

pub(super) const JAVASCRIPT: Language = Language {
    name: "js",
    title: "JavaScript",
    marks: &["package.json"],
    sdk: "guest-sdk/js",
    sdk_files: SDK_FILES,
    sdk_file: |_, text| Cow::Borrowed(text),
    files: |scaffold| Ok(javascript(scaffold)),
    test: "npm install && npm test",
    build,
};

pub(super) const TYPESCRIPT: Language = Language {
    name: "ts",
    title: "TypeScript",
    marks: &["package.json", "tsconfig.json"],
    files: |scaffold| Ok(typescript(scaffold)),
    ..JAVASCRIPT
};

const NODE: Tool = Tool {
    program: "node",
    title: "Node.js 18 or newer",
    debian: "apt-get install nodejs npm",
    other: "brew install node",
};
const NPM: Tool = Tool { program: "npm", ..NODE };
/// The cases of a project.
const VECTORS: &str = "vectors.json";
/// The oldest Node.js that the tools run on.
const NODE_MIN: u32 = 18;

fn javascript(scaffold: &Scaffold<'_>) -> Files {
    let plugin = match scaffold.role {
        Role::Condition => include_str!("../templates/js/condition.js.txt"),
        Role::Verifier => include_str!("../templates/js/verifier.js.txt"),
        Role::Parser => include_str!("../templates/js/parser.js.txt"),
        Role::Step => include_str!("../templates/js/step.js.txt"),
        Role::Responder => include_str!("../templates/js/responder.js.txt"),
    };
    vec![
        ("package.json", scaffold.fill(include_str!("../templates/js/package.json.txt"))),
        ("plugin.js", scaffold.fill(plugin)),
        ("plugin.test.js", include_str!("../templates/js/plugin.test.js.txt").to_owned()),
        ("vectors.json", vectors(scaffold.role).to_owned()),
        ("README.md", scaffold.fill(include_str!("../templates/js/README.md.txt"))),
        (".gitignore", "/build/\n/node_modules/\n".to_owned()),
    ]
}

fn typescript(scaffold: &Scaffold<'_>) -> Files {
    let plugin = match scaffold.role {
        Role::Condition => include_str!("../templates/ts/condition.ts.txt"),
        Role::Verifier => include_str!("../templates/ts/verifier.ts.txt"),
        Role::Parser => include_str!("../templates/ts/parser.ts.txt"),
        Role::Step => include_str!("../templates/ts/step.ts.txt"),
        Role::Responder => include_str!("../templates/ts/responder.ts.txt"),
    };
    vec![
        ("package.json", scaffold.fill(include_str!("../templates/ts/package.json.txt"))),
        ("tsconfig.json", include_str!("../templates/ts/tsconfig.json").to_owned()),
        ("plugin.ts", scaffold.fill(plugin)),
        ("plugin.test.ts", include_str!("../templates/ts/plugin.test.ts.txt").to_owned()),
        ("vectors.json", vectors(scaffold.role).to_owned()),
        ("README.md", scaffold.fill(include_str!("../templates/ts/README.md.txt"))),
        (".gitignore", "/build/\n/node_modules/\n".to_owned()),
    ]
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn build(build: &mut Build) -> Result<PathBuf, CliError> {
    let package = Package::read(&build.directory)?;
    check_node(build)?;
    if build.is_older(Path::new("node_modules/.package-lock.json"), Path::new("package.json")) {
        let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        build.step("npm install", &NPM, &install, nothing)?;
    }
    if build.directory.join("tsconfig.json").is_file() {
        let failed = |said: &str| Some(format!("the types do not fit:\n{}", said.trim()));
        package.tool(build, "types", "typescript", "tsc", &["--noEmit"], failed)?;
    }
    // What the author exports is known when it is bundled; what of the interface is used, when that is bundled with the SDK.
    let exported = package.bundle(build, "bundle", &package.main, "plugin")?.exports;
    let roles = roles(&exported, &package.main)?;
    let has = |name: &str| exported.iter().any(|export| export == name);
    // Cases that it does not export itself are beside it.
    let has_file = !has("vectors") && build.directory.join(VECTORS).is_file();
    let about = [("configurable", has("check") || has("schema")), ("vectors", has("vectors") || has_file)];
    let about = about.into_iter().filter(|(_, has)| *has).map(|(name, _)| name);
    let exports: Vec<&str> = roles.iter().map(|role| role.as_str()).chain(about).collect();
    let part = |name: &&str| {
        let of = if *name == "vectors" && has_file { "{ vectors: cases }" } else { "plugin" };
        format!("export const {name} = component.{name}({of});\n")
    };
    let (main, parts) = (Value::from(format!("../{}", package.main)), exports.iter().map(part).collect::<String>());
    let cases = if has_file { format!("import cases from \"../{VECTORS}\";\n") } else { String::new() };
    let entry = format!(
        "import * as component from \"@ringback/plugin/component\";\nimport * as plugin from {main};\n{cases}{parts}"
    );
    build.write("entry.js", entry.as_bytes())?;
    let bundle = package.bundle(build, "link", "build/entry.js", "component")?;
    let version = bundle.version.ok_or_else(|| {
        CliError::Refused("the SDK of this project is none for plugins; take it from `ringback plugin new`".to_owned())
    })?;
    let world = build.world(&version, &exports, &bundle.imports.iter().map(String::as_str).collect::<Vec<_>>())?;
    let directory = build.built()?;
    source_map::append(&directory.join("component.js"))?;
    let made = directory.join("component.wasm");
    let paths =
        [world.display().to_string(), directory.join("component.js").display().to_string(), made.display().to_string()];
    let [world, script, output] = &paths;
    let arguments = ["--wit", world, "-n", "built", "--js", script, "--sync", "--opt-size", "-o", output];
    package.tool(build, "component", "componentize-qjs", "componentize-qjs", &arguments, nothing)?;
    Ok(made)
}

/// The roles of a module, by what it exports.
fn roles(exported: &[String], main: &str) -> Result<Vec<Role>, CliError> {
    let roles: Vec<Role> =
        Role::ALL.into_iter().filter(|role| exported.iter().any(|export| export == role.as_str())).collect();
    if !roles.is_empty() {
        return Ok(roles);
    }
    let names = Role::ALL.map(Role::as_str);
    let meant =
        exported.iter().map(|export| suggest(export, names)).find(|meant| !meant.is_empty()).unwrap_or_default();
    let found = match exported {
        [] => "nothing".to_owned(),
        exported => format!("{}{meant}", exported.join(", ")),
    };
    Err(CliError::Refused(format!(
        "{main} exports no role: it is to export a function named {}; it exports {found}",
        names.join(", ")
    )))
}

fn check_node(build: &mut Build) -> Result<(), CliError> {
    let version = build.ask(&NODE, &["--version"])?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major < NODE_MIN => Err(CliError::Refused(format!(
            "node is {}, and the tools need {NODE_MIN} or newer; it is at https://nodejs.org",
            version.trim()
        ))),
        _ => Ok(()),
    }
}

/// What `package.json` says.
struct Package {
    /// The module with the functions.
    main: String,
}

/// What came of a bundle.
struct Bundle {
    exports: Vec<String>,
    /// The interfaces of the host that it uses, and their version.
    imports: Vec<String>,
    version: Option<String>,
}

impl Package {
    fn read(directory: &Path) -> Result<Self, CliError> {
        let path = directory.join("package.json");
        let text = std::fs::read(&path).map_err(|error| CliError::File { path: path.clone(), error })?;
        let package: Value = serde_json::from_slice(&text)
            .map_err(|error| CliError::Refused(format!("{} is not JSON: {error}", path.display())))?;
        let named = package.get("main").and_then(Value::as_str).map(|main| main.trim_start_matches("./").to_owned());
        let main = named.unwrap_or_else(|| "plugin.js".to_owned());
        if !directory.join(&main).is_file() {
            let text =
                format!("there is no {main} in {}; `main` of package.json names the module", directory.display());
            return Err(CliError::Refused(text));
        }
        Ok(Self { main })
    }

    /// Runs a tool that npm has installed.
    fn tool(
        &self,
        build: &mut Build,
        what: &str,
        package: &'static str,
        program: &str,
        arguments: &[&str],
        known: impl Fn(&str) -> Option<String>,
    ) -> Result<String, CliError> {
        let path = build.directory.join("node_modules/.bin").join(program);
        if !path.exists() {
            return Err(CliError::Refused(format!(
                "{package} is not among the devDependencies of package.json; add it with `npm install --save-dev --save-exact \
                 --ignore-scripts {package}@{}`",
                PINNED.iter().find(|(name, _)| *name == package).map_or("latest", |(_, version)| version)
            )));
        }
        build.step_of(what, &path, &NODE, arguments, known)
    }

    /// Makes one module of a module and of all that it imports, but for the host: `build/NAME.js`.
    fn bundle(&self, build: &mut Build, what: &str, entry: &str, name: &str) -> Result<Bundle, CliError> {
        let (output, meta) = (format!("build/{name}.js"), format!("build/{name}.json"));
        build.built()?;
        let named = [format!("--outfile={output}"), format!("--metafile={meta}")];
        let arguments = [
            entry,
            "--bundle",
            "--format=esm",
            "--target=es2023",
            "--conditions=ringback",
            "--external:ringback:*",
            "--sourcemap=external",
            "--sources-content=false",
            "--log-level=warning",
            &named[0],
            &named[1],
        ];
        let known = |said: &str| {
            // What starts it shows where in itself it did so.
            let said = said.split("\nnode:").next().unwrap_or(said);
            let needs_node = said.contains("Could not resolve \"node:") || said.contains("built into node");
            let hint = match needs_node {
                true => {
                    "\nwhat is built into Node.js is not there in a plugin: the page docs/plugins/javascript.md lists what is"
                }
                false => "",
            };
            Some(format!("{entry} cannot be bundled:\n{}{hint}", said.trim()))
        };
        self.tool(build, what, "esbuild", "esbuild", &arguments, known)?;
        let path = build.directory.join(&meta);
        let text = std::fs::read(&path).map_err(|error| CliError::File { path: path.clone(), error })?;
        let meta: Value = serde_json::from_slice(&text).map_err(std::io::Error::from)?;
        let made = &meta["outputs"][&output];
        let texts = |list: &Value, name: &str| -> Vec<String> {
            let items = list.as_array().into_iter().flatten();
            items.filter_map(|item| item[name].as_str().or(item.as_str())).map(str::to_owned).collect()
        };
        let externals: Vec<(String, String)> = texts(&made["imports"], "path")
            .iter()
            .filter_map(|path| path.strip_prefix("ringback:plugin/")?.split_once('@'))
            .map(|(interface, version)| (interface.to_owned(), version.to_owned()))
            .collect();
        let mut imports: Vec<String> = externals.iter().map(|(interface, _)| interface.clone()).collect();
        imports.sort_unstable();
        imports.dedup();
        let version = externals.into_iter().map(|(_, version)| version).next();
        Ok(Bundle { exports: texts(&made["exports"], "name"), imports, version })
    }
}

/// The versions of the tools that this was tried with; new projects have them in their `package.json`.
/// The version of esbuild that projects begin with.
pub(in crate::cli) const ESBUILD: &str = "0.28.2";

const PINNED: [(&str, &str); 3] = [("esbuild", ESBUILD), ("componentize-qjs", "0.4.5"), ("typescript", "5.9.3")];

#[cfg(test)]
mod tests {
    use super::{PINNED, roles};
    use ringback_records::plugin::Role;

    #[test]
    fn a_module_without_a_role_is_told_what_it_lacks() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let refused = |names: &[&str]| roles(&of(names), "plugin.js").unwrap_err().to_string();
        assert!(refused(&[]).ends_with("it exports nothing"), "{}", refused(&[]));
        assert!(refused(&["conditon", "x"]).ends_with("conditon, x (did you mean `condition`?)"));
        assert_eq!(roles(&of(&["step", "schema", "verifier"]), "plugin.js").unwrap(), [Role::Verifier, Role::Step]);
    }

    #[test]
    fn new_projects_have_the_versions_that_were_tried() {
        let (js, ts) =
            (include_str!("../templates/js/package.json.txt"), include_str!("../templates/ts/package.json.txt"));
        for (name, version) in PINNED {
            let pinned = format!("\"{name}\": \"{version}\"");
            assert!(ts.contains(&pinned) && (js.contains(&pinned) || name == "typescript"), "{pinned}");
        }
    }
}
