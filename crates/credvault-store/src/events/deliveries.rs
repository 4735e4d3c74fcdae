//! The repository of event deliveries: claimed by lease, sent without a transaction, tried again for a day, then dead.
//!
//! A claim counts the attempt and puts the row's due time behind the lease, so what a killed process was at is due again
//! by itself. How an attempt ended is noted only while the row still counts that attempt.

mod review;

use std::collections::HashSet;
use std::time::Duration;

use credvault_domain::{
    Action, AuditEvent, DeliveryState, EventEndpointId, EventId, Owner, ProviderId, Random, TenantId,
    TenantState, Timestamp, UserId, jitter,
};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, Statement, UpdateMany,
};
use uuid::Uuid;

use crate::credentials::integrity;
use crate::database::pieces::PIECE;
use crate::database::session::begin_write;
use crate::entity::event_delivery::{Column, Entity, Model};
use crate::entity::{event_endpoint, tenant};
use crate::events::endpoints::endpoint_name;
use crate::{Database, Error, EventTarget, Store};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The pauses after the first attempt, the second and so on, in seconds: nine attempts in a day.
const PAUSES: [u64; 8] = [5, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 8 * HOUR, 8 * HOUR];
/// How long something is tried: as long as nine attempts take. An endpoint that is down has one attempt at a time, so of
/// many events most never have theirs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(28 * HOUR);
/// How long a claim holds: far longer than an attempt takes.
const LEASE: Duration = Duration::from_secs(MINUTE);
/// How many events are claimed at once for an endpoint that works. One that does not gets one at a time.
const AT_ONCE: u64 = 4;
/// How many events may wait for an endpoint. What comes then is dead at once.
pub(crate) const WAITING: u64 = 10_000;
/// How many endpoints one search goes through, and where that is not all, how many of the oldest events beside.
const ENDPOINTS: i64 = 256;
const OLDEST: i64 = 256;
/// How long is remembered what was delivered, and what was given up.
const MEMORY: Duration = Duration::from_secs(7 * DAY);
pub(crate) const DEAD_MEMORY: Duration = Duration::from_secs(30 * DAY);

/// Why a delivery is dead whose endpoint answered 410 Gone to another.
const DISABLED: &str = "the endpoint is disabled";
/// Why one is dead that came when too many waited.
pub(crate) const FULL: &str = "10,000 events waited for the endpoint already";
/// Why nothing is sent to an endpoint that was altered.
const BROKEN: &str = "its stored URL and secret do not open; delete the endpoint and put a new one";
/// Why one is dead that was never tried.
const LATE: &str = "the endpoint failed for others until its time was over";

/// An endpoint that something is due at.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EventPlace {
    tenant: TenantId,
    endpoint: EventEndpointId,
}

impl EventPlace {
    /// In whose space.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which endpoint.
    pub fn endpoint(&self) -> EventEndpointId {
        self.endpoint
    }
}

/// What a search has found.
#[derive(Debug)]
pub struct EventsDue {
    /// Where something is due, the longest waiting first.
    pub places: Vec<EventPlace>,
    /// Where the next search goes on.
    pub next: Option<EventPlace>,
}

/// An event to be sent now.
#[derive(Clone, Debug)]
pub struct ClaimedEvent {
    place: EventPlace,
    /// When the endpoint was last changed before the claim. How an attempt at the URL before ends says nothing of it.
    endpoint_time: i64,
    /// What the receiver recognises a repetition by.
    pub event: EventId,
    /// The body, byte for byte.
    pub body: String,
    /// Which attempt this is, from 1 on.
    pub attempt: i64,
}

impl ClaimedEvent {
    /// Where to.
    pub fn endpoint(&self) -> EventEndpointId {
        self.place.endpoint
    }
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// The endpoint has taken it.
    Delivered,
    /// It has not.
    Failed {
        /// Why, in words for the endpoint's owner.
        failure: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
        /// It wants nothing any more, this or other.
        gone: bool,
    },
}

