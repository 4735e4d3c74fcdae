//! Values that are refused: named by field and rule, all at once, and never repeated.

use std::collections::BTreeMap;

use credvault_proto::{DESCRIPTORS, v1};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{create, faults, object, shopify, sized};
use crate::harness::{Client, VaultBuilder, by_id, generic, input, refusal};
use crate::on_both;

/// A request with `value` in the field of this number, counted through all texts of it; `None` if it has not as many.
fn with_text(message: &MessageDescriptor, value: &str, skip: &mut usize) -> Option<DynamicMessage> {
    for field in message.fields() {
        let mut request = DynamicMessage::new(message.clone());
        if field.is_map() {
            continue;
        }
        let kind = field.kind();
        let inner = if matches!(kind, Kind::String) && *skip > 0 {
            *skip -= 1;
            continue;
        } else if matches!(kind, Kind::String) {
            Value::String(value.to_owned())
        } else {
            let inner = kind.as_message().filter(|inner| !inner.full_name().starts_with("google."));
            let Some(inner) = inner.and_then(|inner| with_text(inner, value, skip)) else { continue };
            Value::Message(inner)
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

on_both![
    no_refusal_repeats_a_value_that_was_sent,
    wrong_fields_are_named_all_at_once_and_never_repeated,
    credentials_have_at_most_64_fields_and_64_kib,
];

async fn no_refusal_repeats_a_value_that_was_sent(builder: VaultBuilder) {
    let vault = builder.start().await;
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
                    assert!(!words.contains(value), "{} {field}: {words}", method.name());
                    assert!(!words.contains("CANARY"), "{} {field}: {words}", method.name());
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}

const SHOP: (&str, &str) = ("shop", "acme.myshopify.com");
const TOKEN: (&str, &str) = ("access_token", "shpat_0123456789abcdef");

/// The refusal that names these fields.
fn invalid(fields: &[&str]) -> (String, Vec<String>) {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    ("InvalidArgument FIELDS_INVALID".to_owned(), fields)
}

async fn wrong_fields_are_named_all_at_once_and_never_repeated(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let before = vault.count("connections").await;
    wrong_settings_and_secrets(&app).await;
    // Providers and modes.
    let unknown = v1::CreateConnectionRequest { provider: "nobody".into(), ..generic("a", "CANARY") };
    assert_eq!(create(&app, unknown).await.0, "NotFound PROVIDER_UNKNOWN");
    let mode = v1::CreateConnectionRequest { auth_mode: "CANARY".into(), ..generic("a", "CANARY") };
    assert_eq!(create(&app, mode).await, invalid(&["auth_mode"]));
    wrong_names_owners_and_times(&app).await;
    wrong_configs(&app).await;
    // Very many wrong fields: the answer still arrives, and says so.
    let names: Vec<_> = (0..4000).map(|i| format!("CANARY unknown {i}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "CANARY")).collect();
    let (reason, faults) = create(&app, shopify(&[SHOP], &many)).await;
    assert_eq!(reason, "InvalidArgument FIELDS_INVALID", "{reason} {faults:?}");
    assert!(faults.len() <= 32, "{reason} {faults:?}");
    assert_eq!(vault.count("connections").await, before, "nothing was written");
}

async fn wrong_configs(app: &Client) {
    // A config that is too large.
    let config = object(&[("base_url", &format!("https://e.test/{}", "x".repeat(17_000)))]);
    assert_eq!(
        create(app, v1::CreateConnectionRequest { config, ..generic("a", "CANARY") }).await,
        invalid(&["config"])
    );
    // A character that PostgreSQL does not keep, which SQLite would: wherever it stands.
    let nul = object(&[("anything", "CANARY\0")]);
    assert_eq!(
        create(app, v1::CreateConnectionRequest { config: nul, ..generic("a", "CANARY") }).await,
        invalid(&["config"])
    );
    let url = object(&[("base_url", "https://a.exa\nmple")]);
    assert_eq!(
        create(app, v1::CreateConnectionRequest { config: url, ..generic("a", "CANARY") }).await,
        invalid(&["config.base_url"])
    );
}

async fn wrong_names_owners_and_times(app: &Client) {
    // Names, labels, owners, request ids, times.
    let name = generic(&"x".repeat(129), "CANARY");
    assert_eq!(create(app, name).await, invalid(&["account_name"]));
    let labels: BTreeMap<_, _> = (0..65).map(|i| (format!("k{i}"), String::new())).collect();
    assert_eq!(
        create(app, v1::CreateConnectionRequest { labels, ..generic("a", "CANARY") }).await,
        invalid(&["labels"])
    );
    let owner = Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: "u1".into() });
    assert_eq!(
        create(app, v1::CreateConnectionRequest { owner, ..generic("a", "CANARY") }).await,
        invalid(&["owner.user_id"])
    );
    let platform = Some(v1::Owner { kind: v1::OwnerKind::Platform.into(), user_id: String::new() });
    assert_eq!(
        create(app, v1::CreateConnectionRequest { owner: platform, ..generic("a", "CANARY") }).await,
        invalid(&["owner.kind"])
    );
    let request_id = "not a uuid".to_owned();
    assert_eq!(
        create(app, v1::CreateConnectionRequest { request_id, ..generic("a", "CANARY") }).await,
        invalid(&["request_id"])
    );
    let past = v1::credential_input::Expiry::ExpireTime(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let credential = Some(v1::CredentialInput { expiry: Some(past), ..input(&[("token", "CANARY")]) });
    assert_eq!(
        create(app, v1::CreateConnectionRequest { credential, ..generic("a", "CANARY") }).await,
        invalid(&["credential.expire_time"])
    );
    let never = v1::credential_input::Expiry::Ttl(prost_types::Duration { seconds: -1, nanos: 0 });
    let credential = Some(v1::CredentialInput { expiry: Some(never), ..input(&[("token", "CANARY")]) });
    assert_eq!(
        create(app, v1::CreateConnectionRequest { credential, ..generic("a", "CANARY") }).await,
        invalid(&["credential.ttl"])
    );
}

async fn wrong_settings_and_secrets(app: &Client) {
    // Missing, mistyped, unknown, in the wrong place.
    assert_eq!(create(app, shopify(&[], &[TOKEN])).await, invalid(&["config.shop"]));
    assert_eq!(
        create(app, shopify(&[("shop", "CANARY.example.com")], &[("access_token", "CANARY")])).await,
        invalid(&["config.shop", "credential.fields[access_token]"])
    );
    assert_eq!(
        create(app, shopify(&[SHOP], &[("CANARY_unknown", "CANARY")])).await.0,
        "InvalidArgument FIELDS_INVALID"
    );
    assert_eq!(create(app, shopify(&[SHOP, ("canary", "CANARY")], &[TOKEN])).await, invalid(&["config"]));
    assert_eq!(
        create(app, shopify(&[SHOP, ("access_token", "CANARY")], &[TOKEN])).await,
        invalid(&["config.access_token"])
    );
    assert_eq!(create(app, shopify(&[SHOP], &[])).await, invalid(&["credential.fields"]));
    let typed = v1::CreateConnectionRequest {
        config: Some(prost_types::Struct {
            fields: [("shop".to_owned(), prost_types::Value::from(1.5))].into(),
        }),
        ..shopify(&[], &[TOKEN])
    };
    assert_eq!(create(app, typed).await, invalid(&["config.shop"]));
}

async fn credentials_have_at_most_64_fields_and_64_kib(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("a", "CANARY")).await.unwrap().id;
    let put = |credential: v1::CredentialInput| {
        let request = v1::PutCredentialRequest {
            connection_id: id.clone(),
            credential: Some(credential),
            ..Default::default()
        };
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
        assert_eq!(refusal(&status), "InvalidArgument FIELDS_INVALID");
        assert_eq!(faults(&status), ["credential.fields"]);
    }
    assert_eq!(app.fetch(by_id(&id)).await.unwrap().version, 3);
    let nothing = v1::PutCredentialRequest { connection_id: id.clone(), ..Default::default() };
    let status = app.vault().put_credential(nothing).await.unwrap_err();
    assert_eq!(faults(&status), ["credential"]);
}
