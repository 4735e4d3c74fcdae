//! What bad input gets: a clear error of the API, and nothing half-written.

use std::collections::BTreeMap;

use credvault::proto::DESCRIPTORS;
use credvault::proto::v1;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::{Client, TestVault, by_id, generic, input, refusal};
use crate::on_both;

const UNKNOWN: &str = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";

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

/// A request with `value` in the field of this number, counted through all texts of it; `None` if it has not as many.
fn with_text(message: &MessageDescriptor, value: &str, skip: &mut usize) -> Option<DynamicMessage> {
    for field in message.fields() {
        let mut request = DynamicMessage::new(message.clone());
        let inner = match field.kind() {
            Kind::String if !field.is_map() => {
                if *skip > 0 {
                    *skip -= 1;
                    continue;
                }
                Value::String(value.to_owned())
            }
            Kind::Message(inner) if !field.is_map() && !inner.full_name().starts_with("google.") => {
                let Some(inner) = with_text(&inner, value, skip) else { continue };
                Value::Message(inner)
            }
            _ => continue,
        };
        request.set_field(&field, if field.is_list() { Value::List(vec![inner]) } else { inner });
        return Some(request);
    }
    None
}

/// What a refusal says in words: its message, and the rules of its violations. The ids that its metadata names are for
/// programs.
fn words(status: &Status) -> String {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    let preconditions =
        details.precondition_failure().map(|failed| failed.violations.clone()).unwrap_or_default();
    format!("{} {violations:?} {preconditions:?}", status.message())
}

