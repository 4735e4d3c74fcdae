//! What bad input gets: a clear error of the API, and nothing half-written.

mod fields;
mod requests;

use credvault_proto::v1;

use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::{Client, input, refusal};

/// The fields that a refusal finds fault with. It never repeats what was sent.
fn faults(status: &Status) -> Vec<String> {
    let shown = format!("{status:?} {}", status.message());
    assert!(!shown.contains("CANARY"), "{shown}");
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    assert!(violations.iter().all(|violation| !violation.description.is_empty()));
    violations.into_iter().map(|violation| violation.field).collect()
}

async fn create(app: &Client, request: v1::CreateConnectionRequest) -> (String, Vec<String>) {
    let status = app.create(request).await.unwrap_err();
    (refusal(&status), faults(&status))
}

fn object(pairs: &[(&str, &str)]) -> Option<prost_types::Struct> {
    let value = |(name, value): &(&str, &str)| ((*name).to_owned(), prost_types::Value::from(*value));
    Some(prost_types::Struct { fields: pairs.iter().map(value).collect() })
}

fn shopify(config: &[(&str, &str)], fields: &[(&str, &str)]) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        provider: "shopify".into(),
        auth_mode: "access_token".into(),
        config: object(config),
        credential: Some(input(fields)),
        ..Default::default()
    }
}

fn sized(bytes: usize) -> v1::CredentialInput {
    let value = "x".repeat(bytes - "token".len());
    input(&[("token", &value)])
}

const UNKNOWN: &str = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";
