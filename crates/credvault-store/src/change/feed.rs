//! The change feed: one row for whatever an answer of the vault depends on, written in the transaction of the change.
//!
//! Order. A transaction may commit after another one that began later, so a reader that remembers the greatest number it
//! has seen loses rows. Each row therefore carries the id of its transaction, and a reader goes no further than the oldest
//! transaction in progress (`pg_snapshot_xmin`): below it nothing can appear any more. The other way, a number per tenant
//! drawn under a lock that lasts to the commit, makes the writers of a tenant wait for each other's commit. Measured on two
//! cores, fsync on, three rounds in turns: with 100 writers of one tenant, PostgreSQL did 412 to 461 changes a second with
//! such a lock and 2,280 to 2,440 without, and with it the writers held their connections five times as long; 100 writers
//! of 100 tenants did 7 to 13 % fewer with it. The price: a long write transaction anywhere on the same server holds
//! readers back for as long as it runs. SQLite has one writer at a time, so its rows appear in the order of their numbers.

use std::time::Duration;

use credvault_domain::{
    ConnectionId, EventEndpointId, ProviderId, TenantId, TenantScope, Timestamp, ToolName, Version,
};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::entity::change;
use crate::{Database, Error, Store};

/// How long rows of the feed are kept.
pub(crate) const FEED_MEMORY: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a reader may stay away. Shorter than the rows are kept, for they carry the times of replicas' clocks.
const MAX_AWAY: Duration = Duration::from_secs(6 * 24 * 3600);

/// How the subject of a row has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    /// The subject was created.
    Created,
    /// Something of it has changed.
    Updated,
    /// A credential version was stored.
    CredentialStored,
    /// A credential version was destroyed.
    CredentialDestroyed,
    /// New tokens were stored.
    Refreshed,
    /// It is not served any more; a connection can be undeleted.
    Deleted,
    /// It is served again.
    Undeleted,
    /// It is gone for good.
    Purged,
    /// Nothing of the tenant is served any more.
    Suspended,
    /// The tenant is served again.
    Resumed,
}

impl ChangeKind {
    const ALL: [Self; 10] = [
        Self::Created,
        Self::Updated,
        Self::CredentialStored,
        Self::CredentialDestroyed,
        Self::Refreshed,
        Self::Deleted,
        Self::Undeleted,
        Self::Purged,
        Self::Suspended,
        Self::Resumed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Updated => "UPDATED",
            Self::CredentialStored => "CREDENTIAL_STORED",
            Self::CredentialDestroyed => "CREDENTIAL_DESTROYED",
            Self::Refreshed => "REFRESHED",
            Self::Deleted => "DELETED",
            Self::Undeleted => "UNDELETED",
            Self::Purged => "PURGED",
            Self::Suspended => "SUSPENDED",
            Self::Resumed => "RESUMED",
        }
    }
}

/// The subject of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangeSubject {
    /// The tenant itself, its keys included.
    Tenant,
    /// A connection with its credential.
    Connection(ConnectionId),
    /// The tenant's app at a provider.
    App(ProviderId),
    /// An endpoint that events are sent to.
    EventEndpoint(EventEndpointId),
    /// The config of an internal service, by the key of its row.
    ServiceConfig(Uuid),
    /// What a tool of the platform requires.
    Tool(ToolName),
}

/// A row of the feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedRow {
    /// The object that has changed.
    pub subject: ChangeSubject,
    /// How it has changed.
    pub kind: ChangeKind,
    /// The credential version that the change is about, if it is about one.
    pub version: Option<Version>,
    /// When the change was made.
    pub time: Timestamp,
}

/// A place in the feed of one database. It means nothing in another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeedPosition {
    transaction: i64,
    number: i64,
    /// Which database it is of: see [`Feed::identity`].
    database: i64,
    /// When the reader had all rows up to here.
    time: Timestamp,
}

/// Rows in the order of their transactions, and the position after the last of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedPage {
    /// The rows, in the order of the feed.
    pub rows: Vec<FeedRow>,
    /// Where to read on.
    pub position: FeedPosition,
    /// Whether these are all: nothing that was committed before the call is missing. Otherwise there are more than `limit`,
    /// or some wait until an older transaction has ended.
    pub is_complete: bool,
}

/// The reader of the change feed.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    store: &'a Store,
}

impl Store {
    /// The reader of the change feed.
    pub fn feed(&self) -> Feed<'_> {
        Feed { store: self }
    }
}

