//! Why a command failed, and with which code the program ends.

use std::error::Error as _;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::styling::AnsiColor;
use credvault_store::{BackupError, MigrateError};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::distrust::cause;
use super::rpcs::in_commands;
use super::terminal;
use crate::app::{ManagerError, StartError};
use crate::grpc::{code_name, reason_of};
use crate::settings::SettingsError;

pub(super) const UNEXPECTED: u8 = 1;
pub(super) const USAGE: u8 = 2;
const REFUSED: u8 = 3;
const NOT_FOUND: u8 = 4;
const INVALID: u8 = 5;
const UNAVAILABLE: u8 = 6;
const PARTLY: u8 = 7;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is wrong, or a file that it names.
    Usage(String),
    /// The configuration is wrong.
    Settings(SettingsError),
    /// The vault refused the call. Boxed, because it is large.
    Status(Box<Status>),
    /// Some of what was asked for was refused, and the rest is done.
    Partly(String),
    /// What was given is not valid, cannot be used, or is for something in another state.
    Invalid(String),
    /// Any other failure, which ends with code 1.
    Unexpected(anyhow::Error),
    /// The reader of the output has closed it, so there is nothing to report.
    OutputClosed,
}

impl Failure {
    /// Whether a connection to a vault broke, so that the vault has not said why.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.source().is_some() && (is_broken(status) || status.code() == Code::Unavailable)
            }
            Self::Usage(_)
            | Self::Settings(_)
            | Self::Partly(_)
            | Self::Invalid(_)
            | Self::Unexpected(_)
            | Self::OutputClosed => false,
        }
    }

    /// Prints what happened and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        let code = match &self {
            Self::Usage(_) | Self::Settings(_) => USAGE,
            Self::Status(status) => code_of(status),
            Self::Partly(_) => PARTLY,
            Self::Invalid(_) => INVALID,
            Self::Unexpected(_) => UNEXPECTED,
            Self::OutputClosed => return ExitCode::SUCCESS,
        };
        let mut stderr = std::io::stderr();
        let style = terminal::style(&stderr, AnsiColor::Red.on_default().bold());
        // If standard error is closed, the exit code still tells.
        let _ = writeln!(stderr, "{style}error:{style:#} {self}");
        ExitCode::from(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Invalid(text) | Self::Partly(text) => f.write_str(text),
            Self::Settings(error) => f.write_str(&listed(error)),
            Self::Status(status) => f.write_str(&describe(status)),
            Self::Unexpected(error) => f.write_str(&credvault_domain::chain(error.as_ref())),
            Self::OutputClosed => f.write_str("the reader of the output has closed it"),
        }
    }
}

/// Every problem on a line of its own, each of which begins as an error does.
fn listed(error: &SettingsError) -> String {
    error.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("\nerror: ")
}

/// Whether the connection broke: a status with a source was made on this side, for the vault's own have none.
fn is_broken(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Internal) && status.source().is_some()
}

fn code_of(status: &Status) -> u8 {
    if is_broken(status) {
        return UNAVAILABLE;
    }
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => REFUSED,
        Code::NotFound => NOT_FOUND,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::AlreadyExists
        | Code::Aborted
        | Code::OutOfRange => INVALID,
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => UNAVAILABLE,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => UNEXPECTED,
    }
}

