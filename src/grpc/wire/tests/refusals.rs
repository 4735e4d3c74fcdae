//! What gRPC libraries and answers to many items read of a refusal.

use std::time::Duration;

use credvault_broker::RefreshError;
use credvault_operations::Refusal;
use prost::Message as _;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::grpc::wire::{item_status, status};

fn unavailable(retry: Duration) -> Refusal {
    Refusal::Refresh(RefreshError::Unavailable { retry })
}

/// A library that would retry a provider that is away for minutes would only use the caller's time up.
#[test]
fn libraries_retry_soon_or_not_at_all() {
    let pushback = |refusal: &Refusal| {
        let status = status(refusal, "");
        status.metadata().get("grpc-retry-pushback-ms").map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(pushback(&unavailable(Duration::from_millis(250))).as_deref(), Some("250"));
    assert_eq!(pushback(&unavailable(Duration::from_secs(1))).as_deref(), Some("1000"));
    assert_eq!(pushback(&unavailable(Duration::from_millis(1001))).as_deref(), Some("-1"));
    assert_eq!(pushback(&unavailable(Duration::MAX)).as_deref(), Some("-1"));
    assert_eq!(pushback(&Refusal::ProviderUnknown), None);
}

#[test]
fn the_status_of_an_item_is_that_of_its_own_rpc() {
    let refusal = unavailable(Duration::from_secs(7));
    let (whole, item) = (status(&refusal, "trace"), item_status(&refusal, "trace"));
    assert_eq!((item.code, item.message.as_str()), (i32::from(whole.code()), whole.message()));
    let read = Status::with_details(whole.code(), &item.message, item.encode_to_vec().into());
    let info = read.get_details_error_info().expect("one");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("PROVIDER_UNAVAILABLE", "credvault"));
    assert_eq!(info.metadata["trace_id"], "trace");
    assert_eq!(read.get_details_retry_info().and_then(|info| info.retry_delay), Some(Duration::from_secs(7)));
}
