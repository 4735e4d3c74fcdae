//! Proofs of records: by id and index, for those who reach the record, and what remains of them when it is gone.

use std::time::{Duration, Instant};

use credvault_audit::{Hash, Record, RecordProof, Trust, verify_consistency, verify_inclusion};
use credvault_domain::Reach;
use credvault_store::{Error, InclusionProof, ProvedRecord, Unproved};
use uuid::Uuid;

use crate::audit::{ids, record};
use crate::erasures::erased;
use crate::fixture::{Fixture, reaching, scope};
use crate::on_both;

on_both![
    every_record_is_proved_by_its_id_and_by_its_index,
    a_record_that_waits_is_not_proved_yet,
    only_what_a_caller_reaches_is_proved,
    sizes_that_do_not_fit_the_log_are_refused,
    a_tile_that_was_altered_proves_nothing,
    a_proof_outlives_the_record_that_was_erased,
];

/// The record that a proof's text proves, verified without the vault.
fn verified(proof: &InclusionProof, trust: &Trust) -> Uuid {
    let text = proof.text().expect("record and checkpoint are there");
    let verified = RecordProof::parse(&text).expect("a proof").verify(trust).expect("it verifies");
    assert_eq!(verified.index, proof.index);
    Record::decode(&verified.record).expect("a record").id
}

async fn every_record_is_proved_by_its_id_and_by_its_index(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    for count in [3, 400, 200, 700] {
        record(fixture, &acme, count).await;
        fixture.sequence().await;
    }
    let audit = fixture.store.audit();
    let keys = audit.checkpoint(&acme).await.unwrap().keys;
    let trust = Trust::new(keys, 0);
    let known = ids(fixture, "acme").await;
    assert_eq!(known.len(), 1304);
    // Of whole bundles, and of pieces.
    for id in known.iter().step_by(37).chain(known.last()) {
        let proof = audit.prove_inclusion(&acme, ProvedRecord::Id(*id), 0).await.unwrap();
        assert_eq!(verified(&proof, &trust), *id);
        assert_eq!((proof.tree_size, proof.record.as_ref().unwrap().id), (1304, *id));
        let by_index = audit.prove_inclusion(&acme, ProvedRecord::Index(proof.index), 0).await.unwrap();
        assert_eq!(by_index, proof);
    }
    // In the tree of another size: the caller has a checkpoint of it.
    let tree = audit.prove_inclusion(&acme, ProvedRecord::Index(300), 700).await.unwrap();
    let is_in = |leaf: Hash| verify_inclusion(leaf, 300, 700, &tree.hashes, tree.root);
    assert_eq!((is_in(tree.leaf), tree.checkpoint.is_none(), tree.text()), (Ok(()), true, None));
    assert!(is_in(Hash::of_leaf(&[b"other"])).is_err());
    let grown = audit.prove_consistency(&acme, 700, 0).await.unwrap();
    assert_eq!(grown.earlier_root, tree.root);
    let (then, now) = ((700, grown.earlier_root), (1304, grown.root));
    assert_eq!(verify_consistency(then, now, &grown.hashes), Ok(()));
    assert_eq!(grown.checkpoint.unwrap().signed.unverified().root, grown.root);
}

async fn a_record_that_waits_is_not_proved_yet(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    fixture.sequence().await;
    record(fixture, &acme, 2).await;
    let (audit, known) = (fixture.store.audit(), ids(fixture, "acme").await);
    let newest = ProvedRecord::Id(*known.last().unwrap());
    let waiting = audit.prove_inclusion(&acme, newest, 0).await;
    assert!(matches!(waiting, Err(Error::Unproved(Unproved::Waiting))), "{waiting:?}");
    let unknown = audit.prove_inclusion(&acme, ProvedRecord::Id(Uuid::from_u128(7)), 0).await;
    assert!(matches!(unknown, Err(Error::Unproved(Unproved::NotFound))), "{unknown:?}");
    // One that comes into the log meanwhile is waited for.
    let began = Instant::now();
    let ((), proof) = tokio::join!(fixture.sequence(), audit.prove_inclusion(&acme, newest, 0));
    assert!(proof.is_ok() || began.elapsed() >= Duration::from_secs(1), "{proof:?}");
    assert_eq!(audit.prove_inclusion(&acme, newest, 0).await.unwrap().tree_size, 3);
}

