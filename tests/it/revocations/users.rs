//! Deleting a user with `revoke`: every grant of the user is revoked before its row goes, also if the vault is stopped or
//! killed in between.

use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_proto::v1;
use rustix::process::Signal;
use tonic::Status;

use super::deletions::{is_revoked, revocations};
use crate::harness::provider::{Connected, STRICT, connection_request};
use crate::harness::{Client, Process, VaultBuilder, by_id, eventually, input, owned_by, refusal};
use crate::on_both;

on_both![
    a_users_grants_are_revoked_before_the_rows_go,
    a_deletion_without_revocations_leaves_the_grants,
    a_deletion_that_was_cut_off_revokes_after_a_restart,
];

fn request(user: &str, revoke: bool) -> v1::DeleteUserRequest {
    v1::DeleteUserRequest { tenant_id: "acme".into(), user_id: user.into(), revoke, ..Default::default() }
}

async fn delete_user(
    client: &Client,
    request: v1::DeleteUserRequest,
) -> Result<v1::DeleteUserResponse, Status> {
    Ok(client.admin().delete_user(request).await?.into_inner())
}

/// Connections of a user, each with a grant of its own.
async fn granted(connected: &Connected, app: &Client, user: &str, number: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for i in 0..number {
        let request = owned_by(user, connection_request(&format!("{user}-{i}")));
        ids.push(connected.granted_as(app, request, 3600).await);
    }
    ids
}

/// Waits until nothing of a user is left.
async fn removed(connected: &Connected, user: &str) {
    let rows = format!("connections WHERE owner_user = '{user}'");
    eventually("the user's rows are gone", || async { connected.vault.count(&rows).await == 0 }).await;
    let families = connected.provider.families();
    let theirs = families.iter().filter(|family| family.account.starts_with(user));
    assert!(theirs.clone().count() > 0 && theirs.clone().all(|family| family.revoked));
}

/// Waits until no deletion is under way.
async fn finished(connected: &Connected) {
    eventually("the deletion ends", || async { connected.vault.count("user_deletions").await == 0 }).await;
}

