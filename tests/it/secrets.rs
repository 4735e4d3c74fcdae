//! Secrets in a real OpenBao, through the public API: put, served, moved while they are served, adopted, erased.

use std::path::Path;
use std::sync::Arc;

use credvault::settings::{LoginSection, RawSettings, SecretStoreKind, SecretStoreSection};
use credvault_proto::v1;
use credvault_testkit::OpenBao;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tonic::Status;

use crate::harness::{Client, VaultBuilder, by_id, eventually, generic, refusal, write};

/// What the vault may do there, and no more.
const POLICY: &str = r#"
path "secret/data/credvault/*" { capabilities = ["create", "update", "read"] }
path "secret/metadata/credvault/*" { capabilities = ["list", "delete"] }
path "secret/data/customers/*" { capabilities = ["read"] }
"#;

/// An OpenBao with an engine for secrets; none if the program is not there.
async fn openbao() -> Option<Arc<OpenBao>> {
    let bao = tokio::task::spawn_blocking(OpenBao::start).await.unwrap()?;
    bao.write("sys/mounts/secret", &json!({ "type": "kv", "options": { "version": "2" } }));
    let bao = Arc::new(bao);
    eventually("the engine serves", || async { bao.request("GET", "secret/config", &Value::Null).0 == 200 })
        .await;
    bao.policy("credvault", POLICY);
    Some(bao)
}

/// Settings with that engine as the store `eu`.
fn with_store(settings: &mut RawSettings, folder: &Path, bao: &OpenBao) {
    write(folder, "openbao-token", &bao.token(&["credvault"], "1h"));
    let store = SecretStoreSection {
        kind: Some(SecretStoreKind::OpenBao),
        address: Some(bao.address()),
        login: Some(LoginSection::Token { file: folder.join("openbao-token") }),
        adopt: vec!["customers/{tenant}/*".to_owned()],
        timeout_ms: 1000,
        ..Default::default()
    };
    settings.secrets.stores.insert("eu".to_owned(), store);
    settings.secrets.keep_removed_seconds = 3600;
}

async fn move_to(operator: &Client, tenant: &str, store: &str) -> Result<v1::RotationProgress, Status> {
    let request =
        v1::MoveSecretsRequest { tenant_id: tenant.into(), store: store.into(), ..Default::default() };
    let mut stream = operator.admin().move_secrets(request).await?.into_inner();
    let mut last = v1::RotationProgress::default();
    while let Some(response) = stream.next().await {
        last = response?.progress.unwrap();
    }
    Ok(last)
}

async fn places(operator: &Client, tenant: &str) -> v1::GetSecretPlacesResponse {
    let request = v1::GetSecretPlacesRequest { tenant_id: tenant.into() };
    operator.admin().get_secret_places(request).await.unwrap().into_inner()
}

fn versions(places: &v1::GetSecretPlacesResponse, name: &str) -> i64 {
    places.places.iter().find(|place| place.name == name).unwrap().versions
}