on_both! {
    async fn no_refusal_repeats_a_value_that_was_sent(vault: TestVault) {
        let app = vault.app("acme").await;
        let operator = vault.client("operator").await;
        // Sound as a name of most things, as a UUID, as a provider, and as nothing.
        let values = ["CANARY-sent", "0193a5b2-7c40-7cc1-9d3e-0123456789ab", "canary", "CANARY /\u{7f}"];
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let mut refused = 0;
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            for field in 0.. {
                let request = |value: &str| with_text(&method.input(), value, &mut { field });
                if request("").is_none() {
                    break;
                }
                for value in values {
                    for client in [&app, &operator, &app.acting_for("CANARY-sent", Some("CANARY sent"))] {
                        let message = request(value).unwrap().encode_to_vec();
                        let Err(status) = client.raw(&path, message).await else { continue };
                        refused += 1;
                        let words = words(&status);
                        assert!(!words.contains(value) && !words.contains("CANARY"), "{} {field}: {words}", method.name());
                    }
                }
            }
        }
        assert!(refused > 500, "{refused}");
    }

    async fn wrong_fields_are_named_all_at_once_and_never_repeated(vault: TestVault) {
        let app = vault.app("acme").await;
        let before = vault.count("connections").await;
        let invalid = |fields: &[&str]| ("InvalidArgument FIELDS_INVALID".to_owned(), fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>());
        let shop = ("shop", "acme.myshopify.com");
        let token = ("access_token", "shpat_0123456789abcdef");
        // Missing, mistyped, unknown, in the wrong place.
        assert_eq!(create(&app, shopify(&[], &[token])).await, invalid(&["config.shop"]));
        assert_eq!(create(&app, shopify(&[("shop", "CANARY.example.com")], &[("access_token", "CANARY")])).await, invalid(&["config.shop", "credential.fields[access_token]"]));
        assert_eq!(create(&app, shopify(&[shop], &[("CANARY_unknown", "CANARY")])).await.0, "InvalidArgument FIELDS_INVALID");
        assert_eq!(create(&app, shopify(&[shop, ("canary", "CANARY")], &[token])).await, invalid(&["config"]));
        assert_eq!(create(&app, shopify(&[shop, ("access_token", "CANARY")], &[token])).await, invalid(&["config.access_token"]));
        assert_eq!(create(&app, shopify(&[shop], &[])).await, invalid(&["credential.fields"]));
        let typed = v1::CreateConnectionRequest {
            config: Some(prost_types::Struct { fields: [("shop".to_owned(), prost_types::Value::from(1.5))].into() }),
            ..shopify(&[], &[token])
        };
        assert_eq!(create(&app, typed).await, invalid(&["config.shop"]));
        // Providers and modes.
        let unknown = v1::CreateConnectionRequest { provider: "nobody".into(), ..generic("a", "CANARY") };
        assert_eq!(create(&app, unknown).await.0, "NotFound PROVIDER_UNKNOWN");
        let mode = v1::CreateConnectionRequest { auth_mode: "CANARY".into(), ..generic("a", "CANARY") };
        assert_eq!(create(&app, mode).await, invalid(&["auth_mode"]));
        // Names, labels, owners, request ids, times.
        let name = generic(&"x".repeat(129), "CANARY");
        assert_eq!(create(&app, name).await, invalid(&["account_name"]));
        let labels: BTreeMap<_, _> = (0..65).map(|i| (format!("k{i}"), String::new())).collect();
        assert_eq!(create(&app, v1::CreateConnectionRequest { labels, ..generic("a", "CANARY") }).await, invalid(&["labels"]));
        let owner = Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: "u1".into() });
        assert_eq!(create(&app, v1::CreateConnectionRequest { owner, ..generic("a", "CANARY") }).await, invalid(&["owner.user_id"]));
        let platform = Some(v1::Owner { kind: v1::OwnerKind::Platform.into(), user_id: String::new() });
        assert_eq!(create(&app, v1::CreateConnectionRequest { owner: platform, ..generic("a", "CANARY") }).await, invalid(&["owner.kind"]));
        let request_id = "not a uuid".to_owned();
        assert_eq!(create(&app, v1::CreateConnectionRequest { request_id, ..generic("a", "CANARY") }).await, invalid(&["request_id"]));
        let past = v1::credential_input::Expiry::ExpireTime(prost_types::Timestamp { seconds: 1, nanos: 0 });
        let credential = Some(v1::CredentialInput { expiry: Some(past), ..input(&[("token", "CANARY")]) });
        assert_eq!(create(&app, v1::CreateConnectionRequest { credential, ..generic("a", "CANARY") }).await, invalid(&["credential.expire_time"]));
        let never = v1::credential_input::Expiry::Ttl(prost_types::Duration { seconds: -1, nanos: 0 });
        let credential = Some(v1::CredentialInput { expiry: Some(never), ..input(&[("token", "CANARY")]) });
        assert_eq!(create(&app, v1::CreateConnectionRequest { credential, ..generic("a", "CANARY") }).await, invalid(&["credential.ttl"]));
        // A config that is too large.
        let config = object(&[("base_url", &format!("https://e.test/{}", "x".repeat(17_000)))]);
        assert_eq!(create(&app, v1::CreateConnectionRequest { config, ..generic("a", "CANARY") }).await, invalid(&["config"]));
        // A character that PostgreSQL does not keep, which SQLite would: wherever it stands.
        let nul = object(&[("anything", "CANARY\0")]);
        assert_eq!(create(&app, v1::CreateConnectionRequest { config: nul, ..generic("a", "CANARY") }).await, invalid(&["config"]));
        let url = object(&[("base_url", "https://a.exa\nmple")]);
        assert_eq!(create(&app, v1::CreateConnectionRequest { config: url, ..generic("a", "CANARY") }).await, invalid(&["config.base_url"]));
        // Very many wrong fields: the answer still arrives, and says so.
        let names: Vec<_> = (0..4000).map(|i| format!("CANARY unknown {i}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "CANARY")).collect();
        let (reason, faults) = create(&app, shopify(&[shop], &many)).await;
        assert!(reason == "InvalidArgument FIELDS_INVALID" && faults.len() <= 32, "{reason} {faults:?}");
        assert_eq!(vault.count("connections").await, before, "nothing was written");
    }

    async fn credentials_have_at_most_64_fields_and_64_kib(vault: TestVault) {
        let app = vault.app("acme").await;
        let id = app.create(generic("a", "CANARY")).await.unwrap().id;
        let put = |credential: v1::CredentialInput| {
            let request = v1::PutCredentialRequest { connection_id: id.clone(), credential: Some(credential), ..Default::default() };
            let mut client = app.vault();
            async move { client.put_credential(request).await }
        };
        let many = |count: usize| {
            let fields = (0..count).map(|i| (format!("f{i}"), "CANARY".to_owned())).collect();
            v1::CredentialInput { fields, expiry: None }
        };
        assert!(put(many(64)).await.is_ok());
        assert!(put(sized(64 * 1024)).await.is_ok());
        for credential in [many(65), sized(64 * 1024 + 1)] {
            let status = put(credential).await.unwrap_err();
            assert_eq!((refusal(&status).as_str(), faults(&status)), ("InvalidArgument FIELDS_INVALID", vec!["credential.fields".to_owned()]));
        }
        assert_eq!(app.fetch(by_id(&id)).await.unwrap().version, 3);
        let nothing = v1::PutCredentialRequest { connection_id: id.clone(), ..Default::default() };
        let status = app.vault().put_credential(nothing).await.unwrap_err();
        assert_eq!(faults(&status), ["credential"]);
    }

    async fn what_cannot_be_read_is_the_callers_mistake_and_on_record(vault: TestVault) {
        let app = vault.app("acme").await;
        let fetch = "/credvault.v1.VaultService/FetchCredential";
        // A string field with bytes that are no UTF-8; a field cut short; more than 256 KiB.
        let invalid_utf8 = vec![0x0a, 2, 0xff, 0xfe];
        let truncated = vec![0x0a, 200, 1];
        for message in [invalid_utf8, truncated, vec![b'x'; 256 * 1024 + 1]] {
            let status = app.raw(fetch, message).await.unwrap_err();
            assert_eq!(refusal(&status), "InvalidArgument FIELDS_INVALID");
        }
        let events = app.events().await;
        let unread = events.iter().filter(|event| event.action == "FetchCredential" && event.reason == "FIELDS_INVALID");
        assert_eq!(unread.count(), 3);
        // Unknown fields are ignored, as protobuf has it.
        let mut message = by_id(UNKNOWN).encode_to_vec();
        message.extend([0xf8, 0x07, 1]);
        assert_eq!(refusal(&app.raw(fetch, message).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
        let status = app.raw("/credvault.v1.VaultService/Nothing", Vec::new()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unimplemented);
    }

    async fn ids_pages_etags_and_masks_are_checked(vault: TestVault) {
        let app = vault.app("acme").await;
        let id = app.create(generic("a", "CANARY")).await.unwrap().id;
        let mut vault_client = app.vault();
        let mut connections = app.connections();
        let mut statuses = Vec::new();
        for wrong in ["", "CANARY", &id.to_uppercase(), &id.replace('-', "")] {
            let request = v1::GetConnectionRequest { connection_id: wrong.to_owned() };
            statuses.push(("connection_id", connections.get_connection(request).await.unwrap_err()));
        }
        let list = v1::ListConnectionsRequest { page_size: -1, ..Default::default() };
        statuses.push(("page_size", connections.list_connections(list).await.unwrap_err()));
        let list = v1::ListConnectionsRequest { owner: Some(v1::Owner::default()), ..Default::default() };
        statuses.push(("owner.kind", connections.list_connections(list).await.unwrap_err()));
        let list = v1::ListConnectionsRequest { state: 99, ..Default::default() };
        statuses.push(("state", connections.list_connections(list).await.unwrap_err()));
        let delete = v1::DeleteConnectionRequest { connection_id: id.clone(), etag: "CANARY".into(), ..Default::default() };
        statuses.push(("etag", connections.delete_connection(delete).await.unwrap_err()));
        for paths in [vec![], vec!["provider".to_owned()], vec!["enabled".to_owned(), "CANARY".to_owned()]] {
            let update = v1::UpdateConnectionRequest {
                connection: Some(v1::Connection { id: id.clone(), ..Default::default() }),
                update_mask: Some(prost_types::FieldMask { paths }),
                request_id: String::new(),
            };
            statuses.push(("update_mask", connections.update_connection(update).await.unwrap_err()));
        }
        let both = v1::FetchCredentialRequest { provider: "generic".into(), ..by_id(&id) };
        statuses.push(("provider", vault_client.fetch_credential(both).await.unwrap_err()));
        statuses.push(("connection_id", vault_client.fetch_credential(v1::FetchCredentialRequest::default()).await.unwrap_err()));
        let version = v1::FetchCredentialRequest { version: -1, ..by_id(&id) };
        statuses.push(("version", vault_client.fetch_credential(version).await.unwrap_err()));
        let purpose = v1::FetchCredentialRequest { purpose: "CANARY\n".into(), ..by_id(&id) };
        statuses.push(("purpose", vault_client.fetch_credential(purpose).await.unwrap_err()));
        let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id); 101] };
        statuses.push(("requests", vault_client.batch_fetch_credentials(batch).await.unwrap_err()));
        let summary = v1::SummarizeAuditEventsRequest::default();
        statuses.push(("group_by", app.audit().summarize_audit_events(summary).await.unwrap_err()));
        for (field, status) in statuses {
            assert_eq!((refusal(&status).as_str(), faults(&status)), ("InvalidArgument FIELDS_INVALID", vec![field.to_owned()]));
        }
        // What was never made is not found, and a name that is taken exists.
        let missing = v1::RollbackCredentialRequest { connection_id: id.clone(), version: 9, ..Default::default() };
        assert_eq!(refusal(&vault_client.rollback_credential(missing).await.unwrap_err()), "NotFound VERSION_NOT_FOUND");
        assert_eq!(refusal(&app.create(generic("a", "CANARY")).await.unwrap_err()), "AlreadyExists CONNECTION_EXISTS");
        let again = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
        let operator = vault.client("operator").await;
        assert_eq!(refusal(&operator.admin().create_tenant(again).await.unwrap_err()), "AlreadyExists TENANT_EXISTS");
    }
}
