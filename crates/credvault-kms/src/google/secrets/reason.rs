//! What an error of Google Secret Manager means to the vault.

use credvault_crypto::SecretStoreError;
use google_cloud_gax::error::rpc::{Code, Status};
use google_cloud_secretmanager_v1::Error;

use crate::google::answer::{corrupted, is_about_a_checksum, refusal};

/// What an error of any call means.
pub(super) fn of(error: &Error) -> SecretStoreError {
    refusal(error).map_or_else(SecretStoreError::from, refused)
}

fn refused(status: &Status) -> SecretStoreError {
    let code = status.code;
    let words = |advice: &str| format!("{}: {advice}", code.name());
    if code == Code::PermissionDenied {
        SecretStoreError::Denied(words(
            "the service account needs the role roles/secretmanager.admin on the vault's secrets, and \
             roles/secretmanager.secretAccessor on those of others",
        ))
    } else if code == Code::Unauthenticated {
        SecretStoreError::Denied(words(
            "Google does not know the service account, or its key is no longer valid",
        ))
    } else if code == Code::NotFound {
        SecretStoreError::NotFound
    } else if code == Code::FailedPrecondition {
        SecretStoreError::Unusable(words("the version is disabled, or the key of the secret cannot be used"))
    } else if code == Code::InvalidArgument && is_about_a_checksum(status) {
        corrupted().into()
    } else if code == Code::InvalidArgument || code == Code::AlreadyExists {
        SecretStoreError::Unusable(words("the secret does not take this"))
    } else {
        SecretStoreError::Unavailable(code.name().to_owned())
    }
}
