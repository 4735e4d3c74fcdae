//! Rotation while the vault serves, on one replica.

use std::sync::Arc;

use credvault_proto::v1;

use super::{all_open, ended, filled, left, rotate_root, rotate_tenant, status, with_other};
use crate::harness::{VaultBuilder, by_id, refusal};
use crate::on_both;

on_both![
    everything_of_a_tenant_moves_to_the_new_key_and_opens_there,
    the_root_key_moves_to_another_file_and_the_first_one_is_needed_no_more,
    bad_requests_change_nothing_and_are_on_record,
    an_altered_record_keeps_its_key_and_stops_no_rotation,
];

async fn everything_of_a_tenant_moves_to_the_new_key_and_opens_there(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let kept = filled(&app, 20).await;
    let app_secret = v1::PutOAuthAppRequest {
        tenant_id: "acme".into(),
        provider: "xero".into(),
        client_id: "client".into(),
        client_secret: "CANARY app secret".into(),
        redirect_uri: "https://app.example.com/callback".into(),
        ..Default::default()
    };
    operator.admin().put_o_auth_app(app_secret).await.unwrap();
    let endpoint = v1::PutEventEndpointRequest {
        tenant_id: "acme".into(),
        url: "https://events.invalid/CANARY".into(),
        types: vec!["credential.changed".into()],
        ..Default::default()
    };
    operator.admin().put_event_endpoint(endpoint).await.unwrap();
    let before = status(&operator, "acme").await.tenant_keys;
    assert_eq!(
        (before.len(), before[0].sealed_credentials, before[0].sealed_records),
        (1, 40, 43),
        "with the audit key"
    );

    let done = rotate_tenant(&operator, "acme").await.unwrap();
    assert_eq!((done.target, done.running, done.done, done.total, done.failed), (2, false, 43, 43, 0));
    assert!(done.end_time.is_some(), "{done:?}");
    let after = status(&operator, "acme").await;
    let under: Vec<_> =
        after.tenant_keys.iter().map(|key| (key.version, key.active, key.sealed_records)).collect();
    // The sequencer may have made the audit key of the new version by now.
    let sealed = if under[0].2 == 44 { 44 } else { 43 };
    assert_eq!(under, [(2, true, sealed), (1, false, 0)]);
    all_open(&app, &kept).await;
    let oldest = v1::FetchCredentialRequest { version: 1, ..by_id(&kept[0].0) };
    assert_eq!(app.token(oldest).await.unwrap(), "CANARY first");
    // The platform's own key seals the vault's signing key.
    let signing_key = async || {
        let key = operator.admin().get_signing_key(v1::GetSigningKeyRequest {}).await.unwrap();
        key.into_inner().public_key
    };
    let public_key = signing_key().await;
    let platform = rotate_tenant(&operator, "").await.unwrap();
    assert_eq!(
        (platform.target, platform.running, platform.done, platform.failed),
        (2, false, 2, 0),
        "its audit key, too"
    );
    assert_eq!(left(&operator, "").await, 0);
    assert_eq!(signing_key().await, public_key);
    // A third key: nothing is left under the first two.
    rotate_tenant(&operator, "acme").await.unwrap();
    assert_eq!(left(&operator, "acme").await, 0);
    all_open(&app, &kept).await;
    assert_eq!(vault.found_in("CANARY").await, None);
}

