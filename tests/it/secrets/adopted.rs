//! Secrets that a tenant keeps in a store itself: it refers to its own and to no other, and the vault changes none.

use credvault_proto::v1;
use serde_json::json;
use tonic::Status;

use crate::harness::stores::Peer;
use crate::harness::{Client, VaultBuilder, by_id, eventually, generic, refusal};
use crate::on_each_store;

use super::{assert_names_the_store, clients, erase};

on_each_store![a_tenant_refers_to_a_secret_of_its_own_and_to_no_other];

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
