//! What an error of Google Cloud KMS means to the vault.

use credvault_crypto::KeyManagerError;
use google_cloud_gax::error::rpc::{Code, Status};
use google_cloud_kms_v1::Error;

use crate::google::answer::{corrupted, is_about_a_checksum, refusal};

/// What an error of any call but `Decrypt` means.
pub(super) fn of(error: &Error) -> KeyManagerError {
    refusal(error).map_or_else(KeyManagerError::from, refused)
}

/// What an error of `Decrypt` means. Google answers INVALID_ARGUMENT to what the key did not encrypt with this associated
/// data, and to a request that was corrupted on its way.
pub(super) fn of_decrypt(error: &Error) -> KeyManagerError {
    match error.status() {
        Some(status) if status.code == Code::InvalidArgument && !is_about_a_checksum(status) => {
            KeyManagerError::Foreign
        }
        _ => of(error),
    }
}

fn refused(status: &Status) -> KeyManagerError {
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
    } else if code == Code::InvalidArgument && !is_about_a_checksum(status) {
        KeyManagerError::Key(words("its purpose must be symmetric encryption and decryption"))
    } else if code == Code::InvalidArgument {
        corrupted().into()
    } else {
        KeyManagerError::Unavailable(code.name().to_owned())
    }
}