/// How many connections have something in the store.
fn kept(bao: &OpenBao) -> usize {
    let (status, answer) = bao.request("GET", "secret/metadata/credvault?list=true", &Value::Null);
    if status == 404 { 0 } else { answer["data"]["keys"].as_array().unwrap().len() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_kept_in_a_store_and_served_while_it_is_away() {
    let Some(bao) = openbao().await else { return };
    let given = Arc::clone(&bao);
    let change = move |settings: &mut RawSettings, folder: &Path| {
        with_store(settings, folder, &given);
        settings.secrets.store = "eu".to_owned();
    };
    let mut vault = VaultBuilder::postgres().settings(change).start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let id = app.create(generic("a", "CANARY first")).await.unwrap().id;
    // What comes with a new connection is moved within seconds; what is put is there at once.
    eventually("it is moved", || async { versions(&places(&operator, "acme").await, "eu") == 1 }).await;
    let stored = app.put(&id, "CANARY second").await.unwrap();
    assert_eq!((stored.store.as_str(), stored.adopted), ("eu", false));
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second");
    assert_eq!(kept(&bao), 1);

    bao.pause();
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second", "it is remembered");
    let refused = app.put(&id, "CANARY third").await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable STORE_UNAVAILABLE");
    assert!(
        refused.message().contains("eu") && !refused.message().contains("CANARY"),
        "{}",
        refused.message()
    );
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second", "the version before serves");
    vault.stop().await;
    vault.start().await;
    let app = vault.app("acme").await;
    let refused = app.token(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable STORE_UNAVAILABLE");
    bao.resume();
    eventually("it is served again", || async { app.token(by_id(&id)).await.is_ok() }).await;
    assert_eq!(vault.found_in(bao.root_token()).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_move_while_they_are_served_and_an_erased_tenant_leaves_none() {
    let Some(bao) = openbao().await else { return };
    let given = Arc::clone(&bao);
    let change = move |settings: &mut RawSettings, folder: &Path| with_store(settings, folder, &given);
    let vault = VaultBuilder::sqlite().settings(change).start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let mut ids = Vec::new();
    for index in 0..30 {
        ids.push(app.create(generic(&format!("a{index}"), "CANARY secret")).await.unwrap().id);
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let reading = tokio::spawn({
        let (app, ids) = (app.clone(), ids.clone());
        async move {
            let (mut reads, mut stopped) = (0, stopped);
            while stopped.try_recv().is_err() {
                for id in &ids {
                    assert_eq!(app.token(by_id(id)).await.unwrap(), "CANARY secret");
                    reads += 1;
                }
            }
            reads
        }
    });
    let unknown = move_to(&operator, "acme", "us").await.unwrap_err();
    assert_eq!(refusal(&unknown), "NotFound SECRET_STORE_UNKNOWN");
    let moved = move_to(&operator, "acme", "eu").await.unwrap();
    assert_eq!((moved.running, moved.done, moved.total, moved.failed), (false, 30, 30, 0));
    let there = places(&operator, "acme").await;
    assert_eq!((versions(&there, "eu"), versions(&there, "database"), there.target.as_str()), (30, 0, "eu"));
    assert_eq!(kept(&bao), 30);
    stop.send(()).unwrap();
    assert!(reading.await.unwrap() > 0);

    let check = v1::CheckSecretStoreRequest { store: "eu".into(), ..Default::default() };
    let checked = operator.admin().check_secret_store(check).await.unwrap().into_inner();
    assert_eq!((checked.compared, checked.orphans.len(), checked.missing.len()), (30, 0, 0));

    let owned = operator.admin().own_secret_stores(v1::OwnSecretStoresRequest {}).await.unwrap().into_inner();
    assert!(!owned.was_restored);
    for (store, expected) in
        [("eu", "FailedPrecondition STATE_INVALID"), ("us", "NotFound SECRET_STORE_UNKNOWN")]
    {
        let request = v1::WriteOffSecretStoreRequest { store: store.into(), confirm: false };
        let refused = operator.admin().write_off_secret_store(request).await.unwrap_err();
        assert_eq!(refusal(&refused), expected);
    }
    let erase = v1::EraseTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    let asked = operator.admin().erase_tenant(erase.clone()).await.unwrap().into_inner();
    let confirm = v1::EraseTenantRequest { confirmation_token: asked.confirmation_token, ..erase };
    operator.admin().erase_tenant(confirm).await.unwrap();
    eventually("nothing is left there", || async { kept(&bao) == 0 }).await;
    let said = r#""stores":[{"store":"eu","removed":30,"written_off":0}]"#;
    eventually("the statement counts what is gone", || async {
        let request = v1::GetErasureRequest { tenant_id: "acme".into() };
        let erasure = operator.admin().get_erasure(request).await.unwrap().into_inner().erasure.unwrap();
        erasure.statement.contains(said)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_refers_to_a_secret_of_its_own_and_to_no_other() {
    let Some(bao) = openbao().await else { return };
    let given = Arc::clone(&bao);
    let change = move |settings: &mut RawSettings, folder: &Path| with_store(settings, folder, &given);
    let vault = VaultBuilder::sqlite().settings(change).start().await;
    let (app, other) = (vault.app("acme").await, vault.app("globex").await);
    bao.write("secret/data/customers/acme/shop", &json!({ "data": { "token": "CANARY theirs" } }));
    let id = app.create(generic("a", "CANARY ours")).await.unwrap().id;
    let foreign = other.create(generic("a", "CANARY ours")).await.unwrap().id;
    let reference = |id: &str, name: &str| v1::PutCredentialRequest {
        connection_id: id.into(),
        reference: Some(v1::SecretReference { store: "eu".into(), name: name.into(), ..Default::default() }),
        ..Default::default()
    };
    let stored =
        app.vault().put_credential(reference(&id, "customers/acme/shop")).await.unwrap().into_inner();
    let stored = stored.version.unwrap();
    assert_eq!((stored.store.as_str(), stored.adopted), ("eu", true));
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY theirs");
    for name in ["customers/acme/shop", "customers/globex/../acme/shop", "credvault/x"] {
        let refused = other.vault().put_credential(reference(&foreign, name)).await.unwrap_err();
        assert_eq!(refusal(&refused), "PermissionDenied REFERENCE_DENIED", "{name}");
    }
    let missing = app.vault().put_credential(reference(&id, "customers/acme/none")).await.unwrap_err();
    assert_eq!(refusal(&missing), "FailedPrecondition REFERENCE_BROKEN");
    let unknown = v1::PutCredentialRequest {
        reference: Some(v1::SecretReference { store: "us".into(), name: "x".into(), ..Default::default() }),
        ..reference(&id, "x")
    };
    let unknown = app.vault().put_credential(unknown).await.unwrap_err();
    assert_eq!(refusal(&unknown), "NotFound SECRET_STORE_UNKNOWN");
    for (name, store) in [("", "eu"), ("x y", "eu"), ("x", "")] {
        let wrong = v1::PutCredentialRequest {
            reference: Some(v1::SecretReference {
                store: store.into(),
                name: name.into(),
                ..Default::default()
            }),
            ..reference(&id, "x")
        };
        let refused = app.vault().put_credential(wrong).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{name} {store}");
    }
    // The record names the secret, also of a call that was refused.
    let named = |changed: &str| {
        let named = format!("reference:eu/{changed}");
        move |event: &v1::AuditEvent| event.changed_fields.contains(&named)
    };
    let found = |events: Vec<v1::AuditEvent>, name| {
        events.into_iter().filter(named(name)).map(|event| event.reason).collect::<Vec<_>>()
    };
    assert_eq!(found(app.events().await, "customers/acme/shop"), [""]);
    assert_eq!(found(app.events().await, "customers/acme/none"), ["REFERENCE_BROKEN"]);
    assert_eq!(found(other.events().await, "customers/acme/shop"), ["REFERENCE_DENIED"]);
    // Who may put may not refer for that reason.
    let portal = vault.client("portal").await.acting_for("acme", Some("u1"));
    let refused = portal.vault().put_credential(reference(&id, "customers/acme/shop")).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    assert!(refused.message().contains("ReferToSecret"), "{}", refused.message());
    // A secret that is not what the auth mode takes is refused like fields that a caller sends.
    bao.write("secret/data/customers/acme/odd", &json!({ "data": { "other name": "CANARY" } }));
    let odd = app.vault().put_credential(reference(&id, "customers/acme/odd")).await.unwrap_err();
    assert_eq!(refusal(&odd), "FailedPrecondition REFERENCE_BROKEN");
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY theirs", "nothing was changed");
    assert_eq!(vault.found_in(bao.root_token()).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_change_is_held_against_the_auth_mode_once_more() {
    let Some(bao) = openbao().await else { return };
    let given = Arc::clone(&bao);
    let change = move |settings: &mut RawSettings, folder: &Path| {
        with_store(settings, folder, &given);
        settings.secrets.adopted_cache_seconds = 1;
    };
    let vault = VaultBuilder::sqlite().settings(change).start().await;
    let app = vault.app("acme").await;
    let connection = v1::CreateConnectionRequest {
        provider: "pipedrive".to_owned(),
        auth_mode: "api_token".to_owned(),
        credential: None,
        ..generic("a", "unused")
    };
    let id = app.create(connection).await.unwrap().id;
    let write = |fields: Value| bao.write("secret/data/customers/acme/pipe", &json!({ "data": fields }));
    write(json!({ "api_token": "CANARY theirs" }));
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        reference: Some(v1::SecretReference {
            store: "eu".into(),
            name: "customers/acme/pipe".into(),
            ..Default::default()
        }),
        request_id: "0198c000-0000-7000-8000-000000000001".to_owned(),
        ..Default::default()
    };
    let version =
        app.vault().put_credential(put.clone()).await.unwrap().into_inner().version.unwrap().version;
    assert_eq!(app.fetch(by_id(&id)).await.unwrap().fields["api_token"], "CANARY theirs");
    write(json!({ "token": "CANARY of another name" }));
    eventually("the fetch is refused", || async {
        app.fetch(by_id(&id))
            .await
            .is_err_and(|refused| refusal(&refused) == "FailedPrecondition REFERENCE_BROKEN")
    })
    .await;
    // A repeated request learns what it has done, and reads nothing.
    let again = app.vault().put_credential(put).await.unwrap().into_inner().version.unwrap();
    assert_eq!(again.version, version);
}