/// An event on its way to an endpoint, or there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventDelivery {
    /// Where to.
    pub endpoint: EventEndpointId,
    /// Which event.
    pub event: EventId,
    /// What happened, as it was stored.
    pub kind: String,
    /// The body, byte for byte.
    pub body: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was sent, or tried.
    pub attempts: i64,
    /// When it is sent next, if it is.
    pub due_time: Option<Timestamp>,
    /// When the last attempt ended.
    pub attempt_time: Option<Timestamp>,
    /// Why that did not succeed.
    pub failure: Option<String>,
    /// When it happened.
    pub create_time: Timestamp,
}

impl EventDelivery {
    /// The provider and the owner of the connection that the event is about, where it is about one.
    pub fn subject(&self) -> (Option<ProviderId>, Option<Owner>) {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let text = |path| body.pointer(path).and_then(serde_json::Value::as_str).map(str::to_owned);
        let owner = text("/data/owner/kind").and_then(|kind| match kind.as_str() {
            "user" => Some(Owner::User(UserId::from_stored(text("/data/owner/user_id")?))),
            "tenant" => Some(Owner::Tenant),
            _ => Some(Owner::Platform),
        });
        (text("/data/provider").map(ProviderId::from_stored), owner)
    }
}

/// How records name a delivery.
pub fn delivery_name(endpoint: EventEndpointId, event: EventId) -> String {
    format!("{}/deliveries/{event}", endpoint_name(endpoint))
}

/// The repository of event deliveries.
#[derive(Clone, Copy, Debug)]
pub struct EventDeliveries<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of event deliveries.
    pub fn event_deliveries(&self) -> EventDeliveries<'_> {
        EventDeliveries { store: self }
    }
}

