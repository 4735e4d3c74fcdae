//! Reading the audit log: records newest first, and counts by what they have in common.

use credvault_domain::{
    Action, AuditOutcome, ConnectionId, ProviderId, Reach, ServiceId, TenantScope, Timestamp, UserId, Version,
};
use futures::StreamExt as _;
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Func, Order, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use crate::entity::audit_event::{self, Column};
use crate::page::uuid_position;
use crate::{Audit, Error, Listed, Page};

/// Which records are wanted. Everything given must hold.
#[derive(Clone, Default, Debug)]
pub struct AuditFilter {
    /// From this instant on.
    pub start_time: Option<Timestamp>,
    /// Records before this instant only.
    pub end_time: Option<Timestamp>,
    /// Calls of this service.
    pub service: Option<ServiceId>,
    /// Calls for this user.
    pub user: Option<UserId>,
    /// Calls of this RPC.
    pub action: Option<Action>,
    /// Calls about this connection.
    pub connection: Option<ConnectionId>,
    /// Records with this provider.
    pub provider: Option<ProviderId>,
    /// Calls that ended so.
    pub outcome: Option<AuditOutcome>,
}

/// What records are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditGroup {
    /// Grouped by the calling service.
    Service,
    /// Grouped by the verified user.
    User,
    /// Grouped by the RPC.
    Action,
    /// Grouped by the connection.
    Connection,
    /// Grouped by the provider.
    Provider,
    /// Grouped by the call's outcome.
    Outcome,
    /// Why it was refused or failed.
    Reason,
    /// The day in UTC, as days since 1970-01-01.
    Day,
}

/// A count of records with the same keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditSummary {
    /// The values of the groups asked for, in their order; empty where records have none.
    pub keys: Vec<String>,
    /// How many records there are.
    pub count: i64,
    /// The first of them.
    pub first_time: Timestamp,
    /// The last of them.
    pub last_time: Timestamp,
}

/// The most rows of a summary.
const SUMMARY_ROWS: u64 = 1000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Audit<'_> {
    /// A page of the records in a scope's reach, newest first: of one user's, its own calls; of what is shared, calls
    /// without a user about no user's connection. A suspended tenant's log can be read.
    ///
    /// # Errors
    /// The page token is wrong, or the database fails.
    pub async fn list(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Listed<AuditRecord>, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let before = uuid_position(page.position(scope.tenant(), &reading)?)?;
        let mut condition = condition(scope, filter);
        if let Some(before) = before {
            condition = condition.add(Column::Id.lt(before));
        }
        let query =
            audit_event::Entity::find().filter(condition).order_by_desc(Column::Id).limit(page.limit());
        let rows = query.stream(&reading.tx).await?.map(|row| record(row?));
        let position = |last: &AuditRecord| last.id.as_bytes().to_vec();
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }

    /// Counts the records in a scope's reach, most first, at most 1,000 rows.
    ///
    /// # Errors
    /// The database fails.
    pub async fn summarize(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        groups: &[AuditGroup],
    ) -> Result<Vec<AuditSummary>, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let query = summary(scope, filter, groups);
        let rows = reading.tx.query_all(&query).await?;
        let row = |row: sea_orm::QueryResult| {
            let keys = groups
                .iter()
                .enumerate()
                .map(|(index, group)| key(&row, index, *group))
                .collect::<Result<_, Error>>()?;
            let first_time = Timestamp::from_micros(row.try_get("", "first_time")?);
            let last_time = Timestamp::from_micros(row.try_get("", "last_time")?);
            Ok(AuditSummary { keys, count: row.try_get("", "count")?, first_time, last_time })
        };
        rows.into_iter().map(row).collect()
    }
}

fn condition(scope: &TenantScope, filter: &AuditFilter) -> Condition {
    // Record ids begin with their millisecond, so the primary key finds the time range.
    let first_of = |time: Timestamp| uuid_floor(time);
    let reached = match scope.reach() {
        Reach::User(user) => Some(Column::UserId.eq(user.as_str())),
        Reach::Shared => Some(Column::UserId.is_null().and(Column::OwnerUser.is_null())),
        Reach::AllUsers => None,
    };
    Condition::all()
        .add(Column::TenantId.eq(scope.tenant().as_str()))
        .add_option(reached)
        .add_option(
            filter.start_time.map(|time| Column::Id.gte(first_of(time)).and(Column::Time.gte(time.micros()))),
        )
        .add_option(filter.end_time.map(|time| Column::Time.lt(time.micros())))
        .add_option(filter.service.as_ref().map(|service| Column::Service.eq(service.as_str())))
        .add_option(filter.user.as_ref().map(|user| Column::UserId.eq(user.as_str())))
        .add_option(filter.action.map(|action| Column::Action.eq(action.as_str())))
        .add_option(filter.connection.map(|id| Column::ConnectionId.eq(id.as_uuid())))
        .add_option(filter.provider.as_ref().map(|provider| Column::Provider.eq(provider.as_str())))
        .add_option(filter.outcome.map(|outcome| Column::Outcome.eq(outcome.as_str())))
}

