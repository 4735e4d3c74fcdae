//! What went wrong between the vault and Google's API, whichever service it is. Google's code is named and its words are
//! not repeated, for they may describe the request.

use google_cloud_gax::error::rpc::Status;
use google_cloud_gax::error::{CredentialsError, Error};

use crate::failure::Failure;

/// The status with which a service refused a call.
///
/// # Errors
/// It has not refused it: there is no answer, or none of use.
pub(super) fn refusal(error: &Error) -> Result<&Status, Failure> {
    if error.is_authentication() {
        return Err(of_credentials(error));
    }
    error.status().ok_or_else(|| of_transport(error))
}

/// A checksum does not fit. Google's guidelines: try again a few times.
pub(super) fn corrupted() -> Failure {
    Failure::Unavailable("a request or an answer was corrupted in transit".to_owned())
}

/// The API answered something that it never answers; `what` says what.
pub(super) fn unexpected(what: &str) -> Failure {
    Failure::Unavailable(format!("its answer is not one of Google's: {what}"))
}

/// Whether a refusal is about a checksum: the request was corrupted.
pub(super) fn is_about_a_checksum(status: &Status) -> bool {
    status.message.contains("checksum") || status.message.contains("crc32c")
}

fn of_credentials(error: &Error) -> Failure {
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<CredentialsError>());
    if source.is_some_and(CredentialsError::is_transient) {
        return Failure::Unavailable("Google gives no access token now".to_owned());
    }
    Failure::Denied(
        "Google gives no access token: give the file of a service account, or run with workload identity or a metadata \
         server"
            .to_owned(),
    )
}

fn of_transport(error: &Error) -> Failure {
    match error.http_status_code() {
        Some(status @ (401 | 403)) => Failure::Denied(format!("HTTP status {status}")),
        Some(status) => Failure::Unavailable(format!("HTTP status {status}")),
        None if error.is_deserialization() => unexpected("it cannot be read"),
        None => Failure::Unavailable("it cannot be reached".to_owned()),
    }
}
