//! `ringback verify …`: the catalogue needs no server.

use super::client::Client;
use super::output::{json, line, lines, table, text};
use super::{CliError, Connection};
use ringback_rules::suggest::suggest;
use ringback_rules::verify::{Provider, providers, schemes};
use serde_json::{Value, json as value};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verify {
    /// List the providers whose callbacks can be verified by name.
    List,
    /// Show how a provider proves its callbacks, and the block that a flow has for it.
    Show {
        /// As `ringback verify list` shows it.
        name: String,
    },
    /// Find the `verify` block that explains recorded callbacks, or what comes nearest. The secret stays on the server.
    #[command(after_help = INFER_EXAMPLES)]
    Infer {
        /// The name of the secret that the sender has, too.
        #[arg(long, value_name = "NAME")]
        secret: String,
        /// 1 to 20 callbacks of one sender, as `ringback callback list` shows them.
        #[arg(required = true, value_name = "CALLBACK")]
        callbacks: Vec<String>,
    },
}

const INFER_EXAMPLES: &str = "\
Examples:
  ringback callback list --flow orders         shows the ids
  ringback verify infer --secret SHOP_SECRET 0199c1c4-52b6-7e6c-8f5a-0d6c6f3f2a11 0199c1c4-8e01-7a55-9d0e-5f3b1c2d4e6f";

impl Verify {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        match self {
            Self::List if connection.json => json(&providers().iter().map(shown).collect::<Vec<_>>()),
            Self::List => {
                let row = |provider: &Provider| {
                    let question = provider.question().unwrap_or_default().replace('`', "");
                    vec![
                        provider.name.to_owned(),
                        provider.title.to_owned(),
                        provider.proof().replace('`', ""),
                        question,
                    ]
                };
                let rows: Vec<Vec<String>> = providers().iter().map(row).collect();
                table(&["SCHEME", "PROVIDER", "PROOF", "ANSWERS"], &rows, "there are no providers");
            }
            Self::Show { name } => {
                let provider = Provider::by_name(&name).ok_or_else(|| {
                    // What stands in place of a provider's name, and has settings of its own.
                    CliError::Refused(if schemes().contains(&name.as_str()) {
                        format!("{name} is no provider but a scheme: the README describes it under \"Verification\"")
                    } else {
                        let nearest = suggest(&name, schemes());
                        format!("there is no provider {name}{nearest}; `ringback verify list` lists them")
                    })
                })?;
                show(provider, connection.json);
            }
            Self::Infer { secret, callbacks } => {
                let client = Client::new(connection)?;
                let body = value!({ "secret": secret, "callbacks": callbacks });
                let found = client.post("/v1/verify/infer", &body).await?;
                match client.json {
                    true => json(&found),
                    false => inferred(&found),
                }
            }
        }
        Ok(())
    }
}

/// The block that a flow has for it.
fn block(provider: &Provider) -> String {
    let needed = provider.keys().into_iter().filter_map(|key| match key {
        "scheme" => Some(format!("scheme: {}", provider.name)),
        "secret" | "verify_token" => Some(format!("{key}: NAME")),
        _ => None,
    });
    format!("{{ {} }}", needed.collect::<Vec<_>>().join(", "))
}

fn shown(provider: &Provider) -> Value {
    value!({
        "name": provider.name, "title": provider.title, "docs": provider.docs, "proof": provider.proof(),
        "answers": provider.question(), "note": provider.note, "keys": provider.keys(),
        "signs_body": provider.signs_body(), "verify": block(provider),
    })
}

fn show(provider: &Provider, as_json: bool) {
    if as_json {
        return json(&shown(provider));
    }
    lines(&format!("{}: {}", provider.title, provider.docs));
    lines(&format!("proof     {}", provider.proof().replace('`', "")));
    if provider.keys().contains(&"tolerance") {
        line(&format!("time      at most {} s from now", provider.tolerance.as_secs()));
    }
    if let Some(question) = provider.question() {
        line(&format!("answers   {}", question.replace('`', "")));
    }
    if !provider.note.is_empty() {
        lines(&format!("note      {}", provider.note));
    }
    lines(&format!("\nverify: {}", block(provider)));
}

fn inferred(found: &Value) {
    let list = |name: &str| -> Vec<String> {
        let items = found.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    for word in list("words") {
        lines(&word);
    }
    let verify = text(found, "verify");
    if !verify.is_empty() {
        lines(&format!("verify: {verify}"));
    }
    let providers = list("providers");
    if providers.len() > 1 {
        lines(&format!("others that sign so: {}", providers.get(1..).unwrap_or_default().join(", ")));
    }
}
