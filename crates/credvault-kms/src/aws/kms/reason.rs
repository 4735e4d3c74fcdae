//! What refusals of AWS KMS mean.

use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use credvault_crypto::KeyManagerError;

/// Codes that say: it cannot serve now.
const UNAVAILABLE: [&str; 9] = [
    "ConflictException",
    "DependencyTimeoutException",
    "InternalFailure",
    "KMSInternalException",
    "KeyUnavailableException",
    "LimitExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailableException",
    "ThrottlingException",
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
    let unavailable = |text: &str| KeyManagerError::Unavailable(text.to_owned());
    match error {
        SdkError::ServiceError(refusal) => {
            refused(refusal.err().code().unwrap_or_default(), refusal.raw().status().as_u16())
        }
        SdkError::TimeoutError(_) => unavailable("it has not answered in time"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() || failure.is_io() => {
            unavailable("no connection to its endpoint can be made")
        }
        // The one thing beside a connection that is got before a request is sent.
        SdkError::DispatchFailure(_) => unavailable("AWS credentials could not be got"),
        SdkError::ConstructionFailure(_) => {
            KeyManagerError::Settings("no request can be made of the key and the region".to_owned())
        }
        // Answers that cannot be read, and whatever a later version of the SDK adds.
        SdkError::ResponseError(_) | _ => unavailable("its answer is not of AWS KMS's shape"),
    }
}

fn refused(code: &str, status: u16) -> KeyManagerError {
    // A code is a word of the interface; anything else stays out of the text.
    let is_word =
        !code.is_empty() && code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let text = if is_word { format!("{code}, HTTP {status}") } else { format!("HTTP {status}") };
    if FOREIGN.contains(&code) {
        KeyManagerError::Foreign
    } else if KEY.contains(&code) {
        KeyManagerError::Key(text)
    } else if UNAVAILABLE.contains(&code) || status >= 500 || status == 429 {
        KeyManagerError::Unavailable(text)
    } else {
        KeyManagerError::Denied(text)
    }
}

#[cfg(test)]
mod tests {
    use super::refused;
    use credvault_crypto::KeyManagerError;

    #[test]
    fn each_code_has_its_meaning_and_texts_of_others_stay_out() {
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
