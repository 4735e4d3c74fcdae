//! A store that is away: what is remembered is served for its time, all else is refused by the store's name, and what is in
//! the database does not notice.

use std::time::{Duration, Instant};

use crate::harness::stores::Peer;
use crate::harness::{Client, VaultBuilder, by_id, eventually, generic};
use crate::on_each_store;

use super::{assert_names_the_store, clients, lasting, move_to, versions_in};

/// What `secrets.cache_seconds` says here.
const REMEMBERED: Duration = Duration::from_secs(4);

on_each_store![what_is_remembered_is_served_for_its_time_and_nothing_else];

async fn what_is_remembered_is_served_for_its_time_and_nothing_else(peer: Peer) {
    let more = format!("store = 'eu'\ncache_seconds = {}", REMEMBERED.as_secs());
    let mut vault = VaultBuilder::postgres().secret_store(&peer, &peer.address(), &more).start().await;
    let (app, operator) = clients(&vault).await;
    let beside = vault.app("globex").await;
    move_to(&operator, "globex", "database").await.unwrap();
    let in_database = beside.create(generic("a", "CANARY beside")).await.unwrap().id;
    let id = app.create(generic("a", "CANARY first")).await.unwrap().id;
    eventually("it is moved", || async { versions_in(&operator, "eu").await == 1 }).await;

    let put = Instant::now();
    assert_eq!(app.put(&id, "CANARY second").await.unwrap().store, "eu");
    peer.pause();
    served_for_its_time(&app, &id, put).await;
    let refused = app.put(&id, "CANARY third").await.unwrap_err();
    assert_names_the_store(&refused);
    assert_eq!(beside.token(by_id(&in_database)).await.unwrap(), "CANARY beside");
    peer.resume();
    eventually("it is served again", || async { app.token(by_id(&id)).await.is_ok() }).await;
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second", "the version before serves");

    // A vault that starts anew remembers nothing.
    peer.pause();
    vault.stop().await;
    vault.start().await;
    let app = lasting(&vault, "app").await;
    let (app, beside) = (app.acting_for("acme", None), app.acting_for("globex", None));
    assert_eq!(beside.token(by_id(&in_database)).await.unwrap(), "CANARY beside");
    assert_names_the_store(&app.token(by_id(&id)).await.unwrap_err());
    peer.resume();
    eventually("it is served again", || async { app.token(by_id(&id)).await.is_ok() }).await;
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY second");
    assert_eq!(vault.found_in("CANARY").await, None);
}

/// Fetches until that is refused: neither before the time is over, nor later. The store is away.
async fn served_for_its_time(app: &Client, id: &str, put: Instant) {
    let (away, some_time) = (Instant::now(), Duration::from_secs(2));
    loop {
        let asked = Instant::now();
        match app.token(by_id(id)).await {
            Ok(token) => assert_eq!(token, "CANARY second"),
            Err(refused) => {
                assert_names_the_store(&refused);
                assert!(put.elapsed() + Duration::from_millis(100) > REMEMBERED, "{:?}", put.elapsed());
                return;
            }
        }
        assert!(asked < away + REMEMBERED + some_time, "it is served although its time is over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
