//! What AWS has refused, or why there is no answer, whichever service it is. Texts that AWS sent stay out.

use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::failure::Failure;

/// Codes of all services that say: it cannot serve now.
const UNAVAILABLE: [&str; 4] =
    ["InternalFailure", "RequestLimitExceeded", "ServiceUnavailableException", "ThrottlingException"];

/// A refusal of AWS.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    /// The code, a word of the interface.
    pub(super) code: &'a str,
    /// What may be said about it.
    pub(super) text: String,
    /// Whether it says that AWS cannot serve now.
    pub(super) is_unavailable: bool,
}

impl<'a> Refusal<'a> {
    /// The refusal with a code and the status of the answer.
    pub(super) fn new(code: &'a str, status: u16) -> Self {
        // A code is a word of the interface; anything else stays out of the text.
        let is_word =
            !code.is_empty() && code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let text = if is_word { format!("{code}, HTTP {status}") } else { format!("HTTP {status}") };
        let is_unavailable = UNAVAILABLE.contains(&code) || status >= 500 || status == 429;
        Self { code, text, is_unavailable }
    }

    /// The refusal of a call that failed.
    ///
    /// # Errors
    /// AWS has not refused it: there is no answer, or none of use.
    pub(super) fn of<E: ProvideErrorMetadata>(error: &'a SdkError<E, HttpResponse>) -> Result<Self, Failure> {
        let unavailable = |text: &str| Err(Failure::Unavailable(text.to_owned()));
        match error {
            SdkError::ServiceError(refusal) => {
                Ok(Self::new(refusal.err().code().unwrap_or_default(), refusal.raw().status().as_u16()))
            }
            SdkError::TimeoutError(_) => unavailable("it has not answered in time"),
            SdkError::DispatchFailure(failure) if failure.is_timeout() || failure.is_io() => {
                unavailable("no connection to its endpoint can be made")
            }
            // The one thing beside a connection that is got before a request is sent.
            SdkError::DispatchFailure(_) => unavailable("AWS credentials could not be got"),
            SdkError::ConstructionFailure(_) => {
                Err(Failure::Settings("no request can be made of the names and the region".to_owned()))
            }
            // Answers that cannot be read, and whatever a later version of the SDK adds.
            SdkError::ResponseError(_) | _ => unavailable("its answer is not of AWS's shape"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn texts_of_others_stay_out() {
        assert_eq!(Refusal::new("AccessDeniedException", 400).text, "AccessDeniedException, HTTP 400");
        assert!(!Refusal::new("AccessDeniedException", 400).is_unavailable);
        assert!(Refusal::new("ThrottlingException", 400).is_unavailable);
        let strange = Refusal::new("a CANARY", 502);
        assert!(strange.is_unavailable && strange.text == "HTTP 502", "{strange:?}");
    }
}
