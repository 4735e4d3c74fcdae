//! Callers that report a credential as rejected by its provider: what is newer is the answer at once, and what is current is
//! renewed or tested once for all of them. A caller that lies gains nothing and ends nothing.

mod keys;
mod many;
mod tokens;

use credvault_proto::v1;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::provider::connection_request;
use crate::harness::{Client, by_id, input};

/// A fetch of a connection's credential whose caller reports the credential of this tag.
fn reporting(id: &str, tag: &str) -> v1::FetchCredentialRequest {
    v1::FetchCredentialRequest { rejected_tag: tag.to_owned(), ..by_id(id) }
}

/// What came of a report.
fn outcome(credential: &v1::Credential) -> v1::RejectionOutcome {
    credential.rejection.as_ref().unwrap().outcome()
}

/// The seconds after which a refused caller may try again.
fn wait(refused: &Status) -> u64 {
    refused.get_error_details().retry_info().unwrap().retry_delay.unwrap().as_secs()
}

/// A connection with a stored key of the provider.
async fn with_key(app: &Client, account: &str, key: &str) -> String {
    let request = v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(input(&[("key", key)])),
        ..connection_request(account)
    };
    app.create(request).await.unwrap().id
}

/// The newest record of an action: what it changed, and why it was refused.
async fn newest(app: &Client, action: &str) -> (Vec<String>, String) {
    let record = app.events().await.into_iter().find(|event| event.action == action).unwrap();
    (record.changed_fields, record.reason)
}
