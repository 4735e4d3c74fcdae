//! Every column of every table with sealed values, altered one at a time.

use std::collections::{BTreeMap, BTreeSet};

use credvault_store::{AuthorizationError, Error};

use super::Prepared;
use crate::delivered_keys::{BROWSER, begin, deliver_keys, start};
use crate::fixture::{Fixture, bringer};
use crate::on_both;

/// Columns that can be altered without being noticed, by what that is good for. Every other column, a new one too, must
/// be noticed.
const UNNOTICED: &[(&str, &[&str])] = &[
    (
        "make a row vanish, or serve an earlier row of the same key",
        &[
            "connections.tenant_id",
            "connections.id",
            "connections.delete_time",
            "connections.current_version",
            "credential_versions.tenant_id",
            "credential_versions.connection_id",
            "credential_versions.version",
            "credential_versions.destroy_time",
            "tokens.tenant_id",
            "tokens.connection_id",
            "tokens.version",
            "oauth_apps.tenant_id",
            "oauth_apps.provider",
            "revocations.tenant_id",
            "revocations.connection_id",
            "rotated_keys.tenant_id",
            "rotated_keys.connection_id",
            "rotated_keys.number",
            "event_endpoints.tenant_id",
            "event_endpoints.id",
            // Without its row, the vault makes another key, which verifies nothing that was signed before.
            "signing_keys.tenant_id",
        ],
    ),
    (
        "show another state, time, hint, label or account; serve what has expired or is disabled, or the opposite",
        &[
            "connections.state",
            "connections.error_reason",
            "connections.error_code",
            "connections.error_time",
            "connections.enabled",
            "connections.labels",
            "connections.external_account_id",
            "connections.found_account_id",
            "connections.hints",
            "connections.expire_time",
            "connections.last_used_time",
            "connections.revision",
            "connections.create_time",
            "connections.update_time",
            "connections.purge_time",
            "connections.last_version",
            "connections.last_refreshed_time",
            "connections.last_verified_time",
            "connections.scopes_asked",
            "connections.scopes_granted",
            "connections.revocation",
            "connections.revocation_time",
            "connections.test_time",
            "connections.rotation_days",
            "connections.rotation_due_time",
            "credential_versions.hints",
            "credential_versions.create_time",
            "credential_versions.expire_time",
            "credential_versions.rolled_back_from",
            // A version whose key has ended can be rolled back to then, and does not work.
            "credential_versions.key_revoke_time",
            "tokens.expire_time",
            "oauth_apps.hints",
            "oauth_apps.create_time",
            "oauth_apps.update_time",
            "revocations.attempts",
            // The id that is sent to the provider is among the sealed fields; this one is for people.
            "rotated_keys.key_id",
            "rotated_keys.expire_time",
            "rotated_keys.create_time",
            "rotated_keys.due_time",
            "rotated_keys.attempts",
            // The URL that is called is sealed; this one is for people.
            "event_endpoints.url",
            "event_endpoints.types",
            "event_endpoints.description",
            "event_endpoints.enabled",
            "event_endpoints.previous_expire_time",
            "event_endpoints.failures",
            "event_endpoints.success_time",
            "event_endpoints.failure_time",
            "event_endpoints.failure",
            "event_endpoints.create_time",
            "event_endpoints.update_time",
            "tenant_keys.root_id",
            // A lower one has the key wrapped once more; a higher one leaves it out of the next rotation of the root key.
            "tenant_keys.generation",
            "tenant_keys.create_time",
            // When a key that was replaced is destroyed: an earlier one costs what is still under it nothing.
            "tenant_keys.retire_time",
            // Which external secret a record refers to is sealed; these are for finding secrets that none refers to, and for
            // people.
            "credential_versions.payload",
            "credential_versions.store",
            "tokens.payload",
            "revocations.payload",
            "signing_keys.create_time",
        ],
    ),
    (
        "have another account taken for a connection's: whose webhooks count there, which connections are one account's, and \
         whether a grant is kept",
        &["connections.confirmed_account_id", "connections.confirmed_settings"],
    ),
    (
        "have another connection of the same owner used where none is named",
        &["connections.account_name", "connections.is_default"],
    ),
];

