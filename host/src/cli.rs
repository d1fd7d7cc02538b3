//! The command line: one file per group of commands.

mod backup;
mod callback;
mod client;
mod db;
mod doctor;
mod environment;
mod execution;
mod exit;
mod flow;
mod output;
mod plugin;
mod redirect;
mod sample;
mod secret;
mod serve;
mod setting;
mod source_map;
mod ticket;
mod token;
mod trial;
mod typescript;
mod user;
mod verify;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use client::{Client, ClientError};
use exit::Exit;
use ringback_plugin::Job;
use ringback_store::StoreError;
use serde_json::Value;
use std::any::TypeId;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

/// A server for incoming callbacks and webhooks, decided by sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "ringback", version, arg_required_else_help = true, after_help = FIRST_STEPS)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "\
First steps, each with more under `ringback COMMAND --help`:
  ringback serve                  a server, with everything that it keeps in ringback-data/
  ringback doctor                 says whether it can be used
  ringback plugin new NAME        the crate of a plugin, with a test
  ringback plugin push NAME FILE  uploads what it became
  ringback flow apply FILE        deploys a flow, and shows its URLs
  ringback console                a link to the console, in a browser
  ringback callback list          what has come
  ringback callback explain ID    why it was decided as it was
Under --json errors are JSON, too: one object on standard error. The README explains the exit codes.";

/// How to reach the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
struct Connection {
    /// Address of the admin API.
    #[arg(long, global = true, env = "RINGBACK_SERVER", default_value = "http://127.0.0.1:8081", value_name = "URL")]
    server: String,
    /// Token for the admin API [default: the one in `admin-token` of the data directory].
    #[arg(long, global = true, env = "RINGBACK_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Data directory of the server [default: ringback-data].
    #[arg(long, global = true, env = "RINGBACK_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Workspace, for tokens that may choose one [default: that of the token].
    #[arg(long, global = true, env = "RINGBACK_WORKSPACE", value_name = "NAME")]
    workspace: Option<String>,
    /// Print JSON; errors, too, as one object on standard error.
    #[arg(long, global = true)]
    json: bool,
}

impl Connection {
    /// The data directory, for commands that read no settings file.
    fn data(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new("ringback-data"))
    }

    /// Where the first start of the server wrote a token.
    fn token_file(&self) -> PathBuf {
        self.data().join("admin-token")
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Serve),
    /// Deploy and look at flows.
    #[command(subcommand)]
    Flow(flow::Flow),
    /// Write, check and upload plugins.
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Look at executions.
    #[command(subcommand)]
    Execution(execution::Execution),
    /// Look at received callbacks, and why they were decided as they were.
    #[command(subcommand)]
    Callback(callback::Callback),
    /// Print a link that opens the console in a browser, signed in with the token: once, within a minute.
    Console,
    /// Take an example of a callback apart.
    #[command(subcommand)]
    Sample(sample::Sample),
    /// Store secrets that verify callers.
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Look at the settings of a server.
    #[command(subcommand)]
    Setting(setting::Setting),
    /// Say how providers prove their callbacks, and find out how a sender does.
    #[command(subcommand)]
    Verify(verify::Verify),
    /// Make URLs at run time, each for one purpose.
    #[command(subcommand)]
    Ticket(ticket::Ticket),
    /// Say where callers may be sent.
    #[command(subcommand)]
    RedirectOrigin(redirect::RedirectOrigin),
    /// Make and remove API tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Keep environments, each with variables and secrets of its own.
    #[command(subcommand)]
    Environment(environment::Environment),
    /// Set variables that flows see.
    #[command(subcommand)]
    Var(environment::Var),
    /// Keep users, who prove themselves to triggers by tokens.
    #[command(subcommand)]
    User(user::User),
    /// Take a backup of a running server.
    Backup {
        /// The file to write; it appears when it is whole.
        file: PathBuf,
    },
    /// Make a data directory, named with --data, from a backup.
    Restore {
        /// What `ringback backup` wrote.
        file: PathBuf,
    },
    /// Check the store of a server that is not running.
    #[command(subcommand)]
    Db(db::Db),
    /// Say whether the server can be used, or in one sentence what is wrong.
    Doctor(doctor::Doctor),
    /// Print the OpenAPI document of the admin API.
    Openapi,
    #[command(hide = true)]
    CompilePlugin {
        #[arg(long)]
        large: bool,
        /// The core module that runs scripts.
        #[arg(long, conflicts_with = "large")]
        engine: bool,
        #[arg(long)]
        memory_bytes: usize,
    },
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Unwell(#[from] doctor::Diagnosis),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Configuration(#[from] crate::config::ConfigError),
    #[error(transparent)]
    Run(#[from] crate::server::RunError),
    /// What `db verify` has listed.
    #[error("the store is damaged: {} listed above; `ringback restore` makes a whole one of a backup", problems(*.0))]
    Damaged(u64),
    #[error("{path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl CliError {
    /// A problem document: that of the server where it answered one.
    fn problem(&self) -> Value {
        match self {
            Self::Client(ClientError::Refusal(refusal)) => refusal.problem(self.exit()),
            other => own_problem(other.exit(), &other.to_string()),
        }
    }

    fn exit(&self) -> Exit {
        use crate::catalogue::secrets::SecretError;
        use crate::catalogue::tokens::TokenError;
        use crate::server::RunError;
        use ringback_rules::vault::VaultError;
        use ringback_store::OpenError;
        match self {
            Self::Client(error) => error.exit(),
            Self::Unwell(diagnosis) => diagnosis.exit(),
            Self::Refused(_) | Self::File { .. } | Self::Io(_) => Exit::Refused,
            Self::Configuration(_) => Exit::Configuration,
            Self::Damaged(_) => Exit::DataDamaged,
            Self::Run(error) => match error {
                RunError::Open(OpenError::Damaged { .. }) => Exit::DataDamaged,
                RunError::Store(error)
                | RunError::Secret(SecretError::Store(error))
                | RunError::Token(TokenError::Store(error)) => exit_of_store(error),
                RunError::StoreFailed(_) => Exit::StoreFailed,
                // The key is not the one of this data.
                RunError::Secret(
                    SecretError::Vault(VaultError::Undecryptable(_))
                    | SecretError::KeyFile { .. }
                    | SecretError::KeyMissing(_),
                ) => Exit::Configuration,
                RunError::Open(OpenError::InUse(_) | OpenError::Unusable { .. })
                | RunError::Secret(_)
                | RunError::Token(_)
                | RunError::Sandbox(_) => Exit::DataUnusable,
                RunError::Listener(_) => Exit::Unreachable,
            },
        }
    }
}

/// So many in words.
fn problems(count: u64) -> String {
    if count == 1 { "1 problem is".to_owned() } else { format!("{count} problems are") }
}

fn exit_of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Damaged { .. } => Exit::DataDamaged,
        StoreError::Read(_) => Exit::DataUnusable,
        StoreError::Conflict | StoreError::Busy | StoreError::TooLarge { .. } | StoreError::Stopped(_) => {
            Exit::StoreFailed
        }
    }
}

