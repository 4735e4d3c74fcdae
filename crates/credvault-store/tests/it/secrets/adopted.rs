//! Secrets of others that a tenant refers to.

use std::time::Duration;

use credvault_domain::{Action, AdoptRules, FieldName, TenantScope};
use credvault_store::{Error, NewCredential, SecretReference, Selector};
use secrecy::ExposeSecret as _;

use super::{anew, stored, tend};
use crate::fixture::{Fixture, credential, write};
use crate::on_both;

on_both![
    an_adopted_secret_is_read_where_it_is,
    what_was_asked_for_before_a_doubt_does_not_end_it,
    what_a_tenant_may_refer_to_is_the_operators_word,
];

/// Each tenant may refer to what is below its own name.
pub fn rules() -> AdoptRules {
    let mut rules = AdoptRules::default();
    rules.add("customers/{tenant}/*").unwrap();
    rules
}

fn reference(name: &str, field: Option<&str>) -> SecretReference {
    SecretReference {
        store: "eu".to_owned(),
        name: name.to_owned(),
        version: None,
        field: field.map(|field| FieldName::parse(field).unwrap()),
    }
}

async fn adopt(
    vault: &Fixture,
    scope: &TenantScope,
    reference: SecretReference,
) -> Result<NewCredential, Error> {
    let (fields, adoption) = vault.store.secrets().adopt(scope, reference).await?;
    Ok(NewCredential { fields, adopted: Some(adoption), ..credential("unused") })
}

