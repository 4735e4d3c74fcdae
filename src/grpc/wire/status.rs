//! Refusals as gRPC statuses: one exhaustive table from reasons to codes, and the details that a client reads. The reasons
//! themselves belong to `credvault-operations`.

use std::time::Duration;

use credvault_domain::Reason;
use credvault_operations::Refusal;
use prost::Message as _;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

use credvault_proto::v1;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "credvault";
/// Tells gRPC libraries that retry by themselves when to do that
/// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md>).
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// The longest time for which a library may wait with a retry. The caller decides about longer ones.
const LONGEST_PUSHBACK: Duration = Duration::from_secs(1);

/// The gRPC code of a reason. Reasons that only records and pages use have the code of the reason that callers read.
pub(crate) fn code(reason: Reason) -> Code {
    use Reason as R;
    match reason {
        R::ClientCertificateInvalid | R::TokenInvalid | R::TenantMissing => Code::Unauthenticated,
        R::PolicyDenied | R::TenantMismatch | R::SessionLimited | R::ReferenceDenied => {
            Code::PermissionDenied
        }
        R::TenantNotFound
        | R::ErasureNotFound
        | R::ConnectionNotFound
        | R::VersionNotFound
        | R::EventEndpointNotFound
        | R::EventDeliveryNotFound
        | R::ServiceConfigNotFound
        | R::ToolNotFound
        | R::AuditRecordNotFound
        | R::SecretStoreUnknown
        | R::ProviderUnknown
        | R::CredentialNotConfigured => Code::NotFound,
        R::ConnectionExists | R::TenantExists | R::TenantErased => Code::AlreadyExists,
        R::FieldsInvalid | R::RequirementUnknown | R::PageTokenInvalid => Code::InvalidArgument,
        R::AuditPositionInvalid => Code::OutOfRange,
        R::ConnectionDisabled
        | R::ReauthorizationRequired
        | R::TenantSuspended
        | R::CredentialExpired
        | R::RotationRunning
        | R::RotationByHand
        | R::RotationRefused
        | R::KeyRevoked
        | R::RootKeyUnknown
        | R::SecretStoreRefused
        | R::KeyManagerRefused
        | R::ReferenceBroken
        | R::StateInvalid
        | R::ConfirmationInvalid
        | R::ConfirmationExpired
        | R::StateMissing
        | R::StateExpired
        | R::StateReplayed
        | R::StateForeign
        | R::ProviderMismatch
        | R::ConsentDenied
        | R::ConsentFailed => Code::FailedPrecondition,
        R::EtagMismatch | R::VersionMismatch => Code::Aborted,
        R::QuotaExceeded | R::ProviderRateLimited | R::RateLimited | R::AnswerFull => Code::ResourceExhausted,
        R::ProviderUnavailable
        | R::StoreUnavailable
        | R::AuditUnavailable
        | R::AuditRecordWaiting
        | R::KeyUnavailable => Code::Unavailable,
        R::IntegrityFailure => Code::DataLoss,
        R::DeadlineExceeded => Code::DeadlineExceeded,
        R::Internal => Code::Internal,
    }
}

/// The status of a refusal, with the trace id to find the call in log and audit by.
pub(crate) fn status(refusal: &Refusal, trace: &str) -> Status {
    let reason = refusal.reason();
    let code = code(reason);
    let pairs = refusal.metadata().into_iter().chain([("trace_id", trace.to_owned())]);
    let metadata: std::collections::HashMap<_, _> =
        pairs.map(|(key, value)| (key.to_owned(), value)).collect();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.as_str(), DOMAIN, metadata);
    for violation in refusal.violations().iter() {
        details.add_bad_request_violation(&violation.field, &violation.rule);
    }
    if code == Code::FailedPrecondition {
        details.add_precondition_failure_violation(reason.as_str(), "", refusal.to_string());
    }
    if code == Code::ResourceExhausted {
        details.add_quota_failure_violation(refusal.quota(), refusal.to_string());
    }
    let delay = refusal.retry_delay();
    if delay.is_some() {
        details.set_retry_info(delay);
    }
    let mut status = Status::with_error_details(code, refusal.to_string(), details);
    if let Some(delay) = delay {
        status.metadata_mut().insert(PUSHBACK, pushback(delay));
    }
    status
}

/// After how many milliseconds a library may retry; a negative number forbids it.
fn pushback(delay: Duration) -> MetadataValue<Ascii> {
    match i32::try_from(delay.as_millis()) {
        Ok(milliseconds) if delay <= LONGEST_PUSHBACK => milliseconds.into(),
        Ok(_) | Err(_) => (-1_i32).into(),
    }
}

/// A refusal of one item within the answer to a call for many: the status of the item's own RPC, as a message.
pub(crate) fn item_status(refusal: &Refusal, trace: &str) -> pb::Status {
    // tonic has the message in its encoded form only, which it has just made itself.
    pb::Status::decode(status(refusal, trace).details()).unwrap_or_default()
}

/// A refusal within the answer to a batch, as clients of the first release read it.
pub(crate) fn fetch_error(refusal: &Refusal) -> v1::FetchError {
    let reason = refusal.reason();
    v1::FetchError {
        code: code(reason).into(),
        reason: reason.as_str().to_owned(),
        message: refusal.to_string(),
        metadata: refusal.metadata().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        retry_delay: refusal.retry_delay().and_then(|delay| delay.try_into().ok()),
    }
}

/// The reason that a status carries, as a client reads it.
pub(crate) fn reason_of(status: &Status) -> Option<String> {
    Some(status.get_error_details().error_info()?.reason.clone())
}

/// The name of a code, as the gRPC documentation spells it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
