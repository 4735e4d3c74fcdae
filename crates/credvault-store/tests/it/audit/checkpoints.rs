//! Checkpoints: what is signed, by which keys, and what is never signed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use credvault_audit::{SignedCheckpoint, Trust, TrustError, VerifierKey, verify_consistency};
use credvault_domain::{Action, TenantId};
use credvault_store::{AuditCheckpoints, Error, Recorded};
use uuid::Uuid;

use crate::audit::record;
use crate::fixture::{Fixture, repeatable, scope, write};
use crate::on_both;

on_both![
    a_checkpoint_waits_for_what_was_answered_and_verifies,
    replicas_that_sign_at_once_have_one_signer_and_one_root_for_each_size,
    a_log_that_lost_records_is_signed_no_more,
    a_log_with_other_hashes_is_not_signed_at_all,
    another_signer_signs_beside_the_one_before_until_that_retires,
    a_signer_that_retires_at_once_or_has_another_name_signs_no_more,
    a_signer_that_was_altered_signs_nothing_and_can_be_replaced,
];

/// What verifies with these keys alone.
fn trusting(keys: &[VerifierKey]) -> Trust {
    Trust::new(keys.to_vec(), 0)
}

fn signatures(found: &AuditCheckpoints) -> usize {
    found.newest.signed.note().signatures().len()
}

async fn a_checkpoint_waits_for_what_was_answered_and_verifies(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 300).await;
    let audit = fixture.store.audit();
    let began = Instant::now();
    let ((), found) = tokio::join!(fixture.sequence(), audit.checkpoint(&acme));
    let waited = found.unwrap().newest.signed.unverified().size;
    assert!(waited == 301 || began.elapsed() >= Duration::from_secs(1), "{waited}");
    let found = audit.checkpoint(&acme).await.unwrap();
    let said = found.newest.signed.unverified().clone();
    assert_eq!(said.size, 301, "with the record of the tenant's creation");
    assert!(said.origin.as_str().ends_with("/tenants/acme"), "{}", said.origin);
    let text = found.newest.signed.to_string();
    let parsed = SignedCheckpoint::parse(&text).unwrap();
    assert_eq!(trusting(&found.keys).verify(&parsed).unwrap().checkpoint(), &said);
    assert_eq!(found.cosigned, None);
    assert_eq!(audit.checkpoint(&acme).await.unwrap(), found, "the same state is signed in the same words");
    // Another tenant's log has another name, so what is signed of one says nothing of the other.
    let beta = fixture.tenant("beta").await;
    fixture.sequence().await;
    let of_beta = audit.checkpoint(&beta).await.unwrap();
    assert_ne!(of_beta.newest.signed.unverified().origin, said.origin);
    assert_eq!(trusting(&of_beta.keys).verify(&parsed), Err(TrustError::NoSignature));
}

async fn replicas_that_sign_at_once_have_one_signer_and_one_root_for_each_size(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.reopened(|_| {}).await;
    let mut roots = BTreeMap::new();
    let mut newest = 0;
    for _ in 0..5 {
        record(fixture, &acme, 90).await;
        let (one, two) = (fixture.store.audit(), other.store.audit());
        let ((), first, second, third) = tokio::join!(
            fixture.sequence(),
            one.checkpoint(&acme),
            two.checkpoint(&acme),
            one.checkpoint(&acme)
        );
        let mut sizes = Vec::new();
        for found in [first.unwrap(), second.unwrap(), third.unwrap()] {
            assert_eq!(signatures(&found), 1);
            assert!(trusting(&found.keys).verify(&found.newest.signed).is_ok());
            let said = found.newest.signed.unverified();
            assert_eq!(*roots.entry(said.size).or_insert(said.root), said.root, "{}", said.size);
            assert!(said.size >= newest, "{} after {newest}", said.size);
            sizes.push(said.size);
        }
        newest = sizes.into_iter().max().unwrap();
    }
    let last = other.store.audit().checkpoint(&acme).await.unwrap();
    assert_eq!(last.newest.signed.unverified().size, 451);
    assert_eq!(fixture.count("audit_signers").await, 1);
    assert_eq!(fixture.count("audit_checkpoints").await, 1);
    other.store.close().await;
}