/// Code, reason, message, and what is wrong field by field. RPCs are named as the commands that they are here, but not
/// where policy refuses: policies name RPCs.
fn describe(status: &Status) -> String {
    if let Some(source) = status.source().filter(|_| is_broken(status)) {
        let why = credvault_domain::chain(source);
        return match cause(&why) {
            Some(cause) => format!("UNAVAILABLE: {}; {}", cause.text, cause.advice),
            None => format!(
                "UNAVAILABLE: the connection to the vault broke: {why}; `credvault doctor` looks for the cause"
            ),
        };
    }
    let details = status.get_error_details();
    let reason = reason_of(status).map(|reason| format!(" {reason}")).unwrap_or_default();
    let mut text = format!("{}{reason}: ", code_name(status.code()));
    let shown = |text: &str| match status.code() == Code::PermissionDenied {
        true => text.to_owned(),
        false => in_commands(text),
    };
    let violations = details.bad_request().map(|wrong| wrong.field_violations.as_slice()).unwrap_or_default();
    match violations {
        // The message of a status joins several into one long line.
        [_, _, ..] => {
            text.push_str("several fields are wrong");
            for violation in violations {
                text.push_str(&format!("\n  {} {}", violation.field, shown(&violation.description)));
            }
        }
        [] | [_] => text.push_str(&shown(status.message())),
    }
    if let Some(wait) = details.retry_info().and_then(|info| info.retry_delay) {
        text.push_str(&format!("\n  retry delay: {} s", wait.as_secs().max(1)));
    }
    if let Some(trace) = details.error_info().and_then(|info| info.metadata.get("trace_id")) {
        text.push_str(&format!("\n  trace id: {trace}"));
    }
    text
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Settings(error) => Self::Settings(error),
            StartError::Changing | StartError::RootKey(_) | StartError::SecretStore(_) => {
                Self::Usage(error.to_string())
            }
            StartError::Store(_)
            | StartError::Reflection(_)
            | StartError::Address { .. }
            | StartError::Metrics(_) => Self::Unexpected(error.into()),
        }
    }
}

impl From<ManagerError> for Failure {
    fn from(error: ManagerError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        let of_settings = matches!(
            error,
            MigrateError::Url | MigrateError::Unusable(_) | MigrateError::NoMigrateUrl | MigrateError::NoUser
        );
        if of_settings { Self::Usage(error.to_string()) } else { Self::Unexpected(error.into()) }
    }
}

impl From<BackupError> for Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "another crate's enum, which may grow: others are unexpected"
    )]
    fn from(error: BackupError) -> Self {
        if error.is_of_the_backup() {
            return Self::Invalid(error.to_string());
        }
        match error {
            BackupError::Migrate(error) => error.into(),
            BackupError::NoMigrateUrl => Self::Usage(error.to_string()),
            BackupError::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                Self::Unexpected(anyhow::anyhow!("the reader of the backup has closed it before its end"))
            }
            error => Self::Unexpected(error.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unexpected(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        if closed { Self::OutputClosed } else { Self::Unexpected(error.into()) }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn each_wrong_field_has_its_line() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("provider", "is unknown; ListProviders shows all");
        let one = Status::with_error_details(Code::InvalidArgument, "provider is unknown", details.clone());
        assert_eq!(Failure::from(one).to_string(), "INVALID_ARGUMENT: provider is unknown");
        details.add_bad_request_violation("account_name", "must not be empty");
        let two = Status::with_error_details(Code::InvalidArgument, "provider is unknown; account", details);
        let expected = "INVALID_ARGUMENT: several fields are wrong\n  provider is unknown; `credvault providers list` shows \
                        all\n  account_name must not be empty";
        assert_eq!(Failure::from(two).to_string(), expected);
    }

    #[test]
    fn a_retry_delay_is_said_in_seconds() {
        let details = ErrorDetails::with_retry_info(Some(std::time::Duration::from_millis(45_200)));
        let told = Status::with_error_details(Code::Unavailable, "try again after the retry delay", details);
        assert!(Failure::from(told).to_string().ends_with("\n  retry delay: 45 s"));
    }

    #[test]
    fn a_broken_connection_is_no_fault_of_the_vault() {
        let broken = Status::from_error(Box::new(std::io::Error::other("the connection ended")));
        assert_eq!((code_of(&broken), code_of(&Status::unknown("a fault"))), (UNAVAILABLE, UNEXPECTED));
        let told = Failure::from(broken).to_string();
        assert!(told.contains("the connection ended") && told.contains("credvault doctor"), "{told}");
    }

    #[test]
    fn a_refusal_by_policy_names_what_policies_name() {
        let refused = |code| Failure::from(Status::new(code, "no policy permits PutOAuthApp")).to_string();
        assert!(refused(Code::PermissionDenied).ends_with("permits PutOAuthApp"));
        assert!(refused(Code::FailedPrecondition).ends_with("permits `credvault apps put`"));
    }
}
