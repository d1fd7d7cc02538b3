//! `ringback sample …`: needs no server.

use super::output::{json, lines};
use super::{CliError, read};
use std::path::Path;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Sample {
    /// List the parts of an example of a callback, ready to be pasted into a flow.
    Parse {
        /// A URL, a query string, or JSON; @FILE reads a file, - standard input.
        sample: String,
    },
}

impl Sample {
    pub(super) fn run(self, as_json: bool) -> Result<(), CliError> {
        let Self::Parse { sample } = self;
        let text = match sample.strip_prefix('@').or_else(|| (sample == "-").then_some("-")) {
            None => sample,
            Some("") => return Err(CliError::Refused("a file is to be named behind the @".to_owned())),
            Some(file) => String::from_utf8(read(Path::new(file))?)
                .map_err(|_| CliError::Refused("the sample is not text".to_owned()))?,
        };
        let parsed = ringback_rules::sample::parse(&text).map_err(CliError::Refused)?;
        match as_json {
            true => json(&serde_json::to_value(&parsed).map_err(std::io::Error::other)?),
            false => lines(parsed.fields.trim_end()),
        }
        Ok(())
    }
}