async fn only_what_a_caller_reaches_is_proved(fixture: &Fixture) {
    let (acme, beta) = (fixture.tenant("acme").await, fixture.tenant("beta").await);
    let user = scope("acme", Some("u1"));
    record(fixture, &user, 1).await;
    fixture.sequence().await;
    let audit = fixture.store.audit();
    let known: Vec<Uuid> = ids(fixture, "acme").await.into_iter().collect();
    let shared = reaching("acme", Reach::Shared);
    let stranger = scope("acme", Some("u2"));
    let of_tenant = ProvedRecord::Id(known[0]);
    let of_user = ProvedRecord::Id(known[1]);
    for (who, may_tenant, may_user) in [
        (&acme, true, true),
        (&user, false, true),
        (&shared, true, false),
        (&stranger, false, false),
        (&beta, false, false),
    ] {
        for (which, may) in [(of_tenant, may_tenant), (of_user, may_user)] {
            let proved = audit.prove_inclusion(who, which, 0).await;
            let refused = matches!(proved, Err(Error::Unproved(Unproved::NotFound)));
            assert_eq!((proved.is_ok(), refused), (may, !may), "{who:?} {which:?}");
        }
        let by_index = audit.prove_inclusion(who, ProvedRecord::Index(1), 0).await;
        let is_shown = by_index.is_ok_and(|proof| proof.record.is_some_and(|record| record.id == known[1]));
        assert_eq!(is_shown, may_user, "{who:?}");
    }
}

async fn sizes_that_do_not_fit_the_log_are_refused(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 9).await;
    fixture.sequence().await;
    let audit = fixture.store.audit();
    let field = |error: Error| {
        let Error::Unproved(Unproved::Sizes(violations)) = error else { panic!("{error}") };
        violations.iter().next().unwrap().field.clone()
    };
    for (index, size) in [(5, 5), (5, 11), (0, 11)] {
        let refused = audit.prove_inclusion(&acme, ProvedRecord::Index(index), size).await.unwrap_err();
        assert_eq!(field(refused), "tree_size", "{index} in {size}");
    }
    for (earlier, size, wrong) in
        [(0, 0, "earlier_size"), (11, 0, "earlier_size"), (3, 11, "tree_size"), (5, 4, "tree_size")]
    {
        let refused = audit.prove_consistency(&acme, earlier, size).await.unwrap_err();
        assert_eq!(field(refused), wrong, "{earlier} to {size}");
    }
    let beyond = audit.prove_inclusion(&acme, ProvedRecord::Index(10), 0).await;
    assert!(matches!(beyond, Err(Error::Unproved(Unproved::NotFound))));
    assert!(audit.prove_consistency(&acme, 10, 0).await.unwrap().hashes.is_empty());
}

async fn a_tile_that_was_altered_proves_nothing(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    for _ in 0..2 {
        record(fixture, &acme, 300).await;
        fixture.sequence().await;
    }
    let audit = fixture.store.audit();
    audit.checkpoint(&acme).await.unwrap();
    if fixture.postgres.is_none() {
        fixture.execute("DROP TRIGGER audit_tiles_unchanged").await;
    }
    let other =
        if fixture.postgres.is_some() { "decode(repeat('07', 8192), 'hex')" } else { "zeroblob(8192)" };
    let alter = format!("UPDATE audit_tiles SET hashes = {other} WHERE level = 0 AND number = 0");
    fixture.execute(&alter).await;
    for index in [0, 255] {
        let proof = audit.prove_inclusion(&acme, ProvedRecord::Index(index), 0).await;
        assert!(matches!(proof, Err(Error::Integrity)), "{index}: {proof:?}");
    }
    assert!(matches!(audit.prove_consistency(&acme, 100, 0).await, Err(Error::Integrity)));
    assert!(audit.prove_inclusion(&acme, ProvedRecord::Index(300), 0).await.is_ok());
}

async fn a_proof_outlives_the_record_that_was_erased(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 300).await;
    fixture.sequence().await;
    let audit = fixture.store.audit();
    let before = audit.checkpoint(&acme).await.unwrap();
    let (trust, id) = (Trust::new(before.keys, 0), *ids(fixture, "acme").await.first().unwrap());
    let proof = audit.prove_inclusion(&acme, ProvedRecord::Id(id), 0).await.unwrap();
    erased(fixture, &acme).await;
    fixture.sequence().await;
    assert_eq!(verified(&proof, &trust), id, "who kept it can still prove it");
    for refused in [
        audit.checkpoint(&acme).await.err(),
        audit.prove_inclusion(&acme, ProvedRecord::Id(id), 0).await.err(),
        audit.prove_consistency(&acme, 1, 0).await.err(),
    ] {
        assert!(matches!(refused, Some(Error::TenantNotFound(_))), "{refused:?}");
    }
    // The vault goes on to sign what is left of the log, which continues what it was.
    record(fixture, &acme, 2).await;
    fixture.sequence().await;
    assert_eq!(fixture.store.witness_requests(acme.tenant()).await.unwrap(), []);
    assert_eq!(fixture.count("audit_checkpoints WHERE tenant_id = 'acme' AND size > 301").await, 1);
}
