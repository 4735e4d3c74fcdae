//! The hot path: one round trip finds the connection, its sealed version and the wrapped key.

use credvault_domain::{
    AccountName, Connection, ConnectionId, ProviderId, SecretFields, TenantId, TenantScope, TenantState,
    Timestamp, UserId, Version,
};
use sea_orm::{ConnectionTrait as _, DbBackend, FromQueryResult as _, QueryResult, Statement, Value};

use crate::connection_row;
use crate::credentials::open_sealed;
use crate::entity::connection;
use crate::{Credentials, Database, Error, Store, session};

/// Which credential is wanted.
#[derive(Clone, Debug)]
pub enum Selector {
    /// That of one connection; a version other than the current one if given.
    Connection {
        /// Its id.
        id: ConnectionId,
        /// The version.
        version: Option<Version>,
    },
    /// The first of: the user's, the tenant's, the platform's, among connections that have a credential.
    Provider {
        /// The provider.
        provider: ProviderId,
        /// The user, if one is meant.
        user: Option<UserId>,
        /// The account; without one, each owner's default.
        account: Option<AccountName>,
    },
}

/// What was found, still sealed. Policy looks at the connection before anybody opens it.
#[derive(Debug)]
pub struct Fetched {
    /// The connection.
    pub connection: Connection,
    /// In whose space it lives: the tenant's, or the platform's.
    pub tenant: TenantId,
    version: Option<Sealed>,
    asked_version: Option<Version>,
}

struct Sealed {
    version: Version,
    schema: i64,
    expire_time: Option<Timestamp>,
    sealed: Vec<u8>,
    key_version: i64,
    wrapped: Vec<u8>,
}

impl Credentials<'_> {
    /// Finds a credential.
    ///
    /// # Errors
    /// The tenant is not served; [`Error::ConnectionNotFound`] for an id that this scope does not have;
    /// [`Error::NoCredential`] if nobody in the order has one.
    pub async fn fetch(&self, scope: &TenantScope, selector: &Selector) -> Result<Fetched, Error> {
        let row = match self.store.database() {
            Database::Postgres => postgres(self.store, scope, selector).await?,
            Database::Sqlite => sqlite(self.store, scope, selector).await?,
        };
        let state = row.try_get::<Option<String>>("", "tenant_state")?;
        let state = state.ok_or_else(|| Error::TenantNotFound(scope.tenant().clone()))?;
        session::served(scope.tenant(), TenantState::from_stored(&state).ok_or(Error::Integrity)?)?;
        match fetched(&row, selector)? {
            Some(fetched) => Ok(fetched),
            None => Err(match selector {
                Selector::Connection { .. } => Error::ConnectionNotFound,
                Selector::Provider { .. } => Error::NoCredential,
            }),
        }
    }

    /// Opens what was found, if it may be served now.
    ///
    /// # Errors
    /// The connection is disabled or has no credential, the version is not there, is destroyed or has expired, or the
    /// sealed bytes do not open.
    pub fn open(
        &self,
        fetched: &Fetched,
        now: Timestamp,
    ) -> Result<(SecretFields, Version, Option<Timestamp>), Error> {
        if !fetched.connection.enabled {
            return Err(Error::ConnectionDisabled);
        }
        let Some(sealed) = &fetched.version else {
            return Err(fetched.asked_version.map_or(Error::NoCredential, Error::VersionNotFound));
        };
        if sealed.expire_time.is_some_and(|time| time <= now) {
            return Err(Error::CredentialExpired);
        }
        let fields = open_sealed(
            self.store,
            &fetched.tenant,
            fetched.connection.id,
            sealed.version,
            sealed.schema,
            &sealed.sealed,
            (sealed.key_version, &sealed.wrapped),
        )?;
        Ok((fields, sealed.version, sealed.expire_time))
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The parameters of a selector, in the order of both statements: user, any user, connection, provider, account, version.
fn parameters(scope: &TenantScope, selector: &Selector) -> [Value; 6] {
    let (user, connection, provider, account, version) = match selector {
        Selector::Connection { id, version } => (scope.user(), Some(id.as_uuid()), None, None, *version),
        Selector::Provider { provider, user, account } => {
            (user.as_ref(), None, Some(provider.as_str()), account.as_ref().map(AccountName::as_str), None)
        }
    };
    let user = user.map(UserId::as_str);
    [
        user.into(),
        scope.user().is_none().into(),
        connection.into(),
        provider.into(),
        account.into(),
        version.into(),
    ]
}

/// One statement, which is one round trip. Row-level security holds inside of the function.
async fn postgres(store: &Store, scope: &TenantScope, selector: &Selector) -> Result<QueryResult, Error> {
    let mut values: Vec<Value> = vec![scope.tenant().as_str().into()];
    values.extend(parameters(scope, selector));
    let sql = "SELECT * FROM fetch_credential($1, $2, $3, $4, $5, $6, $7)";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    let row = store.reader().query_one_raw(statement).await?;
    row.ok_or_else(|| Error::TenantNotFound(scope.tenant().clone()))
}

/// The same in SQLite: the tenant's space, then the platform's.
async fn sqlite(store: &Store, scope: &TenantScope, selector: &Selector) -> Result<QueryResult, Error> {
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
        "SELECT t.state AS tenant_state, c.*, v.version, v.schema, v.key_version, v.sealed,
            v.expire_time AS version_expire_time, k.wrapped
        FROM tenants t
        LEFT JOIN connections c ON c.tenant_id = $1 AND c.delete_time IS NULL AND {found}
        LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.connection_id = c.id
            AND v.version = COALESCE($8, c.current_version)
        LEFT JOIN tenant_keys k ON k.tenant_id = v.tenant_id AND k.version = v.key_version
        WHERE t.tenant_id = $2
        ORDER BY c.owner_user DESC LIMIT 1"
    );
    let asking = scope.tenant().as_str();
    let mut spaces = vec![asking];
    if matches!(selector, Selector::Provider { .. }) && !scope.tenant().is_platform() {
        spaces.push(TenantId::PLATFORM);
    }
    let mut found = None;
    for space in spaces {
        let mut values: Vec<Value> = vec![space.into(), asking.into()];
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

fn fetched(row: &QueryResult, selector: &Selector) -> Result<Option<Fetched>, Error> {
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
            sealed,
            key_version: row.try_get("", "key_version")?,
            wrapped: row.try_get::<Option<Vec<u8>>>("", "wrapped")?.ok_or(Error::Integrity)?,
        }),
        None => None,
    };
    Ok(Some(Fetched { connection: connection_row::connection(model)?, tenant, version, asked_version }))
}
