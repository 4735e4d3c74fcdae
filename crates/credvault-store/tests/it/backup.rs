//! Backups of the store: no table is forgotten, and every row comes back as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use credvault_crypto::{RootKeySource, RootKeySources, SystemRandom};
use credvault_domain::Random;
use credvault_store::{
    BACKED_UP_TABLES, ErasedTenants, LEFT_OUT_TABLES, RestoreSettings, Restored, StoreSettings,
    restore_backup,
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
        public_key: None,
    };
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let restored = restore_backup(&to, &random, &mut bytes.as_slice(), &mut |_| {}).await.unwrap();
    (restored, target)
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
             FROM (SELECT (to_jsonb(t) - 'txid')::text AS r FROM credvault.{table} t) rows"
        );
        assert_eq!(target.psql(&all), source.psql(&all), "{table}");
    }
    for (table, _) in LEFT_OUT_TABLES.iter().filter(|(table, _)| *table != "schema_migrations") {
        assert_eq!(target.psql(&format!("SELECT count(*) FROM credvault.{table}")), "0", "{table}");
    }
    assert_eq!(target.psql("SELECT max(txid) FROM credvault.tenant_rules"), "0");
    let rows: u64 = restored.manifest.tables.iter().map(|table| table.rows).sum();
    assert_eq!(restored.manifest.rows, rows);
    assert!(restored.migrated.is_empty());
}
