//! Disconnecting: the credential is destroyed at once, and the provider is asked to revoke until it answers. So it is where a
//! connection or a user is deleted with `revoke`.

mod deletions;
mod users;

use std::time::Duration;

use credvault_proto::v1;

use crate::harness::provider::{Connected, STRICT, begin, complete, connection_request, decide};
use crate::harness::{Client, VaultBuilder, by_id, eventually, input, refusal};
use crate::on_both;

on_both![disconnecting_destroys_at_once_and_the_provider_is_asked_to_revoke_until_it_answers];

async fn disconnecting_destroys_at_once_and_the_provider_is_asked_to_revoke_until_it_answers(
    builder: VaultBuilder,
) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    nothing_is_left(&connected, &app).await;
    a_provider_that_is_away_is_asked_later(&connected, &app).await;
    a_new_consent_is_not_revoked(&connected, &app).await;
    a_shared_grant_ends_with_its_last_connection(&connected, &app).await;
    a_key_cannot_be_revoked(&app).await;
}

async fn disconnect(app: &Client, id: &str) -> v1::Connection {
    let request = v1::DisconnectConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    app.connections().disconnect_connection(request).await.unwrap().into_inner().connection.unwrap()
}

async fn nothing_is_left(connected: &Connected, app: &Client) {
    let id = connected.granted(app, "shop-1", 3600).await;
    let gone = disconnect(app, &id).await;
    assert_eq!(gone.state(), v1::ConnectionState::Disconnected);
    assert_eq!(gone.revocation(), v1::Revocation::Done);
    assert_eq!(gone.current_version, 0);
    assert!(connected.provider.families().iter().all(|family| family.revoked));
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
    assert_eq!(connected.vault.count("tokens").await, 0);
    assert_eq!(connected.vault.count("revocations").await, 0);
    let versions = v1::ListCredentialVersionsRequest { connection_id: id.clone(), ..Default::default() };
    let versions = app.vault().list_credential_versions(versions).await.unwrap().into_inner().versions;
    assert!(versions.iter().all(|version| version.destroy_time.is_some()));
    // A second time changes nothing.
    assert_eq!(disconnect(app, &id).await.revocation(), v1::Revocation::Done);
}

/// The secret is destroyed at once; the provider is asked to revoke when it is back.
async fn a_provider_that_is_away_is_asked_later(connected: &Connected, app: &Client) {
    let id = connected.granted(app, "shop-2", 3600).await;
    connected
        .provider
        .behave(|behaviour| behaviour.revocation = credvault_simulator::Revocation::Unavailable);
    assert_eq!(disconnect(app, &id).await.revocation(), v1::Revocation::Pending);
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
    connected.provider.behave(|behaviour| behaviour.revocation = credvault_simulator::Revocation::Works);
    connected.vault.clock.advance(Duration::from_secs(120));
    eventually("the provider is told", || async {
        let request = v1::GetConnectionRequest { connection_id: id.clone() };
        let connection =
            app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap();
        connection.revocation() == v1::Revocation::Done
    })
    .await;
    assert!(connected.provider.families().iter().all(|family| family.revoked));
}

/// Connected again before the provider was asked: a revocation could end the new consent.
async fn a_new_consent_is_not_revoked(connected: &Connected, app: &Client) {
    connected
        .provider
        .behave(|behaviour| behaviour.revocation = credvault_simulator::Revocation::Unavailable);
    let id = connected.granted(app, "shop-3", 3600).await;
    disconnect(app, &id).await;
    let parameters = decide(&begin(app, &id, "").await.authorization_url, "shop-3", "allow").await;
    let connection = complete(app, &parameters, "").await.unwrap();
    assert_eq!(connection.state(), v1::ConnectionState::Connected);
    assert_eq!(connection.revocation(), v1::Revocation::Unspecified);
    assert_eq!(connected.vault.count("revocations").await, 0);
}

/// Two connections of one account: the first to go leaves the grant to the other.
async fn a_shared_grant_ends_with_its_last_connection(connected: &Connected, app: &Client) {
    connected.provider.behave(|behaviour| behaviour.revocation = credvault_simulator::Revocation::Works);
    let mut pair = Vec::new();
    for account in ["one", "two"] {
        let id = app.create(connection_request(account)).await.unwrap().id;
        let back = decide(&begin(app, &id, "").await.authorization_url, "shop-4", "allow").await;
        pair.push(complete(app, &back, "").await.unwrap().id);
    }
    let before = connected.provider.counts().revocations;
    assert_eq!(disconnect(app, &pair[0]).await.revocation(), v1::Revocation::Kept);
    assert_eq!(connected.provider.counts().revocations, before);
    assert!(connected.accepts(&app.fetch(by_id(&pair[1])).await.unwrap()).await);
    assert_eq!(disconnect(app, &pair[1]).await.revocation(), v1::Revocation::Done);
}

/// The provider has no call that revokes a key.
async fn a_key_cannot_be_revoked(app: &Client) {
    let key = app
        .create(v1::CreateConnectionRequest {
            auth_mode: "api_key".into(),
            credential: Some(input(&[("key", "sim_key_shop-1")])),
            ..connection_request("key")
        })
        .await
        .unwrap();
    assert_eq!(disconnect(app, &key.id).await.revocation(), v1::Revocation::Unsupported);
}
