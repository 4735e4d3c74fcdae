//! What a store has and the vault does not know of, and the other way round.

use std::time::Duration;

use credvault_domain::Action;
use credvault_store::{Error, StoreCheck};

use super::{anew, stored, tend};
use crate::fixture::{Fixture, write};
use crate::on_both;

on_both![
    a_check_finds_orphans_and_what_is_missing,
    what_is_being_put_or_has_another_store_name_is_not_unknown,
];

async fn check(vault: &Fixture, repair: bool) -> StoreCheck {
    let (mut all, mut position) = (StoreCheck::default(), None::<String>);
    loop {
        let page = vault.store.secrets().check("eu", position.as_deref()).await.unwrap();
        if repair {
            vault.store.secrets().remove_orphans("eu", &page.orphans, |_| {}).await.unwrap();
        }
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
        let refused = vault.store.secrets().check("eu", Some(wrong)).await;
        assert!(matches!(refused, Err(Error::PageToken)), "{wrong}");
    }
    assert!(matches!(vault.store.secrets().check("us", None).await, Err(Error::SecretStoreUnknown)));
}

async fn what_is_being_put_or_has_another_store_name_is_not_unknown(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY").await;
    // The store had another name when this was put.
    assert_eq!(vault.execute("UPDATE external_payloads SET store = 'frankfurt'").await, 1);
    assert_eq!(check(&vault, true).await.orphans, Vec::<String>::new());
    assert_eq!(vault.execute("UPDATE external_payloads SET store = 'eu'").await, 1);
    // The answer of a put is lost: for an hour it may still be on its way.
    store.loses_answers(true);
    let (new, write) = (crate::fixture::credential("CANARY second"), write(&acme, Action::PutCredential));
    assert!(vault.store.credentials().put(&acme, id, &new, None, &write).await.is_err());
    store.loses_answers(false);
    assert_eq!((store.names().len(), check(&vault, true).await.orphans.len()), (2, 0));
    vault.clock.advance(Duration::from_secs(3601));
    assert_eq!(check(&vault, true).await.orphans.len(), 1);
    assert_eq!((store.names().len(), vault.fetch(&acme, id).await.unwrap().as_str()), (1, "CANARY"));
    assert_eq!(anew(&vault, &store, true).await.fetch(&acme, id).await.unwrap(), "CANARY");
    // The caller hears of each removal, also if a later one fails.
    let connection = "0198c000-0000-7000-8000-000000000001";
    let orphans: Vec<_> =
        (1..=2).map(|n| format!("{connection}_0198c000-0000-7000-8000-00000000000{n}")).collect();
    orphans.iter().for_each(|orphan| store.write(orphan, b"left behind"));
    let mut told = Vec::new();
    let on_removed = |orphan: &str| {
        store.is_away(true);
        told.push(orphan.to_owned());
    };
    let removed = vault.store.secrets().remove_orphans("eu", &orphans, on_removed).await;
    assert!(matches!(removed, Err(Error::SecretStore { .. })), "{removed:?}");
    assert_eq!(told, orphans[..1]);
}
