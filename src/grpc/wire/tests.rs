//! What is listed never takes more bytes than the store counts for it.

mod refusals;
mod services;

use std::collections::BTreeMap;

use credvault_catalog::{Missing, RequestAuth};
use credvault_crypto::TAG_CHARS;
use credvault_domain::{
    AccountName, AppPlace, AuthMode, Config, Connection, ConnectionId, ConnectionState, CredentialVersion,
    DeliveryState, ErrorCause, EventEndpointId, EventId, EventType, Labels, Owner, ProviderId, Revocation,
    SecretFields, ServiceId, Tenant, TenantId, TenantState, Timestamp, UserId, VersionState,
};
use credvault_domain::{AuditOutcome, Day, UsageCounts};
use credvault_operations::credentials::{Credential, Rejection};
use credvault_store::{
    AuditRecord, ErasedKey, ErasedStore, Erasure, ErasureContent, ErasureState, EventDelivery, EventEndpoint,
    OAuthApp, SignedStatement, UsageRow, User, Weighed,
};
use prost::Message;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;

/// The largest numbers and times: those that take the most bytes.
const NUMBER: i64 = i64::MIN;
const TIME: Timestamp = Timestamp::from_micros(-1_000_001);

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

fn many() -> Vec<String> {
    (0..100).map(|i| text(i % 3)).collect()
}

fn map(bytes: usize) -> BTreeMap<String, String> {
    (0..64).map(|i| (format!("{i}{}", text(bytes)), text(bytes))).collect()
}

fn check<T: Weighed + std::fmt::Debug>(item: T, rendered: impl FnOnce(T) -> usize) {
    let (weight, name) = (item.weight(), std::any::type_name::<T>());
    let bytes = rendered(item);
    // What stands around the item in its list: a tag and its length.
    assert!(bytes + 6 <= weight, "{name} takes {bytes} bytes, and {weight} are counted");
}

/// A value of every kind, where small ones cost the most beside their bytes.
fn values(depth: usize) -> Vec<Value> {
    let mut all = vec![
        Value::Null,
        json!(true),
        json!(1),
        json!(-1.5e300),
        json!(""),
        json!(text(200)),
        json!([]),
        json!({}),
    ];
    if depth > 0 {
        all.push(json!(values(depth - 1)));
        all.push(json!(vec![1; 500]));
        all.push(
            values(depth - 1).into_iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        );
    }
    all
}

fn a_connection(config: Value, bytes: usize) -> Connection {
    let Value::Object(config) = config else { panic!("no object") };
    let time = Some(TIME);
    Connection {
        id: "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".parse::<ConnectionId>().expect("id"),
        owner: Owner::User(UserId::from_stored(text(128))),
        provider: ProviderId::from_stored(text(64)),
        account_name: AccountName::parse(&"é".repeat(128)).expect("name"),
        auth_mode: AuthMode::from_stored(text(64)),
        state: ConnectionState::Error,
        error: Some(ErrorCause { reason: text(64), code: Some(text(bytes)), time: TIME }),
        enabled: true,
        config: Config::from_stored(config),
        labels: Labels::from_stored(map(bytes)),
        external_account_id: Some(text(bytes)),
        found_account_id: Some(text(bytes)),
        confirmed_account_id: Some(text(bytes)),
        confirmed_settings: map(bytes),
        default: true,
        current_version: NUMBER,
        hints: map(bytes),
        expire_time: time,
        last_used_time: time,
        last_refreshed_time: time,
        last_verified_time: time,
        scopes_asked: many(),
        scopes_granted: many(),
        rotation_period: Some(std::time::Duration::from_secs(730 * 24 * 3600)),
        rotation_due_time: time,
        revocation: Some(Revocation::Kept),
        revision: NUMBER,
        create_time: TIME,
        update_time: TIME,
        delete_time: time,
        purge_time: time,
    }
}

#[test]
fn no_connection_takes_more_than_is_counted() {
    for bytes in [0, 1, 130, 1000] {
        for value in values(3) {
            let config = json!({ "": value, "a": value, "long-name-of-a-setting": value });
            check(a_connection(config, bytes), |item| connection(item).encoded_len());
        }
    }
}

