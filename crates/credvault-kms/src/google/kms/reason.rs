//! What an error of Google's API means to the vault. Google's code is named and its words are not repeated, for they may
//! describe the request.

use credvault_crypto::KeyManagerError;
use google_cloud_gax::error::rpc::Code;
use google_cloud_kms_v1::Error;

/// What an error of any call but `Decrypt` means.
pub(super) fn of(error: &Error) -> KeyManagerError {
    if error.is_authentication() {
        return of_credentials(error);
    }
    let Some(status) = error.status() else { return of_transport(error) };
    let code = status.code;
    let words = |advice: &str| format!("{}: {advice}", code.name());
    if code == Code::PermissionDenied {
        KeyManagerError::Denied(words(
            "the service account needs the role roles/cloudkms.cryptoKeyEncrypterDecrypter on the key, and \
             roles/cloudkms.admin to make and destroy versions",
        ))
    } else if code == Code::Unauthenticated {
        KeyManagerError::Denied(words(
            "Google does not know the service account, or its key is no longer valid",
        ))
    } else if code == Code::NotFound {
        KeyManagerError::Key(words("there is no key of this name"))
    } else if code == Code::FailedPrecondition {
        KeyManagerError::Key(words("the version of the key that it takes is disabled or destroyed"))
    } else if code == Code::InvalidArgument && !is_about_a_checksum(&status.message) {
        KeyManagerError::Key(words("its purpose must be symmetric encryption and decryption"))
    } else if code == Code::InvalidArgument {
        corrupted()
    } else {
        KeyManagerError::Unavailable(code.name().to_owned())
    }
}

/// What an error of `Decrypt` means. Google answers INVALID_ARGUMENT to what the key did not encrypt with this associated
/// data, and to a request that was corrupted on its way.
pub(super) fn of_decrypt(error: &Error) -> KeyManagerError {
    match error.status() {
        Some(status) if status.code == Code::InvalidArgument && !is_about_a_checksum(&status.message) => {
            KeyManagerError::Foreign
        }
        _ => of(error),
    }
}

/// A checksum does not fit. Google's guidelines: try again a few times.
pub(super) fn corrupted() -> KeyManagerError {
    KeyManagerError::Unavailable("a request or an answer was corrupted in transit".to_owned())
}

/// The API answered something that it never answers; `what` says what.
pub(super) fn unexpected(what: &str) -> KeyManagerError {
    KeyManagerError::Unavailable(format!("its answer is not one of Google Cloud KMS: {what}"))
}

fn is_about_a_checksum(message: &str) -> bool {
    message.contains("checksum") || message.contains("crc32c")
}

fn of_credentials(error: &Error) -> KeyManagerError {
    use google_cloud_gax::error::CredentialsError;
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<CredentialsError>());
    if source.is_some_and(CredentialsError::is_transient) {
        return KeyManagerError::Unavailable("Google gives no access token now".to_owned());
    }
    KeyManagerError::Denied(
        "Google gives no access token: give the file of a service account, or run with workload identity or a metadata \
         server"
            .to_owned(),
    )
}

fn of_transport(error: &Error) -> KeyManagerError {
    match error.http_status_code() {
        Some(status @ (401 | 403)) => KeyManagerError::Denied(format!("HTTP status {status}")),
        Some(status) => KeyManagerError::Unavailable(format!("HTTP status {status}")),
        None if error.is_deserialization() => unexpected("it cannot be read"),
        None => KeyManagerError::Unavailable("it cannot be reached".to_owned()),
    }
}
