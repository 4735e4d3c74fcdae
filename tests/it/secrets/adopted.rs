//! Secrets that a tenant keeps in a store itself: it refers to its own and to no other, and the vault changes none.

use credvault_proto::v1;
use serde_json::json;
use tonic::Status;

use crate::harness::stores::Peer;
use crate::harness::{Client, VaultBuilder, by_id, eventually, generic, refusal};
use crate::on_each_store;

use super::{assert_names_the_store, clients, erase};

on_each_store![
    a_tenant_refers_to_a_secret_of_its_own_and_to_no_other,
    what_others_change_is_held_against_the_auth_mode_once_more,
];

async fn refer(app: &Client, id: &str, store: &str, name: &str) -> Result<v1::CredentialVersion, Status> {
    let reference =
        v1::SecretReference { store: store.to_owned(), name: name.to_owned(), ..Default::default() };
    let request = v1::PutCredentialRequest {
        connection_id: id.to_owned(),
        reference: Some(reference),
        ..Default::default()
    };
    Ok(app.vault().put_credential(request).await?.into_inner().version.unwrap())
}

async fn refused(app: &Client, id: &str, store: &str, name: &str) -> String {
    refusal(&refer(app, id, store, name).await.unwrap_err())
}

/// The reasons of the calls whose records name this secret; a refused one names it, too.
async fn recorded(app: &Client, name: &str) -> Vec<String> {
    let named = format!("reference:eu/{name}");
    let of_it = app.events().await.into_iter().filter(|event| event.changed_fields.contains(&named));
    of_it.map(|event| event.reason).collect()
}

async fn what_others_change_is_held_against_the_auth_mode_once_more(peer: Peer) {
    let more = "adopted_cache_seconds = 1";
    let vault = VaultBuilder::sqlite().secret_store(&peer, &peer.address(), more).start().await;
    let app = vault.app("acme").await;
    let connection = v1::CreateConnectionRequest {
        provider: "pipedrive".to_owned(),
        auth_mode: "api_token".to_owned(),
        credential: None,
        ..generic("a", "unused")
    };
    let id = app.create(connection).await.unwrap().id;
    peer.keep("acme", "pipe", &json!({ "api_token": "CANARY theirs" }));
    let name = peer.name("acme", "pipe");
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        reference: Some(v1::SecretReference { store: "eu".into(), name, ..Default::default() }),
        request_id: "0198c000-0000-7000-8000-000000000001".to_owned(),
        ..Default::default()
    };
    let stored = app.vault().put_credential(put.clone()).await.unwrap().into_inner().version.unwrap();
    assert_eq!(app.fetch(by_id(&id)).await.unwrap().fields["api_token"], "CANARY theirs");
    peer.keep("acme", "pipe", &json!({ "token": "CANARY of another name" }));
    eventually("the fetch is refused", || async {
        app.fetch(by_id(&id))
            .await
            .is_err_and(|refused| refusal(&refused) == "FailedPrecondition REFERENCE_BROKEN")
    })
    .await;
    // A repeated request learns what it has done, and reads nothing.
    let again = app.vault().put_credential(put).await.unwrap().into_inner().version.unwrap();
    assert_eq!(again.version, stored.version);
}

async fn a_tenant_refers_to_a_secret_of_its_own_and_to_no_other(peer: Peer) {
    let more = "adopted_cache_seconds = 1";
    let vault = VaultBuilder::sqlite().secret_store(&peer, &peer.address(), more).start().await;
    let (app, operator) = clients(&vault).await;
    let other = vault.app("globex").await;
    let id = app.create(generic("a", "CANARY ours")).await.unwrap().id;
    let foreign = other.create(generic("a", "CANARY ours")).await.unwrap().id;
    peer.keep("acme", "shop", &json!({ "token": "CANARY theirs" }));
    peer.keep("acme", "odd", &json!({ "other name": "CANARY theirs" }));
    let shop = peer.name("acme", "shop");
    let stored = refer(&app, &id, "eu", &shop).await.unwrap();
    assert_eq!((stored.store.as_str(), stored.adopted), ("eu", true));
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY theirs");

    // The wall between tenants.
    assert_eq!(refused(&other, &foreign, "eu", &shop).await, "PermissionDenied REFERENCE_DENIED");
    for name in peer.names_of_others() {
        assert_eq!(refused(&app, &id, "eu", name).await, "PermissionDenied REFERENCE_DENIED", "{name}");
    }
    let none = peer.name("globex", "none");
    assert_eq!(refused(&app, &id, "eu", &none).await, "PermissionDenied REFERENCE_DENIED");
    // What is not there, or not what the auth mode takes.
    for name in [peer.name("acme", "none"), peer.name("acme", "odd")] {
        assert_eq!(refused(&app, &id, "eu", &name).await, "FailedPrecondition REFERENCE_BROKEN", "{name}");
    }
    assert_eq!(recorded(&app, &shop).await, [""]);
    assert_eq!(recorded(&app, &peer.name("acme", "none")).await, ["REFERENCE_BROKEN"]);
    assert_eq!(recorded(&other, &shop).await, ["REFERENCE_DENIED"]);
    // Who may put may not refer for that reason.
    let portal = vault.client("portal").await.acting_for("acme", Some("u1"));
    assert_eq!(refused(&portal, &id, "eu", &shop).await, "PermissionDenied POLICY_DENIED");
    assert_eq!(refused(&app, &id, "us", &shop).await, "NotFound SECRET_STORE_UNKNOWN");
    for (store, name) in [("eu", ""), ("eu", "x y"), ("", "x")] {
        assert_eq!(refused(&app, &id, store, name).await, "InvalidArgument FIELDS_INVALID", "{store} {name}");
    }
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY theirs", "nothing was changed");
    assert_eq!(other.token(by_id(&foreign)).await.unwrap(), "CANARY ours");

    // What the tenant changes counts soon, and is served on while the store is away.
    peer.keep("acme", "shop", &json!({ "token": "CANARY newer" }));
    eventually("the newer one counts", || async { app.token(by_id(&id)).await.unwrap() == "CANARY newer" })
        .await;
    peer.pause();
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY newer");
    assert_names_the_store(&refer(&app, &id, "eu", &shop).await.unwrap_err());
    peer.resume();
    eventually("the store is back", || async { refer(&app, &id, "eu", &shop).await.is_ok() }).await;
    assert_eq!(vault.found_in("CANARY").await, None);

    assert_eq!(peer.kept(), 0);
    erase(&operator).await;
    let get = v1::GetErasureRequest { tenant_id: "acme".into() };
    eventually("the tenant is erased", || async {
        let erasure = operator.admin().get_erasure(get.clone()).await.unwrap().into_inner().erasure.unwrap();
        erasure.state() == v1::ErasureState::Erased
    })
    .await;
    assert!(peer.has("acme", "shop"), "it is the tenant's own");
}
