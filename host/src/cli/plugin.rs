//! `ringback plugin …`.

use super::client::{Client, query, segment};
use super::output::{done, items, json, line, note, table, text};
use super::{CliError, Connection, read};
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use serde_json::{Value, json as to_json};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Plugin {
    /// Write the crate of a new plugin into a new directory.
    New {
        /// The plugin's name, and the directory's.
        name: Name,
        /// What it does: condition, verifier, parser, step or responder.
        #[arg(long, value_name = "ROLE", value_parser = parse_role, default_value = "condition")]
        role: Role,
        /// Directory of the ringback-guest crate [default: the released crate].
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
    /// Check a `.wasm` file as an upload would, and keep nothing.
    Check {
        /// A component, or a core module with its component type; `-` for standard input.
        file: PathBuf,
    },
    /// Upload a `.wasm` file as the next version of a plugin.
    #[command(after_help = PUSH_EXAMPLES)]
    Push {
        /// What flows call it by; a new one makes a plugin.
        name: String,
        /// A component, or a core module with its component type, of 8 MiB at most; `-` for standard input.
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

const PUSH_EXAMPLES: &str = "\
Examples:
  cargo build --release --target wasm32-unknown-unknown     in a crate of `ringback plugin new large-orders`
  ringback plugin push large-orders target/wasm32-unknown-unknown/release/large_orders.wasm
A flow calls it: `when: { plugin: large-orders, with: { minimum: 100 } }`.";

impl Plugin {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        if let Self::New { name, role, sdk } = self {
            return new(&name, role, sdk.as_deref(), connection.json);
        }
        let client = Client::new(connection)?;
        match self {
            Self::New { .. } => {}
            Self::Check { file } => {
                let checked = client.upload(reqwest::Method::POST, "/v1/plugins/check", WASM, read(&file)?).await;
                let version = checked.map_err(|error| error.about(&file))?;
                if client.json {
                    json(&version);
                } else {
                    line(&format!("{} is a {} plugin", file.display(), roles(&version)));
                }
            }
            Self::Push { name, file, inactive } => {
                let bytes = read(&file)?;
                if !client.json && bytes.len() > 4 << 20 {
                    note(&format!("uploading and compiling {} MiB; this can take two minutes", bytes.len() >> 20));
                }
                let query = query(&[("activate", inactive.then(|| "false".to_owned()))]);
                let target = format!("{}/versions{query}", path(&name));
                let uploaded = client.upload(reqwest::Method::POST, &target, WASM, bytes).await;
                let version = uploaded.map_err(|error| error.about(&file))?;
                if client.json {
                    json(&version);
                } else {
                    let active = if version["active"] == true { "active" } else { "not active" };
                    line(&format!("{name} version {} ({}) is {active}", text(&version, "version"), roles(&version)));
                }
            }
            Self::List => {
                let list = client.get("/v1/plugins").await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let rows: Vec<Vec<String>> = items(&list)
                    .iter()
                    .map(|plugin| vec![text(plugin, "name"), text(plugin, "active"), roles(plugin)])
                    .collect();
                table(
                    &["PLUGIN", "VERSION", "ROLES"],
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

const WASM: &str = "application/wasm";

fn path(name: &str) -> String {
    format!("/v1/plugins/{}", segment(name))
}

fn roles(value: &Value) -> String {
    let roles = value.get("roles").and_then(Value::as_array);
    roles.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
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
                digest,
                text(version, "size_bytes"),
                text(version, "uploaded_at"),
            ]
        })
        .collect();
    line(&text(plugin, "name"));
    table(&["VERSION", "ROLES", "DIGEST", "BYTES", "UPLOADED"], &rows, "no versions");
}

/// Writes a crate that builds, with a test that passes.
fn new(name: &Name, role: Role, sdk: Option<&Path>, as_json: bool) -> Result<(), CliError> {
    let directory = Path::new(name.as_str());
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |error| CliError::File { path, error }
    };
    if directory.exists() {
        return Err(CliError::Refused(format!("{name} is there already; choose another name or remove it")));
    }
    let dependency = match sdk {
        Some(sdk) => {
            let sdk = std::fs::canonicalize(sdk).map_err(file_error(sdk))?;
            format!("{{ path = {:?} }}", sdk.display().to_string())
        }
        None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
    };
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\", \
         \"rlib\"]\n\n[dependencies]\nringback-guest = {dependency}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n\
         [profile.release]\nopt-level = \"s\"\nlto = true\npanic = \"abort\"\n\n# A crate of its own, wherever it is.\n[workspace]\n"
    );
    let function = name.as_str().replace('-', "_");
    let source = template(role).replace("FUNCTION", &function);
    let (sources, settings) = (directory.join("src"), directory.join(".cargo"));
    for directory in [&sources, &settings] {
        std::fs::create_dir_all(directory).map_err(file_error(directory))?;
    }
    for (path, text) in [
        (directory.join("Cargo.toml"), manifest.as_str()),
        (settings.join("config.toml"), CARGO_SETTINGS),
        (sources.join("lib.rs"), source.as_str()),
    ] {
        std::fs::write(&path, text).map_err(file_error(&path))?;
    }
    let next = format!(
        "  cd {name} && cargo test\n  cargo build --release --target wasm32-unknown-unknown\n  \
         ringback plugin push {name} target/wasm32-unknown-unknown/release/{function}.wasm"
    );
    done(as_json, &format!("{name}/ is a {role} plugin. Next:\n{next}"));
    Ok(())
}

const CARGO_SETTINGS: &str = "\
# A small stack and some memory to begin with: a plugin that does not grow its memory is called faster.
[target.wasm32-unknown-unknown]
rustflags = [\"-Clink-arg=-zstack-size=65536\", \"-Clink-arg=--initial-memory=524288\"]
";

fn template(role: Role) -> &'static str {
    match role {
        Role::Condition => include_str!("plugin/condition.rs.txt"),
        Role::Verifier => include_str!("plugin/verifier.rs.txt"),
        Role::Parser => include_str!("plugin/parser.rs.txt"),
        Role::Step => include_str!("plugin/step.rs.txt"),
        Role::Responder => include_str!("plugin/responder.rs.txt"),
    }
}