/// The smallest UUIDv7 of an instant's millisecond.
pub(super) fn uuid_floor(time: Timestamp) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(time.millis(), &[0; 10]).into_uuid()
}

fn group_column(group: AuditGroup) -> Column {
    match group {
        AuditGroup::Service => Column::Service,
        AuditGroup::User => Column::UserId,
        AuditGroup::Action => Column::Action,
        AuditGroup::Connection => Column::ConnectionId,
        AuditGroup::Provider => Column::Provider,
        AuditGroup::Outcome => Column::Outcome,
        AuditGroup::Reason => Column::Reason,
        AuditGroup::Day => Column::Time,
    }
}

fn summary(scope: &TenantScope, filter: &AuditFilter, groups: &[AuditGroup]) -> SelectStatement {
    let mut query = Query::select();
    query.from(audit_event::Entity).cond_where(condition(scope, filter));
    for (index, group) in groups.iter().enumerate() {
        let column = Expr::col(group_column(*group));
        let key = if *group == AuditGroup::Day { column.div(MICROS_PER_DAY) } else { column };
        let alias = Alias::new(format!("key{index}"));
        query.expr_as(key, alias.clone());
        query.add_group_by([Expr::col(alias)]);
    }
    query
        .expr_as(Expr::col(Column::Id).count(), Alias::new("count"))
        .expr_as(Func::coalesce([Expr::col(Column::Time).min(), Expr::val(0)]), Alias::new("first_time"))
        .expr_as(Func::coalesce([Expr::col(Column::Time).max(), Expr::val(0)]), Alias::new("last_time"))
        .order_by(Alias::new("count"), Order::Desc)
        .limit(SUMMARY_ROWS);
    query
}

fn key(row: &sea_orm::QueryResult, index: usize, group: AuditGroup) -> Result<String, Error> {
    let column = format!("key{index}");
    Ok(match group {
        AuditGroup::Connection => {
            row.try_get::<Option<Uuid>>("", &column)?.map(|id| id.to_string()).unwrap_or_default()
        }
        AuditGroup::Day => row.try_get::<i64>("", &column)?.to_string(),
        AuditGroup::Service
        | AuditGroup::User
        | AuditGroup::Action
        | AuditGroup::Provider
        | AuditGroup::Outcome
        | AuditGroup::Reason => row.try_get::<Option<String>>("", &column)?.unwrap_or_default(),
    })
}

/// A record as it was stored. Names stay text: during a rolling upgrade the newer release writes names that the older
/// one does not know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRecord {
    /// A UUIDv7, which orders records by time.
    pub id: Uuid,
    /// When the call was decided.
    pub time: Timestamp,
    /// The calling service's SPIFFE ID.
    pub service: Option<String>,
    /// The verified user of the call.
    pub user: Option<String>,
    /// What vouched for the tenant.
    pub tenant_source: String,
    /// The RPC that was called.
    pub action: String,
    /// The connection that the call named.
    pub connection: Option<ConnectionId>,
    /// The user whose things it was about.
    pub owner_user: Option<String>,
    /// The provider of the connection.
    pub provider: Option<String>,
    /// The version returned or changed.
    pub version: Option<Version>,
    /// What the caller wanted it for.
    pub purpose: Option<String>,
    /// The names of the fields that changed.
    pub changed: Vec<String>,
    /// The names of what left the vault although it is kept inside otherwise.
    pub released: Vec<String>,
    /// Grouped by the call's outcome.
    pub outcome: AuditOutcome,
    /// Why, unless it ended well.
    pub reason: Option<String>,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// The trace, in hexadecimal.
    pub trace: String,
    /// The network address of the caller.
    pub source_address: Option<String>,
}

fn record(model: audit_event::Model) -> Result<AuditRecord, Error> {
    let names = |json: serde_json::Value| serde_json::from_value(json).map_err(|_| Error::Integrity);
    Ok(AuditRecord {
        id: model.id,
        time: Timestamp::from_micros(model.time),
        service: model.service,
        user: model.user_id,
        tenant_source: model.tenant_source,
        action: model.action,
        connection: model.connection_id.map(ConnectionId::from_uuid),
        owner_user: model.owner_user,
        provider: model.provider,
        version: model.version,
        purpose: model.purpose,
        changed: names(model.changed)?,
        released: model.released.map_or_else(|| Ok(Vec::new()), names)?,
        outcome: AuditOutcome::from_stored(&model.outcome).ok_or(Error::Integrity)?,
        reason: model.reason,
        policies: names(model.policies)?,
        trace: model.trace_id,
        source_address: model.source_address,
    })
}
