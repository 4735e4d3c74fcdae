//! A root key in a key manager, a real OpenBao: what is served while it is away, and moving to it from a file.

use std::path::Path;
use std::time::Duration;

use credvault::settings::{LoginSection, RawSettings, RootKeySection, TransitSection};
use credvault_proto::v1;
use credvault_testkit::OpenBao;
use serde_json::json;

use super::{rotate_root, status};
use crate::harness::{Client, VaultBuilder, by_id, eventually, generic, get, refusal, write};

/// An OpenBao with a key, whose policy permits what the vault needs; none if the program is not there.
async fn openbao() -> Option<OpenBao> {
    let bao = tokio::task::spawn_blocking(OpenBao::start).await.unwrap()?;
    bao.write("sys/mounts/transit", &json!({ "type": "transit" }));
    bao.write("transit/keys/credvault", &json!({ "type": "aes256-gcm96" }));
    bao.policy("credvault", include_str!("../../../deploy/openbao-transit.hcl"));
    Some(bao)
}

/// The key in that OpenBao as a source of a root key.
fn transit(bao: &OpenBao, folder: &Path) -> RootKeySection {
    write(folder, "openbao-token", &bao.token(&["credvault"], "1h"));
    let transit = TransitSection {
        address: bao.address(),
        namespace: None,
        ca_file: None,
        mount: "transit".into(),
        key: "credvault".into(),
        login: LoginSection::Token { file: folder.join("openbao-token") },
    };
    RootKeySection { transit: Some(transit), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_is_served_while_the_key_manager_is_away() {
    let Some(bao) = openbao().await else { return };
    let bao = std::sync::Arc::new(bao);
    let given = std::sync::Arc::clone(&bao);
    let change = move |settings: &mut RawSettings, folder: &Path| {
        settings.root_key = transit(&given, folder);
        settings.keys.cache_seconds = 8;
    };
    let vault = VaultBuilder::postgres().settings(change).start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let id = app.create(generic("a", "CANARY secret")).await.unwrap().id;
    let root = status(&operator, "").await.root_key.unwrap();
    assert_eq!(
        (root.source.as_str(), root.name.as_str(), root.wrapped_keys),
        ("transit", "transit/credvault", Some(2))
    );

    bao.pause();
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY secret", "its key is known");
    let create = v1::CreateTenantRequest { tenant_id: "late".into(), ..Default::default() };
    let refused = operator.admin().create_tenant(create.clone()).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable KEY_UNAVAILABLE");
    // No longer than its time.
    eventually("the key's time is over", || async {
        app.token(by_id(&id)).await.is_err_and(|error| refusal(&error) == "Unavailable KEY_UNAVAILABLE")
    })
    .await;
    contained(&operator).await;
    bao.resume();
    eventually("it serves again", || async { app.token(by_id(&id)).await.is_ok() }).await;
    operator.admin().create_tenant(create).await.unwrap();
    assert_eq!(vault.found_in(bao.root_token()).await, None);
}

/// What an administrator reads and contains takes no key.
async fn contained(operator: &Client) {
    let listed = operator.admin().list_tenants(v1::ListTenantsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.tenants.len(), 1);
    assert_eq!(status(operator, "").await.tenant_keys.len(), 1);
    let request_id = "018f7e0a-0000-7000-8000-00000000c0de".to_owned();
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), request_id };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    let resume = v1::ResumeTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().resume_tenant(resume).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_manager_that_is_away_at_the_start_is_waited_for_and_named() {
    let Some(mut bao) = openbao().await else { return };
    bao.kill();
    let mut vault = VaultBuilder::sqlite().prepare().await;
    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    vault.settings.server.admin_address = ([127, 0, 0, 1], admin).into();
    write(vault.folder.path(), "openbao-token", bao.root_token());
    vault.settings.root_key = RootKeySection {
        transit: Some(TransitSection {
            address: bao.address(),
            namespace: None,
            ca_file: None,
            mount: "transit".into(),
            key: "credvault".into(),
            login: LoginSection::Token { file: vault.folder.path().join("openbao-token") },
        }),
        ..Default::default()
    };
    let admin = vault.settings.server.admin_address;
    let (started, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(60), vault.start()), async {
        eventually("it says what it waits for", || async {
            let asked =
                tokio::time::timeout(Duration::from_secs(5), reqwest::get(format!("http://{admin}/readyz")));
            let Ok(Ok(response)) = asked.await else { return false };
            let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
            status == 503 && text.contains("transit/credvault")
        })
        .await;
        assert_eq!(get(admin, "/livez").await.0, 200);
        tokio::task::block_in_place(|| bao.restart());
    });
    started.unwrap();
    eventually("it is ready", || async { get(admin, "/readyz").await.0 == 200 }).await;
    let app = vault.app("acme").await;
    let id = app.create(generic("a", "CANARY secret")).await.unwrap().id;
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_key_moves_from_a_file_into_the_key_manager_and_to_its_next_version() {
    let Some(bao) = openbao().await else { return };
    let bao = std::sync::Arc::new(bao);
    let given = std::sync::Arc::clone(&bao);
    let change = move |settings: &mut RawSettings, folder: &Path| {
        settings.other_root_key = transit(&given, folder);
    };
    let vault = VaultBuilder::postgres().settings(change).start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    for tenant in ["b", "c"] {
        vault.tenant(tenant).await;
    }
    let id = app.create(generic("a", "CANARY secret")).await.unwrap().id;
    let moved = rotate_root(&operator, v1::RotateRootKeyRequest::default()).await.unwrap();
    assert_eq!((moved.running, moved.done, moved.failed), (false, 4, 0));
    let root = status(&operator, "").await.root_key.unwrap();
    assert_eq!((root.source.as_str(), root.wrapped_keys), ("transit", Some(4)));
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY secret");

    let next =
        v1::RotateRootKeyRequest { root_key_id: root.id.clone(), new_version: true, ..Default::default() };
    let next = rotate_root(&operator, next).await.unwrap();
    assert_eq!((next.running, next.done, next.target), (false, 4, moved.target + 1));
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY secret");
    // Nothing is left under the first version: without it, everything opens.
    let destroy = async |confirm: bool| {
        let request = v1::DestroyOlderRootKeyVersionsRequest { confirm };
        operator.admin().destroy_older_root_key_versions(request).await.unwrap().into_inner()
    };
    let shown = destroy(false).await;
    assert_eq!((shown.destroyed, shown.root_key_id.as_str()), (false, root.id.as_str()));
    assert_eq!((shown.backups_before, shown.newest_backup_time), (next.end_time, None));
    assert!(destroy(true).await.destroyed);
    let later = app.create(generic("b", "CANARY later")).await.unwrap().id;
    assert_eq!(app.token(by_id(&later)).await.unwrap(), "CANARY later");
}

/// A root key of another provider than the one that wraps is refused by name, at the start and as the target of a rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_provider_opens_nothing_and_one_that_is_away_begins_nothing() {
    let Some(bao) = openbao().await else { return };
    let mut vault = VaultBuilder::postgres().start().await;
    let id = vault.app("acme").await.create(generic("a", "CANARY secret")).await.unwrap().id;
    vault.stop().await;
    let (file, in_manager) = (vault.settings.root_key.clone(), transit(&bao, vault.folder.path()));
    vault.settings.root_key = in_manager.clone();
    let (settings, clock) = (vault.settings.check().unwrap(), std::sync::Arc::new(vault.clock.clone()));
    let random = std::sync::Arc::new(credvault_crypto::SystemRandom);
    let refused = credvault::Instance::start(settings, clock, random).await.unwrap_err().to_string();
    assert!(refused.contains("another root key"), "{refused}");
    assert_eq!(vault.count("root_keys").await, 1, "nothing was written");

    // Beside the file, it is known; while it is away, no rotation to it begins.
    vault.settings.root_key = file;
    vault.settings.other_root_key = in_manager;
    vault.start().await;
    let operator = vault.client("operator").await;
    let before = status(&operator, "").await;
    bao.pause();
    let refused = rotate_root(&operator, v1::RotateRootKeyRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable KEY_UNAVAILABLE");
    let after = status(&operator, "").await;
    assert_eq!((after.root_key, after.root_rotation), (before.root_key, None));
    assert_eq!(vault.platform_records("RotateRootKey", "KEY_UNAVAILABLE").await, 1);
    bao.resume();
    let app = vault.client("app").await.acting_for("acme", None);
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY secret");
    assert_eq!(wrapped_by_manager(&operator).await, 0, "nothing is under the key manager's key");
}

/// How many keys the root key of the key manager wraps.
async fn wrapped_by_manager(operator: &Client) -> i64 {
    let roots = status(operator, "").await.root_keys;
    let managed = roots.iter().filter(|root| root.source == "transit");
    managed.filter_map(|root| root.wrapped_keys).sum()
}

/// A refusal of the key manager is one of its own: nothing is better for waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_key_manager_does_not_permit_is_not_an_outage() {
    let Some(bao) = openbao().await else { return };
    let bao = std::sync::Arc::new(bao);
    let given = std::sync::Arc::clone(&bao);
    let change = move |settings: &mut RawSettings, folder: &Path| settings.root_key = transit(&given, folder);
    let vault = VaultBuilder::sqlite().settings(change).start().await;
    let operator = vault.client("operator").await;
    bao.policy(
        "credvault",
        "path \"transit/encrypt/credvault\" { capabilities = [\"update\"] }
         path \"transit/decrypt/credvault\" { capabilities = [\"update\"] }
         path \"transit/keys/credvault\" { capabilities = [\"read\"] }",
    );
    let next = v1::RotateRootKeyRequest { new_version: true, ..Default::default() };
    let refused = rotate_root(&operator, next).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition KEY_MANAGER_REFUSED");
    assert!(refused.message().contains("trying again does not help"), "{}", refused.message());
}
