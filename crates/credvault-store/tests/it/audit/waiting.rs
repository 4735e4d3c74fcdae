//! Records whose log is not to be had wait, and hold up no others.

use std::time::{Duration, Instant};

use credvault_domain::{Action, TenantId, TenantState};
use uuid::Uuid;

use crate::audit::{ids, journal_rows, record, rows, tree};
use crate::erasures::erased;
use crate::fixture::{Fixture, scope, write};
use crate::on_both;

on_both![
    records_of_a_tenant_whose_key_does_not_open_wait_for_it,
    a_log_that_was_altered_holds_up_no_other,
    a_tile_that_was_added_holds_up_no_other_log,
    a_row_that_does_not_open_is_set_aside,
    a_row_that_was_set_aside_and_opens_comes_back,
    a_reader_does_not_wait_for_rows_that_are_long_overdue,
    records_of_tenants_that_never_were_are_in_the_platforms_log,
    a_suspended_tenant_is_recorded_and_a_rotated_key_goes_on,
    an_erased_tenants_log_proves_and_tells_nothing,
];

/// Replaces a tenant's wrapped key, and gives the SQL that undoes it.
async fn break_key(fixture: &Fixture, tenant: &str) -> String {
    let (hex, zeros, bytes) = match &fixture.postgres {
        Some(_) => (
            "encode(wrapped, 'hex')",
            "decode(repeat('00', octet_length(wrapped)), 'hex')",
            "decode('', 'hex')",
        ),
        None => ("lower(hex(wrapped))", "zeroblob(length(wrapped))", "x''"),
    };
    let whole =
        fixture.text(&format!("SELECT {hex} AS v FROM tenant_keys WHERE tenant_id = '{tenant}'")).await;
    fixture.execute(&format!("UPDATE tenant_keys SET wrapped = {zeros} WHERE tenant_id = '{tenant}'")).await;
    let literal = bytes.replace("''", &format!("'{whole}'"));
    format!("UPDATE tenant_keys SET wrapped = {literal} WHERE tenant_id = '{tenant}'")
}

/// The ids of the rows of the journal.
async fn journal_ids(fixture: &Fixture) -> Vec<Uuid> {
    let db = fixture.admin_connection().await;
    let found = rows(&db, "SELECT id FROM audit_journal ORDER BY id".to_owned()).await;
    let ids = found.iter().map(|row| row.try_get("", "id").unwrap()).collect();
    db.close().await.unwrap();
    ids
}

async fn records_of_a_tenant_whose_key_does_not_open_wait_for_it(fixture: &Fixture) {
    let (acme, beta) = (fixture.tenant("acme").await, fixture.tenant("beta").await);
    let mend = break_key(fixture, "acme").await;
    record(fixture, &acme, 7).await;
    record(fixture, &beta, 5).await;
    fixture.sequence().await;
    assert_eq!((tree(fixture, "acme").await, tree(fixture, "beta").await), (0, 6));
    let waiting = journal_ids(fixture).await;
    assert!(!waiting.is_empty());
    fixture.clock.advance(Duration::from_secs(61));
    record(fixture, &beta, 5).await;
    fixture.sequence().await;
    assert_eq!(tree(fixture, "beta").await, 11);
    assert_eq!(journal_ids(fixture).await, waiting, "rows whose records all wait stay as they are");

    fixture.execute(&mend).await;
    assert_eq!(ids(fixture, "acme").await.len(), 8, "it is listed although it waits");
    fixture.clock.advance(Duration::from_secs(61));
    fixture.sequence().await;
    assert_eq!((journal_rows(fixture).await, tree(fixture, "acme").await), (0, 8));
    assert_eq!(ids(fixture, "acme").await.len(), 8);
}

async fn a_log_that_was_altered_holds_up_no_other(fixture: &Fixture) {
    let (acme, beta) = (fixture.tenant("acme").await, fixture.tenant("beta").await);
    record(fixture, &acme, 3).await;
    fixture.sequence().await;
    if fixture.postgres.is_none() {
        fixture.execute("DROP TRIGGER audit_bundles_unchanged").await;
    }
    fixture.execute("UPDATE audit_bundles SET frontier = NULL WHERE tenant_id = 'acme'").await;
    record(fixture, &acme, 3).await;
    record(fixture, &beta, 3).await;
    fixture.sequence().await;
    assert_eq!(tree(fixture, "beta").await, 4);
    assert!(journal_rows(fixture).await > 0);
    assert_eq!(ids(fixture, "acme").await.len(), 7, "nothing is lost");
}

