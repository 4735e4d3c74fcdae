//! What a store has and the vault does not know of, and the other way round.

use credvault_store::{Error, StoreCheck};

use super::{anew, stored, tend};
use crate::fixture::Fixture;
use crate::on_both;

on_both![a_check_finds_orphans_and_what_is_missing];

async fn check(vault: &Fixture, repair: bool) -> StoreCheck {
    let (mut all, mut position) = (StoreCheck::default(), None::<String>);
    loop {
        let page = vault.store.secrets().check("eu", position.as_deref(), repair).await.unwrap();
        all.compared += page.compared;
        all.orphans.extend(page.orphans);
        all.missing.extend(page.missing);
        match page.next {
            Some(next) => position = Some(next),
            None => return all,
        }
    }
}

async fn a_check_finds_orphans_and_what_is_missing(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let mut ids = Vec::new();
    for tenant in ["acme", "beta"] {
        let scope = vault.tenant(tenant).await;
        for account in ["a", "b"] {
            let id = vault.connection(&scope, account).await.id;
            vault.put(&scope, id, "CANARY").await;
            ids.push(id);
        }
    }
    tend(&vault).await;
    let whole = check(&vault, true).await;
    assert_eq!((whole.compared, whole.orphans.len(), whole.missing.len()), (8, 0, 0));
    let orphan = "0198c000-0000-7000-8000-000000000001_0198c000-0000-7000-8000-000000000002";
    store.write(orphan, b"left behind");
    let gone = store.names().into_iter().find(|name| name.starts_with(&ids[3].to_string())).unwrap();
    store.delete(&gone);
    let found = check(&vault, false).await;
    assert_eq!(found.orphans, [orphan]);
    let missing: Vec<_> =
        found.missing.iter().map(|(key, name)| (key.tenant().as_str(), key.connection(), name)).collect();
    assert_eq!(missing, [("beta", ids[3], &gone)]);
    assert!(store.names().contains(&orphan.to_owned()));
    assert_eq!(check(&vault, true).await.orphans, [orphan]);
    assert_eq!(check(&vault, true).await.orphans, Vec::<String>::new());
    assert_eq!(store.names().len(), 3);
    // What is missing is named by a fetch, too, and nothing else is touched.
    let other = anew(&vault, &store, true).await;
    let beta = other.tenant("beta").await;
    assert!(matches!(other.fetch(&beta, ids[3]).await, Err(Error::SecretStore { .. })));
    assert_eq!(other.fetch(&beta, ids[2]).await.unwrap(), "CANARY");
    for wrong in ["x", "dzzz", ""] {
        let refused = vault.store.secrets().check("eu", Some(wrong), false).await;
        assert!(matches!(refused, Err(Error::PageToken)), "{wrong}");
    }
    assert!(matches!(vault.store.secrets().check("us", None, false).await, Err(Error::SecretStoreUnknown)));
}