impl Feed<'_> {
    /// The position now. What commits from now on, however long ago it began, comes after it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end(&self, scope: &TenantScope) -> Result<FeedPosition, Error> {
        let reading = self.store.read(scope).await?;
        let (database, time) = (self.identity(&reading.tx).await?, self.store.now());
        let sql = format!(
            "SELECT {} - 1 AS txid, COALESCE(max(seq), 0) AS seq FROM changes WHERE tenant_id = $1",
            self.horizon()
        );
        let row = self.rows(&reading.tx, &sql, [scope.tenant().as_str().into()]).await?;
        let row = row.first().ok_or(Error::Integrity)?;
        let number = match self.store.database() {
            // Every number of these transactions was seen.
            Database::Postgres => i64::MAX,
            Database::Sqlite => row.try_get("", "seq")?,
        };
        Ok(FeedPosition { transaction: row.try_get("", "txid")?, number, database, time })
    }

    /// At most `limit` rows of the tenant after a position. `None` if the position cannot be used: the reader has not had
    /// all rows for six days, or the position is from another database, such as the one that this one was restored from.
    /// Then read everything again, and continue from [`Feed::end`].
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn after(
        &self,
        scope: &TenantScope,
        position: FeedPosition,
        limit: u32,
    ) -> Result<Option<FeedPage>, Error> {
        let reading = self.store.read(scope).await?;
        let (tenant, now, horizon) = (scope.tenant().as_str(), self.store.now(), self.horizon());
        if self.identity(&reading.tx).await? != position.database || position.time.after(MAX_AWAY) < now {
            return Ok(None);
        }
        // Asked before the rows: what commits in between is either among them or was not there when the call began.
        let waiting =
            format!("SELECT 1 AS one FROM changes WHERE tenant_id = $1 AND txid >= {horizon} LIMIT 1");
        let waiting = !self.rows(&reading.tx, &waiting, [tenant.into()]).await?.is_empty();
        let sql = format!(
            "SELECT txid, seq, connection_id, provider, endpoint_id, service_config_id, tool, kind, version, time
             FROM changes
             WHERE tenant_id = $1 AND (txid, seq) > ($2, $3) AND txid < {horizon}
             ORDER BY txid, seq LIMIT $4"
        );
        let values =
            [tenant.into(), position.transaction.into(), position.number.into(), i64::from(limit).into()];
        let rows = self.rows(&reading.tx, &sql, values).await?;
        let is_complete = !waiting && u32::try_from(rows.len()).is_ok_and(|count| count < limit);
        let mut page = FeedPage { rows: Vec::with_capacity(rows.len()), position, is_complete };
        for row in rows {
            page.position.transaction = row.try_get("", "txid")?;
            page.position.number = row.try_get("", "seq")?;
            page.rows.push(feed_row(&row)?);
        }
        if is_complete {
            page.position.time = now;
        }
        Ok(Some(page))
    }

    /// The oldest transaction in progress, in SQL.
    fn horizon(&self) -> &'static str {
        match self.store.database() {
            Database::Postgres => "pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
            // Every row has transaction 0 there.
            Database::Sqlite => "1",
        }
    }

    /// What tells this database from others whose transactions have the same numbers. PostgreSQL: the cluster; its timeline,
    /// which a failover and a recovery to an earlier time change; the database and the table, which a restored dump makes
    /// anew. SQLite has nothing of the kind, but only one process has its file open: that one.
    async fn identity(&self, tx: &DatabaseTransaction) -> Result<i64, Error> {
        if self.store.database() == Database::Sqlite {
            let (high, _) = self.store.process().as_u64_pair();
            return Ok(i64::from_ne_bytes(high.to_ne_bytes()));
        }
        let sql = "SELECT hashtextextended(concat_ws('/',
                (SELECT system_identifier FROM pg_control_system()),
                substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
                (SELECT oid FROM pg_database WHERE datname = current_database()),
                'credvault.changes'::regclass::oid), 0) AS identity";
        let rows = self.rows(tx, sql, []).await?;
        Ok(rows.first().ok_or(Error::Integrity)?.try_get("", "identity")?)
    }

    async fn rows(
        &self,
        tx: &DatabaseTransaction,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, Error> {
        Ok(tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?)
    }
}

/// Writes rows of the feed. The database fills in their order.
pub(super) async fn insert(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    rows: &[FeedRow],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let row = |row: &FeedRow| {
        let (mut connection, mut provider, mut endpoint, mut config, mut tool) =
            (None, None, None, None, None);
        match &row.subject {
            ChangeSubject::Tenant => {}
            ChangeSubject::Connection(id) => connection = Some(id.as_uuid()),
            ChangeSubject::App(id) => provider = Some(id.as_str().to_owned()),
            ChangeSubject::EventEndpoint(id) => endpoint = Some(id.as_uuid()),
            ChangeSubject::ServiceConfig(id) => config = Some(*id),
            ChangeSubject::Tool(name) => tool = Some(name.as_str().to_owned()),
        }
        change::ActiveModel {
            seq: NotSet,
            tenant_id: Set(tenant.as_str().to_owned()),
            connection_id: Set(connection),
            provider: Set(provider),
            endpoint_id: Set(endpoint),
            service_config_id: Set(config),
            tool: Set(tool),
            kind: Set(row.kind.as_str().to_owned()),
            version: Set(row.version),
            time: Set(row.time.micros()),
        }
    };
    change::Entity::insert_many(rows.iter().map(row)).exec_without_returning(tx).await?;
    Ok(())
}

fn feed_row(row: &QueryResult) -> Result<FeedRow, Error> {
    let connection: Option<Uuid> = row.try_get("", "connection_id")?;
    let provider: Option<String> = row.try_get("", "provider")?;
    let endpoint: Option<Uuid> = row.try_get("", "endpoint_id")?;
    let config: Option<Uuid> = row.try_get("", "service_config_id")?;
    let tool: Option<String> = row.try_get("", "tool")?;
    let connection = connection.map(|id| ChangeSubject::Connection(ConnectionId::from_uuid(id)));
    let subject = connection
        .or_else(|| provider.map(|id| ChangeSubject::App(ProviderId::from_stored(id))))
        .or_else(|| endpoint.map(|id| ChangeSubject::EventEndpoint(EventEndpointId::from_uuid(id))))
        .or_else(|| config.map(ChangeSubject::ServiceConfig))
        .or_else(|| tool.map(|name| ChangeSubject::Tool(ToolName::from_stored(name))))
        .unwrap_or(ChangeSubject::Tenant);
    let kind: String = row.try_get("", "kind")?;
    let kind = ChangeKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or(Error::Integrity)?;
    let time = Timestamp::from_micros(row.try_get("", "time")?);
    Ok(FeedRow { subject, kind, version: row.try_get("", "version")?, time })
}