impl EventDeliveries<'_> {
    /// Endpoints that something is due at, the longest waiting first: all of them, or at least those among the next few
    /// hundred endpoints after `from` and those of the oldest events. Those of suspended tenants wait.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due(&self, from: Option<&EventPlace>) -> Result<EventsDue, Error> {
        let everywhere = self.store.read_background().await?;
        let (mut found, next) = self.endpoints_after(&everywhere, from).await?;
        if from.is_some() || next.is_some() {
            found.extend(self.oldest(&everywhere).await?);
        }
        // An endpoint found in both ways is found with the same time.
        found.sort_by_key(|(due, _)| *due);
        let mut known = HashSet::new();
        let places = found.into_iter().map(|(_, place)| place).filter(|place| known.insert(place.clone()));
        Ok(EventsDue { places: places.collect(), next })
    }

    /// The endpoints of the oldest events that are due.
    async fn oldest(&self, everywhere: &DatabaseTransaction) -> Result<Vec<(i64, EventPlace)>, Error> {
        // Limited before it is asked whose they are: a suspended tenant's must not be gone through each time.
        let sql = format!(
            "SELECT d.tenant_id, d.endpoint_id, d.due_time, t.state FROM (
                 SELECT tenant_id, endpoint_id, min(due_time) AS due_time FROM (
                     SELECT tenant_id, endpoint_id, due_time FROM event_deliveries
                     WHERE due_time <= $1 ORDER BY due_time LIMIT {OLDEST}
                 ) o GROUP BY tenant_id, endpoint_id
             ) d JOIN tenants t ON t.tenant_id = d.tenant_id"
        );
        let values = [self.store.now().micros().into()];
        let asked = Statement::from_sql_and_values(everywhere.get_database_backend(), sql, values);
        let mut found = Vec::new();
        for row in everywhere.query_all_raw(asked).await? {
            found.extend(self.due_place(&row)?);
        }
        Ok(found)
    }

    /// Those of the next endpoints after `from` at which something is due, and where to go on: from endpoint to endpoint
    /// along an index, so that the cost does not depend on how much waits at each.
    async fn endpoints_after(
        &self,
        everywhere: &DatabaseTransaction,
        from: Option<&EventPlace>,
    ) -> Result<(Vec<(i64, EventPlace)>, Option<EventPlace>), Error> {
        let next = |after: &str| {
            format!(
                "FROM event_deliveries n
                 WHERE n.due_time IS NOT NULL AND (n.tenant_id, n.endpoint_id) > ({after})
                 ORDER BY n.tenant_id, n.endpoint_id, n.due_time LIMIT 1"
            )
        };
        let (first, following) = (next("$1, $2"), next("t.tenant_id, t.endpoint_id"));
        let joined = match self.store.database() {
            Database::Postgres => format!("CROSS JOIN LATERAL (SELECT n.* {following}) d"),
            Database::Sqlite => format!("JOIN event_deliveries d ON d.rowid = (SELECT n.rowid {following})"),
        };
        let sql = format!(
            "WITH RECURSIVE t (tenant_id, endpoint_id, due_time, number) AS (
                 SELECT * FROM (SELECT n.tenant_id, n.endpoint_id, n.due_time, CAST(1 AS bigint) {first}) f
                 UNION ALL
                 SELECT d.tenant_id, d.endpoint_id, d.due_time, t.number + 1
                 FROM t {joined} WHERE t.number < {ENDPOINTS}
             )
             SELECT t.tenant_id, t.endpoint_id, t.due_time, t.number, s.state
             FROM t JOIN tenants s ON s.tenant_id = t.tenant_id ORDER BY t.number"
        );
        let tenant = from.map_or("", |from| from.tenant.as_str());
        let endpoint = from.map_or(Uuid::nil(), |from| from.endpoint.as_uuid());
        let values = [tenant.into(), endpoint.into()];
        let asked = Statement::from_sql_and_values(everywhere.get_database_backend(), sql, values);
        let rows = everywhere.query_all_raw(asked).await?;
        let mut found = Vec::new();
        for row in &rows {
            found.extend(self.due_place(row)?);
        }
        let last = match rows.last() {
            Some(last) if last.try_get::<i64>("", "number")? == ENDPOINTS => Some(place(last)?),
            _ => None,
        };
        Ok((found, last))
    }

    /// An endpoint with the time of its oldest event, if that is due and the tenant is served.
    fn due_place(&self, row: &QueryResult) -> Result<Option<(i64, EventPlace)>, Error> {
        let (due, state): (i64, String) = (row.try_get("", "due_time")?, row.try_get("", "state")?);
        let served = state != TenantState::Suspended.as_str() && due <= self.store.now().micros();
        Ok(if served { Some((due, place(row)?)) } else { None })
    }

    /// Claims what is due at an endpoint, at most a few at once; nobody else claims it until the lease is over. What waits
    /// at one that is disabled is given up.
    ///
    /// # Errors
    /// A secret does not open, or the database fails.
    pub async fn claim(&self, place: &EventPlace) -> Result<Option<(EventTarget, Vec<ClaimedEvent>)>, Error> {
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        let key = (place.tenant.as_str().to_owned(), place.endpoint.as_uuid());
        let Some(endpoint) = event_endpoint::Entity::find_by_id(key).one(&tx).await? else {
            return Ok(None);
        };
        let now = self.store.now();
        if !endpoint.enabled {
            tx.rollback().await?;
            while self.bury_disabled(place).await? == PIECE {}
            return Ok(None);
        }
        if let Some(later) = resting(&endpoint, now) {
            tx.rollback().await?;
            self.postpone(place, later).await?;
            return Ok(None);
        }
        let patient = Condition::any()
            .add(Column::ExpireTime.gt(now.micros()))
            .add(Column::TenantId.in_subquery(patient(now)));
        let rows = Entity::find()
            .filter(at(place))
            .filter(Column::DueTime.lte(now.micros()))
            .filter(patient)
            .order_by_asc(Column::DueTime)
            .limit(if endpoint.failures > 0 { 1 } else { AT_ONCE })
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&tx)
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let target = match self.store.event_endpoints().opened(&tx, &place.tenant, &endpoint).await {
            Err(Error::Integrity) => {
                self.rest_broken(tx, place, now).await?;
                return Err(Error::Integrity);
            }
            opened => opened?,
        };
        Entity::update_many()
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .col_expr(Column::DueTime, Expr::value(now.after(LEASE).micros()))
            .filter(at(place))
            .filter(Column::EventId.is_in(rows.iter().map(|row| row.event_id)))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        let claimed = |row: Model| ClaimedEvent {
            place: place.clone(),
            endpoint_time: endpoint.update_time,
            event: EventId::from_uuid(row.event_id),
            body: row.body,
            attempt: row.attempts + 1,
        };
        Ok(Some((target, rows.into_iter().map(claimed).collect())))
    }

    /// Gives up a piece of what waits at an endpoint, unless somebody has enabled it meanwhile, and tells how much that was.
    async fn bury_disabled(&self, place: &EventPlace) -> Result<u64, Error> {
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        let key = (place.tenant.as_str().to_owned(), place.endpoint.as_uuid());
        // Held, so that nobody enables it meanwhile.
        let held = event_endpoint::Entity::find_by_id(key)
            .filter(event_endpoint::Column::Enabled.eq(false))
            .lock_exclusive();
        let buried = match held.one(&tx).await? {
            Some(_) => bury_at(&tx, place, self.store.now()).await?,
            None => 0,
        };
        tx.commit().await?;
        Ok(buried)
    }

    /// Leaves alone for a while an endpoint whose secret does not open; it shows, and the log has a record.
    async fn rest_broken(
        &self,
        tx: DatabaseTransaction,
        place: &EventPlace,
        now: Timestamp,
    ) -> Result<(), Error> {
        let failed = Attempt::Failed { failure: BROKEN.to_owned(), retry_after: None, gone: false };
        health(&failed, now)
            .filter(event_endpoint::Column::TenantId.eq(place.tenant.as_str()))
            .filter(event_endpoint::Column::Id.eq(place.endpoint.as_uuid()))
            .exec(&tx)
            .await?;
        let mut event = AuditEvent::of(place.tenant.clone(), Action::RetryEventDelivery);
        event.changed.push(format!("event_endpoints/{}", place.endpoint));
        integrity::note(self.store, &tx, &event, now).await?;
        tx.commit().await?;
        self.postpone(place, now.after(integrity::REST)).await
    }

    /// Puts off what waits at an endpoint until an instant, piece by piece.
    async fn postpone(&self, place: &EventPlace, later: Timestamp) -> Result<(), Error> {
        let sooner = at(place).add(Column::DueTime.lt(later.micros()));
        loop {
            let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
            let postponed = Entity::update_many()
                .col_expr(Column::DueTime, Expr::value(later.micros()))
                .filter(sooner.clone())
                .filter(Column::EventId.in_subquery(piece_of(sooner.clone())))
                .exec(&tx)
                .await?;
            tx.commit().await?;
            if postponed.rows_affected < PIECE {
                return Ok(());
            }
        }
    }

    /// Notes how an attempt ended, and tells what became of the delivery. An attempt that was overtaken by another one
    /// changes the endpoint's health only. One that began before somebody changed the endpoint does not change that, and
    /// if its URL was gone, the event is sent again.
    ///
    /// # Errors
    /// The database fails: the event is sent once more when its lease is over.
    pub async fn attempted(&self, claimed: &ClaimedEvent, attempt: &Attempt) -> Result<DeliveryState, Error> {
        let place = &claimed.place;
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        let now = self.store.now();
        // The endpoint first, as whoever deletes it does: no deadlock.
        let same = health(attempt, now)
            .filter(event_endpoint::Column::TenantId.eq(place.tenant.as_str()))
            .filter(event_endpoint::Column::Id.eq(place.endpoint.as_uuid()))
            .filter(event_endpoint::Column::UpdateTime.eq(claimed.endpoint_time))
            .exec(&tx)
            .await?
            .rows_affected
            > 0;
        let gone = same && matches!(attempt, Attempt::Failed { gone: true, .. });
        let (state, again, memory) = verdict(claimed.attempt, attempt, gone, self.store.keyring().random());
        let failure = match attempt {
            Attempt::Delivered => None,
            Attempt::Failed { failure, .. } => Some(failure.as_str()),
        };
        // What was taken was taken, even if the endpoint was disabled meanwhile.
        let open = match state {
            DeliveryState::Delivered => Column::State.ne(DeliveryState::Delivered.as_str()),
            _ => Column::State.eq(DeliveryState::Pending.as_str()),
        };
        Entity::update_many()
            .col_expr(Column::State, Expr::value(state.as_str()))
            .col_expr(Column::DueTime, Expr::value(again.map(|pause| now.after(pause).micros())))
            .col_expr(
                Column::ExpireTime,
                memory.map_or(Expr::col(Column::ExpireTime), |memory| forgotten(now, memory)),
            )
            .col_expr(Column::AttemptTime, Expr::value(now.micros()))
            .col_expr(Column::Failure, Expr::value(failure))
            .filter(at(place))
            .filter(Column::EventId.eq(claimed.event.as_uuid()))
            .filter(Column::Attempts.eq(claimed.attempt))
            .filter(open)
            .exec(&tx)
            .await?;
        if gone {
            // The rest is given up by whoever would claim it.
            bury_at(&tx, place, now).await?;
        }
        tx.commit().await?;
        Ok(state)
    }
}

