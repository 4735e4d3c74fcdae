//! What differs between the two databases, and row-level security.

/// A statement in the words of one database. `{…}` are what differs; `STRICT` makes SQLite check types.
pub(crate) fn dialect(sql: &str, postgres: bool) -> String {
    let types: [(&str, &str, &str); 11] = [
        ("{int}", "bigint", "INTEGER"),
        ("{text}", "text", "TEXT"),
        ("{bytes}", "bytea", "BLOB"),
        ("{uuid}", "uuid", "BLOB"),
        ("{json}", "jsonb", "TEXT"),
        ("{bool}", "boolean", "INTEGER"),
        ("{octets}", "octet_length", "length"),
        ("{strict}", "", " STRICT"),
        ("{serial}", "seq bigint GENERATED ALWAYS AS IDENTITY", "seq INTEGER PRIMARY KEY AUTOINCREMENT"),
        ("{transaction}", "(pg_current_xact_id()::text::bigint)", "0"),
        ("{serial_key}", ", PRIMARY KEY (tenant_id, seq)", ""),
    ];
    types.iter().fold(sql.to_owned(), |sql, (name, in_postgres, in_sqlite)| {
        sql.replace(name, if postgres { in_postgres } else { in_sqlite })
    })
}

/// Row-level security for a table: without a tenant set in the transaction there are no rows, for the owner too.
///
/// The tenant's policies are restrictive, so that a permissive one added later cannot widen them. A setting that was
/// once set reads as the empty string afterwards, not as NULL: hence `NULLIF`.
pub(crate) fn row_level_security(table: &str, crosses: bool) -> String {
    let own = "tenant_id = NULLIF(current_setting('credvault.tenant', true), '')";
    let seen = if crosses {
        format!("{own} OR current_setting('credvault.background', true) = 'on'")
    } else {
        own.to_owned()
    };
    format!(
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
         ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
         CREATE POLICY granted ON {table} USING (true) WITH CHECK (true);
         CREATE POLICY tenant_select ON {table} AS RESTRICTIVE FOR SELECT USING ({seen});
         CREATE POLICY tenant_insert ON {table} AS RESTRICTIVE FOR INSERT WITH CHECK ({own});
         CREATE POLICY tenant_update ON {table} AS RESTRICTIVE FOR UPDATE USING ({own}) WITH CHECK ({own});
         CREATE POLICY tenant_delete ON {table} AS RESTRICTIVE FOR DELETE USING ({own});"
    )
}