#[test]
fn no_row_of_usage_takes_more_than_is_counted() {
    for bytes in [0, 1, 130, 2048] {
        let counts = UsageCounts {
            calls: NUMBER,
            errors: NUMBER,
            rate_limit_hits: NUMBER,
            fetches: NUMBER,
            refreshes: NUMBER,
        };
        let row = UsageRow {
            connection: Some(ConnectionId::from_uuid(uuid::Uuid::max())),
            provider: Some(ProviderId::from_stored(text(bytes))),
            owner: None,
            endpoint: Some(text(bytes)),
            user: Some(text(bytes)),
            service: Some(text(bytes)),
            day: Some(Day::from_number(20_000)),
            counts,
        };
        check(row, |row| render::usage_row(row).encoded_len());
    }
}

#[test]
fn no_fetched_credential_takes_more_than_is_counted() {
    for bytes in [1, 130, 1000] {
        let pairs =
            || (0..30).map(|i| (format!("name_{i}"), SecretString::from(text(bytes)))).collect::<Vec<_>>();
        for value in values(2) {
            let request_auth = RequestAuth {
                base_url: Some(text(bytes)),
                headers: pairs(),
                query: pairs(),
                missing: Some(Missing("secret.".to_owned() + &text(64))),
            };
            let found = Credential {
                connection: a_connection(json!({ "": value, "a": value }), bytes),
                version: NUMBER,
                fields: SecretFields::parse("fields", pairs()).expect("fields"),
                request_auth,
                expire_time: Some(TIME),
                cache_duration: std::time::Duration::MAX,
                tag: text(TAG_CHARS),
                rejection: Some(Rejection::StillAccepted(TIME)),
            };
            check(found, |item| credential(item).encoded_len());
        }
    }
}

/// A record with the largest numbers and these lists.
fn audit_record(changed: Vec<String>, released: Vec<String>, policies: Vec<String>) -> AuditRecord {
    AuditRecord {
        id: uuid::Uuid::max(),
        tenant: String::new(),
        index: Some(NUMBER),
        time: TIME,
        owner_user: None,
        service: None,
        user: None,
        tenant_source: String::new(),
        action: String::new(),
        connection: Some(ConnectionId::from_uuid(uuid::Uuid::max())),
        provider: None,
        version: Some(NUMBER),
        purpose: None,
        changed,
        released,
        outcome: AuditOutcome::Failed,
        reason: None,
        policies,
        trace: String::new(),
        source_address: None,
    }
}

#[test]
fn a_listed_version_takes_no_more_than_is_counted() {
    let time = Some(TIME);
    for bytes in [0, 1, 130, 1000] {
        check(
            CredentialVersion {
                version: NUMBER,
                state: VersionState::Destroyed,
                current: true,
                hints: map(bytes),
                create_time: TIME,
                expire_time: time,
                destroy_time: time,
                rolled_back_from: Some(NUMBER),
                store: Some("s".repeat(40)),
                adopted: true,
                key_revoke_time: time,
            },
            |item| credential_version(item).encoded_len(),
        );
    }
}

#[test]
fn a_listed_record_takes_no_more_than_is_counted() {
    for bytes in [0, 1, 130, 1000] {
        let some = || Some(text(bytes));
        check(
            AuditRecord {
                tenant: text(bytes),
                owner_user: some(),
                service: some(),
                user: some(),
                tenant_source: text(bytes),
                action: text(bytes),
                provider: some(),
                purpose: some(),
                reason: some(),
                trace: text(bytes),
                source_address: some(),
                ..audit_record(many(), many(), many())
            },
            |item| audit_event(item).encoded_len(),
        );
        // Each list alone, so that what is counted for the others does not hide one that is forgotten.
        for list in 0..3 {
            let of = |this: usize| if this == list { vec![text(bytes.max(1)); 300] } else { Vec::new() };
            let (changed, released, policies) = (of(0), of(1), of(2));
            check(audit_record(changed, released, policies), |item| audit_event(item).encoded_len());
        }
    }
}

#[test]
fn listed_tenants_users_and_apps_take_no_more_than_is_counted() {
    let time = Some(TIME);
    for bytes in [0, 1, 130, 1000] {
        check(
            Tenant {
                id: TenantId::from_stored(text(64)),
                display_name: text(bytes),
                state: TenantState::Suspended,
                revision: NUMBER,
                create_time: TIME,
                update_time: TIME,
            },
            |item| tenant(item).encoded_len(),
        );
        check(
            User {
                id: UserId::from_stored(text(128)),
                connections: NUMBER,
                broken_connections: NUMBER,
                last_used_time: time,
                first_seen_time: time,
                last_seen_time: time,
            },
            |item| user(item).encoded_len(),
        );
        check(
            OAuthApp {
                place: AppPlace::new(ProviderId::from_stored(text(64)), None),
                client_id: text(bytes),
                redirect_uri: text(bytes),
                scopes: many(),
                settings: map(bytes),
                hints: map(bytes),
                create_time: TIME,
                update_time: TIME,
            },
            |item| oauth_app(item).encoded_len(),
        );
    }
}