/// Parses the arguments, does what they say, and answers the exit code.
pub fn main() -> ExitCode {
    let arguments = expect_names(Cli::command()).try_get_matches();
    let Cli { connection, command } = match arguments.and_then(|found| Cli::from_arg_matches(&found)) {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    // The child that compiles limits its own memory: no runtime, no threads.
    if let Command::CompilePlugin { large, engine, memory_bytes } = command {
        let job = if engine { Job::Engine } else { Job::Plugin { large } };
        return ringback_plugin::child_main(job, memory_bytes);
    }
    let as_json = connection.json;
    let done = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(dispatch(connection, command)),
        Err(error) => Err(CliError::Refused(format!("the runtime could not be started: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match as_json {
                true => output::json_note(&error.problem()),
                false => output::note(&format!("ringback: {error}")),
            }
            error.exit().into()
        }
    }
}

/// Says what is wrong with the arguments, or shows the help that they ask for.
fn misused(error: &clap::Error) -> ExitCode {
    // They were not understood: the flag is looked for as it is written.
    let as_json = std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
    let said = error.render().to_string();
    let is_missing = match error.kind() {
        ErrorKind::MissingSubcommand => true,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => as_json,
        _ => false,
    };
    let detail = match is_missing {
        true => "a command is missing; --help lists them",
        // What follows is how the command is used.
        false => said.split("\n\nUsage:").flat_map(|part| part.split("\n\nFor more")).next().unwrap_or_default(),
    };
    if as_json && error.use_stderr() {
        let detail = detail.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
        output::json_note(&own_problem(Exit::Arguments, &detail));
    } else if is_missing {
        output::note(&format!("ringback: {detail}"));
    } else {
        error.exit();
    }
    Exit::Arguments.into()
}

/// A problem that the server has no part in, in the form of its own.
fn own_problem(exit: Exit, detail: &str) -> Value {
    let (title, code) = (exit.title(), exit.name());
    serde_json::json!({ "type": "about:blank", "title": title, "code": code, "detail": detail, "exit_code": exit.code() })
}

/// Refuses empty texts in all commands, but for what may be one: an empty name would be another URL of the API. What is no number
/// is told so in words.
fn expect_names(command: clap::Command) -> clap::Command {
    const MAY_BE_EMPTY: [&str; 2] = ["value", "body"];
    let command = command.mut_subcommands(expect_names);
    command.mut_args(|argument| {
        let kind = argument.get_value_parser().type_id();
        if kind == TypeId::of::<u32>() {
            return argument.value_parser(whole_number::<u32>);
        } else if kind == TypeId::of::<u16>() {
            return argument.value_parser(whole_number::<u16>);
        }
        let is_text = kind == TypeId::of::<String>();
        // What comes from a variable, as the flags of all commands do, may be set to nothing.
        if !is_text || argument.is_global_set() || MAY_BE_EMPTY.contains(&argument.get_id().as_str()) {
            return argument;
        }
        argument.value_parser(NonEmptyStringValueParser::new())
    })
}

fn whole_number<N: FromStr>(text: &str) -> Result<N, &'static str> {
    let has_digits_alone = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().map_err(|_| if has_digits_alone { "the number is too large" } else { "write a whole number" })
}

