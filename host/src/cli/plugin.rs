//! `ringback plugin …`: what it needs no server for has a file each beside it.

mod build;
mod language;
mod local;
mod new;
mod run;
mod types;

pub(super) use language::ESBUILD;

use super::client::{Client, query, segment};
use super::output::{items, json, line, note, table, text};
use super::typescript::{Form, is_typescript, without_types};
use super::{CliError, Connection, not_utf8, read};
use ringback_records::plugin::Role;
use serde_json::{Value, json as to_json};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Plugin {
    /// Write a new plugin into a new directory: a project that builds, with a test.
    #[command(after_help = NEW_EXAMPLES)]
    New(new::New),
    /// Build the plugin in a directory, and say what it is: its size, its roles, what it may do.
    Build {
        /// The directory of a project, as `ringback plugin new` writes it.
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
    /// Call a plugin once, without a server: what it answers, and what that took of each limit.
    #[command(after_help = RUN_EXAMPLES)]
    Run(run::Run),
    /// Make types of the data of callbacks, from those that came and from files.
    #[command(after_help = TYPES_EXAMPLES)]
    Types(types::Types),
    /// Check a `.wasm`, `.js` or `.ts` file as an upload would, and keep nothing.
    Check {
        /// A component, a core module with its component type, JavaScript or TypeScript; `-` for a component from standard
        /// input.
        file: PathBuf,
    },
    /// Upload a `.wasm`, `.js` or `.ts` file as the next version of a plugin.
    #[command(after_help = PUSH_EXAMPLES)]
    Push {
        /// What flows call it by; a new one makes a plugin.
        name: String,
        /// A component, or a core module with its component type, of 8 MiB at most, or JavaScript or TypeScript of 1 MiB; `-`
        /// for a component from standard input.
        file: PathBuf,
        /// Do not call this version yet.
        #[arg(long)]
        inactive: bool,
    },
    /// List the plugins.
    List,
    /// Show a plugin with its versions.
    Show {
        /// As `ringback plugin list` shows it.
        name: String,
    },
    /// Call another version from now on, forward or back.
    Activate {
        /// As `ringback plugin list` shows it.
        name: String,
        /// A number of `ringback plugin show`.
        version: u32,
    },
    /// Remove a plugin with all its versions and its state.
    Remove {
        /// As `ringback plugin list` shows it.
        name: String,
    },
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
        let roles: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("allowed: {}", roles.join(", "))
    })
}

const NEW_EXAMPLES: &str = "\
Examples:
  ringback plugin new large-orders --lang js
  ringback plugin new shop-signature --lang rust --role verifier";

const RUN_EXAMPLES: &str = "\
Examples:
  ringback plugin run build/large-orders.wasm --callback callback.json
  ringback plugin run build/large-orders.wasm --callback 0199c1c4-52b6-7e6c-8f5a-0d6c6f3f2a11 --config '{ \"minimum\": 50 }'";

const TYPES_EXAMPLES: &str = "\
Examples:
  ringback plugin types --flow orders > data.ts
  ringback plugin types --lang python order.json";

const PUSH_EXAMPLES: &str = "\
Examples:
  ringback plugin build                                     in a project of `ringback plugin new large-orders`
  ringback plugin push large-orders build/large-orders.wasm
  ringback plugin push small-orders plugin.js               JavaScript as it is: nothing is built
A flow calls it: `when: { plugin: large-orders, with: { minimum: 100 } }`.";