#[test]
fn a_listed_erasure_takes_no_more_than_is_counted() {
    for bytes in [0, 1, 130, 1000] {
        let signed = SignedStatement { text: text(bytes), signature: vec![0; 64], signing_key: text(16) };
        check(
            Erasure {
                tenant: TenantId::from_stored(text(64)),
                state: ErasureState::Erased,
                service: ServiceId::parse(&format!("spiffe://a/{}", text(2000))).expect("an id"),
                request_time: TIME,
                confirm_time: TIME,
                finish_time: Some(TIME),
                content: ErasureContent {
                    connections: NUMBER,
                    credential_versions: NUMBER,
                    users: NUMBER,
                    apps: NUMBER,
                    event_endpoints: NUMBER,
                    key_versions: NUMBER,
                    pending_revocations: NUMBER,
                },
                keys: vec![ErasedKey { version: NUMBER, root_key: text(8) }; bytes],
                stores: vec![
                    ErasedStore { store: text(40), removed: u64::MAX, written_off: u64::MAX };
                    bytes
                ],
                waits_for: vec![text(40); bytes],
                statement: Some(signed),
            },
            |item| erasure(item).encoded_len(),
        );
    }
}

#[test]
fn listed_endpoints_and_deliveries_take_no_more_than_is_counted() {
    let time = Some(TIME);
    for bytes in [0, 1, 130, 1000] {
        let some = || Some(text(bytes));
        check(
            EventEndpoint {
                id: EventEndpointId::from_uuid(uuid::Uuid::max()),
                url: text(bytes),
                types: EventType::ALL.to_vec(),
                description: text(bytes),
                enabled: false,
                previous_expire_time: time,
                failures: NUMBER,
                success_time: time,
                failure_time: time,
                failure: some(),
                create_time: TIME,
                update_time: TIME,
            },
            |item| event_endpoint(item).encoded_len(),
        );
        check(
            EventDelivery {
                endpoint: EventEndpointId::from_uuid(uuid::Uuid::max()),
                event: EventId::from_uuid(uuid::Uuid::max()),
                kind: text(bytes),
                body: text(bytes),
                state: DeliveryState::Dead,
                attempts: NUMBER,
                due_time: time,
                attempt_time: time,
                failure: some(),
                create_time: TIME,
            },
            |item| event_delivery(item).encoded_len(),
        );
    }
}

/// A refusal says what to do, and where no time helps it speaks of none.
#[test]
fn a_refusal_has_a_way_out() {
    use credvault_broker::{ConsentError, RefreshError};
    use credvault_operations::Refusal;
    use tonic_types::StatusExt as _;

    for (refusal, way) in [
        (Refusal::Store(credvault_store::Error::Integrity), "PutCredential with config"),
        (Refusal::Refresh(RefreshError::Integrity), "PutCredential with config"),
        (Refusal::Refresh(RefreshError::Nothing), "BeginAuthorization"),
        (Refusal::Store(credvault_store::Error::Key(credvault_crypto::Error::Integrity)), "the vault's log"),
    ] {
        assert!(refusal.to_string().contains(way), "{refusal}");
    }
    let unreadable = status(&Refusal::Unreadable("it is larger".to_owned()), "");
    assert!(unreadable.get_details_bad_request().is_none(), "no field is wrong");

    // The state of the consent is used up, so to repeat the call does not help.
    let throttled = Refusal::Consent(ConsentError::Throttled { retry: std::time::Duration::from_secs(7) });
    let status = status(&throttled, "");
    assert!(
        status.get_details_retry_info().is_none() && status.message().contains("begin again after 7 seconds")
    );

    let delay = std::time::Duration::from_secs(3);
    let busy = fetch_error(&Refusal::Refresh(RefreshError::Unavailable { retry: delay }));
    assert_eq!(busy.retry_delay.map(|delay| delay.seconds), Some(3));
    assert!(fetch_error(&Refusal::ProviderUnknown).retry_delay.is_none());
}
