//! What refusals of AWS Secrets Manager mean.

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use credvault_crypto::SecretStoreError;

use crate::aws::refusal::Refusal;

/// Codes that say: the secret is not there in the state that the call takes.
const UNUSABLE: [&str; 7] = [
    "DecryptionFailure",
    "EncryptionFailure",
    "InvalidNextTokenException",
    "InvalidParameterException",
    "InvalidRequestException",
    "PreconditionNotMetException",
    "ResourceExistsException",
];
/// What to do at the limits of a secret.
const FULL: &str = "a secret there has 20 labels, so 19 payloads, and about 100 versions within a day: lower \
                    store.versions_kept, or keep credentials that change so often in the database or in another store";

/// The code of a refusal.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The failure of a call, without any text that AWS sent.
pub(super) fn failure<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> SecretStoreError {
    Refusal::of(error).map_or_else(SecretStoreError::from, refused)
}

fn refused(refusal: Refusal<'_>) -> SecretStoreError {
    let Refusal { code, text, is_unavailable } = refusal;
    if code == "ResourceNotFoundException" {
        SecretStoreError::NotFound
    } else if code == "LimitExceededException" {
        SecretStoreError::Full(format!("{text}: {FULL}"))
    } else if UNUSABLE.contains(&code) {
        SecretStoreError::Unusable(format!(
            "{text}: is the secret scheduled for deletion, or its KMS key disabled?"
        ))
    } else if code == "InternalServiceError" || is_unavailable {
        SecretStoreError::Unavailable(text)
    } else {
        SecretStoreError::Denied(text)
    }
}

#[cfg(test)]
mod tests {
    use super::refused;
    use crate::aws::refusal::Refusal;
    use credvault_crypto::SecretStoreError;

    #[test]
    fn each_code_has_its_meaning_and_texts_of_others_stay_out() {
        let refused = |code, status| refused(Refusal::new(code, status));
        assert_eq!(refused("ResourceNotFoundException", 400), SecretStoreError::NotFound);
        let full = refused("LimitExceededException", 400);
        assert!(matches!(&full, SecretStoreError::Full(text) if text.contains("versions_kept")), "{full}");
        assert!(matches!(refused("InvalidRequestException", 400), SecretStoreError::Unusable(_)));
        let internal = SecretStoreError::Unavailable("InternalServiceError, HTTP 500".to_owned());
        assert_eq!(refused("InternalServiceError", 500), internal);
        assert!(matches!(refused("ThrottlingException", 400), SecretStoreError::Unavailable(_)));
        let denied = SecretStoreError::Denied("AccessDeniedException, HTTP 400".to_owned());
        assert_eq!(refused("AccessDeniedException", 400), denied);
        assert_eq!(refused("a CANARY", 502), SecretStoreError::Unavailable("HTTP 502".to_owned()));
    }
}
