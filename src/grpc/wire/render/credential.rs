//! Credentials, and what operations say about them, as responses.

use std::collections::BTreeMap;

use credvault_broker::BegunConsent;
use credvault_catalog::{RequestAuth, Verdict};
use credvault_operations::Refusal;
use credvault_operations::credentials::{Credential, Rejection};
use credvault_operations::tokens::Tested;
use credvault_operations::webhooks::{Accepted, Verdict as WebhookVerdict};
use prost_types::Duration as WireDuration;
use secrecy::{ExposeSecret as _, SecretString};

use super::{connection, connection_error, connection_state, owner_of, timestamp};
use crate::grpc::wire::{fetch_error, item_status, struct_of};
use credvault_proto::v1;

/// A credential as its caller gets it.
pub(crate) fn credential(credential: Credential) -> v1::Credential {
    let Credential {
        connection,
        version,
        fields,
        request_auth,
        expire_time,
        cache_duration,
        tag,
        rejection: rejected,
    } = credential;
    let fields =
        fields.iter().map(|(name, value)| (name.as_str().to_owned(), value.expose_secret().to_owned()));
    let pairs = |pairs: Vec<(String, SecretString)>| -> BTreeMap<String, String> {
        pairs.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect()
    };
    let RequestAuth { base_url, headers, query, missing } = request_auth;
    v1::Credential {
        connection_id: connection.id.to_string(),
        provider: connection.provider.as_str().to_owned(),
        owner: Some(owner_of(&connection.owner)),
        account_name: connection.account_name.as_str().to_owned(),
        auth_mode: connection.auth_mode.as_str().to_owned(),
        version,
        fields: fields.collect(),
        config: Some(struct_of(connection.config.as_object())),
        request_auth: Some(v1::RequestAuth {
            base_url: base_url.unwrap_or_default(),
            headers: pairs(headers),
            query: pairs(query),
            missing: missing.map(|missing| missing.0).unwrap_or_default(),
        }),
        expire_time: expire_time.map(timestamp),
        cache_duration: WireDuration::try_from(cache_duration).ok(),
        tag,
        rejection: rejected.map(rejection),
        connection_state: connection_state(connection.state).into(),
        connection_error: connection.error.map(connection_error),
    }
}

/// What came of a reported rejection.
fn rejection(rejection: Rejection) -> v1::Rejection {
    let (outcome, tested_time) = match rejection {
        Rejection::Superseded => (v1::RejectionOutcome::Superseded, None),
        Rejection::Renewed => (v1::RejectionOutcome::Renewed, None),
        Rejection::StillAccepted(time) => (v1::RejectionOutcome::StillAccepted, Some(time)),
        Rejection::Unverifiable => (v1::RejectionOutcome::Unverifiable, None),
    };
    v1::Rejection { outcome: outcome.into(), tested_time: tested_time.map(timestamp) }
}

/// The outcome of one fetch within a batch.
pub(crate) fn fetch_result(
    outcome: Result<Credential, Refusal>,
    trace: &str,
) -> v1::BatchFetchCredentialsResult {
    use v1::batch_fetch_credentials_result::Outcome;
    let (outcome, status) = match outcome {
        Ok(found) => (Outcome::Credential(credential(found)), None),
        Err(refusal) => (Outcome::Error(fetch_error(&refusal)), Some(item_status(&refusal, trace))),
    };
    v1::BatchFetchCredentialsResult { outcome: Some(outcome), status }
}

pub(crate) fn begun_consent(begun: BegunConsent) -> v1::BeginAuthorizationResponse {
    let BegunConsent { url, state, confirmation_code, expire_time } = begun;
    v1::BeginAuthorizationResponse {
        authorization_url: url.expose_secret().to_owned(),
        state: state.expose_secret().to_owned(),
        expire_time: Some(timestamp(expire_time)),
        confirmation_code: confirmation_code.unwrap_or_default(),
    }
}

pub(crate) fn tested_connection(tested: Tested) -> v1::TestConnectionResponse {
    let outcome = match tested.verdict {
        Verdict::Works { .. } => v1::TestOutcome::Works,
        Verdict::Limited | Verdict::Unclear(_) => v1::TestOutcome::Limited,
        Verdict::Refused => v1::TestOutcome::Refused,
    };
    v1::TestConnectionResponse {
        outcome: outcome.into(),
        account_changed: tested.account_changed(),
        external_account_id: tested.account().unwrap_or_default().to_owned(),
        account_display_name: tested.name().unwrap_or_default().to_owned(),
        connection: Some(connection(tested.connection)),
    }
}

pub(crate) fn webhook_verdict(verdict: WebhookVerdict) -> v1::VerifyWebhookResponse {
    let accepted = |verdict: v1::WebhookVerdict, accepted: Accepted| v1::VerifyWebhookResponse {
        verdict: verdict.into(),
        problem: accepted.problem.to_owned(),
        delivery_id: accepted.id.unwrap_or_default(),
        account_matched: accepted.account_matched,
    };
    let told = |verdict: v1::WebhookVerdict, problem: String| v1::VerifyWebhookResponse {
        verdict: verdict.into(),
        problem,
        ..Default::default()
    };
    match verdict {
        WebhookVerdict::Valid(known) => accepted(v1::WebhookVerdict::Valid, known),
        WebhookVerdict::Repeated(known) => accepted(v1::WebhookVerdict::Repeated, known),
        WebhookVerdict::Handshake(answer) => told(v1::WebhookVerdict::Handshake, answer),
        WebhookVerdict::Invalid(problem) => told(v1::WebhookVerdict::Invalid, problem),
    }
}