async fn dispatch(connection: Connection, command: Command) -> Result<(), CliError> {
    let client = || Client::new(&connection);
    match command {
        Command::Serve(serve) => serve.run(&connection).await,
        Command::Flow(command) => command.run(&connection).await,
        Command::Plugin(command) => command.run(&connection).await,
        Command::Execution(command) => command.run(&client()?).await,
        Command::Callback(command) => command.run(&client()?).await,
        Command::Console => {
            let client = client()?;
            let link = client.post("/v1/session/link", &Value::Null).await?;
            match client.json {
                true => output::json(&link),
                false => output::line(&output::text(&link, "url")),
            }
            Ok(())
        }
        Command::Sample(command) => command.run(connection.json),
        Command::Secret(command) => command.run(&client()?).await,
        Command::Setting(command) => command.run(&client()?).await,
        Command::Verify(command) => command.run(&connection).await,
        Command::Ticket(command) => command.run(&client()?).await,
        Command::RedirectOrigin(command) => command.run(&client()?).await,
        Command::Token(command) => command.run(&client()?).await,
        Command::Environment(command) => command.run(&client()?).await,
        Command::Var(command) => command.run(&client()?).await,
        Command::User(command) => command.run(&client()?).await,
        Command::Backup { file } => backup::backup(&client()?, &file).await,
        Command::Restore { file } => backup::restore(&connection, &file).await,
        Command::Db(command) => command.run(&connection),
        Command::Doctor(doctor) => doctor.run(&connection).await,
        Command::Openapi => {
            output::json(&crate::http::openapi());
            Ok(())
        }
        Command::CompilePlugin { .. } => Ok(()),
    }
}

/// Reads a file, or standard input for `-`.
fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let read = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| CliError::File { path: path.to_owned(), error })
}

/// What is said of a file that is to be text.
fn not_utf8(file: &Path, error: std::str::Utf8Error) -> CliError {
    let (file, at) = (file.display(), error.valid_up_to());
    CliError::Refused(format!("{file} is not UTF-8 from byte {at} on; save it as UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{Command, CommandFactory};

    /// An argument with the name of a flag of all commands would be given to that flag, too.
    #[test]
    fn no_argument_has_the_name_of_a_flag_of_all_commands() {
        fn check(command: &Command, names: &[String]) {
            for argument in command.get_arguments() {
                assert!(!names.iter().any(|name| argument.get_id() == name), "{}: {argument}", command.get_name());
            }
            command.get_subcommands().for_each(|command| check(command, names));
        }
        let command = Cli::command();
        let names: Vec<String> = command.get_arguments().map(|argument| argument.get_id().to_string()).collect();
        assert!(names.iter().any(|name| name == "token"), "{names:?}");
        command.get_subcommands().for_each(|command| check(command, &names));
    }

    #[test]
    fn every_command_and_argument_is_explained_and_every_flag_with_a_value_has_its_default() {
        fn check(command: &Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some() || command.is_hide_set(), "{path}");
            for argument in command.get_arguments().filter(|_| !command.is_hide_set()) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{path} {argument}");
                let is_filter = help.starts_with("Only ");
                let has_default = !argument.get_default_values().is_empty() || help.contains("[default: ");
                let has_default = has_default || argument.is_required_set();
                let takes_value = argument.get_action().takes_values() && !argument.is_positional();
                assert!(
                    is_filter || has_default || !takes_value || NONE_IS_NOTHING.contains(&argument.get_id().as_str()),
                    "{path} {argument}"
                );
            }
            command.get_subcommands().for_each(|command| check(command, &path));
        }
        /// Without them nothing is done that they would do.
        const NONE_IS_NOTHING: [&str; 12] = [
            "properties",
            "roles",
            "url_prefix",
            "flow",
            "execution",
            "trigger",
            "plugin",
            "with",
            "redirect",
            "body",
            "headers",
            "state_parameter",
        ];
        let mut command = Cli::command();
        command.build();
        check(&command, "");
    }
}