/// Gives up a piece of what nobody took in its time, of a tenant that is served, and tells how much that was.
pub(crate) async fn bury_late(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<u64, Error> {
    let late = Condition::all()
        .add(Column::TenantId.eq(tenant.as_str()))
        .add(Column::TenantId.not_in_subquery(suspended()))
        .add(Column::TenantId.not_in_subquery(patient(now)))
        .add(Column::ExpireTime.lte(now.micros()));
    let late = late.clone().add(Column::EventId.in_subquery(piece_of(late)));
    bury(tx, late, now, Expr::col(Column::Failure).if_null(LATE)).await
}

/// Gives up a piece of what waits at an endpoint that is disabled.
async fn bury_at(tx: &DatabaseTransaction, place: &EventPlace, now: Timestamp) -> Result<u64, Error> {
    let piece = at(place).add(Column::EventId.in_subquery(piece_of(at(place))));
    bury(tx, piece, now, Expr::value(DISABLED)).await
}

/// The ids of a piece of those of `which` that are still to be sent.
fn piece_of(which: Condition) -> SelectStatement {
    Query::select()
        .column(Column::EventId)
        .from(Entity)
        .cond_where(which)
        .and_where(Column::DueTime.is_not_null())
        .limit(PIECE)
        .to_owned()
}

/// Whether as many events wait at an endpoint as may, in SQL.
pub(crate) fn is_full(tenant: &str, endpoint: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM event_deliveries w
             WHERE w.tenant_id = {tenant} AND w.endpoint_id = {endpoint} AND w.due_time IS NOT NULL
             LIMIT 1 OFFSET {})",
        WAITING - 1
    )
}

