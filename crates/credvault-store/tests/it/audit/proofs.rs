//! What is stored of a log proves each of its records, and that it continues what it was.

use credvault_audit::{Hash, Plan, Record, verify_consistency, verify_inclusion};

use crate::audit::{ids, record};
use crate::fixture::Fixture;
use crate::on_both;

on_both![every_record_is_proved_from_what_is_stored, a_log_continues_what_it_was];

async fn every_record_is_proved_from_what_is_stored(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    assert_eq!(fixture.store.audit().head(&acme).await.unwrap().size, 0);
    for count in [3, 400, 700] {
        record(fixture, &acme, count).await;
        fixture.sequence().await;
    }
    let (audit, head) = (fixture.store.audit(), fixture.store.audit().head(&acme).await.unwrap());
    assert_eq!(head.size, 1104, "with the record of the tenant's creation");
    let known = ids(fixture, "acme").await;
    for index in [0, 1, 255, 256, 511, 767, 768, 1023, 1024, 1103] {
        let plan = Plan::inclusion(index, head.size).unwrap();
        let tiles = audit.tiles(&acme, std::slice::from_ref(&plan)).await.unwrap();
        let proof = plan.hashes(&tiles).unwrap();
        let entry = audit.entry(&acme, index).await.unwrap().unwrap();
        assert_eq!(verify_inclusion(entry.leaf(), index, head.size, &proof, head.root), Ok(()), "{index}");
        assert!(known.contains(&Record::decode(&entry.record).unwrap().id));
        let other = verify_inclusion(Hash::of_leaf(&[b"other"]), index, head.size, &proof, head.root);
        assert!(other.is_err(), "{index}");
    }
    assert_eq!(audit.entry(&acme, head.size).await.unwrap(), None);
}

async fn a_log_continues_what_it_was(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let mut heads = Vec::new();
    for count in [1, 200, 256, 5, 600] {
        record(fixture, &acme, count).await;
        fixture.sequence().await;
        heads.push(fixture.store.audit().head(&acme).await.unwrap());
    }
    let now = *heads.last().unwrap();
    for then in heads {
        let plans = [Plan::consistency(then.size, now.size).unwrap(), Plan::root(then.size)];
        let tiles = fixture.store.audit().tiles(&acme, &plans).await.unwrap();
        let proof = plans[0].hashes(&tiles).unwrap();
        assert_eq!(plans[1].hashes(&tiles).unwrap(), [then.root]);
        let continued = verify_consistency((then.size, then.root), (now.size, now.root), &proof);
        assert_eq!(continued, Ok(()), "{then:?}");
    }
}
