//! How an attempt to deliver an event ended, and what follows from that.

use std::time::Duration;

use credvault_domain::{Action, DeliveryState, Random, Timestamp, jitter};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QuerySelect as _, UpdateMany,
};

use super::burial::{bury_at, forgotten};
use super::{ClaimedEvent, EndpointKey, EventDeliveries, at};
use crate::Error;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::entity::event_delivery::{Column, Entity};
use crate::entity::event_endpoint;
use crate::events::endpoints::endpoint_name;
use crate::events::lifetime::{DEAD_MEMORY, DELIVERED_MEMORY};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// The pauses after the first attempt, the second and so on, in seconds: nine attempts in a day.
const PAUSES_SECONDS: [u64; 8] = [5, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 8 * HOUR, 8 * HOUR];

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// The endpoint has accepted the event.
    Delivered,
    /// The endpoint has not accepted the event.
    Failed {
        /// Why, in words for the endpoint's owner.
        failure: String,
        /// How long the endpoint asks the vault to wait.
        retry_after: Option<Duration>,
        /// Whether the endpoint answered 410 Gone, so that it gets no further events.
        gone: bool,
    },
}

impl EventDeliveries<'_> {
    /// Records the result of an attempt and returns the delivery's new state. An attempt that another one has overtaken
    /// changes the endpoint's health only. One that began before the endpoint was changed does not change its health, and
    /// if the earlier URL answered 410 Gone, the event is sent again. That an endpoint is gone disables it, which is on record.
    ///
    /// # Errors
    /// The database fails: the event is sent once more when its lease is over.
    pub async fn attempted(&self, claimed: &ClaimedEvent, attempt: &Attempt) -> Result<DeliveryState, Error> {
        let key = &claimed.key;
        let mut change = self.store.own_change(&key.tenant).await?;
        let (tx, now) = (&change.tx, change.now);
        // The endpoint is locked first, as a deletion does, so the two cannot deadlock.
        let says_gone = matches!(attempt, Attempt::Failed { gone: true, .. });
        let was_enabled = says_gone && is_enabled(tx, key).await?;
        let same = health(attempt, now)
            .filter(event_endpoint::Column::TenantId.eq(key.tenant.as_str()))
            .filter(event_endpoint::Column::Id.eq(key.endpoint.as_uuid()))
            .filter(event_endpoint::Column::UpdateTime.eq(claimed.endpoint_time))
            .exec(tx)
            .await?
            .rows_affected
            > 0;
        let gone = same && says_gone;
        let (state, again, memory) = verdict(claimed.attempt, attempt, gone, self.store.keyring().random());
        let failure = match attempt {
            Attempt::Delivered => None,
            Attempt::Failed { failure, .. } => Some(failure.as_str()),
        };
        // What was taken was taken, even if the endpoint was disabled meanwhile.
        let open = match state {
            DeliveryState::Delivered => Column::State.ne(DeliveryState::Delivered.as_str()),
            DeliveryState::Pending | DeliveryState::Dead => Column::State.eq(DeliveryState::Pending.as_str()),
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
            .filter(at(key))
            .filter(Column::EventId.eq(claimed.event.as_uuid()))
            .filter(Column::Attempts.eq(claimed.attempt))
            .filter(open)
            .exec(tx)
            .await?;
        if gone {
            // The next claim gives the other deliveries up.
            bury_at(tx, key, now).await?;
        }
        if gone && was_enabled {
            change.record_change(ChangeSubject::EventEndpoint(key.endpoint), ChangeKind::Updated, None);
            // As for the request that enables it again, but by the vault.
            let mut record = self.store.own_event(&key.tenant, Action::PutEventEndpoint)?;
            record.changed.extend([endpoint_name(key.endpoint), "enabled".to_owned()]);
            change.record(record);
        }
        let _ = change.commit(()).await?;
        Ok(state)
    }
}

/// Whether events are sent to an endpoint, whose row is locked from now on.
async fn is_enabled(tx: &DatabaseTransaction, key: &EndpointKey) -> Result<bool, Error> {
    let endpoint = event_endpoint::Entity::find_by_id(key.row_id()).lock_exclusive().one(tx).await?;
    Ok(endpoint.is_some_and(|endpoint| endpoint.enabled))
}

/// What an attempt makes of its delivery: the state, after how long it is sent again, how long it is remembered.
fn verdict(
    number: i64,
    attempt: &Attempt,
    gone: bool,
    random: &dyn Random,
) -> (DeliveryState, Option<Duration>, Option<Duration>) {
    let again = match attempt {
        Attempt::Delivered => return (DeliveryState::Delivered, None, Some(DELIVERED_MEMORY)),
        Attempt::Failed { .. } if gone => None,
        Attempt::Failed { retry_after, .. } => pause(number, *retry_after, random),
    };
    match again {
        Some(_) => (DeliveryState::Pending, again, None),
        None => (DeliveryState::Dead, None, Some(DEAD_MEMORY)),
    }
}

/// What an attempt says about its endpoint.
pub(super) fn health(attempt: &Attempt, now: Timestamp) -> UpdateMany<event_endpoint::Entity> {
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

/// How long to wait after a failed attempt, give or take a fifth, and at least as long as the endpoint asks for. `None`
/// after the last.
fn pause(attempt: i64, asked: Option<Duration>, random: &dyn Random) -> Option<Duration> {
    let index = usize::try_from(attempt - 1).ok()?;
    let planned = Duration::from_secs(*PAUSES_SECONDS.get(index)?);
    Some(planned.mul_f64(jitter(random, 0.8..=1.2)).max(asked.unwrap_or_default()))
}
