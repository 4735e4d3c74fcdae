//! The life of secrets in a store: moved there while they are served, put, moved back, erased.

use credvault_proto::v1;

use crate::harness::stores::Peer;
use crate::harness::{VaultBuilder, by_id, eventually, generic, refusal};
use crate::on_each_store;

use super::{
    Reading, all_served, assert_in_step, assert_left_after_hours, clients, erase, filled, move_to, places,
    versions_in,
};

on_each_store![secrets_move_while_they_are_served_and_leave_nothing_behind];

async fn secrets_move_while_they_are_served_and_leave_nothing_behind(peer: Peer) {
    let vault = VaultBuilder::sqlite().secret_store(&peer, &peer.address(), "").start().await;
    let (app, operator) = clients(&vault).await;
    let kept = filled(&app, 12).await;
    assert_eq!(peer.kept(), 0, "they are in the database");
    let reading = Reading::start(&app, &kept);
    let unknown = move_to(&operator, "acme", "us").await.unwrap_err();
    assert_eq!(refusal(&unknown), "NotFound SECRET_STORE_UNKNOWN");
    let moved = move_to(&operator, "acme", "eu").await.unwrap();
    assert_eq!((moved.running, moved.done, moved.total, moved.failed), (false, 12, 12, 0));
    let there = places(&operator).await;
    let eu = there.places.iter().find(|place| place.name == "eu").unwrap();
    assert_eq!((there.target.as_str(), eu.kind.as_str(), eu.versions), ("eu", peer.kind(), 12));
    assert!(eu.location.contains("credvault"), "{eu:?}");
    assert_eq!((versions_in(&operator, "database").await, peer.kept()), (0, 12));

    // What comes with a new connection is moved within seconds; what is put is there at once.
    let id = app.create(generic("put", "CANARY first")).await.unwrap().id;
    eventually("it is moved", || async { versions_in(&operator, "eu").await == 13 }).await;
    let stored = app.put(&id, "CANARY second").await.unwrap();
    assert_eq!((stored.store.as_str(), stored.adopted), ("eu", false));
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second");
    assert_eq!(peer.kept(), 14);
    assert_in_step(&operator).await;

    let back = move_to(&operator, "acme", "database").await.unwrap();
    assert_eq!((back.running, back.done, back.failed), (false, 13, 0));
    reading.end().await;
    let versions = (versions_in(&operator, "eu").await, versions_in(&operator, "database").await);
    assert_eq!(versions, (0, 14));
    assert_eq!(peer.kept(), 14, "a backup may refer to them");
    assert_left_after_hours(&vault, &peer, 0).await;
    all_served(&app, &kept).await;
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second");

    move_to(&operator, "acme", "eu").await.unwrap();
    assert_eq!(peer.kept(), 14);
    assert_in_step(&operator).await;
    let owned = operator.admin().own_secret_stores(v1::OwnSecretStoresRequest {}).await.unwrap().into_inner();
    assert!(!owned.was_restored);
    for (store, expected) in
        [("eu", "FailedPrecondition STATE_INVALID"), ("us", "NotFound SECRET_STORE_UNKNOWN")]
    {
        let request = v1::WriteOffSecretStoreRequest { store: store.into(), confirm: false };
        let refused = operator.admin().write_off_secret_store(request).await.unwrap_err();
        assert_eq!(refusal(&refused), expected);
    }
    erase(&operator).await;
    eventually("nothing is left there", || async { peer.kept() == 0 }).await;
    let said = r#""stores":[{"store":"eu","removed":14,"written_off":0}]"#;
    eventually("the statement counts what is gone", || async {
        let request = v1::GetErasureRequest { tenant_id: "acme".into() };
        let erasure = operator.admin().get_erasure(request).await.unwrap().into_inner().erasure.unwrap();
        erasure.statement.contains(said)
    })
    .await;
    assert_eq!(vault.found_in("CANARY").await, None);
}