/// Every column of a table with its type.
async fn columns(fixture: &Fixture, table: &str) -> BTreeMap<String, String> {
    let sql = match fixture.postgres {
        Some(_) => format!(
            "SELECT string_agg(column_name || ' ' || data_type, ',') AS v FROM information_schema.columns
             WHERE table_schema = 'credvault' AND table_name = '{table}'"
        ),
        None => format!("SELECT group_concat(name || ' ' || type) AS v FROM pragma_table_info('{table}')"),
    };
    let text = fixture.text(&sql).await;
    text.split(',').filter_map(|column| column.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect()
}

/// The tables with a sealed value.
async fn sealed_tables(fixture: &Fixture) -> BTreeSet<String> {
    let sql = match fixture.postgres {
        Some(_) => {
            "SELECT string_agg(DISTINCT table_name, ',') AS v FROM information_schema.columns
             WHERE table_schema = 'credvault' AND column_name IN ('sealed', 'wrapped')"
        }
        None => {
            "SELECT group_concat(DISTINCT t.name) AS v FROM sqlite_master t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND c.name IN ('sealed', 'wrapped')"
        }
    };
    let tables = fixture.text(sql).await;
    // What is altered in the audit log is noticed when it is read or verified: it has tests of its own.
    tables.split(',').filter(|table| !table.starts_with("audit_")).map(str::to_owned).collect()
}

/// Another value that the database takes: an assignment, together with what its checks tie to it.
fn other(table: &str, column: &str, kind: &str) -> String {
    let value = match (table, column) {
        ("connections", "state") => "'DISCONNECTED'",
        ("connections", "error_reason") => "'X', state = 'ERROR'",
        ("connections", "owner_user") => "''",
        ("connections", "current_version") => "0",
        ("connections", "delete_time") => "1, purge_time = 1",
        ("connections", "purge_time") => "1, delete_time = 1",
        ("connections", "config") => "'{\"store_url\":\"https://evil.example\"}'",
        ("connections", "scopes_asked" | "scopes_granted") | ("oauth_apps", "scopes") => "'[\"x\"]'",
        ("connections", "revocation") => "'DONE'",
        ("event_endpoints", "types") => "' connection.connected '",
        ("rotated_keys", "role") => "'UNUSED'",
        ("credential_versions", "destroy_time") => "1, sealed = NULL",
        _ => match kind.to_ascii_lowercase().as_str() {
            "text" if ["labels", "hints", "settings", "confirmed_settings"].contains(&column) => {
                "'{\"x\":\"y\"}'"
            }
            "jsonb" => "'{\"x\":\"y\"}'",
            "text" => return format!("{column} = coalesce({column}, '') || 'x'"),
            "boolean" => return format!("{column} = NOT {column}"),
            "bigint" | "integer" if column == "enabled" || column == "is_default" => {
                return format!("{column} = 1 - {column}");
            }
            "bigint" | "integer" => return format!("{column} = coalesce({column}, 0) + 1"),
            "uuid" => "'0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e'",
            "blob" if ["id", "connection_id", "payload"].contains(&column) => {
                "x'0193a5b27c407cc19d3e1f2a3b4c5d6e'"
            }
            "blob" => return format!("{column} = zeroblob(length({column}))"),
            "bytea" => return format!("{column} = decode(repeat('00', octet_length({column})), 'hex')"),
            kind => panic!("{table}.{column} is of the new type {kind}"),
        },
    };
    format!("{column} = {value}")
}

on_both![
    every_column_that_decides_whose_or_where_is_noticed,
    what_was_brought_for_a_consent_opens_as_it_came_or_not_at_all,
];

async fn every_column_that_decides_whose_or_where_is_noticed(fixture: &Fixture) {
    let prepared = Prepared::new(fixture).await;
    let postgres = fixture.postgres.is_some();
    let free = if postgres { "SET session_replication_role = replica" } else { "PRAGMA foreign_keys = OFF" };
    let listed: BTreeSet<&str> = UNNOTICED.iter().flat_map(|(_, columns)| columns.iter().copied()).collect();
    let mut tables = sealed_tables(fixture).await;
    // What lies there belongs to a consent, which takes it once: the next test has it.
    tables.retain(|table| !matches!(table.as_str(), "delivered_keys" | "callbacks"));
    tables.insert("connections".to_owned());
    let mut wrong = Vec::new();
    for table in &tables {
        prepared.open(fixture, table).await.unwrap_or_else(|error| panic!("{table}: {error}"));
        fixture.execute(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
        for (column, kind) in columns(fixture, table).await {
            let change = other(table, &column, &kind);
            let row = prepared.row(fixture, table);
            fixture.execute(&format!("{free}; UPDATE {table} SET {change} WHERE {row}")).await;
            let noticed = matches!(prepared.open(fixture, table).await, Err(Error::Integrity));
            let name = format!("{table}.{column}");
            if noticed == listed.contains(name.as_str()) {
                wrong.push(format!("{name} (noticed: {noticed})"));
            }
            let again = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}");
            fixture.execute(&format!("{free}; {again}")).await;
            prepared.open(fixture, table).await.unwrap_or_else(|error| panic!("{name} again: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn what_was_brought_for_a_consent_opens_as_it_came_or_not_at_all(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let free = if fixture.postgres.is_some() {
        "SET session_replication_role = replica"
    } else {
        "PRAGMA foreign_keys = OFF"
    };
    let mut tried = 0;
    for table in ["delivered_keys", "callbacks"] {
        for (column, kind) in columns(fixture, table).await {
            let authorizations = fixture.store.authorizations();
            let state = begin(fixture, &scope, &format!("{table}-{column}")).await;
            start(fixture, &state).await;
            let awaited = authorizations.find(&state).await.unwrap();
            deliver_keys(fixture, &state).await.unwrap();
            let brought =
                [("state".to_owned(), state.clone()), ("code".to_owned(), "CANARY".to_owned())].into();
            authorizations.arrive(&awaited, Some(BROWSER), Some(&brought)).await.unwrap();
            assert_eq!(authorizations.callback(&awaited).await.unwrap().parameters, brought);

            let change = other(table, &column, &kind);
            fixture.execute(&format!("{free}; UPDATE {table} SET {change}")).await;
            let name = format!("{table}.{column}");
            let kept = authorizations.callback(&awaited).await;
            let taken = authorizations.take(&scope, &state, bringer(None)).await;
            // A row whose key is altered is not found.
            let gone = matches!(column.as_str(), "tenant_id" | "state_hash");
            match (table, gone) {
                ("delivered_keys", true) => assert!(taken.unwrap().delivered.is_none(), "{name}"),
                ("delivered_keys", false) => {
                    assert!(matches!(taken, Err(Error::Integrity)), "{name}: {taken:?}")
                }
                (_, true) => {
                    let refused = matches!(kept, Err(Error::Authorization(AuthorizationError::Replayed)));
                    assert!(refused, "{name}: {kept:?}");
                }
                (_, false) => assert!(matches!(kept, Err(Error::Integrity)), "{name}: {kept:?}"),
            }
            fixture.execute(&format!("{free}; DELETE FROM {table}")).await;
            tried += 1;
        }
    }
    assert_eq!(tried, 9, "every column of both");
}