async fn a_log_that_lost_records_is_signed_no_more(fixture: &Fixture) {
    let (acme, beta) = (fixture.tenant("acme").await, fixture.tenant("beta").await);
    let audit = fixture.store.audit();
    for count in [5, 6] {
        record(fixture, &acme, count).await;
        fixture.sequence().await;
    }
    let before = audit.checkpoint(&acme).await.unwrap();
    assert_eq!(before.newest.signed.unverified().size, 12);
    fixture.execute("DELETE FROM audit_bundles WHERE tenant_id = 'acme' AND start >= 6").await;
    assert_eq!(audit.head(&acme).await.unwrap().size, 6, "it looks like a log");
    assert!(matches!(audit.checkpoint(&acme).await, Err(Error::Integrity)));
    assert!(matches!(fixture.store.witness_requests(acme.tenant()).await, Err(Error::Integrity)));
    // The same size, and more, with other records.
    for count in [6, 20] {
        record(fixture, &acme, count).await;
        fixture.sequence().await;
        assert!(matches!(audit.checkpoint(&acme).await, Err(Error::Integrity)), "{count}");
    }
    assert!(audit.prove_consistency(&acme, 12, 0).await.is_err());
    // Other logs are signed as before.
    assert!(audit.checkpoint(&beta).await.is_ok());
}

async fn a_log_with_other_hashes_is_not_signed_at_all(fixture: &Fixture) {
    let (acme, beta) = (fixture.tenant("acme").await, fixture.tenant("beta").await);
    for tenant in [&acme, &beta] {
        record(fixture, tenant, 3).await;
    }
    fixture.sequence().await;
    if fixture.postgres.is_none() {
        fixture.execute("DROP TRIGGER audit_bundles_unchanged").await;
    }
    let others = "SELECT frontier FROM audit_bundles WHERE tenant_id = 'beta' ORDER BY start DESC LIMIT 1";
    fixture
        .execute(&format!("UPDATE audit_bundles SET frontier = ({others}) WHERE tenant_id = 'acme'"))
        .await;
    assert!(matches!(fixture.store.audit().checkpoint(&acme).await, Err(Error::Integrity)));
    assert_eq!(fixture.count("audit_checkpoints WHERE tenant_id = 'acme'").await, 0);
    assert!(fixture.store.audit().checkpoint(&beta).await.is_ok());
}

async fn another_signer_signs_beside_the_one_before_until_that_retires(fixture: &Fixture) {
    let (acme, platform) = (fixture.tenant("acme").await, scope(TenantId::PLATFORM, None));
    fixture.sequence().await;
    let (store, audit) = (&fixture.store, fixture.store.audit());
    let first = audit.checkpoint(&acme).await.unwrap();
    let ask = repeatable(&platform, Action::RotateAuditSigner, Uuid::from_u128(1), "r");
    let made = store.rotate_audit_signer(&platform, &ask, false).await.unwrap().into_inner();
    let again = store.rotate_audit_signer(&platform, &ask, false).await.map(Recorded::into_inner);
    assert_eq!(again.unwrap(), made, "the same request, made twice");
    assert_eq!((made.number, fixture.count("audit_signers").await), (2, 2));
    record(fixture, &acme, 3).await;
    fixture.sequence().await;

    let both = audit.checkpoint(&acme).await.unwrap();
    assert_eq!((signatures(&both), both.keys.len()), (2, 2));
    assert_eq!(both.keys[0].public_key(), made.public_key);
    assert_eq!(both.keys[1..], first.keys);
    for keys in [&both.keys[..1], &both.keys[1..]] {
        assert!(trusting(keys).verify(&both.newest.signed).is_ok(), "each alone is enough");
    }
    fixture.clock.advance(Duration::from_secs(31 * 24 * 3600));
    let after = audit.checkpoint(&acme).await.unwrap();
    assert_eq!((signatures(&after), &after.keys), (1, &both.keys), "keys that have signed are still shown");
    assert_eq!(trusting(&first.keys).verify(&after.newest.signed), Err(TrustError::NoSignature));
    assert!(trusting(&first.keys).verify(&first.newest.signed).is_ok());
    // The log is one, by which keys soever it was signed.
    let (then, now) = (first.newest.signed.unverified(), after.newest.signed.unverified());
    let proof = audit.prove_consistency(&acme, then.size, now.size).await.unwrap();
    let continued = verify_consistency((then.size, then.root), (now.size, now.root), &proof.hashes);
    assert_eq!(continued, Ok(()));
}