impl Plugin {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        // Those of an author, who may have no server yet.
        let this = match self {
            Self::New(new) => return new.run(connection.json),
            Self::Build { directory } => return build::build(&directory, connection.json).await,
            Self::Run(run) => return run.run(connection).await,
            Self::Types(types) => return types.run(connection).await,
            other => other,
        };
        let client = Client::new(connection)?;
        match this {
            Self::New(_) | Self::Build { .. } | Self::Run(_) | Self::Types(_) => {}
            Self::Check { file } => {
                let (kind, bytes) = taken(&file)?;
                let checked = client.upload(reqwest::Method::POST, "/v1/plugins/check", kind, bytes).await;
                let version = checked.map_err(|error| error.about(&file))?;
                if client.json {
                    json(&version);
                } else {
                    let vectors = match version["vectors"].as_u64() {
                        None => String::new(),
                        Some(1) => "; its vector passes".to_owned(),
                        Some(count) => format!("; its {count} vectors pass"),
                    };
                    line(&format!("{} is a {} plugin{vectors}", file.display(), roles(&version)));
                }
            }
            Self::Push { name, file, inactive } => {
                let (kind, bytes) = taken(&file)?;
                if !client.json && bytes.len() > 4 << 20 {
                    note(&format!("uploading and compiling {} MiB; this can take two minutes", bytes.len() >> 20));
                }
                let query = query(&[("activate", inactive.then(|| "false".to_owned()))]);
                let target = format!("{}/versions{query}", path(&name));
                let uploaded = client.upload(reqwest::Method::POST, &target, kind, bytes).await;
                let version = uploaded.map_err(|error| error.about(&file))?;
                if client.json {
                    json(&version);
                } else {
                    let active = if version["active"] == true { "active" } else { "not active" };
                    line(&format!("{name} version {} ({}) is {active}", text(&version, "version"), roles(&version)));
                }
            }
            Self::List => {
                let list = client.get_pages("/v1/plugins").await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let rows: Vec<Vec<String>> = items(&list)
                    .iter()
                    .map(|plugin| vec![text(plugin, "name"), text(plugin, "active"), roles(plugin), written_in(plugin)])
                    .collect();
                table(
                    &["PLUGIN", "VERSION", "ROLES", "LANGUAGE"],
                    &rows,
                    "no plugins; upload one with `ringback plugin push NAME FILE`",
                );
            }
            Self::Show { name } => show(&client, &client.get(&path(&name)).await?),
            Self::Activate { name, version } => {
                let body = to_json!({ "version": version });
                show(&client, &client.put(&format!("{}/active", path(&name)), &body).await?);
            }
            Self::Remove { name } => {
                client.delete(&path(&name)).await?;
                client.done(&format!("{name} is removed"));
            }
        }
        Ok(())
    }
}

/// The content types of what is uploaded.
const JAVASCRIPT: &str = "text/javascript";
const COMPONENT: &str = "application/wasm";

/// A file as it is uploaded, with its content type, which its name says.
fn taken(file: &Path) -> Result<(&'static str, Vec<u8>), CliError> {
    let bytes = read(file)?;
    if is_typescript(file) {
        let source = std::str::from_utf8(&bytes).map_err(|error| not_utf8(file, error))?;
        return Ok((JAVASCRIPT, without_types(file, source, Form::Module)?.into_bytes()));
    }
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "js" | "mjs" => Ok((JAVASCRIPT, bytes)),
        "tsx" | "jsx" => {
            let (file, stem) = (file.display(), file.with_extension("js"));
            Err(CliError::Refused(format!(
                "{file} has markup in it, and the server runs JavaScript: make one file of it with `npx esbuild {file} --bundle \
                 --format=esm --external:@ringback/plugin --outfile={out}`; then push {out}",
                out = stem.display()
            )))
        }
        _ => Ok((COMPONENT, bytes)),
    }
}

fn path(name: &str) -> String {
    format!("/v1/plugins/{}", segment(name))
}

fn roles(value: &Value) -> String {
    let roles = value.get("roles").and_then(Value::as_array);
    roles.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// What a version is written in; a component is of any language.
fn written_in(value: &Value) -> String {
    value.get("language").and_then(Value::as_str).unwrap_or("wasm").to_owned()
}

fn imports(version: &Value) -> String {
    let names = version.get("imports").and_then(Value::as_array);
    let names: Vec<String> = names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    build::imports(&names).join(", ")
}

fn show(client: &Client, plugin: &Value) {
    if client.json {
        return json(plugin);
    }
    let active = plugin.get("active");
    let rows: Vec<Vec<String>> = plugin
        .get("versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|version| {
            let mark = if version.get("version") == active { "*" } else { "" };
            let digest: String = text(version, "digest").chars().take(12).collect();
            vec![
                format!("{}{mark}", text(version, "version")),
                roles(version),
                written_in(version),
                imports(version),
                digest,
                text(version, "size_bytes"),
                text(version, "uploaded_at"),
            ]
        })
        .collect();
    line(&text(plugin, "name"));
    table(&["VERSION", "ROLES", "LANGUAGE", "IMPORTS", "DIGEST", "BYTES", "UPLOADED"], &rows, "no versions");
}