/// Until when an endpoint rests whose secret did not open, if it does.
fn resting(endpoint: &event_endpoint::Model, now: Timestamp) -> Option<Timestamp> {
    let broken = endpoint.failure.as_deref() == Some(BROKEN);
    let since = endpoint.failure_time.filter(|_| broken).map(Timestamp::from_micros)?;
    Some(since.after(integrity::REST)).filter(|later| *later > now)
}

/// The endpoint that a row is about.
fn place(row: &QueryResult) -> Result<EventPlace, Error> {
    let tenant = TenantId::from_stored(row.try_get("", "tenant_id")?);
    Ok(EventPlace { tenant, endpoint: EventEndpointId::from_uuid(row.try_get("", "endpoint_id")?) })
}

/// Tenants whose events have more time than their own, for they were suspended.
fn patient(now: Timestamp) -> SelectStatement {
    Query::select()
        .column(tenant::Column::TenantId)
        .from(tenant::Entity)
        .and_where(tenant::Column::PatienceTime.gt(now.micros()))
        .to_owned()
}

/// Tenants that are not served.
fn suspended() -> SelectStatement {
    Query::select()
        .column(tenant::Column::TenantId)
        .from(tenant::Entity)
        .and_where(tenant::Column::State.eq(TenantState::Suspended.as_str()))
        .to_owned()
}