async fn a_signer_that_retires_at_once_or_has_another_name_signs_no_more(fixture: &Fixture) {
    let (acme, platform) = (fixture.tenant("acme").await, scope(TenantId::PLATFORM, None));
    fixture.sequence().await;
    let rotate = || write(&platform, Action::RotateAuditSigner);
    let first = fixture.store.audit().checkpoint(&acme).await.unwrap();
    let _ = fixture.store.rotate_audit_signer(&platform, &rotate(), true).await.unwrap();
    let second = fixture.store.audit().checkpoint(&acme).await.unwrap();
    assert_eq!((signatures(&second), second.keys.len()), (1, 2));
    assert_eq!(trusting(&first.keys).verify(&second.newest.signed), Err(TrustError::NoSignature));

    // Another name waits for a signer of its own, and its log is another one to those who verify.
    let named = fixture.reopened(|settings| settings.audit_name = Some("shop".to_owned())).await;
    let origin = |found: &AuditCheckpoints| found.newest.signed.unverified().origin.to_string();
    let before = named.store.audit().checkpoint(&acme).await.unwrap();
    assert_eq!(origin(&before), origin(&first));
    let made = named.store.rotate_audit_signer(&platform, &rotate(), false).await.unwrap().into_inner();
    assert_eq!((made.number, made.vault.as_str()), (3, "shop"));
    for store in [&named.store, &fixture.store] {
        let found = store.audit().checkpoint(&acme).await.unwrap();
        assert_eq!((origin(&found).as_str(), signatures(&found)), ("credvault/shop/tenants/acme", 1));
        assert_eq!(found.keys.len(), 3);
        assert!(trusting(&found.keys[..1]).verify(&found.newest.signed).is_ok());
    }
    named.store.close().await;
}

async fn a_signer_that_was_altered_signs_nothing_and_can_be_replaced(fixture: &Fixture) {
    let (acme, platform) = (fixture.tenant("acme").await, scope(TenantId::PLATFORM, None));
    fixture.sequence().await;
    let audit = fixture.store.audit();
    audit.checkpoint(&acme).await.unwrap();
    let other = if fixture.postgres.is_some() { "decode(repeat('07', 32), 'hex')" } else { "zeroblob(32)" };
    for altered in [format!("public_key = {other}"), "name = 'evil'".to_owned(), "number = 7".to_owned()] {
        fixture.execute("CREATE TABLE kept AS SELECT * FROM audit_signers").await;
        fixture.execute(&format!("UPDATE audit_signers SET {altered}")).await;
        assert!(matches!(audit.checkpoint(&acme).await, Err(Error::Integrity)), "{altered}");
        let back = "DELETE FROM audit_signers; INSERT INTO audit_signers SELECT * FROM kept; DROP TABLE kept";
        fixture.execute(back).await;
        assert!(audit.checkpoint(&acme).await.is_ok(), "{altered}");
    }
    fixture.execute("UPDATE audit_signers SET name = 'evil'").await;
    let ask = write(&platform, Action::RotateAuditSigner);
    let _ = fixture.store.rotate_audit_signer(&platform, &ask, false).await.unwrap();
    fixture.sequence().await;
    let found = audit.checkpoint(&acme).await.unwrap();
    assert_eq!((signatures(&found), found.keys.len()), (1, 1), "the altered one is left out");
}
