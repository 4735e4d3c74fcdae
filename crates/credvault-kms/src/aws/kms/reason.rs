//! What refusals of AWS KMS mean.

use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use credvault_crypto::KeyManagerError;

use crate::aws::refusal::Refusal;

/// Codes that say: it cannot serve now.
const UNAVAILABLE: [&str; 5] = [
    "ConflictException",
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
    "LimitExceededException",
];
/// Codes that say: the key is not there, is switched off, or is of the wrong kind.
const KEY: [&str; 7] = [
    "DisabledException",
    "InvalidArnException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "NotFoundException",
    "UnsupportedOperationException",
    "XksKeyNotFoundException",
];
/// Codes that say: this key has not wrapped this for this place.
const FOREIGN: [&str; 2] = ["IncorrectKeyException", "InvalidCiphertextException"];

/// The code of a refusal.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The failure of a call, without any text that AWS sent.
pub(super) fn failure<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> KeyManagerError {
    Refusal::of(error).map_or_else(KeyManagerError::from, refused)
}

fn refused(refusal: Refusal<'_>) -> KeyManagerError {
    let Refusal { code, text, is_unavailable } = refusal;
    if FOREIGN.contains(&code) {
        KeyManagerError::Foreign
    } else if KEY.contains(&code) {
        KeyManagerError::Key(text)
    } else if UNAVAILABLE.contains(&code) || is_unavailable {
        KeyManagerError::Unavailable(text)
    } else {
        KeyManagerError::Denied(text)
    }
}

#[cfg(test)]
mod tests {
    use super::refused;
    use crate::aws::refusal::Refusal;
    use credvault_crypto::KeyManagerError;

    #[test]
    fn each_code_has_its_meaning_and_texts_of_others_stay_out() {
        let refused = |code, status| refused(Refusal::new(code, status));
        assert_eq!(refused("InvalidCiphertextException", 400), KeyManagerError::Foreign);
        assert_eq!(refused("IncorrectKeyException", 400), KeyManagerError::Foreign);
        let key = KeyManagerError::Key("DisabledException, HTTP 400".to_owned());
        assert_eq!(refused("DisabledException", 400), key);
        let throttled = KeyManagerError::Unavailable("ThrottlingException, HTTP 400".to_owned());
        assert_eq!(refused("ThrottlingException", 400), throttled);
        let denied = KeyManagerError::Denied("AccessDeniedException, HTTP 400".to_owned());
        assert_eq!(refused("AccessDeniedException", 400), denied);
        assert_eq!(refused("a CANARY", 502), KeyManagerError::Unavailable("HTTP 502".to_owned()));
    }
}
