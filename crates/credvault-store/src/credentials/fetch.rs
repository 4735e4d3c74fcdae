//! The hot path: one round trip finds the connection, its sealed version and the wrapped key.

use std::sync::Arc;

use credvault_crypto::{Context, TenantKey};
use credvault_domain::{
    AccountName, Connection, ConnectionId, ProviderId, Reach, SecretFields, TenantId, TenantScope,
    TenantState, Timestamp, UserId, Version,
};
use sea_orm::{ConnectionTrait as _, DbBackend, FromQueryResult as _, QueryResult, Statement, Value};

use crate::connections::row;
use crate::credentials::binding;
use crate::database::session;
use crate::entity::connection;
use crate::sealed::SealedRecord;
use crate::{Credentials, Database, Error, Place, Store, Weighed};

/// Which credential is wanted.
#[derive(Clone, Debug)]
pub enum Selector {
    /// That of one connection; a version other than the current one if given.
    Connection {
        /// The id of the connection.
        id: ConnectionId,
        /// The version, if not the current one.
        version: Option<Version>,
    },
    /// The first of: the user's, the tenant's, the platform's, among connections that have a credential.
    Provider {
        /// The provider in the catalog.
        provider: ProviderId,
        /// The user, if one is meant. One who is out of the scope's reach has no connections.
        user: Option<UserId>,
        /// The account; without one, each owner's default.
        account: Option<AccountName>,
    },
}

/// What was found, still sealed. Policy looks at the connection before anybody opens it.
#[derive(Debug)]
pub struct Fetched {
    /// The connection that was found.
    pub connection: Connection,
    /// In whose space it lives: the tenant's, or the platform's.
    pub tenant: TenantId,
    version: Option<Sealed>,
    asked_version: Option<Version>,
    generation: i64,
}

impl Fetched {
    /// The key of the connection.
    pub fn place(&self) -> Place {
        Place { tenant: self.tenant.clone(), connection: self.connection.id }
    }

    /// Raised by whatever changes the credential or its tokens.
    pub fn generation(&self) -> i64 {
        self.generation
    }
}

impl Weighed for Fetched {
    /// The fields, and once more, in base64 perhaps, in the ready-made request.
    fn weight(&self) -> usize {
        self.connection.weight() + 4 * self.version.as_ref().map_or(0, |version| version.sealed.len())
    }
}

/// A credential in plaintext, after its sealed bytes were opened.
#[derive(Debug)]
pub struct OpenedCredential {
    /// Its fields, the newest tokens among them.
    pub fields: SecretFields,
    /// The number of its version.
    pub version: Version,
    /// When it, or its access token, stops working.
    pub expire_time: Option<Timestamp>,
    /// Raised by whatever changes the credential or its tokens.
    pub generation: i64,
    /// Whether it is the connection's current version, whose tokens can be renewed.
    pub current: bool,
}

struct Sealed {
    version: Version,
    schema: i64,
    expire_time: Option<Timestamp>,
    /// The generation of the tokens among the fields; `None` if they are as the version was stored.
    tokens: Option<i64>,
    token_expire_time: Option<Timestamp>,
    sealed: Vec<u8>,
    key_version: i64,
    wrapped: Vec<u8>,
}

