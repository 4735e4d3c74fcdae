//! PostgreSQL: the role of backups reads everything and changes nothing, and the service's role gains nothing by it.

use crate::harness::VaultBuilder;
use crate::harness::backup::postgres_place;

use super::filled;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_of_backups_reads_all_and_changes_nothing() {
    let vault = VaultBuilder::postgres().start().await;
    filled(&vault).await;
    let database = vault.database.clone().unwrap();
    let role = format!("{}_backup", database.owner_role);
    let as_role = |sql: &str| format!("SET search_path = credvault; SET ROLE {role}; {sql}");
    let keys = database.psql(&as_role("SELECT count(*) FROM tenant_keys"));
    assert_eq!(keys, "4");
    for sql in [
        "DELETE FROM tenant_keys",
        "UPDATE connections SET enabled = false",
        "INSERT INTO user_deletions VALUES ('acme', 'u1', 0)",
        "CREATE TABLE other (a int)",
    ] {
        let tried = format!(
            "DO $$ BEGIN {sql}; RAISE EXCEPTION 'it could'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
        );
        database.psql(&as_role(&tried));
    }
    // The service can neither become that role nor see more than before.
    let refused = database.psql_as_service(&format!("SET ROLE {role}")).unwrap_err();
    assert!(refused.contains("permission denied"), "{refused}");
    let seen = database.psql_as_service("SELECT count(*) FROM credvault.tenant_keys").unwrap();
    assert_eq!(seen, "0");
}

/// A table that the role of backups does not see whole would be missing rows without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_hides_rows_from_a_backup_is_refused_by_its_name() {
    let vault = VaultBuilder::postgres().start().await;
    let database = vault.database.clone().unwrap();
    database.psql(
        "ALTER POLICY tenant_select ON credvault.tokens
         USING (tenant_id = NULLIF(current_setting('credvault.tenant', true), ''))",
    );
    let refused = vault.back_up("vault.backup").await.refused(1);
    assert!(refused.contains("the table tokens does not show its rows"), "{refused}");
    assert!(!vault.folder.path().join("vault.backup").exists());
    let no_url = vault.run(&[
        "backup",
        "--config",
        "credvault.toml",
        "--to",
        "vault.backup",
        "--set",
        "store.migrate_url=",
    ]);
    let no_url = no_url.await.refused(2);
    assert!(no_url.contains("store.migrate_url is missing"), "{no_url}");
}

/// Keys, indexes, policies and rights are those of a database that was prepared and never restored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_schema_is_the_schema() {
    const CATALOG: &str = "
        SELECT indexdef FROM pg_indexes WHERE schemaname = 'credvault' ORDER BY indexdef;
        SELECT conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'credvault'::regnamespace AND contype IN ('p', 'u', 'f', 'c') ORDER BY 1, 2;
        SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class
            WHERE relnamespace = 'credvault'::regnamespace AND relkind = 'r' ORDER BY relname;
        SELECT tablename, policyname, cmd, permissive FROM pg_policies WHERE schemaname = 'credvault' ORDER BY 1, 2;";
    let mut vault = VaultBuilder::postgres().start().await;
    filled(&vault).await;
    vault.back_up("vault.backup").await.done();
    let before = vault.database.as_ref().unwrap().psql(CATALOG);
    vault.stop().await;
    let place = postgres_place().await;
    vault.restore("vault.backup", &place, &[]).await.done();
    // The guard of the change feed, which tests have, is no part of the schema.
    assert_eq!(place.postgres.clone().unwrap().psql(CATALOG), before);
}
