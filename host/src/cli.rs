//! The command line: one file per group of commands.

mod backup;
mod callback;
mod client;
mod db;
mod doctor;
mod environment;
mod execution;
mod flow;
mod output;
mod plugin;
mod redirect;
mod sample;
mod secret;
mod serve;
mod ticket;
mod token;
mod user;

use crate::store::StoreError;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use client::{Client, ClientError};
use std::any::TypeId;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit codes, documented in the README.
mod exit {
    pub(super) const REFUSED: u8 = 1;
    pub(super) const ARGUMENTS: u8 = 2;
    pub(super) const NO_TOKEN: u8 = 66;
    pub(super) const ANOTHER_SERVER: u8 = 68;
    pub(super) const UNREACHABLE: u8 = 69;
    pub(super) const DATA_UNUSABLE: u8 = 73;
    pub(super) const DATA_DAMAGED: u8 = 74;
    pub(super) const STORE_FAILED: u8 = 75;
    pub(super) const ANOTHER_VERSION: u8 = 76;
    pub(super) const TOKEN_REFUSED: u8 = 77;
    pub(super) const CONFIGURATION: u8 = 78;
}

/// A server for incoming callbacks and webhooks, decided by sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "ringback", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

/// How to reach the server.
#[derive(Debug, Args)]
struct Connection {
    /// Address of the admin API.
    #[arg(long, global = true, env = "RINGBACK_SERVER", default_value = "http://127.0.0.1:8081", value_name = "URL")]
    server: String,
    /// Token for the admin API; without it, the one that the server wrote into its data directory is used.
    #[arg(long, global = true, env = "RINGBACK_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Data directory of the server; `ringback-data` when absent.
    #[arg(long, global = true, env = "RINGBACK_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Workspace, for tokens that may choose one.
    #[arg(long, global = true, env = "RINGBACK_WORKSPACE", value_name = "NAME")]
    workspace: Option<String>,
    /// Print JSON.
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
    /// Take an example of a callback apart.
    #[command(subcommand)]
    Sample(sample::Sample),
    /// Store secrets that verify callers.
    #[command(subcommand)]
    Secret(secret::Secret),
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
        /// The file to write.
        file: PathBuf,
    },
    /// Make a data directory, named with --data, from a backup.
    Restore { file: PathBuf },
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
    Run(#[from] crate::app::RunError),
    #[error("{path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl CliError {
    fn exit_code(&self) -> u8 {
        use crate::app::RunError;
        use crate::plugin::RegistryError;
        use crate::secret::SecretError;
        use crate::store::OpenError;
        use crate::token::TokenError;
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Unwell(diagnosis) => diagnosis.exit_code(),
            Self::Refused(_) | Self::File { .. } | Self::Io(_) => exit::REFUSED,
            Self::Configuration(_) => exit::CONFIGURATION,
            Self::Run(error) => match error {
                RunError::Open(OpenError::Damaged { .. }) => exit::DATA_DAMAGED,
                RunError::Store(error)
                | RunError::Secret(SecretError::Store(error))
                | RunError::Token(TokenError::Store(error))
                | RunError::Plugin(RegistryError::Store(error)) => exit_code_of_store(error),
                RunError::StoreFailed(_) => exit::STORE_FAILED,
                // The key is not the one of this data.
                RunError::Secret(SecretError::Undecryptable(_) | SecretError::KeyFile { .. }) => exit::CONFIGURATION,
                RunError::Open(OpenError::InUse(_) | OpenError::Unusable { .. })
                | RunError::Secret(_)
                | RunError::Token(_)
                | RunError::Plugin(_) => exit::DATA_UNUSABLE,
                RunError::Listener(_) => exit::UNREACHABLE,
            },
        }
    }
}

fn exit_code_of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::Damaged { .. } => exit::DATA_DAMAGED,
        StoreError::Read(_) => exit::DATA_UNUSABLE,
        StoreError::Conflict | StoreError::Busy | StoreError::TooLarge { .. } | StoreError::Stopped(_) => {
            exit::STORE_FAILED
        }
    }
}

/// Parses the arguments, does what they say, and answers the exit code.
pub fn main() -> ExitCode {
    let arguments = expect_names(Cli::command()).get_matches();
    let Cli { connection, command } = Cli::from_arg_matches(&arguments).unwrap_or_else(|error| error.exit());
    // The child that compiles limits its own memory: no runtime, no threads.
    if let Command::CompilePlugin { large, memory_bytes } = command {
        return crate::plugin::child_main(large, memory_bytes);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ringback: the runtime could not be started: {error}");
            return ExitCode::from(exit::REFUSED);
        }
    };
    match runtime.block_on(dispatch(connection, command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringback: {}", output::several(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Refuses empty texts in all commands, but for what may be one: an empty name would be another URL of the API.
fn expect_names(command: clap::Command) -> clap::Command {
    const MAY_BE_EMPTY: [&str; 2] = ["value", "body"];
    let command = command.mut_subcommands(expect_names);
    command.mut_args(|argument| {
        let is_text = argument.get_value_parser().type_id() == TypeId::of::<String>();
        // What comes from a variable, as the flags of all commands do, may be set to nothing.
        if !is_text || argument.is_global_set() || MAY_BE_EMPTY.contains(&argument.get_id().as_str()) {
            return argument;
        }
        argument.value_parser(NonEmptyStringValueParser::new())
    })
}

async fn dispatch(connection: Connection, command: Command) -> Result<(), CliError> {
    let client = || Client::new(&connection);
    match command {
        Command::Serve(serve) => serve.run(&connection).await,
        Command::Flow(command) => command.run(&connection).await,
        Command::Plugin(command) => command.run(&connection).await,
        Command::Execution(command) => command.run(&client()?).await,
        Command::Callback(command) => command.run(&client()?).await,
        Command::Sample(command) => command.run(connection.json),
        Command::Secret(command) => command.run(&client()?).await,
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
            let document = serde_json::to_string_pretty(&crate::http::openapi()).map_err(std::io::Error::other)?;
            output::lines(&document);
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
}
