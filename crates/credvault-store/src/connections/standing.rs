//! How connections stand: what decides whether they work, without settings, labels and credentials. Many are read at once,
//! so they are kept small.

use std::collections::BTreeSet;

use credvault_domain::{
    AccountName, AuthMode, ConnectionId, ConnectionState, ErrorCause, LastError, Owner, ProviderId, TenantId,
    TenantScope, Timestamp, UserId, Version,
};
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoCondition as _};
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, FromQueryResult, JoinType,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::Value;
use uuid::Uuid;

use crate::connections::row::{owner, scopes, visible};
use crate::database::transaction::set_tenant;
use crate::entity::connection::{Column, Entity};
use crate::entity::{connection_health, oauth_app};
use crate::{Connections, Error};

/// What decides whether a connection works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionStanding {
    /// The id of the connection.
    pub id: ConnectionId,
    /// The owner of the account.
    pub owner: Owner,
    /// The provider in the catalog.
    pub provider: ProviderId,
    /// The name of the account.
    pub account_name: AccountName,
    /// The way to authenticate.
    pub auth_mode: AuthMode,
    /// The state of the credential.
    pub state: ConnectionState,
    /// The cause of the state ERROR.
    pub error: Option<ErrorCause>,
    /// Whether fetches are served.
    pub enabled: bool,
    /// Whether a fetch that names no account uses it.
    pub default: bool,
    /// The version that a fetch returns; 0 if there is none.
    pub current_version: Version,
    /// When the current version stops being served.
    pub expire_time: Option<Timestamp>,
    /// When the grant behind it ends unless it is renewed, if that is known.
    pub grant_end: Option<Timestamp>,
    /// What went wrong last, while the vault tries again and there is or will be nothing to give out until that succeeds.
    pub failing: Option<LastError>,
    /// The scopes of the last authorization request.
    pub scopes_asked: Vec<String>,
    /// The scopes that the provider granted, if it said so.
    pub scopes_granted: Vec<String>,
    /// When it was deleted, if it is.
    pub delete_time: Option<Timestamp>,
}

/// What a fetch by provider would look at, in its order.
#[derive(Clone, Default, Debug)]
pub struct Candidates {
    /// The connections of the user, then the tenant, then the platform, with a credential or without one.
    pub connections: Vec<ConnectionStanding>,
    /// The providers at which the tenant or the platform has an app.
    pub apps: BTreeSet<ProviderId>,
}

/// The columns of a standing.
#[derive(FromQueryResult)]
struct Row {
    tenant_id: String,
    id: Uuid,
    owner_user: String,
    provider: String,
    account_name: String,
    auth_mode: String,
    state: String,
    error_reason: Option<String>,
    error_code: Option<String>,
    error_time: Option<i64>,
    enabled: bool,
    is_default: bool,
    current_version: i64,
    expire_time: Option<i64>,
    grant_end_time: Option<i64>,
    failure_reason: Option<String>,
    failure_pause: Option<String>,
    failure_time: Option<i64>,
    retry_time: Option<i64>,
    down_time: Option<i64>,
    scopes_asked: Option<Value>,
    scopes_granted: Option<Value>,
    delete_time: Option<i64>,
}

const COLUMNS: [Column; 17] = [
    Column::TenantId,
    Column::Id,
    Column::OwnerUser,
    Column::Provider,
    Column::AccountName,
    Column::AuthMode,
    Column::State,
    Column::ErrorReason,
    Column::ErrorCode,
    Column::ErrorTime,
    Column::Enabled,
    Column::IsDefault,
    Column::CurrentVersion,
    Column::ExpireTime,
    Column::ScopesAsked,
    Column::ScopesGranted,
    Column::DeleteTime,
];

/// The standings of rows that meet a condition, a user's before those that are shared.
pub(crate) async fn standings(
    tx: &DatabaseTransaction,
    condition: Condition,
) -> Result<Vec<ConnectionStanding>, Error> {
    let rows = Entity::find()
        .filter(condition)
        .order_by_desc(Column::OwnerUser)
        .order_by_asc(Column::Id)
        .join(JoinType::LeftJoin, health())
        .select_only()
        .columns(COLUMNS)
        .column(connection_health::Column::GrantEndTime)
        // The connection has columns of these names, too.
        .column_as(connection_health::Column::ErrorReason, "failure_reason")
        .column_as(connection_health::Column::ErrorPause, "failure_pause")
        .column_as(connection_health::Column::ErrorTime, "failure_time")
        .column(connection_health::Column::RetryTime)
        .column(connection_health::Column::DownTime)
        .into_model::<Row>();
    rows.all(tx).await?.into_iter().map(standing).collect()
}

