//! Deleting and purging with `revoke`: what happens at the provider is done and said in one call, and what it could not do
//! then is done later, whatever became of the connection.

use std::time::Duration;

use credvault_proto::v1;
use tonic::Status;

use crate::harness::provider::{Connected, STRICT, begin, complete, connection_request, decide};
use crate::harness::{Client, VaultBuilder, by_id, eventually, input, refusal};
use crate::on_both;

const REQUEST: &str = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";

on_both![
    a_deletion_says_and_does_what_happens_at_the_provider,
    a_provider_that_is_away_is_asked_after_the_connection_is_gone,
    a_grant_that_another_connection_shares_is_kept,
    a_repeated_request_revokes_once,
    what_is_revoked_takes_permission_and_reach,
];

async fn delete(app: &Client, id: &str, revoke: bool) -> Result<v1::DeleteConnectionResponse, Status> {
    let request = v1::DeleteConnectionRequest { connection_id: id.to_owned(), revoke, ..Default::default() };
    Ok(app.connections().delete_connection(request).await?.into_inner())
}

async fn purge(app: &Client, id: &str, revoke: bool) -> Result<v1::PurgeConnectionResponse, Status> {
    let request = v1::PurgeConnectionRequest { connection_id: id.to_owned(), revoke, ..Default::default() };
    Ok(app.connections().purge_connection(request).await?.into_inner())
}

async fn undelete(app: &Client, id: &str) -> Result<v1::Connection, Status> {
    let request = v1::UndeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    Ok(app.connections().undelete_connection(request).await?.into_inner().connection.unwrap())
}

async fn get(app: &Client, id: &str) -> Result<v1::Connection, Status> {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    Ok(app.connections().get_connection(request).await?.into_inner().connection.unwrap())
}

async fn is_gone(app: &Client, id: &str) -> bool {
    get(app, id).await.is_err_and(|status| refusal(&status) == "NotFound CONNECTION_NOT_FOUND")
}

/// How the revocation stands, and whether the grant remains. The words say what to do if it does.
fn outcome(grant: Option<v1::GrantOutcome>) -> (v1::Revocation, bool) {
    let grant = grant.unwrap();
    assert!(grant.text.ends_with('.'), "{}", grant.text);
    (grant.revocation(), grant.remains)
}

pub fn is_revoked(connected: &Connected, account: &str) -> bool {
    let families = connected.provider.families();
    families.iter().filter(|family| family.account == account).all(|family| family.revoked)
}

pub fn revocations(connected: &Connected, outcome: credvault_simulator::Revocation) {
    connected.provider.behave(|behaviour| behaviour.revocation = outcome);
}

async fn a_deletion_says_and_does_what_happens_at_the_provider(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    a_deletion_revokes(&connected, &app).await;
    without_it_the_grant_remains(&connected, &app).await;
    a_purge_revokes_what_a_deletion_has_left(&connected, &app).await;
    what_cannot_be_revoked_is_said(&app).await;
    what_was_destroyed_remains_at_the_provider(&connected, &app).await;
}

async fn a_deletion_revokes(connected: &Connected, app: &Client) {
    let id = connected.granted(app, "shop-1", 3600).await;
    let deleted = delete(app, &id, true).await.unwrap();
    assert_eq!(deleted.grant.as_ref().unwrap().text, "Simulator has revoked the access.");
    assert_eq!(outcome(deleted.grant), (v1::Revocation::Done, false));
    let connection = deleted.connection.unwrap();
    assert!(connection.delete_time.is_some());
    assert_eq!((connection.revocation(), connection.current_version), (v1::Revocation::Done, 0));
    assert!(is_revoked(connected, "shop-1"));
    assert_eq!(connected.vault.count("credential_versions WHERE sealed IS NOT NULL").await, 0);
    assert_eq!(connected.vault.count("revocations").await, 0);
    let record = app.events().await.into_iter().find(|event| event.action == "DeleteConnection").unwrap();
    assert_eq!(record.changed_fields, ["revocation"]);
    // Back, but without what was destroyed.
    let back = undelete(app, &id).await.unwrap();
    assert_eq!(back.state(), v1::ConnectionState::Disconnected);
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
}

async fn without_it_the_grant_remains(connected: &Connected, app: &Client) {
    let before = connected.provider.counts().revocations;
    let id = connected.granted(app, "shop-2", 3600).await;
    let deleted = delete(app, &id, false).await.unwrap();
    assert!(deleted.grant.as_ref().unwrap().text.contains("PurgeConnection"));
    assert_eq!(outcome(deleted.grant), (v1::Revocation::Unspecified, true));
    undelete(app, &id).await.unwrap();
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    delete(app, &id, false).await.unwrap();
    let purged = purge(app, &id, false).await.unwrap();
    assert!(purged.grant.as_ref().unwrap().text.contains("the account's owner"));
    assert!(!purged.waits_for_revocation);
    assert_eq!(outcome(purged.grant), (v1::Revocation::Unspecified, true));
    assert!(is_gone(app, &id).await);
    assert_eq!(connected.provider.counts().revocations, before);
    assert!(!is_revoked(connected, "shop-2"));
}

