//! What every store of secrets does, whichever it is, and how its refusals are told apart.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use credvault_crypto::{SecretStore, SecretStoreError, StoredReference};

use crate::logs;

/// What the vault keeps, which no log line and no error may show.
pub(crate) const SEALED: &[u8] = b"CANARY-these-are-sealed-bytes-of-a-connection";

/// An id of a connection or of a payload.
pub(crate) fn id(number: usize) -> String {
    format!("0190aaaa-0000-7000-8000-{number:012x}")
}

/// The kind of an error, after a look at its text.
pub(crate) fn kind_of(error: &SecretStoreError) -> &'static str {
    logs::assert_no_canary(&format!("{error} {error:?}"));
    match error {
        SecretStoreError::Settings(_) => "settings",
        SecretStoreError::Unavailable(_) => "unavailable",
        SecretStoreError::Denied(_) => "denied",
        SecretStoreError::NotFound => "not_found",
        SecretStoreError::Full(_) => "full",
        SecretStoreError::Unusable(_) => "unusable",
        _ => "other",
    }
}

pub(crate) async fn put_error(store: &dyn SecretStore) -> &'static str {
    kind_of(&store.put(&id(1), &id(900), SEALED).await.unwrap_err())
}

pub(crate) async fn get_error(store: &dyn SecretStore, reference: &str) -> &'static str {
    kind_of(&store.get(reference).await.unwrap_err())
}

pub(crate) async fn adopted_error(
    store: &dyn SecretStore,
    name: &str,
    version: Option<&str>,
) -> &'static str {
    kind_of(&store.adopted(name, version).await.unwrap_err())
}

/// All that a store keeps, and the number of its pages.
async fn listed(store: &dyn SecretStore) -> (Vec<StoredReference>, usize) {
    let (mut all, mut pages, mut token) = (Vec::new(), 0, None::<String>);
    loop {
        let page = store.list(token.as_deref()).await.unwrap();
        all.extend(page.references);
        pages += 1;
        assert!(pages < 1000, "the pages never end");
        token = page.next;
        if token.is_none() {
            return (all, pages);
        }
    }
}

async fn assert_lists(store: &dyn SecretStore, expected: &[&String]) {
    let (listed, _) = listed(store).await;
    let listed: BTreeSet<_> = listed.into_iter().map(|stored| stored.reference).collect();
    assert_eq!(listed, expected.iter().map(|reference| (*reference).clone()).collect());
}

/// What is put comes back until it is removed or its connection is forgotten, once more does no harm, and others stay.
pub(crate) async fn assert_keeps(store: &dyn SecretStore) {
    let (connection, other) = (id(1), id(2));
    assert_lists(store, &[]).await;
    let first = store.put(&connection, &id(11), SEALED).await.unwrap();
    let second = store.put(&connection, &id(12), b"second").await.unwrap();
    let third = store.put(&other, &id(13), b"third").await.unwrap();
    for reference in [&first, &second, &third] {
        assert!(
            reference.len() <= 512 && reference.bytes().all(|byte| byte.is_ascii_graphic()),
            "{reference}"
        );
    }
    assert_eq!(store.get(&first).await.unwrap(), SEALED);
    assert_eq!(store.get(&second).await.unwrap(), b"second");
    assert_eq!(store.get(&third).await.unwrap(), b"third");
    assert_lists(store, &[&first, &second, &third]).await;
    let (all, _) = listed(store).await;
    let found = all.iter().find(|stored| stored.reference == third).unwrap();
    assert_eq!(found.connection, other);
    assert!(found.payload.as_ref().is_none_or(|payload| *payload == id(13)), "{found:?}");

    assert_eq!(store.find(&connection, &id(12)).await.unwrap().as_ref(), Some(&second));
    assert_eq!(store.find(&other, &id(12)).await.unwrap(), None);
    assert_eq!(store.find(&id(3), &id(12)).await.unwrap(), None);

    for _ in 0..2 {
        store.remove(&first).await.unwrap();
        assert_eq!(get_error(store, &first).await, "not_found");
        assert_eq!(store.find(&connection, &id(11)).await.unwrap(), None);
    }
    assert_eq!(store.get(&second).await.unwrap(), b"second");
    assert_lists(store, &[&second, &third]).await;

    for _ in 0..2 {
        store.forget(&connection).await.unwrap();
        assert_eq!(get_error(store, &second).await, "not_found");
    }
    store.remove(&second).await.unwrap();
    assert_eq!(store.get(&third).await.unwrap(), b"third");
    assert_lists(store, &[&third]).await;
    store.forget(&other).await.unwrap();
    assert_lists(store, &[]).await;
}

/// What is kept of many connections is listed on several pages, each once.
pub(crate) async fn assert_pages(store: &dyn SecretStore, connections: usize) {
    let mut expected = BTreeSet::new();
    for number in 1..=connections {
        expected.insert(store.put(&id(number), &id(1000 + number), b"sealed").await.unwrap());
    }
    let (all, pages) = listed(store).await;
    assert!(pages > 1, "{pages}");
    assert_eq!(all.len(), connections);
    assert_eq!(all.into_iter().map(|stored| stored.reference).collect::<BTreeSet<_>>(), expected);
}

/// What is no reference and no id never becomes part of a request.
pub(crate) async fn assert_refuses_strange_names(store: &dyn SecretStore) {
    for reference in
        ["", "CANARY", "../sys/health", "a/b/c", "a#b", "credvault/..", "credvault-x/versions/1?a"]
    {
        assert_eq!(get_error(store, reference).await, "not_found", "{reference}");
        assert_eq!(kind_of(&store.remove(reference).await.unwrap_err()), "not_found", "{reference}");
    }
    for wrong in ["", "CANARY", "../x", &id(1).to_uppercase()] {
        assert_eq!(kind_of(&store.put(wrong, &id(1), SEALED).await.unwrap_err()), "unusable");
        assert_eq!(kind_of(&store.put(&id(1), wrong, SEALED).await.unwrap_err()), "unusable");
        assert_eq!(kind_of(&store.forget(wrong).await.unwrap_err()), "unusable");
    }
    for name in ["", "a b", "a%2fb", "a?version=1", "CANÄRY"] {
        assert_eq!(adopted_error(store, name, None).await, "unusable", "{name}");
    }
}

/// The call is refused as unavailable, and in time.
pub(crate) async fn assert_unavailable_within(store: &dyn SecretStore, reference: &str, most: Duration) {
    let begun = Instant::now();
    assert_eq!(get_error(store, reference).await, "unavailable");
    let waited = begun.elapsed();
    assert!(waited < most, "{waited:?}");
}

pub(crate) async fn eventually_gets(store: &dyn SecretStore, reference: &str) {
    let begun = Instant::now();
    while store.get(reference).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not serve again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