/// From connections to their health, which not each has.
fn health() -> sea_orm::RelationDef {
    use connection_health::Column as Health;
    Entity::belongs_to(connection_health::Entity)
        .from(Column::Id)
        .to(Health::ConnectionId)
        .on_condition(|left, right| {
            let tenant = Expr::col((right, Health::TenantId));
            tenant.equals((left, Column::TenantId)).into_condition()
        })
        .into()
}

fn standing(row: Row) -> Result<ConnectionStanding, Error> {
    let failing = failing(&row);
    let error = match (row.error_reason, row.error_time) {
        (Some(reason), Some(time)) => {
            Some(ErrorCause { reason, code: row.error_code, time: Timestamp::from_micros(time) })
        }
        _ => None,
    };
    Ok(ConnectionStanding {
        id: ConnectionId::from_uuid(row.id),
        owner: owner(&row.tenant_id, &row.owner_user),
        provider: ProviderId::from_stored(row.provider),
        account_name: AccountName::parse(&row.account_name).map_err(|_| Error::Integrity)?,
        auth_mode: AuthMode::from_stored(row.auth_mode),
        state: ConnectionState::from_stored(&row.state).ok_or(Error::Integrity)?,
        error,
        enabled: row.enabled,
        default: row.is_default,
        current_version: row.current_version,
        expire_time: row.expire_time.map(Timestamp::from_micros),
        grant_end: row.grant_end_time.map(Timestamp::from_micros),
        failing,
        scopes_asked: scopes(row.scopes_asked)?,
        scopes_granted: scopes(row.scopes_granted)?,
        delete_time: row.delete_time.map(Timestamp::from_micros),
    })
}

/// The error of a refresh that the vault repeats, if the access token has an end.
fn failing(row: &Row) -> Option<LastError> {
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Some(LastError {
        reason: row.failure_reason.clone()?,
        code: None,
        pause: row.failure_pause.clone(),
        status: None,
        time: time(row.failure_time)?,
        retry_time: Some(time(row.retry_time)?),
        down_time: Some(time(row.down_time)?),
        recover_time: None,
    })
}

impl Connections<'_> {
    /// How these connections stand, deleted or not, in one query. Those that this scope has not are left out.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn standings(
        &self,
        scope: &TenantScope,
        ids: impl IntoIterator<Item = ConnectionId>,
    ) -> Result<Vec<ConnectionStanding>, Error> {
        let ids: Vec<Uuid> = ids.into_iter().map(|id| id.as_uuid()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let reading = self.store.read(scope).await?;
        standings(&reading.tx, visible(scope).add(Column::Id.is_in(ids))).await
    }

    /// What fetches by these providers, for `user`, would look at: each owner's default connection, and those with one of
    /// these account names. One transaction, whatever the number of providers.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn candidates(
        &self,
        scope: &TenantScope,
        user: Option<&UserId>,
        providers: &BTreeSet<ProviderId>,
        accounts: &[AccountName],
    ) -> Result<Candidates, Error> {
        let mut found = Candidates::default();
        if providers.is_empty() {
            return Ok(found);
        }
        let reading = self.store.read(scope).await?;
        // As for a fetch: a user out of reach has no connections.
        let user = user.filter(|user| scope.reaches(user)).map(UserId::as_str);
        let platform = TenantId::platform();
        let own = [(scope.tenant(), user.into_iter().chain([""]).collect::<Vec<_>>())];
        let shared = (!scope.tenant().is_platform()).then(|| (&platform, vec![""]));
        for (namespace, owners) in own.into_iter().chain(shared) {
            set_tenant(&reading.tx, self.store.database(), namespace).await?;
            let named = Column::AccountName.is_in(accounts.iter().map(AccountName::as_str));
            let condition = Condition::all()
                .add(Column::TenantId.eq(namespace.as_str()))
                .add(Column::OwnerUser.is_in(owners))
                .add(Column::Provider.is_in(providers.iter().map(ProviderId::as_str)))
                .add(Column::DeleteTime.is_null())
                .add(Condition::any().add(Column::IsDefault.eq(true)).add(named));
            found.connections.extend(standings(&reading.tx, condition).await?);
            found.apps.extend(apps(&reading.tx, namespace, providers).await?);
        }
        Ok(found)
    }
}

/// The providers at which a namespace has an app.
async fn apps(
    tx: &DatabaseTransaction,
    namespace: &TenantId,
    providers: &BTreeSet<ProviderId>,
) -> Result<Vec<ProviderId>, Error> {
    use oauth_app::Column;
    let providers: Vec<String> = oauth_app::Entity::find()
        .filter(Column::TenantId.eq(namespace.as_str()))
        .filter(Column::Provider.is_in(providers.iter().map(ProviderId::as_str)))
        .select_only()
        .column(Column::Provider)
        .into_tuple()
        .all(tx)
        .await?;
    Ok(providers.into_iter().map(ProviderId::from_stored).collect())
}