async fn a_purge_revokes_what_a_deletion_has_left(connected: &Connected, app: &Client) {
    let id = connected.granted(app, "shop-3", 3600).await;
    let early = purge(app, &id, true).await.unwrap_err();
    assert_eq!(refusal(&early), "FailedPrecondition STATE_INVALID");
    delete(app, &id, false).await.unwrap();
    let purged = purge(app, &id, true).await.unwrap();
    assert!(!purged.waits_for_revocation);
    assert_eq!(outcome(purged.grant), (v1::Revocation::Done, false));
    assert!(is_gone(app, &id).await);
    assert!(is_revoked(connected, "shop-3"));
}

async fn what_cannot_be_revoked_is_said(app: &Client) {
    let key = v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(input(&[("key", "sim_key_CANARY")])),
        ..connection_request("key")
    };
    let key = app.create(key).await.unwrap().id;
    let grant = delete(app, &key, true).await.unwrap().grant;
    assert!(grant.as_ref().unwrap().text.contains("the account's owner"));
    assert_eq!(outcome(grant), (v1::Revocation::Unsupported, true));
    assert_eq!(outcome(purge(app, &key, true).await.unwrap().grant), (v1::Revocation::Unsupported, true));
    let empty = app.create(connection_request("empty")).await.unwrap().id;
    assert_eq!(outcome(delete(app, &empty, true).await.unwrap().grant), (v1::Revocation::Unspecified, false));
    assert_eq!(outcome(purge(app, &empty, true).await.unwrap().grant), (v1::Revocation::Unspecified, false));
    assert!(is_gone(app, &key).await && is_gone(app, &empty).await);
}

/// The provider was never asked, and accepts what it has issued.
async fn what_was_destroyed_remains_at_the_provider(connected: &Connected, app: &Client) {
    let id = connected.granted(app, "shop-4", 3600).await;
    let connection_id = id.clone();
    let destroy = v1::DestroyCredentialVersionRequest { connection_id, version: 1, ..Default::default() };
    app.vault().destroy_credential_version(destroy).await.unwrap();
    let left = get(app, &id).await.unwrap();
    assert_eq!((left.state(), left.current_version), (v1::ConnectionState::Disconnected, 0));
    assert_eq!(left.revocation(), v1::Revocation::Unsupported);
    let remains = (v1::Revocation::Unsupported, true);
    assert_eq!(outcome(delete(app, &id, true).await.unwrap().grant), remains);
    assert_eq!(outcome(purge(app, &id, false).await.unwrap().grant), remains);
    assert!(!is_revoked(connected, "shop-4"));
}

async fn a_provider_that_is_away_is_asked_after_the_connection_is_gone(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    revocations(&connected, credvault_simulator::Revocation::Unavailable);
    let deleted = connected.granted(&app, "shop-1", 3600).await;
    let purged = connected.granted(&app, "shop-2", 3600).await;
    let pending = (v1::Revocation::Pending, true);
    assert_eq!(outcome(delete(&app, &deleted, true).await.unwrap().grant), pending);
    delete(&app, &purged, false).await.unwrap();
    let waiting = purge(&app, &purged, true).await.unwrap();
    assert!(waiting.grant.as_ref().unwrap().text.contains("removes the connection"));
    assert_eq!((waiting.waits_for_revocation, outcome(waiting.grant)), (true, pending));
    // It is shown, and nothing brings it back or takes away what the provider has to be asked with.
    let left = get(&app, &purged).await.unwrap();
    assert_eq!((left.current_version, left.revocation()), (0, v1::Revocation::Pending));
    assert_eq!(refusal(&undelete(&app, &purged).await.unwrap_err()), "FailedPrecondition STATE_INVALID");
    for id in [&deleted, &purged] {
        let waiting = purge(&app, id, false).await.unwrap();
        assert_eq!((waiting.waits_for_revocation, outcome(waiting.grant)), (true, pending));
    }
    assert_eq!(connected.vault.count("revocations").await, 2);
    assert_eq!(connected.vault.count("credential_versions WHERE sealed IS NOT NULL").await, 0);
    revocations(&connected, credvault_simulator::Revocation::Works);
    connected.vault.clock.advance(Duration::from_secs(600));
    eventually("both are revoked and removed", || async {
        is_gone(&app, &deleted).await && is_gone(&app, &purged).await
    })
    .await;
    assert!(is_revoked(&connected, "shop-1") && is_revoked(&connected, "shop-2"));
    let by_vault = app.events().await.into_iter().filter(|event| event.service == "vault");
    let actions: Vec<_> = by_vault.map(|event| event.action).collect();
    for action in ["DisconnectConnection", "PurgeConnection"] {
        assert_eq!(actions.iter().filter(|found| *found == action).count(), 2, "{action}");
    }
}