/// Deliveries to an endpoint.
fn at(place: &EventPlace) -> Condition {
    Condition::all()
        .add(Column::TenantId.eq(place.tenant.as_str()))
        .add(Column::EndpointId.eq(place.endpoint.as_uuid()))
}

/// What an attempt makes of its delivery: the state, after how long it is sent again, how long it is remembered.
fn verdict(
    number: i64,
    attempt: &Attempt,
    gone: bool,
    random: &dyn Random,
) -> (DeliveryState, Option<Duration>, Option<Duration>) {
    let again = match attempt {
        Attempt::Delivered => return (DeliveryState::Delivered, None, Some(MEMORY)),
        Attempt::Failed { .. } if gone => None,
        Attempt::Failed { retry_after, .. } => pause(number, *retry_after, random),
    };
    match again {
        Some(_) => (DeliveryState::Pending, again, None),
        None => (DeliveryState::Dead, None, Some(DEAD_MEMORY)),
    }
}

/// What an attempt says about its endpoint.
fn health(attempt: &Attempt, now: Timestamp) -> UpdateMany<event_endpoint::Entity> {
    use event_endpoint::Column;
    let update = event_endpoint::Entity::update_many();
    match attempt {
        Attempt::Delivered => update
            .col_expr(Column::Failures, Expr::value(0))
            .col_expr(Column::SuccessTime, Expr::value(now.micros())),
        Attempt::Failed { failure, gone, .. } => {
            let update = update
                .col_expr(Column::Failures, Expr::col(Column::Failures).add(1))
                .col_expr(Column::FailureTime, Expr::value(now.micros()))
                .col_expr(Column::Failure, Expr::value(failure.as_str()));
            if *gone { update.col_expr(Column::Enabled, Expr::value(false)) } else { update }
        }
    }
}

/// Gives up those of `which` that were still to be sent, and tells how many that were.
async fn bury(
    tx: &DatabaseTransaction,
    which: Condition,
    now: Timestamp,
    failure: Expr,
) -> Result<u64, Error> {
    let buried = Entity::update_many()
        .col_expr(Column::State, Expr::value(DeliveryState::Dead.as_str()))
        .col_expr(Column::DueTime, Expr::value(None::<i64>))
        .col_expr(Column::ExpireTime, forgotten(now, DEAD_MEMORY))
        .col_expr(Column::Failure, failure)
        .filter(which)
        .filter(Column::State.eq(DeliveryState::Pending.as_str()))
        .exec(tx)
        .await?;
    metrics::counter!("credvault_event_deliveries_total", "outcome" => "dead")
        .increment(buried.rows_affected);
    Ok(buried.rows_affected)
}

/// When what is settled now is forgotten: at once if it is about a user who was deleted.
fn forgotten(now: Timestamp, memory: Duration) -> Expr {
    let deleted = Expr::col(Column::UserDeleted).eq(true);
    Expr::case(deleted, Expr::value(now.micros())).finally(Expr::value(now.after(memory).micros())).into()
}

/// How long to wait after a failed attempt, give or take a fifth, and at least as long as the endpoint asks for. `None`
/// after the last.
fn pause(attempt: i64, asked: Option<Duration>, random: &dyn Random) -> Option<Duration> {
    let index = usize::try_from(attempt - 1).ok()?;
    let planned = Duration::from_secs(*PAUSES.get(index)?);
    Some(planned.mul_f64(jitter(random, 0.8..=1.2)).max(asked.unwrap_or_default()))
}

fn delivery(model: Model) -> Result<EventDelivery, Error> {
    Ok(EventDelivery {
        endpoint: EventEndpointId::from_uuid(model.endpoint_id),
        event: EventId::from_uuid(model.event_id),
        kind: model.r#type,
        body: model.body,
        state: DeliveryState::from_stored(&model.state).ok_or(Error::Integrity)?,
        attempts: model.attempts,
        due_time: model.due_time.map(Timestamp::from_micros),
        attempt_time: model.attempt_time.map(Timestamp::from_micros),
        failure: model.failure,
        create_time: Timestamp::from_micros(model.create_time),
    })
}
