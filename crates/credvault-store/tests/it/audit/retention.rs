//! Retention: the oldest records go, what is left is proved, and nothing goes that the archive should have and has not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use credvault_audit::{Plan, verify_consistency, verify_inclusion};
use credvault_domain::{Action, LimitKind, TenantScope};
use serde_json::Value;
use uuid::Uuid;

use crate::audit::{ids, record};
use crate::fixture::{Fixture, write};
use crate::on_both;

on_both![
    old_records_go_and_what_is_left_is_proved,
    a_tenant_has_a_retention_of_its_own,
    records_are_in_the_archive_before_they_go,
    nothing_goes_while_the_archive_cannot_be_written,
];

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The same database with a retention of 30 days, and perhaps an archive.
async fn with_retention(fixture: &Fixture, archive: Option<PathBuf>) -> Fixture {
    fixture
        .reopened(|settings| {
            settings.audit_retention_days = 30;
            settings.audit_archive = archive;
        })
        .await
}

/// Records of which the oldest 701 are 35 days old, and 700 are 15 days old.
async fn older_and_younger(fixture: &Fixture) -> TenantScope {
    let acme = fixture.tenant("acme").await;
    for age in [20, 15] {
        record(fixture, &acme, 700).await;
        fixture.sequence().await;
        fixture.clock.advance(DAY * age);
    }
    acme
}

async fn prove(fixture: &Fixture, scope: &TenantScope, indexes: impl IntoIterator<Item = u64>) {
    let audit = fixture.store.audit();
    let head = audit.head(scope).await.unwrap();
    for index in indexes {
        let plan = Plan::inclusion(index, head.size).unwrap();
        let tiles = audit.tiles(scope, std::slice::from_ref(&plan)).await.unwrap();
        let proof = plan.hashes(&tiles).unwrap();
        let entry = audit.entry(scope, index).await.unwrap().unwrap();
        assert_eq!(verify_inclusion(entry.leaf(), index, head.size, &proof, head.root), Ok(()), "{index}");
    }
}

async fn old_records_go_and_what_is_left_is_proved(fixture: &Fixture) {
    let acme = older_and_younger(fixture).await;
    let (audit, before) = (fixture.store.audit(), ids(fixture, "acme").await);
    let then = audit.head(&acme).await.unwrap();
    assert_eq!((then.size, audit.first_kept(&acme).await.unwrap()), (1401, 0));
    let other = with_retention(fixture, None).await;
    other.store.upkeep().await.unwrap();
    // The third bundle has younger records, too.
    assert_eq!(audit.first_kept(&acme).await.unwrap(), 512);
    assert_eq!(fixture.count("audit_bundles WHERE tenant_id = 'acme' AND start < 512").await, 0);
    let left = ids(fixture, "acme").await;
    assert!(left.len() == 889 && before.is_superset(&left), "{}", left.len());
    assert!(audit.entry(&acme, 511).await.unwrap().is_none());
    prove(fixture, &acme, [512, 700, 1279, 1280, 1400]).await;

    // The newest row stays whatever its age, and the log goes on from it.
    fixture.clock.advance(DAY * 100);
    other.store.upkeep().await.unwrap();
    assert_eq!((audit.first_kept(&acme).await.unwrap(), audit.head(&acme).await.unwrap()), (1280, then));
    record(fixture, &acme, 300).await;
    fixture.sequence().await;
    let now = audit.head(&acme).await.unwrap();
    assert_eq!(now.size, 1701);
    let plan = Plan::consistency(then.size, now.size).unwrap();
    let tiles = audit.tiles(&acme, std::slice::from_ref(&plan)).await.unwrap();
    let proof = plan.hashes(&tiles).unwrap();
    assert_eq!(verify_consistency((then.size, then.root), (now.size, now.root), &proof), Ok(()));
    prove(fixture, &acme, [1280, 1401, 1700]).await;
    other.store.close().await;
}

