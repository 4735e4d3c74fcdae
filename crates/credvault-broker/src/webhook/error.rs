//! Why a delivery is not accepted. The texts are for callers: each says what to do, and none shows a value that was sent or
//! stored.

use std::time::Duration;

/// Why a delivery is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what they are")]
pub enum WebhookError {
    #[error("the header {header} is missing: the provider signs with it, so send the request as it came")]
    SignatureMissing { header: String },
    #[error(
        "the signature does not have the form that the provider documents: pass the header on as it came"
    )]
    SignatureMalformed,
    #[error(
        "none of the stored secrets made this signature: pass on the raw body and URL, or store the provider's secret"
    )]
    SignatureWrong,
    #[error(
        "the header {header} came more than once with different values: pass on only what the provider sent"
    )]
    HeaderRepeated { header: String },
    #[error("the header {header} has no time, which the provider signs: pass the request on as it came")]
    TimestampMissing { header: String },
    #[error("the time does not have the form that the provider documents: pass the header on as it came")]
    TimestampMalformed,
    #[error("the time differs from the vault's by more than {} s: pass deliveries on at once, and set the clock", .tolerance.as_secs())]
    TimestampOutside { tolerance: Duration },
    #[error(
        "the header {header} is missing: the provider signs the id in it, so send the request as it came"
    )]
    IdMissing { header: String },
    #[error("the URL must be absolute: pass on the external one that the provider called")]
    UrlMalformed,
    #[error("the signature covers the app's client_id, which is not stored: store it with PutOAuthApp")]
    ClientIdMissing,
    #[error("no secret is stored for this webhook: store the one that the provider shows")]
    KeyMissing,
    #[error(
        "a secret stored for this webhook is empty or malformed: store it exactly as the provider shows it"
    )]
    KeyMalformed,
    #[error(
        "this provider signs with its own key: fetch the public key that the delivery names and check with it"
    )]
    PublicKeyNeeded,
    #[error(
        "the signature's algorithm is neither ECDSA with SHA-1 nor with SHA-256: update the provider's description"
    )]
    AlgorithmUnsupported,
    #[error("the provider publishes no key with the id that the delivery names")]
    KeyUnknown,
    #[error("no app is stored at this provider, and its public key is given to apps only: store the app")]
    AppMissing,
    #[error("the provider's description does not say {part}: correct its file")]
    DescriptionIncomplete { part: &'static str },
}
