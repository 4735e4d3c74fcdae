//! What copies of the database open, with the root key at hand: nothing of an erased tenant if they were made after the
//! erasure, whatever is in them; and the files of SQLite hold no remnant.

use std::sync::Arc;

use credvault_crypto::{Keyring, RootKeySource, SystemRandom};
use credvault_domain::TenantId;
use credvault_store::ErasureState;
use sea_orm::{ConnectionTrait as _, Statement, TransactionTrait as _};

use super::{erased, tenant_with_rows};
use crate::fixture::{Fixture, open_store};
use crate::on_both;

on_both![the_root_key_and_a_dump_from_after_the_erasure_open_nothing];

/// The values of every column of bytes of every table.
async fn dump(fixture: &Fixture) -> Vec<Vec<u8>> {
    let postgres = fixture.postgres.is_some();
    let columns = if postgres {
        "SELECT string_agg(table_name || ' ' || column_name, ',') AS v FROM information_schema.columns
         WHERE table_schema = 'credvault' AND data_type = 'bytea'"
    } else {
        "SELECT group_concat(m.name || ' ' || p.name) AS v FROM sqlite_master m, pragma_table_info(m.name) p
         WHERE m.type = 'table' AND p.type = 'BLOB'"
    };
    let columns = fixture.text(columns).await;
    let mut values = Vec::new();
    for column in columns.split(',') {
        let (table, column) = column.split_once(' ').unwrap();
        let all = if postgres {
            format!("SELECT COALESCE(string_agg(encode({column}, 'hex'), ','), '') AS v FROM {table}")
        } else {
            format!("SELECT COALESCE(group_concat(hex({column})), '') AS v FROM {table}")
        };
        values.extend(fixture.text(&all).await.split(',').map(bytes));
    }
    values
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// How many of these values the root key unwraps as a key of the tenant, whatever its version.
async fn keys_in(fixture: &Fixture, values: &[Vec<u8>], tenant: &str) -> usize {
    let source = RootKeySource::File(fixture.folder.path().join("root-01.key"));
    let (root, _) = source.load(None, &SystemRandom).unwrap();
    let keyring = Keyring::new(root, Arc::new(SystemRandom));
    let tenant = TenantId::parse(tenant).unwrap();
    let mut found = 0;
    for value in values {
        for version in 1..=3 {
            found += usize::from(keyring.unwrap(&tenant, version, value).await.is_ok());
        }
    }
    found
}

async fn the_root_key_and_a_dump_from_after_the_erasure_open_nothing(fixture: &Fixture) {
    let (acme, connection) = tenant_with_rows(fixture, "acme").await;
    tenant_with_rows(fixture, "other").await;
    fixture.add_key(acme.tenant()).await;
    fixture.put(&acme, connection, "CANARY under the second key").await;
    let before = dump(fixture).await;
    assert_eq!(keys_in(fixture, &before, "acme").await, 2, "this is how a dump from before opens");
    let erasure = erased(fixture, &acme).await;
    assert_eq!(erasure.keys.iter().map(|key| key.version).collect::<Vec<_>>(), [1, 2]);
    let after = dump(fixture).await;
    assert_eq!(keys_in(fixture, &after, "acme").await, 0);
    assert_eq!(keys_in(fixture, &after, "other").await, 1);
}

/// SQLite leaves copies of rows behind where it moves them, and in the write-ahead log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_sqlite_hold_no_remnant_of_a_key() {
    let fixture = &Fixture::sqlite().await;
    let (acme, _) = tenant_with_rows(fixture, "acme").await;
    for number in 0..40 {
        fixture.tenant(&format!("t{number}")).await;
    }
    let key = "SELECT hex(wrapped) AS v FROM tenant_keys WHERE tenant_id = 'acme'";
    let key = bytes(&fixture.text(key).await);
    // Larger rows beside it: its page is split and rebuilt.
    fixture.execute("UPDATE tenant_keys SET wrapped = randomblob(900) WHERE tenant_id LIKE 't%'").await;
    assert!(copies(fixture, &key) > 0, "this is how it is found");
    assert_eq!(erased(fixture, &acme).await.state, ErasureState::Erased);
    assert_eq!(owed(fixture).await, "1", "changes wait for the next upkeep, and not for this");
    // Another process, after this one was killed.
    let other = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    other.upkeep().await.unwrap();
    assert_eq!((copies(fixture, &key), owed(fixture).await.as_str()), (0, "0"));
    other.close().await;
}

/// A reader has the old content before its eyes. The erasure ends nevertheless, and the file is rewritten later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_sqlite_keeps_no_erasure_from_its_end() {
    let fixture = &Fixture::sqlite().await;
    let (acme, _) = tenant_with_rows(fixture, "acme").await;
    let (other, _) = tenant_with_rows(fixture, "other").await;
    let reader = fixture.admin_connection().await.begin().await.unwrap();
    let rows = Statement::from_string(reader.get_database_backend(), "SELECT * FROM tenants");
    reader.query_all_raw(rows).await.unwrap();
    for tenant in [&acme, &other] {
        assert_eq!(erased(fixture, tenant).await.state, ErasureState::Erased);
    }
    fixture.store.upkeep().await.unwrap();
    assert_eq!(owed(fixture).await, "2");
    reader.rollback().await.unwrap();
    fixture.store.upkeep().await.unwrap();
    assert_eq!(owed(fixture).await, "0");
}

/// The file is rewritten, and a reader has begun meanwhile: only the log is still to be emptied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_a_rewritten_file_of_sqlite_does_not_have_it_rewritten_again() {
    let fixture = &Fixture::sqlite().await;
    let (acme, _) = tenant_with_rows(fixture, "acme").await;
    // A table larger than the log may get without a rewriting.
    fixture.execute("CREATE TABLE large AS SELECT zeroblob(4000000) AS content").await;
    fixture.execute("PRAGMA user_version = -1").await;
    fixture.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let reader = fixture.admin_connection().await.begin().await.unwrap();
    let rows = Statement::from_string(reader.get_database_backend(), "SELECT * FROM tenants");
    reader.query_all_raw(rows).await.unwrap();
    // Something that the reader does not see, and so keeps in the log.
    fixture.tenant("other").await;
    fixture.store.upkeep().await.unwrap();
    assert_eq!(owed(fixture).await, "-1");
    let log = std::fs::metadata(fixture.folder.path().join("vault.db-wal")).unwrap().len();
    assert!(log < 2_000_000, "{log} bytes");
    reader.rollback().await.unwrap();
    fixture.store.upkeep().await.unwrap();
    assert_eq!(owed(fixture).await, "0");
    // An erasure that ends while the log waits has the file rewritten.
    fixture.execute("PRAGMA user_version = -1").await;
    assert_eq!(erased(fixture, &acme).await.state, ErasureState::Erased);
    assert_eq!(owed(fixture).await, "1");
}

/// How many erasures have ended since SQLite's file was rewritten.
async fn owed(fixture: &Fixture) -> String {
    fixture.text("SELECT CAST(user_version AS TEXT) AS v FROM pragma_user_version").await
}

/// How often these bytes are in the files of the database.
fn copies(fixture: &Fixture, bytes: &[u8]) -> usize {
    let files = ["vault.db", "vault.db-wal"].map(|name| fixture.folder.path().join(name));
    let held = files.map(|file| std::fs::read(file).unwrap_or_default());
    held.iter().flat_map(|held| held.windows(bytes.len())).filter(|window| *window == bytes).count()
}