async fn a_tenant_has_a_retention_of_its_own(fixture: &Fixture) {
    let acme = older_and_younger(fixture).await;
    let other = with_retention(fixture, None).await;
    let set = async |days: u64| {
        let limits = [(LimitKind::AuditDays, Some(days))];
        let write = write(&acme, Action::SetTenantLimits);
        fixture.store.rules().set_limits(&acme, &limits, &write).await.unwrap().into_inner();
    };
    // Set by another process a moment ago: what this one remembers must not decide.
    set(0).await;
    other.store.upkeep().await.unwrap();
    assert_eq!(fixture.store.audit().first_kept(&acme).await.unwrap(), 0);
    fixture.clock.advance(Duration::from_secs(3601));
    set(10).await;
    other.store.upkeep().await.unwrap();
    assert_eq!(fixture.store.audit().first_kept(&acme).await.unwrap(), 1280);
    other.store.close().await;
}

/// The lines of a file of the archive.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn records_are_in_the_archive_before_they_go(fixture: &Fixture) {
    let acme = older_and_younger(fixture).await;
    let before = ids(fixture, "acme").await;
    let archive = fixture.folder.path().join("archive");
    let folder = archive.join("tenants").join("acme");
    let name = folder.join("00000000000000000000-00000000000000000512.jsonl");
    // What a process has left that was killed before it removed them.
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&name, "cut off").unwrap();
    let other = with_retention(fixture, Some(archive)).await;
    other.store.upkeep().await.unwrap();
    assert_eq!(fixture.store.audit().first_kept(&acme).await.unwrap(), 512);
    let found: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found, std::slice::from_ref(&name));
    let lines = lines(&name);
    let header = &lines[0]["header"];
    assert_eq!(
        (header["start"].as_u64(), header["end"].as_u64(), header["complete"].as_bool()),
        (Some(0), Some(512), Some(true))
    );
    let archived: BTreeSet<Uuid> = lines
        .iter()
        .filter_map(|line| line["record"]["event"]["id"].as_str())
        .map(|id| id.parse().unwrap())
        .collect();
    let left = ids(fixture, "acme").await;
    assert_eq!(archived, before.difference(&left).copied().collect());
    assert_eq!(lines.last().unwrap()["end"]["records"].as_u64(), Some(512));
    other.store.close().await;
}

async fn nothing_goes_while_the_archive_cannot_be_written(fixture: &Fixture) {
    let acme = older_and_younger(fixture).await;
    let archive = fixture.folder.path().join("archive");
    std::fs::write(&archive, "a file, and no folder").unwrap();
    let other = with_retention(fixture, Some(archive.clone())).await;
    other.store.upkeep().await.unwrap();
    assert_eq!(fixture.store.audit().first_kept(&acme).await.unwrap(), 0);
    assert_eq!(ids(fixture, "acme").await.len(), 1401);
    std::fs::remove_file(&archive).unwrap();
    fixture.clock.advance(Duration::from_secs(3601));
    other.store.upkeep().await.unwrap();
    assert_eq!(fixture.store.audit().first_kept(&acme).await.unwrap(), 512);
    other.store.close().await;
}

/// Only a log with more than 65,536 records has a full tile above others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_go_that_a_tile_above_has_and_proofs_do_not_need_them() {
    let fixture = Fixture::sqlite().await;
    let acme = fixture.tenant("acme").await;
    for _ in 0..20 {
        record(&fixture, &acme, 3330).await;
        fixture.sequence().await;
    }
    fixture.clock.advance(DAY * 31);
    record(&fixture, &acme, 100).await;
    fixture.sequence().await;
    let other = with_retention(&fixture, None).await;
    other.store.upkeep().await.unwrap();
    // 260 bundles were whole and old: the first 256 have a tile above them.
    assert_eq!(fixture.store.audit().first_kept(&acme).await.unwrap(), 260 * 256);
    let tiles = |level: i64| format!("audit_tiles WHERE tenant_id = 'acme' AND level = {level}");
    assert_eq!((fixture.count(&tiles(0)).await, fixture.count(&tiles(1)).await), (4, 1));
    prove(&fixture, &acme, [66_560, 66_600, 66_700]).await;
    let now = fixture.store.audit().head(&acme).await.unwrap();
    assert_eq!(now.size, 66_701);
    record(&fixture, &acme, 300).await;
    fixture.sequence().await;
    prove(&fixture, &acme, [66_560, 67_000]).await;
    other.store.close().await;
}