async fn a_users_grants_are_revoked_before_the_rows_go(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let ids = granted(&connected, &app, "u1", 28).await;
    let key = v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(input(&[("key", "sim_key_CANARY")])),
        ..connection_request("key")
    };
    app.create(owned_by("u1", key)).await.unwrap();
    app.create(owned_by("u1", connection_request("empty"))).await.unwrap();
    let kept = connected.granted(&app, "kept", 3600).await;
    let operator = connected.vault.client("operator").await;
    let deleted = delete_user(&operator, request("u1", true)).await.unwrap();
    let expected = v1::DeleteUserResponse {
        removed_connections: 30,
        grants_to_revoke: 28,
        unsupported_grants: 1,
        remaining_grants: 0,
    };
    assert_eq!(deleted, expected);
    assert_eq!(refusal(&app.fetch(by_id(&ids[0])).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    assert_eq!(connected.vault.count("credential_versions WHERE sealed IS NOT NULL").await, 1);
    removed(&connected, "u1").await;
    assert_eq!(connected.provider.counts().revocations, 28, "each once");
    assert!(!is_revoked(&connected, "kept"));
    assert!(connected.accepts(&app.fetch(by_id(&kept)).await.unwrap()).await);
    let records = app.events().await;
    let deletion = records.iter().find(|event| event.action == "DeleteUser").unwrap();
    assert_eq!(deletion.changed_fields, ["revocation"]);
    let settled =
        |event: &&v1::AuditEvent| event.service == "vault" && event.action == "DisconnectConnection";
    assert_eq!(records.iter().filter(settled).count(), 28);
}

async fn a_deletion_without_revocations_leaves_the_grants(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let operator = connected.vault.client("operator").await;
    granted(&connected, &app, "u1", 2).await;
    let request_id = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".to_owned();
    let once = v1::DeleteUserRequest { request_id, ..request("u1", false) };
    let deleted = delete_user(&operator, once.clone()).await.unwrap();
    assert_eq!((deleted.removed_connections, deleted.remaining_grants), (2, 2));
    assert_eq!(connected.vault.count("connections").await, 0);
    assert_eq!(delete_user(&operator, once).await.unwrap(), v1::DeleteUserResponse::default());
    assert!(!is_revoked(&connected, "u1-0"));

    // To revoke takes the permission to disconnect at each provider, too.
    let ids = granted(&connected, &app, "u2", 1).await;
    let admin = connected.vault.client("acme-admin").await;
    let denied = delete_user(&admin, request("u2", true)).await.unwrap_err();
    assert_eq!(refusal(&denied), "PermissionDenied POLICY_DENIED");
    assert!(connected.accepts(&app.fetch(by_id(&ids[0])).await.unwrap()).await);
    delete_user(&admin, request("u2", false)).await.unwrap();
    assert_eq!(connected.provider.counts().revocations, 0);
    let nowhere = v1::DeleteUserRequest { tenant_id: "nowhere".into(), ..request("u2", true) };
    let nowhere = delete_user(&operator, nowhere).await.unwrap_err();
    assert_eq!(refusal(&nowhere), "NotFound TENANT_NOT_FOUND");
}

async fn a_deletion_that_was_cut_off_revokes_after_a_restart(builder: VaultBuilder) {
    let mut connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let operator = connected.vault.client("operator").await;
    revocations(&connected, credvault_simulator::Revocation::Unavailable);
    granted(&connected, &app, "u1", 3).await;
    granted(&connected, &app, "u2", 2).await;
    assert_eq!(delete_user(&operator, request("u1", true)).await.unwrap().grants_to_revoke, 3);
    // A repetition without it takes nothing back.
    assert_eq!(delete_user(&operator, request("u1", false)).await.unwrap().removed_connections, 0);
    eventually("the provider is asked in vain", || async { connected.provider.counts().revocations >= 3 })
        .await;
    let list = v1::ListUsersRequest { tenant_id: "acme".into(), ..Default::default() };
    let users = operator.admin().list_users(list).await.unwrap().into_inner().users;
    let counts: Vec<_> = users.iter().map(|user| (user.id.as_str(), user.connection_count)).collect();
    assert_eq!(counts, [("u1", 3), ("u2", 2)], "what is left is shown");
    // As if the vault had been killed right after the second deletion was durable.
    let now = connected.vault.clock.now().micros();
    let mark = format!(
        "INSERT INTO user_deletions (tenant_id, user_id, create_time, revokes) VALUES ('acme', 'u2', {now}, TRUE)"
    );
    connected.vault.sql(&mark).await;
    connected.vault.stop().await;
    revocations(&connected, credvault_simulator::Revocation::Works);
    connected.vault.clock.advance(Duration::from_secs(600));
    connected.vault.start().await;
    removed(&connected, "u1").await;
    removed(&connected, "u2").await;
    finished(&connected).await;
}

/// Killed between two pieces of a deletion: another process goes on, and no grant is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_in_the_middle_leaves_no_grant() {
    let mut connected = VaultBuilder::postgres().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    granted(&connected, &app, "u1", 30).await;
    connected.vault.stop().await;
    connected.configure_on_disk();
    // It is the kill that ends the wait for a lock.
    let patient = ["store.lock_timeout_ms=60000", "store.statement_timeout_ms=60000"];
    let process = Process::serve(connected.vault.folder.path(), &patient).unwrap();
    let leaf = connected.vault.authority.service("spiffe://test.local/operator");
    let doomed =
        Client::connect(process.address, connected.vault.authority.pem(), Some(&leaf)).await.unwrap();
    let last = "SELECT 1 FROM connections WHERE account_name = 'u1-29' FOR UPDATE";
    let lock = connected.vault.blocking(last).await;
    let waiting = tokio::spawn(async move { delete_user(&doomed, request("u1", true)).await });
    let rest = "connections WHERE owner_user = 'u1' AND current_version > 0";
    eventually("a piece is deleted", || async { connected.vault.count(rest).await == 5 }).await;
    process.signal(Signal::KILL);
    assert!(waiting.await.unwrap().is_err());
    drop((process, lock));
    assert_eq!(connected.vault.count("user_deletions").await, 1);
    // The process had the machine's clock, and this vault has its own.
    connected.vault.clock.advance(Duration::from_secs(600));
    connected.vault.start().await;
    removed(&connected, "u1").await;
    finished(&connected).await;
}
