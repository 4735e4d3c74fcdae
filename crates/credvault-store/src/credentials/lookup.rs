//! The hot path's one round trip: it finds the connection, its sealed version and the wrapped key.

use credvault_domain::{AccountName, Reach, TenantId, TenantScope, Timestamp, UserId};
use sea_orm::{ConnectionTrait as _, DbBackend, FromQueryResult as _, QueryResult, Statement, Value};

use crate::connections::row;
use crate::credentials::found::{Fetched, Sealed, Selector};
use crate::entity::connection;
use crate::{Database, Error, Store};

/// The row of what the selector finds, with the state of the tenant that asks. `platform`: the connection that the selector
/// names is one of the platform's own.
///
/// # Errors
/// The tenant does not exist, or the database fails.
pub(super) async fn look_up(
    store: &Store,
    scope: &TenantScope,
    selector: &Selector,
    platform: bool,
) -> Result<QueryResult, Error> {
    match store.database() {
        Database::Postgres => postgres(store, scope, selector, platform).await,
        Database::Sqlite => sqlite(store, scope, selector, platform).await,
    }
}

/// The parameters of a selector, in the order of both statements: user, any user, connection, provider, account, version.
fn parameters(scope: &TenantScope, selector: &Selector) -> [Value; 6] {
    let own_user = match scope.reach() {
        Reach::User(user) => Some(user),
        Reach::Shared | Reach::AllUsers => None,
    };
    let (user, connection, provider, account, version) = match selector {
        Selector::Connection { id, version } => (own_user, Some(id.as_uuid()), None, None, *version),
        Selector::Provider { provider, user, account } => {
            let user = user.as_ref().filter(|user| scope.reaches(user));
            (user, None, Some(provider.as_str()), account.as_ref().map(AccountName::as_str), None)
        }
    };
    let user = user.map(UserId::as_str);
    [
        user.into(),
        (*scope.reach() == Reach::AllUsers).into(),
        connection.into(),
        provider.into(),
        account.into(),
        version.into(),
    ]
}

/// One statement, which is one round trip. Row-level security holds inside of the function.
async fn postgres(
    store: &Store,
    scope: &TenantScope,
    selector: &Selector,
    platform: bool,
) -> Result<QueryResult, Error> {
    let mut values: Vec<Value> = vec![scope.tenant().as_str().into()];
    values.extend(parameters(scope, selector));
    values.push(platform.into());
    let sql = "SELECT * FROM fetch_credential($1, $2, $3, $4, $5, $6, $7, $8)";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    let row = store.reader().query_one_raw(statement).await?;
    row.ok_or_else(|| Error::TenantNotFound(scope.tenant().clone()))
}

/// The same in SQLite: the tenant's namespace, then the platform's.
async fn sqlite(
    store: &Store,
    scope: &TenantScope,
    selector: &Selector,
    platform: bool,
) -> Result<QueryResult, Error> {
    // Two statements, so that each has an index to go by.
    let found = match selector {
        Selector::Connection { .. } => "c.id = $5 AND ($4 OR c.owner_user IN ('', $3))",
        Selector::Provider { .. } => {
            "c.provider = $6 AND c.current_version > 0
            AND c.owner_user IN ('', CASE WHEN $1 = $2 THEN $3 ELSE '' END)
            AND (($7 IS NULL AND c.is_default) OR c.account_name = $7)"
        }
    };
    let sql = format!(
        "SELECT t.state AS tenant_state, c.*, v.version,
            COALESCE(n.schema, v.schema) AS schema, COALESCE(n.key_version, v.key_version) AS key_version,
            COALESCE(n.sealed, v.sealed) AS sealed,
            v.expire_time AS version_expire_time, k.wrapped, r.generation,
            n.generation AS token_generation, n.expire_time AS token_expire_time
        FROM tenants t
        LEFT JOIN connections c ON c.tenant_id = $1 AND c.delete_time IS NULL AND {found}
        LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.connection_id = c.id
            AND v.version = COALESCE($8, c.current_version)
        LEFT JOIN tokens n ON n.tenant_id = v.tenant_id AND n.connection_id = v.connection_id
            AND n.version = v.version
        LEFT JOIN refreshes r ON r.tenant_id = v.tenant_id AND r.connection_id = v.connection_id
        LEFT JOIN tenant_keys k ON k.tenant_id = v.tenant_id AND k.version = COALESCE(n.key_version, v.key_version)
        WHERE t.tenant_id = $2
        ORDER BY c.owner_user DESC LIMIT 1"
    );
    let asking = scope.tenant().as_str();
    let mut namespaces = vec![if platform { TenantId::PLATFORM } else { asking }];
    if matches!(selector, Selector::Provider { .. }) && !scope.tenant().is_platform() {
        namespaces.push(TenantId::PLATFORM);
    }
    let mut found = None;
    for namespace in namespaces {
        let mut values: Vec<Value> = vec![namespace.into(), asking.into()];
        values.extend(parameters(scope, selector));
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, &sql, values);
        found = store.reader().query_one_raw(statement).await?;
        match &found {
            Some(row) if row.try_get::<Option<uuid::Uuid>>("", "id")?.is_none() => {}
            _ => break,
        }
    }
    found.ok_or_else(|| Error::TenantNotFound(scope.tenant().clone()))
}

/// What a row of [`look_up`] says; `None` if nothing was found.
pub(super) fn fetched(row: &QueryResult, selector: &Selector) -> Result<Option<Fetched>, Error> {
    if row.try_get::<Option<uuid::Uuid>>("", "id")?.is_none() {
        return Ok(None);
    }
    let model = connection::Model::from_query_result(row, "")?;
    let tenant = TenantId::from_stored(model.tenant_id.clone());
    let asked_version = match selector {
        Selector::Connection { version, .. } => *version,
        Selector::Provider { .. } => None,
    };
    let version = match row.try_get::<Option<Vec<u8>>>("", "sealed")? {
        Some(sealed) => Some(Sealed {
            version: row.try_get("", "version")?,
            schema: row.try_get("", "schema")?,
            expire_time: row.try_get::<Option<i64>>("", "version_expire_time")?.map(Timestamp::from_micros),
            tokens: row.try_get("", "token_generation")?,
            token_expire_time: row
                .try_get::<Option<i64>>("", "token_expire_time")?
                .map(Timestamp::from_micros),
            sealed,
            key_version: row.try_get("", "key_version")?,
            wrapped: row.try_get::<Option<Vec<u8>>>("", "wrapped")?.ok_or(Error::Integrity)?,
        }),
        None => None,
    };
    let generation = row.try_get::<Option<i64>>("", "generation")?.unwrap_or(0);
    let connection = row::connection(model)?;
    Ok(Some(Fetched { connection, tenant, version, asked_version, generation }))
}
