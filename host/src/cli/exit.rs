//! How a command ended that did not do its work.

use std::process::ExitCode;

/// The exit codes, each with what it is called under `--json`; the README explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Refused,
    Arguments,
    NoToken,
    AnotherServer,
    Unreachable,
    DataUnusable,
    DataDamaged,
    StoreFailed,
    AnotherVersion,
    TokenRefused,
    Configuration,
}

impl Exit {
    pub(super) fn code(self) -> u8 {
        self.described().0
    }

    /// For programs.
    pub(super) fn name(self) -> &'static str {
        self.described().1
    }

    /// For people.
    pub(super) fn title(self) -> &'static str {
        self.described().2
    }

    fn described(self) -> (u8, &'static str, &'static str) {
        match self {
            Self::Refused => (1, "refused", "Refused"),
            Self::Arguments => (2, "wrong_arguments", "Wrong Arguments"),
            Self::NoToken => (66, "no_token", "No Token"),
            Self::AnotherServer => (68, "another_server", "Another Server"),
            Self::Unreachable => (69, "unreachable", "Unreachable"),
            Self::DataUnusable => (73, "data_unusable", "Data Directory Unusable"),
            Self::DataDamaged => (74, "data_damaged", "Data Damaged"),
            Self::StoreFailed => (75, "store_failed", "Store Failed"),
            Self::AnotherVersion => (76, "another_version", "Another Version"),
            Self::TokenRefused => (77, "token_refused", "Token Not Accepted"),
            Self::Configuration => (78, "wrong_setting", "Wrong Setting"),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
