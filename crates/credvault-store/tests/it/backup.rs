//! Backups of the store: no table is forgotten, and every row comes back as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use credvault_crypto::{Keyring, RootKeySource, RootKeySources, SystemRandom};
use credvault_domain::{Clock as _, Random, TenantId};
use credvault_store::{
    BACKED_UP_TABLES, BackupError, ErasedTenants, LEFT_OUT_TABLES, RestoreSettings, Restored, StoreSettings,
    restore_backup, verify_backup,
};
use credvault_testkit::{Postgres, PostgresDatabase};
use secrecy::SecretString;

use crate::fixture::{Fixture, open_store};
use crate::on_both;
use crate::postgres::row_security::fixture_with_rows;

on_both![every_table_is_backed_up_or_left_out_for_a_reason];

async fn every_table_is_backed_up_or_left_out_for_a_reason(fixture: &Fixture) {
    let sql = match fixture.postgres {
        Some(_) => {
            "SELECT string_agg(table_name, ',') AS v FROM information_schema.tables
             WHERE table_schema = 'credvault'"
        }
        None => {
            "SELECT group_concat(name) AS v FROM sqlite_master
             WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        }
    };
    let tables = fixture.text(sql).await;
    let tables: BTreeSet<&str> = tables.split(',').collect();
    let mut listed: Vec<&str> = BACKED_UP_TABLES.to_vec();
    listed.extend(LEFT_OUT_TABLES.iter().map(|(table, _)| *table));
    assert_eq!(
        listed.iter().copied().collect::<BTreeSet<_>>(),
        tables,
        "src/backup/tables.rs lists them all"
    );
    assert_eq!(listed.len(), tables.len(), "none is in both lists");
    assert!(LEFT_OUT_TABLES.iter().all(|(_, reason)| reason.len() > 20));
}

/// A backup of a fixture on PostgreSQL, and the database that it came back in.
async fn restored(fixture: &Fixture) -> (Restored, PostgresDatabase) {
    let database = fixture.postgres.as_ref().unwrap();
    // A store that does nothing else, so that nothing changes behind the backup.
    fixture.store.close().await;
    let store = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let mut bytes = Vec::new();
    let migrate_url: SecretString = database.migrate_url.clone().into();
    store.back_up(Some(&migrate_url), &database.owner_role, &mut bytes, &mut |_| {}).await.unwrap();
    store.close().await;
    let target = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
    let settings = StoreSettings::new(target.url.clone().into());
    let migrate_url: SecretString = target.migrate_url.clone().into();
    let root_key = RootKeySource::File(fixture.folder.path().join("root-01.key"));
    let root_keys = RootKeySources::from(root_key);
    let to = RestoreSettings {
        store: &settings,
        migrate_url: Some(&migrate_url),
        owner_role: &target.owner_role,
        root_keys: &root_keys,
        erased: &ErasedTenants::default(),
        public_keys: &[],
        now: fixture.clock.now(),
    };
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let restored = restore_backup(&to, &random, &mut bytes.as_slice(), &mut |_| {}).await.unwrap();
    (restored, target)
}

/// More keys than are unwrapped at a time, and one of them is another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_is_unwrapped_by_a_verification() {
    let fixture = Fixture::sqlite().await;
    fixture.tenant("acme").await;
    let acme = TenantId::parse("acme").unwrap();
    let source = RootKeySource::File(fixture.folder.path().join("root-01.key"));
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let keyring = Keyring::new(source.load(None, &SystemRandom).unwrap().0, Arc::clone(&random));
    let mut rows = Vec::new();
    for version in 2..=1_150_u32 {
        let wrapped = keyring.generate(&acme, version).await.unwrap();
        let hex: String = wrapped.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        rows.push(format!("('acme', {version}, {}, x'{hex}', 0)", wrapped.root_id));
    }
    let columns = "tenant_id, version, root_id, wrapped, create_time";
    fixture.execute(&format!("INSERT INTO tenant_keys ({columns}) VALUES {}", rows.join(","))).await;
    let verify = async || {
        let mut bytes = Vec::new();
        fixture.store.back_up(None, "unused", &mut bytes, &mut |_| {}).await.unwrap();
        verify_backup(&source.clone().into(), &[], &random, &mut bytes.as_slice(), &mut |_| {}).await
    };
    let whole = verify().await.unwrap();
    assert_eq!(whole.tenant_keys, 1_151, "the platform's, too");
    let other = "UPDATE tenant_keys SET wrapped = (SELECT wrapped FROM tenant_keys WHERE version = 1110) WHERE version = 1111";
    fixture.execute(other).await;
    let broken = verify().await.unwrap_err();
    assert!(matches!(broken, BackupError::TenantKey { version: 1111, .. }), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_comes_back_as_it_was() {
    let fixture = fixture_with_rows().await;
    // The erasures are those of other tenants: rows of erased ones do not come back.
    let columns = "display_name, state, revision, create_time, update_time";
    let others = format!(
        "INSERT INTO tenants (tenant_id, {columns}) SELECT 'erased-' || tenant_id, {columns} FROM tenants
         WHERE tenant_id IN (SELECT tenant_id FROM erasures)"
    );
    fixture.execute(&others).await;
    fixture.execute("UPDATE erasures SET tenant_id = 'erased-' || tenant_id").await;
    let (restored, target) = restored(&fixture).await;
    let source = fixture.postgres.as_ref().unwrap();
    for table in BACKED_UP_TABLES {
        // The number of a transaction means nothing in another database.
        let all = format!(
            "SELECT count(*), md5(string_agg(r, ',' ORDER BY r))
             FROM (SELECT (to_jsonb(t) - 'txid')::text AS r FROM credvault.{table} t
                 WHERE to_jsonb(t) ->> 'action' IS DISTINCT FROM 'Restore'
                 AND to_jsonb(t) ->> 'due_time' IS DISTINCT FROM '{}') rows",
            i64::MAX
        );
        assert_eq!(target.psql(&all), source.psql(&all), "{table}");
    }
    for (table, _) in LEFT_OUT_TABLES.iter().filter(|(table, _)| *table != "schema_migrations") {
        assert_eq!(target.psql(&format!("SELECT count(*) FROM credvault.{table}")), "0", "{table}");
    }
    let record = "SELECT tenant_id || ' ' || service || ' ' || (changed ->> 0) FROM credvault.audit_events
        WHERE action = 'Restore'";
    let expected = format!(":platform vault backups/{}", restored.manifest.header_sha256);
    assert_eq!(target.psql(record).trim(), expected);
    assert_eq!(target.psql("SELECT max(txid) FROM credvault.tenant_rules"), "0");
    let rows: u64 = restored.manifest.tables.iter().map(|table| table.rows).sum();
    assert_eq!(restored.manifest.rows, rows);
    assert!(restored.migrated.is_empty());
    // Something is in an external store: the mark that nothing is removed there.
    assert!(restored.holds_secret_stores);
    let mark = format!("SELECT count(*) FROM credvault.payload_work WHERE due_time = {}", i64::MAX);
    assert_eq!(target.psql(&mark).trim(), "1");
}

/// The vault may have begun to use stores after the backup was made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_payloads_is_held_too() {
    let fixture = Fixture::postgres().await;
    fixture.tenant("acme").await;
    let (restored, target) = restored(&fixture).await;
    assert!(!restored.holds_secret_stores);
    let mark = format!("SELECT count(*) FROM credvault.payload_work WHERE due_time = {}", i64::MAX);
    assert_eq!(target.psql(&mark).trim(), "1");
}
