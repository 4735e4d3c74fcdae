//! Claiming events: before they are sent, so that a crash leaves a trace.

use std::time::Duration;

use credvault_domain::{Action, AuditEvent, EventId, Timestamp};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::attempt::{Attempt, health};
use super::burial::{bury_at, patient, piece_of};
use super::{ClaimedEvent, EndpointKey, EventDeliveries, at};
use crate::Error;
use crate::change::Change;
use crate::credentials::broken::record_integrity_failure;
use crate::database::pieces::PIECE;
use crate::entity::event_delivery::{Column, Entity, Model};
use crate::entity::event_endpoint;
use crate::events::endpoint_secrets::{EventTarget, opened};
use crate::events::endpoints::endpoint_name;
use crate::integrity::INTEGRITY_REST;

/// How long a claim holds: far longer than an attempt takes.
const LEASE: Duration = Duration::from_secs(60);
/// How many events are claimed at once for an endpoint that works. One that does not gets one at a time.
const AT_ONCE: u64 = 4;
/// Why nothing is sent to an endpoint that was altered.
const BROKEN: &str = "its stored URL and secret do not open; delete the endpoint and put a new one";

impl EventDeliveries<'_> {
    /// Claims due deliveries of an endpoint, at most a few at once. No other replica claims them until the lease ends.
    /// Deliveries that wait for a disabled endpoint are given up.
    ///
    /// # Errors
    /// A secret does not open, or the database fails.
    pub async fn claim(&self, key: &EndpointKey) -> Result<Option<(EventTarget, Vec<ClaimedEvent>)>, Error> {
        let change = self.store.own_opening_change(&key.tenant).await?;
        let (tx, now) = (&change.tx, change.now);
        let Some(endpoint) = event_endpoint::Entity::find_by_id(key.row_id()).one(tx).await? else {
            return Ok(None);
        };
        if !endpoint.enabled {
            drop(change);
            while self.bury_disabled(key).await? == PIECE {}
            return Ok(None);
        }
        if let Some(later) = resting(&endpoint, now) {
            drop(change);
            self.postpone(key, later).await?;
            return Ok(None);
        }
        let patient = Condition::any()
            .add(Column::ExpireTime.gt(now.micros()))
            .add(Column::TenantId.in_subquery(patient(now)));
        let rows = Entity::find()
            .filter(at(key))
            .filter(Column::DueTime.lte(now.micros()))
            .filter(patient)
            .order_by_asc(Column::DueTime)
            .limit(if endpoint.failures > 0 { 1 } else { AT_ONCE })
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(tx)
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let target = match change.keys().and_then(|keys| opened(&key.tenant, keys, &endpoint, now)) {
            Err(Error::Integrity) => {
                self.rest_broken(change, key).await?;
                return Err(Error::Integrity);
            }
            opened => opened?,
        };
        Entity::update_many()
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .col_expr(Column::DueTime, Expr::value(now.after(LEASE).micros()))
            .filter(at(key))
            .filter(Column::EventId.is_in(rows.iter().map(|row| row.event_id)))
            .exec(tx)
            .await?;
        let _ = change.commit(()).await?;
        let claimed = |row: Model| ClaimedEvent {
            key: key.clone(),
            endpoint_time: endpoint.update_time,
            event: EventId::from_uuid(row.event_id),
            body: row.body,
            attempt: row.attempts + 1,
        };
        Ok(Some((target, rows.into_iter().map(claimed).collect())))
    }

    /// Gives up some of the deliveries that wait for an endpoint, unless it has been enabled meanwhile, and returns their
    /// number.
    async fn bury_disabled(&self, key: &EndpointKey) -> Result<u64, Error> {
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        // Locked, so that it cannot be enabled meanwhile.
        let held = event_endpoint::Entity::find_by_id(key.row_id())
            .filter(event_endpoint::Column::Enabled.eq(false))
            .lock_exclusive();
        let buried = match held.one(&tx).await? {
            Some(_) => bury_at(&tx, key, self.store.now()).await?,
            None => 0,
        };
        tx.commit().await?;
        Ok(buried)
    }

    /// Leaves alone for a while an endpoint whose secret does not open; it shows, and the log has a record.
    async fn rest_broken(&self, mut change: Change<'_>, key: &EndpointKey) -> Result<(), Error> {
        let now = change.now;
        let failed = Attempt::Failed { failure: BROKEN.to_owned(), retry_after: None, gone: false };
        health(&failed, now)
            .filter(event_endpoint::Column::TenantId.eq(key.tenant.as_str()))
            .filter(event_endpoint::Column::Id.eq(key.endpoint.as_uuid()))
            .exec(&change.tx)
            .await?;
        let mut event = AuditEvent::of(key.tenant.clone(), Action::RetryEventDelivery);
        event.changed.push(endpoint_name(key.endpoint));
        record_integrity_failure(&mut change, &event)?;
        let _ = change.commit(()).await?;
        self.postpone(key, now.after(INTEGRITY_REST)).await
    }

    /// Puts off what waits at an endpoint until an instant, piece by piece.
    async fn postpone(&self, key: &EndpointKey, later: Timestamp) -> Result<(), Error> {
        let sooner = at(key).add(Column::DueTime.lt(later.micros()));
        loop {
            let tx = self.store.begin_bookkeeping(&key.tenant).await?;
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
}

/// Until when an endpoint rests whose secret did not open, if it does.
fn resting(endpoint: &event_endpoint::Model, now: Timestamp) -> Option<Timestamp> {
    let broken = endpoint.failure.as_deref() == Some(BROKEN);
    let since = endpoint.failure_time.filter(|_| broken).map(Timestamp::from_micros)?;
    Some(since.after(INTEGRITY_REST)).filter(|later| *later > now)
}
