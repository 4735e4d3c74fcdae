//! Rows of a log that are altered, deleted, moved, added or cut off in the database: what reads them refuses, or an export's
//! verifier names the record.

use credvault_store::{AuditFilter, Error};

use crate::audit::exported::{exported, part, signed, verify};
use crate::audit::record;
use crate::audit::stretches::read_from;
use crate::fixture::Fixture;
use crate::on_both;

on_both![
    bundles_that_were_tampered_with_are_refused,
    hashes_that_were_tampered_with_are_named_by_the_verifier,
];

/// A tenant whose log has two whole bundles and pieces, with a signed checkpoint.
async fn with_log(fixture: &Fixture, tenant: &str) {
    let scope = fixture.tenant(tenant).await;
    for count in [299, 250, 51] {
        record(fixture, &scope, count).await;
        fixture.sequence().await;
    }
    assert_eq!(signed(fixture, &scope).await.1.unverified().size, 601);
}

async fn permit_updates(fixture: &Fixture) {
    if fixture.postgres.is_none() {
        fixture.execute("DROP TRIGGER audit_bundles_unchanged").await;
        fixture.execute("DROP TRIGGER audit_tiles_unchanged").await;
    }
}

async fn bundles_that_were_tampered_with_are_refused(fixture: &Fixture) {
    permit_updates(fixture).await;
    let tamperings: [(&str, &[&str]); 6] = [
        (
            "altered",
            &[
                "UPDATE audit_bundles SET sealed = (SELECT b.sealed FROM audit_bundles b WHERE b.tenant_id = 'T' AND \
               b.start = 0) WHERE tenant_id = 'T' AND start = 256",
            ],
        ),
        (
            "emptied",
            &[
                "UPDATE audit_bundles SET sealed = NULL, key_number = NULL WHERE tenant_id = 'T' AND start = 256",
            ],
        ),
        ("deleted", &["DELETE FROM audit_bundles WHERE tenant_id = 'T' AND start = 256"]),
        (
            "swapped",
            &[
                "UPDATE audit_bundles SET start = 100000 WHERE tenant_id = 'T' AND start = 0",
                "UPDATE audit_bundles SET start = 0 WHERE tenant_id = 'T' AND start = 256",
                "UPDATE audit_bundles SET start = 256 WHERE tenant_id = 'T' AND start = 100000",
            ],
        ),
        ("shortened", &["UPDATE audit_bundles SET records = 255 WHERE tenant_id = 'T' AND start = 256"]),
        (
            "added",
            &[
                "INSERT INTO audit_bundles (tenant_id, start, records, key_number, sealed, leaves, settled, frontier) \
               SELECT tenant_id, 601, 1, key_number, sealed, leaves, settled, frontier FROM audit_bundles \
               WHERE tenant_id = 'T' AND start >= 512 ORDER BY start LIMIT 1",
            ],
        ),
    ];
    for (tenant, statements) in tamperings {
        with_log(fixture, tenant).await;
        for sql in statements {
            fixture.execute(&sql.replace("'T'", &format!("'{tenant}'"))).await;
        }
        let scope = crate::fixture::scope(tenant, None);
        let refused = exported(fixture, part(&scope, None, None), Vec::new()).await;
        assert!(matches!(refused, Err(Error::Integrity)), "{tenant}: {refused:?}");
        let read = read_from(fixture, &scope, &AuditFilter::default(), 0).await;
        assert!(matches!(read, Err(Error::Integrity)), "{tenant}");
    }

    // The end is cut off: nothing is signed that does not continue what was signed before.
    with_log(fixture, "cut").await;
    fixture.execute("DELETE FROM audit_bundles WHERE tenant_id = 'cut' AND start >= 512").await;
    let refused = exported(fixture, part(&crate::fixture::scope("cut", None), None, None), Vec::new()).await;
    assert!(matches!(refused, Err(Error::Integrity)), "{refused:?}");
}

async fn hashes_that_were_tampered_with_are_named_by_the_verifier(fixture: &Fixture) {
    permit_updates(fixture).await;
    let other = "(SELECT t.C FROM audit_tiles t WHERE t.tenant_id = 'T' AND t.level = 0 AND t.number = 0)";
    for (tenant, column) in [("leaves", "hashes"), ("roots", "root")] {
        with_log(fixture, tenant).await;
        let sql =
            format!("UPDATE audit_tiles SET C = {other} WHERE tenant_id = 'T' AND level = 0 AND number = 1");
        let sql = sql.replace("'T'", &format!("'{tenant}'"));
        fixture
            .execute(&sql.replace("t.C", &format!("t.{column}")).replace("SET C", &format!("SET {column}")))
            .await;
        let scope = crate::fixture::scope(tenant, None);
        let (keys, _) = signed(fixture, &scope).await;
        let lines = exported(fixture, part(&scope, None, None), Vec::new()).await.unwrap();
        let finding = verify(&lines, &keys, &[]).expect_err(tenant);
        assert_eq!(finding.first_bad, Some(256), "{tenant}: {finding}");
    }
}