async fn an_adopted_secret_is_read_where_it_is(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    store.write("customers.acme.shop", br#"{"token": "CANARY theirs"}"#);
    let new = adopt(&vault, &acme, reference("customers/acme/shop", None)).await.unwrap();
    assert_eq!(new.fields.get("token").unwrap().expose_secret(), "CANARY theirs");
    let put = write(&acme, Action::PutCredential);
    let version = vault.store.credentials().put(&acme, id, &new, None, &put).await.unwrap().into_inner();
    assert!(version.adopted && version.store.as_deref() == Some("eu"));
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY theirs");
    let asked = store.gets();
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY theirs");
    assert_eq!(store.gets(), asked, "remembered for a minute");
    // Nothing of it is in the database, and the vault puts and removes nothing.
    assert_eq!(vault.count("external_payloads").await, 0);
    tend(&vault).await;
    // While the store is away, what was read serves; a process that has read nothing says what is away.
    store.is_away(true);
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY theirs");
    let other = anew(&vault, &store, true).await;
    assert!(matches!(other.fetch(&acme, id).await, Err(Error::SecretStore { .. })));
    store.is_away(false);
    // A change there counts here.
    store.write("customers.acme.shop", br#"{"token": "CANARY changed"}"#);
    assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY changed");
    // What the provider has rejected is read anew before its minute is over.
    store.write("customers.acme.shop", br#"{"token": "CANARY once more"}"#);
    assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY changed");
    let selector = Selector::Connection { id, version: None };
    let fetched = other.store.credentials().fetch(&acme, &selector).await.unwrap();
    other.store.credentials().doubt(&fetched);
    assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY once more");
    for broken in [&b"no json"[..], b"{\"token\": 7}", b"\xff", b"{\"Not a name!\": \"x\"}"] {
        store.write("customers.acme.shop", broken);
        let third = anew(&vault, &store, true).await;
        assert!(matches!(third.fetch(&acme, id).await, Err(Error::ReferenceBroken { .. })));
    }
    store.delete("customers.acme.shop");
    let third = anew(&vault, &store, true).await;
    assert!(matches!(third.fetch(&acme, id).await, Err(Error::ReferenceBroken { .. })));
    // The whole secret as one field.
    store.write("customers.acme.plain", b"CANARY plain");
    let new = adopt(&vault, &acme, reference("customers/acme/plain", Some("token"))).await.unwrap();
    let put = write(&acme, Action::PutCredential);
    let _ = vault.store.credentials().put(&acme, id, &new, None, &put).await.unwrap();
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY plain");
    // The same once more has a key of its own; what the one before has read does not open under it.
    let again = adopt(&vault, &acme, reference("customers/acme/plain", Some("token"))).await.unwrap();
    let put = write(&acme, Action::PutCredential);
    let _ = vault.store.credentials().put(&acme, id, &again, None, &put).await.unwrap();
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY plain");
    assert_eq!(super::version(&vault, &acme, id, 2).await.unwrap(), "CANARY plain");
    // Destroying the version leaves the secret of others alone.
    let destroy = write(&acme, Action::DestroyCredentialVersion);
    let _ = vault.store.credentials().destroy(&acme, id, 2, &destroy).await.unwrap();
    vault.clock.advance(Duration::from_secs(86_400));
    tend(&vault).await;
    assert_eq!(store.content("customers.acme.plain"), b"CANARY plain");
}

async fn what_was_asked_for_before_a_doubt_does_not_end_it(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    store.write("customers.acme.shop", br#"{"token": "CANARY old"}"#);
    let new = adopt(&vault, &acme, reference("customers/acme/shop", None)).await.unwrap();
    let put = write(&acme, Action::PutCredential);
    let _ = vault.store.credentials().put(&acme, id, &new, None, &put).await.unwrap();
    let (cold, asked) = (anew(&vault, &store, true).await, store.gets());
    let held = store.held().await;
    let rejected = async {
        while store.gets() == asked {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The store has answered with the old one, and the answer is on its way.
        store.write("customers.acme.shop", br#"{"token": "CANARY new"}"#);
        let selector = Selector::Connection { id, version: None };
        let fetched = cold.store.credentials().fetch(&acme, &selector).await.unwrap();
        cold.store.credentials().doubt(&fetched);
        let answering = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(held);
        };
        tokio::join!(cold.fetch(&acme, id), answering).0.unwrap()
    };
    let (_, second) = tokio::join!(cold.fetch(&acme, id), rejected);
    assert_eq!(second, "CANARY new");
    assert_eq!(cold.fetch(&acme, id).await.unwrap(), "CANARY new");
}

async fn what_a_tenant_may_refer_to_is_the_operators_word(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let (acme, beta) = (vault.tenant("acme").await, vault.tenant("beta").await);
    store.write("customers.acme.shop", br#"{"token": "CANARY theirs"}"#);
    for name in
        ["customers/acme/shop", "customers/beta/../acme/shop", "customers/acme/", "other", "customers/acme"]
    {
        let refused = adopt(&vault, &beta, reference(name, None)).await;
        assert!(matches!(refused, Err(Error::ReferenceDenied { .. })), "{name}");
    }
    let asked = store.gets();
    for _ in 0..5 {
        let missing =
            adopt(&vault, &acme, reference("customers/acme/none", None)).await.map(drop).unwrap_err();
        assert!(matches!(&missing, Error::ReferenceBroken { store, .. } if store == "eu"), "{missing:?}");
    }
    assert!(store.gets() < asked + 5, "for a moment it is remembered that there is none");
    let elsewhere = SecretReference { store: "us".to_owned(), ..reference("customers/acme/shop", None) };
    assert!(matches!(adopt(&vault, &acme, elsewhere).await, Err(Error::SecretStoreUnknown)));
    // Rules that no longer allow it count for what was adopted before.
    let id = vault.connection(&acme, "a").await.id;
    let new = adopt(&vault, &acme, reference("customers/acme/shop", None)).await.unwrap();
    let put = write(&acme, Action::PutCredential);
    let _ = vault.store.credentials().put(&acme, id, &new, None, &put).await.unwrap();
    let stricter = vault
        .reopened(|settings| {
            super::with_store(settings, &store, true);
            settings.secrets.by_name.get_mut("eu").unwrap().adopt = AdoptRules::default();
        })
        .await;
    assert!(matches!(stricter.fetch(&acme, id).await, Err(Error::ReferenceDenied { .. })));
}