async fn a_grant_that_another_connection_shares_is_kept(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut pair = Vec::new();
    for account in ["one", "two"] {
        let id = app.create(connection_request(account)).await.unwrap().id;
        let back = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "allow").await;
        pair.push(complete(&app, &back, "").await.unwrap().id);
    }
    let kept = (v1::Revocation::Kept, true);
    assert_eq!(outcome(delete(&app, &pair[0], true).await.unwrap().grant), kept);
    let purged = purge(&app, &pair[0], true).await.unwrap();
    assert_eq!((purged.waits_for_revocation, outcome(purged.grant)), (false, kept));
    assert_eq!(connected.provider.counts().revocations, 0);
    assert!(connected.accepts(&app.fetch(by_id(&pair[1])).await.unwrap()).await);
    assert_eq!(outcome(delete(&app, &pair[1], true).await.unwrap().grant), (v1::Revocation::Done, false));
    assert_eq!(connected.provider.counts().revocations, 1);
}

async fn a_repeated_request_revokes_once(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", 3600).await;
    let request_id = REQUEST.to_owned();
    let request =
        v1::DeleteConnectionRequest { connection_id: id, revoke: true, request_id, ..Default::default() };
    for _ in 0..2 {
        let deleted = app.connections().delete_connection(request.clone()).await.unwrap().into_inner();
        assert_eq!(outcome(deleted.grant), (v1::Revocation::Done, false));
    }
    assert_eq!(connected.provider.counts().revocations, 1);
    let other = v1::DeleteConnectionRequest { revoke: false, ..request };
    let other = app.connections().delete_connection(other).await.unwrap_err();
    assert_eq!(refusal(&other), "InvalidArgument FIELDS_INVALID");

    let id = connected.granted(&app, "shop-2", 3600).await;
    delete(&app, &id, false).await.unwrap();
    revocations(&connected, credvault_simulator::Revocation::Unavailable);
    let request_id = REQUEST.replace('6', "7");
    let request = v1::PurgeConnectionRequest {
        connection_id: id.clone(),
        revoke: true,
        request_id,
        ..Default::default()
    };
    let purge = async || app.connections().purge_connection(request.clone()).await.unwrap().into_inner();
    for _ in 0..2 {
        assert!(purge().await.waits_for_revocation);
    }
    revocations(&connected, credvault_simulator::Revocation::Works);
    connected.vault.clock.advance(Duration::from_secs(600));
    eventually("the purge is done", || is_gone(&app, &id)).await;
    let last = purge().await;
    assert!(last.grant.is_none() && !last.waits_for_revocation, "nothing of it is left");
}

async fn what_is_revoked_takes_permission_and_reach(builder: VaultBuilder) {
    let janitor = r#"
        @id("janitor")
        permit (principal == Service::"spiffe://test.local/janitor", action in [
            Action::"AssertTenant", Action::"DeleteConnection", Action::"PurgeConnection", Action::"GetConnection"
        ], resource);
    "#;
    let connected = builder.policies(janitor).start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", 3600).await;
    let stranger = connected.vault.app("other").await;
    for refused in
        [delete(&stranger, &id, true).await.unwrap_err(), purge(&stranger, &id, true).await.unwrap_err()]
    {
        assert_eq!(refusal(&refused), "NotFound CONNECTION_NOT_FOUND");
    }
    let janitor = connected.vault.client("janitor").await.acting_for("acme", None);
    let denied = delete(&janitor, &id, true).await.unwrap_err();
    assert_eq!(refusal(&denied), "PermissionDenied POLICY_DENIED");
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    delete(&janitor, &id, false).await.unwrap();
    let denied = purge(&janitor, &id, true).await.unwrap_err();
    assert_eq!(refusal(&denied), "PermissionDenied POLICY_DENIED");
    assert_eq!(get(&janitor, &id).await.unwrap().current_version, 1);
    let refusals = app.events().await.into_iter().filter(|event| event.reason == "POLICY_DENIED");
    let refusals: Vec<_> = refusals.map(|event| event.action).collect();
    assert_eq!(refusals, ["PurgeConnection", "DeleteConnection"]);
    assert_eq!(connected.provider.counts().revocations, 0);
    purge(&janitor, &id, false).await.unwrap();
    assert!(is_gone(&app, &id).await);
}
