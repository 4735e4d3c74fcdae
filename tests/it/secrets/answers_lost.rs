//! A store that takes a secret, or half of what it takes to keep one, and whose answer is lost: the version before serves,
//! and what was put in vain is removed.

use credvault_testkit::HttpCalls;

use crate::harness::stores::Peer;
use crate::harness::{VaultBuilder, by_id, eventually, generic};
use crate::on_each_store;

use super::{
    assert_in_step, assert_left_after_hours, assert_names_the_store, at_length, clients, versions_in,
};

on_each_store![
    a_put_whose_answer_is_lost_leaves_the_version_before,
    a_secret_that_is_moved_is_served_whichever_answer_is_lost,
];

async fn a_put_whose_answer_is_lost_leaves_the_version_before(peer: Peer) {
    let calls = HttpCalls::start(peer.port());
    let builder = VaultBuilder::sqlite().secret_store(&peer, &calls.address(), "store = 'eu'");
    let vault = builder.start().await;
    let (app, operator) = clients(&vault).await;
    let id = app.create(generic("a", "CANARY first")).await.unwrap().id;
    eventually("it is moved", || async { versions_in(&operator, "eu").await == 1 }).await;
    app.put(&id, "CANARY second").await.unwrap();

    calls.lose_answers_after(0);
    let refused = app.put(&id, "CANARY third").await.unwrap_err();
    assert_names_the_store(&refused);
    assert!(calls.lost() > 0, "the store has it");
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second");
    calls.lose_no_answers();
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second");
    assert_eq!(app.put(&id, "CANARY fourth").await.unwrap().version, 3);
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY fourth");
    assert_eq!(versions_in(&operator, "eu").await, 3);
    assert_left_after_hours(&vault, &peer, 3).await;
    assert_in_step(&operator).await;
}

/// A new secret takes up to three calls of a store: one that says that the connection is not there, one that makes it, and
/// one that keeps the secret.
async fn a_secret_that_is_moved_is_served_whichever_answer_is_lost(peer: Peer) {
    let calls = HttpCalls::start(peer.port());
    let builder = VaultBuilder::sqlite().secret_store(&peer, &calls.address(), "store = 'eu'");
    let vault = builder.start().await;
    let (app, operator) = clients(&vault).await;
    let mut kept = Vec::new();
    for answers in 0..3 {
        let (lost, moved) = (calls.lost(), versions_in(&operator, "eu").await);
        calls.lose_answers_after(answers);
        let secret = format!("CANARY {answers}");
        let id = app.create(generic(&format!("a{answers}"), &secret)).await.unwrap().id;
        eventually("an answer is lost, or it took fewer", || async {
            calls.lost() > lost || versions_in(&operator, "eu").await > moved
        })
        .await;
        assert_eq!(app.token(by_id(&id)).await.unwrap(), secret);
        calls.lose_no_answers();
        at_length(&vault, "it is moved", || async { versions_in(&operator, "eu").await == moved + 1 }).await;
        kept.push((id, secret));
    }
    assert!(calls.lost() > 0);
    super::all_served(&app, &kept).await;
    assert_left_after_hours(&vault, &peer, kept.len()).await;
    assert_in_step(&operator).await;
    super::all_served(&app, &kept).await;
}