async fn the_root_key_moves_to_another_file_and_the_first_one_is_needed_no_more(builder: VaultBuilder) {
    let mut vault = builder.settings(with_other).start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    for tenant in ["b", "c", "d"] {
        vault.tenant(tenant).await;
    }
    let kept = filled(&app, 5).await;
    let before = status(&operator, "").await.root_keys;
    let states: Vec<_> =
        before.iter().map(|root| (root.state(), root.configured, root.wrapped_keys)).collect();
    use v1::RootKeyState::{Active, Known, Retired};
    assert_eq!(states, [(Active, true, Some(5)), (Known, true, Some(0))]);

    let request = v1::RotateRootKeyRequest { root_key_id: before[1].id.clone(), ..Default::default() };
    let done = rotate_root(&operator, request).await.unwrap();
    assert_eq!((done.running, done.done, done.total, done.failed), (false, 5, 5, 0));
    let after = status(&operator, "").await.root_keys;
    let states: Vec<_> =
        after.iter().map(|root| (root.id.clone(), root.state(), root.wrapped_keys)).collect();
    assert_eq!(states, [(before[1].id.clone(), Active, Some(5)), (before[0].id.clone(), Retired, Some(0))]);
    all_open(&app, &kept).await;
    // The same command once more does not lead back.
    let again = rotate_root(&operator, v1::RotateRootKeyRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&again), "FailedPrecondition STATE_INVALID");
    // New tenants are wrapped by the new one.
    vault.tenant("e").await;
    assert_eq!(status(&operator, "e").await.tenant_keys[0].root_key_id, before[1].id);

    vault.stop().await;
    vault.settings.root_key.file = Some(vault.folder.path().join("other.key"));
    vault.settings.other_root_key.file = None;
    vault.start().await;
    all_open(&vault.client("app").await.acting_for("acme", None), &kept).await;
    let operator = vault.client("operator").await;
    let alone = rotate_root(&operator, v1::RotateRootKeyRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&alone), "FailedPrecondition ROOT_KEY_UNKNOWN");
    // A replica with the first one alone does not start, and says why.
    vault.stop().await;
    vault.settings.root_key.file = Some(vault.folder.path().join("root.key"));
    let clock = Arc::new(vault.clock.clone());
    let random = Arc::new(credvault_crypto::SystemRandom);
    let refused = credvault::Instance::start(vault.settings.check().unwrap(), clock, random).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("another root key"), "{refused}");
}

async fn bad_requests_change_nothing_and_are_on_record(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    filled(&app, 2).await;
    let unknown = v1::RotateRootKeyRequest { root_key_id: "00000000".into(), ..Default::default() };
    let unknown = rotate_root(&operator, unknown).await.unwrap_err();
    assert_eq!(refusal(&unknown), "FailedPrecondition ROOT_KEY_UNKNOWN");
    for malformed in ["x", "0000000", "+0000000", "000000000"] {
        let request = v1::RotateRootKeyRequest { root_key_id: malformed.into(), ..Default::default() };
        let refused = rotate_root(&operator, request).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    }
    let versioned = v1::RotateRootKeyRequest { new_version: true, ..Default::default() };
    let versioned = rotate_root(&operator, versioned).await.unwrap_err();
    assert_eq!(
        refusal(&versioned),
        "FailedPrecondition ROOT_KEY_UNKNOWN",
        "a file has no versions, and there is no other key"
    );
    let nowhere = rotate_tenant(&operator, "nowhere").await.unwrap_err();
    assert_eq!(refusal(&nowhere), "NotFound TENANT_NOT_FOUND");
    let watched = v1::RotateTenantKeyRequest { tenant_id: "acme".into(), watch: true, ..Default::default() };
    let never = operator.admin().rotate_tenant_key(watched).await.unwrap_err();
    assert_eq!(refusal(&never), "FailedPrecondition STATE_INVALID");
    let foreign = rotate_tenant(&app, "acme").await.unwrap_err();
    assert_eq!(refusal(&foreign), "PermissionDenied POLICY_DENIED");

    // Twice at a time: slow enough to be in progress when the second one comes.
    let slow =
        v1::RotateTenantKeyRequest { tenant_id: "acme".into(), records_per_second: 1, ..Default::default() };
    let first = operator.admin().rotate_tenant_key(slow.clone()).await.unwrap();
    let second = operator.admin().rotate_tenant_key(slow).await.unwrap_err();
    assert_eq!(refusal(&second), "FailedPrecondition ROTATION_RUNNING");
    drop(first);
    ended(&operator, "acme").await;
    assert_eq!(status(&operator, "acme").await.tenant_keys.len(), 2);
    assert_eq!(vault.platform_records("RotateTenantKey", "ROTATION_RUNNING").await, 1);
}

async fn an_altered_record_keeps_its_key_and_stops_no_rotation(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let kept = filled(&app, 3).await;
    let altered = match vault.database {
        Some(_) => "UPDATE credential_versions SET sealed = set_byte(sealed, 100, get_byte(sealed, 100) # 1)",
        None => "UPDATE credential_versions SET sealed = zeroblob(200)",
    };
    vault.sql(&format!("{altered} WHERE version = 1")).await;
    let done = rotate_tenant(&operator, "acme").await.unwrap();
    assert_eq!((done.running, done.done, done.failed), (false, 4, 3));
    assert_eq!(left(&operator, "acme").await, 3);
    all_open(&app, &kept).await;
}