async fn a_tile_that_was_added_holds_up_no_other_log(fixture: &Fixture) {
    let (acme, beta) = (fixture.tenant("acme").await, fixture.tenant("beta").await);
    fixture.sequence().await;
    let zeros = |bytes: u32| match &fixture.postgres {
        Some(_) => format!("decode(repeat('00', {bytes}), 'hex')"),
        None => format!("zeroblob({bytes})"),
    };
    let tile = format!("INSERT INTO audit_tiles VALUES ('acme', 0, 1, {}, {})", zeros(8192), zeros(32));
    fixture.execute(&tile).await;
    // One round has the whole second bundle, and so its tile.
    record(fixture, &acme, 600).await;
    record(fixture, &beta, 3).await;
    let mut sequencer = fixture.store.sequencer();
    let (mut failed, mut ended) = (0, false);
    while !ended && failed < 5 {
        match sequencer.round().await {
            Ok(done) => ended = !done.more,
            Err(_) => failed += 1,
        }
    }
    assert!(ended, "one log holds up all");
    sequencer.stop().await;
    assert_eq!(tree(fixture, "beta").await, 4);
    assert!(journal_rows(fixture).await > 0);
    assert_eq!(ids(fixture, "acme").await.len(), 601, "nothing is lost");

    fixture.execute("DELETE FROM audit_tiles WHERE tenant_id = 'acme' AND level = 0 AND number = 1").await;
    fixture.clock.advance(Duration::from_secs(61));
    fixture.sequence().await;
    assert_eq!((journal_rows(fixture).await, tree(fixture, "acme").await), (0, 601));
}

async fn a_row_that_does_not_open_is_set_aside(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    fixture.sequence().await;
    record(fixture, &acme, 3).await;
    if fixture.postgres.is_none() {
        fixture.execute("DROP TRIGGER audit_journal_unchanged").await;
    }
    fixture.execute("UPDATE audit_journal SET key_number = key_number + 1").await;
    record(fixture, &acme, 4).await;
    fixture.sequence().await;
    assert_eq!(tree(fixture, "acme").await, 5);
    let aside = format!("audit_journal WHERE due_time = {}", i64::MAX);
    assert!(fixture.count(&aside).await >= 1);
    assert_eq!(fixture.count(&aside).await, journal_rows(fixture).await);
}

async fn a_row_that_was_set_aside_and_opens_comes_back(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    for due in [i64::MAX, i64::MAX - 1] {
        record(fixture, &acme, 3).await;
        fixture.execute(&format!("UPDATE audit_journal SET due_time = {due}")).await;
        fixture.sequence().await;
        assert_eq!(journal_rows(fixture).await, 0, "{due}");
    }
    assert_eq!(tree(fixture, "acme").await, 7);
}

async fn a_reader_does_not_wait_for_rows_that_are_long_overdue(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    fixture.sequence().await;
    record(fixture, &acme, 3).await;
    // A row of this moment is waited for, for a second at most.
    let checkpoint = async || {
        let begun = Instant::now();
        fixture.store.audit().checkpoint(&acme).await.unwrap();
        begun.elapsed()
    };
    assert!(checkpoint().await >= Duration::from_secs(1));
    fixture.clock.advance(Duration::from_secs(61));
    assert!(checkpoint().await < Duration::from_secs(1), "it has waited for what is long overdue");
    assert_eq!(ids(fixture, "acme").await.len(), 4, "it is listed all the same");
}

async fn records_of_tenants_that_never_were_are_in_the_platforms_log(fixture: &Fixture) {
    let never = scope("never", None);
    record(fixture, &never, 2).await;
    fixture.sequence().await;
    assert_eq!(tree(fixture, "never").await, 0);
    let records = fixture.records(TenantId::PLATFORM).await;
    let named =
        records.iter().filter(|record| record.changed.first().is_some_and(|name| name == "tenants/never"));
    assert_eq!(named.count(), 2);
}

async fn a_suspended_tenant_is_recorded_and_a_rotated_key_goes_on(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 10).await;
    fixture.sequence().await;
    fixture.add_key(acme.tenant()).await;
    let suspend = write(&acme, Action::SuspendTenant);
    fixture.store.tenants().set_state(&acme, TenantState::Suspended, &suspend).await.unwrap().into_inner();
    record(fixture, &acme, 300).await;
    fixture.sequence().await;
    assert_eq!(fixture.count("audit_keys WHERE tenant_id = 'acme'").await, 2, "one of each key");
    let all = ids(fixture, "acme").await;
    assert_eq!(tree(fixture, "acme").await, all.len() as u64);
    assert!(all.len() >= 310, "{}", all.len());
}

async fn an_erased_tenants_log_proves_and_tells_nothing(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 300).await;
    fixture.sequence().await;
    let before = tree(fixture, "acme").await;
    erased(fixture, &acme).await;
    // Answered a moment before the erasure, sequenced after it.
    record(fixture, &acme, 3).await;
    fixture.sequence().await;
    assert!(tree(fixture, "acme").await >= before + 3);
    assert_eq!(journal_rows(fixture).await, 0);
    assert_eq!(fixture.count("audit_keys WHERE tenant_id = 'acme'").await, 0);
    assert!(fixture.count("audit_bundles WHERE tenant_id = 'acme' AND sealed IS NULL").await > 0);
    let of_platform = fixture.records(TenantId::PLATFORM).await;
    assert!(of_platform.iter().all(|record| record.action != "FetchCredential"), "{of_platform:?}");
}