impl Credentials<'_> {
    /// Finds a credential.
    ///
    /// # Errors
    /// The tenant is not served; [`Error::ConnectionNotFound`] for an id that this scope does not have;
    /// [`Error::NoCredential`] if neither user, tenant nor platform has one.
    pub async fn fetch(&self, scope: &TenantScope, selector: &Selector) -> Result<Fetched, Error> {
        self.find(scope, selector, false).await
    }

    /// What was found before, read again by its key: never another connection, whatever has changed meanwhile.
    ///
    /// # Errors
    /// As for [`Credentials::fetch`]; [`Error::ConnectionNotFound`] if it is gone, or is not any more what policy was
    /// asked about.
    pub async fn again(&self, scope: &TenantScope, found: &Fetched) -> Result<Fetched, Error> {
        let before = &found.connection;
        let selector = Selector::Connection { id: before.id, version: found.asked_version };
        let again = self.find(scope, &selector, found.tenant.is_platform()).await?;
        let same = again.tenant == found.tenant && is_same(&again.connection, before);
        if same { Ok(again) } else { Err(Error::ConnectionNotFound) }
    }

    /// `platform`: the connection that the selector names is one of the platform's own.
    async fn find(&self, scope: &TenantScope, selector: &Selector, platform: bool) -> Result<Fetched, Error> {
        let row = match self.store.database() {
            Database::Postgres => postgres(self.store, scope, selector, platform).await?,
            Database::Sqlite => sqlite(self.store, scope, selector, platform).await?,
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

    /// Opens what was found, if it may be served now. A credential that `renews` is opened after its access token has
    /// expired, too.
    ///
    /// # Errors
    /// The connection is disabled or has no credential, the version is not there, is destroyed or has expired, or the
    /// sealed bytes do not open.
    pub async fn open(
        &self,
        fetched: &Fetched,
        now: Timestamp,
        renews: bool,
    ) -> Result<OpenedCredential, Error> {
        if !fetched.connection.enabled {
            return Err(Error::ConnectionDisabled);
        }
        self.open_stored(fetched, now, renews).await
    }

    /// The same for the vault's own use: whether fetches are served does not matter.
    ///
    /// # Errors
    /// As for [`Credentials::open`], but for a disabled connection.
    pub async fn open_stored(
        &self,
        fetched: &Fetched,
        now: Timestamp,
        renews: bool,
    ) -> Result<OpenedCredential, Error> {
        let Some(sealed) = &fetched.version else {
            return Err(fetched.asked_version.map_or(Error::NoCredential, Error::VersionNotFound));
        };
        let expire_time = if sealed.tokens.is_some() { sealed.token_expire_time } else { sealed.expire_time };
        if !renews && expire_time.is_some_and(|time| time <= now) {
            return Err(Error::CredentialExpired);
        }
        let (tenant, id) = (&fetched.tenant, fetched.connection.id);
        let binding = binding::of_connection(&fetched.connection);
        let key = self.unwrapped(tenant, sealed).await?;
        let record =
            SealedRecord { schema: sealed.schema, key_version: sealed.key_version, bytes: &sealed.sealed };
        let fields = record.open_with(tenant, key.as_deref(), |schema| match sealed.tokens {
            Some(generation) => Context::tokens(tenant, id, generation, schema, binding),
            None => Context::credential(tenant, id, sealed.version, schema, binding),
        })?;
        let current = sealed.version == fetched.connection.current_version;
        Ok(OpenedCredential {
            fields,
            version: sealed.version,
            expire_time,
            generation: fetched.generation,
            current,
        })
    }

    /// The key that was read beside sealed fields; `None` if it does not unwrap.
    async fn unwrapped(&self, tenant: &TenantId, sealed: &Sealed) -> Result<Option<Arc<TenantKey>>, Error> {
        let Ok(version) = u32::try_from(sealed.key_version) else { return Ok(None) };
        match self.store.keyring().unwrap(tenant, version, &sealed.wrapped).await {
            Ok(key) => Ok(Some(key)),
            Err(credvault_crypto::Error::Integrity) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a connection that was read again is still what policy was asked about.
pub(crate) fn is_same(now: &Connection, before: &Connection) -> bool {
    (&now.owner, &now.provider, &now.auth_mode) == (&before.owner, &before.provider, &before.auth_mode)
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("version", &self.version).finish_non_exhaustive()
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
    let sql = "SELECT * FROM fetch_credential_3($1, $2, $3, $4, $5, $6, $7, $8)";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    let row = store.reader().query_one_raw(statement).await?;
    row.ok_or_else(|| Error::TenantNotFound(scope.tenant().clone()))
}

/// The same in SQLite: the tenant's space, then the platform's.
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
            v.expire_time AS version_expire_time, k.wrapped, r.generation, r.state AS refresh_state,
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
    let mut spaces = vec![if platform { TenantId::PLATFORM } else { asking }];
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
