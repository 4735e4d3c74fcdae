//! The search for refreshes that are due, so that callers seldom wait for one.

use std::sync::Arc;
use std::time::Duration;

use credvault_domain::TenantId;
use credvault_store::{Due, Error, Full, LeftOut, Turn, Turns};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::refresher::{Need, Refresher};

/// How many due refreshes are in flight at once.
const MAX_DUE: usize = 256;
/// How often one round searches, each time without the apps and tenants that have no room left.
const MAX_SEARCHES: usize = 4;
/// About how many apps and tenants one search leaves out.
const MAX_LEFT_OUT: usize = 200;
/// The pause between rounds while there are due refreshes.
const BUSY_SEARCH_INTERVAL: Duration = Duration::from_millis(100);
/// The pause between rounds while nothing is due.
const IDLE_SEARCH_INTERVAL: Duration = Duration::from_secs(1);
/// The least time for which a due refresh that failed is not found again.
const MIN_POSTPONEMENT: Duration = Duration::from_secs(10);

impl Refresher {
    /// Refreshes what is due, until `stop`. Refreshes in flight continue then: [`Refresher::finish`] waits for them.
    pub async fn run(&self, stop: CancellationToken) {
        let mut search = Search { refresher: self, turns: Turns::new(MAX_DUE), from: None };
        loop {
            let started = Instant::now();
            let found = search.round().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the search for due refreshes failed");
                false
            });
            let interval = if found { BUSY_SEARCH_INTERVAL } else { IDLE_SEARCH_INTERVAL };
            // A search that takes long, because very much is due, must not be all that the database does.
            let pause = interval.max(started.elapsed());
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Starts a due refresh, and holds its `room` until it ends.
    fn start_due(&self, due: Due, room: Room) {
        let Due { key, generation, .. } = due;
        let outcome = self.join(key.clone(), generation, Need::Now);
        let worker = Arc::clone(&self.worker);
        tokio::spawn(async move {
            if let Err(error) = outcome.await {
                // A refresh that stays due for another reason than its own retry time must not keep others from being found.
                let until = worker.parts.clock.now().after(MIN_POSTPONEMENT);
                let _ = worker.parts.store.refreshes().postpone(&key, generation, until).await;
                tracing::debug!(connection = %key.connection(), %error, "a due refresh failed");
            }
            drop(room);
        });
    }
}

/// The room that a due refresh takes: a turn among all, and a permit of its app's budget.
type Room = (Turn, Option<Turn>);

/// Why a due refresh is not started now.
enum NoRoom {
    /// As many are in flight as may be.
    ForAny,
    /// These have as many in flight as they may.
    For(LeftOut),
}

/// The search over all rounds.
struct Search<'r> {
    refresher: &'r Refresher,
    turns: Turns,
    /// The tenant with which the next search begins.
    from: Option<TenantId>,
}

impl Search<'_> {
    /// Searches, and starts as many refreshes as there is room for. Whether any was due.
    async fn round(&mut self) -> Result<bool, Error> {
        let Refresher { worker, in_flight, .. } = self.refresher;
        // Apps that are left alone, and tenants that have enough in flight, must not keep others from being found.
        let mut left_out = worker.throttle.left_out();
        let mut any = false;
        for _ in 0..MAX_SEARCHES {
            let limit = MAX_DUE + in_flight.len();
            let found = worker.parts.store.refreshes().due(limit, &left_out, self.from.as_ref()).await?;
            self.from = found.next;
            let known = left_out.len();
            for due in found.due {
                if in_flight.contains(&due.key) || left_out.iter().any(|out| out.covers(&due)) {
                    continue;
                }
                any = true;
                match self.room_for(&due) {
                    Ok(room) => self.refresher.start_due(due, room),
                    Err(NoRoom::ForAny) => return Ok(any),
                    Err(NoRoom::For(tenant_or_app)) => left_out.push(tenant_or_app),
                }
            }
            if found.all || left_out.len() == known || left_out.len() > MAX_LEFT_OUT {
                break;
            }
        }
        Ok(any)
    }

    fn room_for(&self, due: &Due) -> Result<Room, NoRoom> {
        let tenant = due.key.tenant();
        let turn = self.turns.try_take(tenant).map_err(|full| match full {
            Full::All => NoRoom::ForAny,
            Full::Tenant => NoRoom::For(LeftOut { tenant: Some(tenant.clone()), app: None }),
        })?;
        let permit = self.refresher.worker.throttle.permit_due(&due.app, tenant).map_err(|full| {
            let tenant = (full == Full::Tenant).then(|| tenant.clone());
            NoRoom::For(LeftOut { tenant, app: Some(due.app.clone()) })
        })?;
        Ok((turn, permit))
    }
}
