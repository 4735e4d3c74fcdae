//! Fresh tokens for every caller, with one call to the provider for all of them. `docs/refresh.md` has the protocol;
//! the steps here are those of the model there.
//!
//! Here are the flights, which all who want the same tokens join, and the search for what is due. [`attempt`] claims,
//! sends and stores; [`request`] makes the request and reads what was given; [`failed`] says what came of the rest.

mod attempt;
mod failed;
mod request;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_catalog::Catalog;
use credvault_domain::{Clock, ProviderId, Random, TenantId};
use credvault_store::{AppFault, Due, Full, LeftOut, Pause, Place, Store, Turn, Turns};
use futures::future::{BoxFuture, FutureExt as _, Shared};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use attempt::PROMPT;

use crate::broker::Parts;
use crate::http::{Http, READ_ON};
use crate::pace::Pace;
pub use request::{app_values, due_time};
pub(crate) use request::{merge, moment};

/// The longest that an attempt takes from its claim to the end of the provider's answer.
pub const MAX_ATTEMPT_TIME: Duration = Duration::from_secs(PROMPT.as_secs() + READ_ON.as_secs());
/// How much life an access token must have left to be given out without another look.
pub const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(30);
/// How long a due refresh that did not succeed is not looked at again, at least.
const CROWD: Duration = Duration::from_secs(10);
/// How many due refreshes are worked on at once.
const DUE: usize = 256;
/// How often one look searches: each time without what it has found to be full.
const SEARCHES: usize = 4;
/// How much one search leaves out at most, about.
const MOST_LEFT_OUT: usize = 200;
/// How often what is due is looked for: while there is some, and while there is none.
const SEARCH: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Why there is no fresh token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RefreshError {
    /// Only a new consent of the account's owner helps.
    #[error(
        "the provider does not accept the connection any more; its owner must consent again (BeginAuthorization), or give new keys (PutCredential)"
    )]
    Reauthorize,
    /// The provider does not answer, or nobody knows what it answered.
    #[error("the provider does not answer; try again as late as the retry delay says")]
    Unavailable {
        /// How long to wait.
        retry: Duration,
    },
    /// The provider refuses, and does not say in words that the vault knows whose fault it is.
    #[error(
        "the provider refuses to renew the access token, for a reason that the vault does not know; it is tried again, and if it goes on, its owner must consent again (BeginAuthorization)"
    )]
    Refused {
        /// How long to wait.
        retry: Duration,
    },
    /// The provider wants fewer calls.
    #[error("the provider asks for fewer calls; try again as late as the retry delay says")]
    Throttled {
        /// How long to wait.
        retry: Duration,
    },
    /// The vault makes as many calls as it may.
    #[error(
        "the vault makes as many calls to this provider as it may (broker.refreshes_per_second), so this one was not sent; \
         try again as late as the retry delay says"
    )]
    Crowded {
        /// How long to wait.
        retry: Duration,
    },
    /// The connection lacks something that its owner has to give.
    #[error(
        "a setting or key of the connection that its renewal needs is missing or cannot be used; UpdateConnection or \
         PutCredential gives it"
    )]
    Incomplete,
    /// The app at the provider is at fault.
    #[error("{}", app_words(*fault))]
    App {
        /// What is wrong with it.
        fault: AppFault,
        /// How long to wait, unless the app is stored anew before that.
        retry: Duration,
    },
    /// The provider finds the times in a signed assertion wrong.
    #[error(
        "the provider finds the vault's clock wrong; an operator must compare it with a time server, and then it works again"
    )]
    Clock {
        /// How long to wait.
        retry: Duration,
    },
    /// The connection cannot be refreshed.
    #[error(
        "this connection has nothing to refresh: it is disabled, has no credential, or has one that is not renewed; \
         PutCredential or BeginAuthorization replaces it"
    )]
    Nothing,
    /// The catalog does not say how the tokens are renewed.
    #[error(
        "the vault's catalog does not say how this connection's tokens are renewed; an operator must restore the provider's \
         catalog file"
    )]
    Uncatalogued,
    /// A stored value does not open.
    #[error(
        "a stored value does not open; it was altered outside of the vault. PutCredential with config stores a \
         connection's anew, PutOAuthApp an app's"
    )]
    Integrity,
    /// The vault's own database or keys.
    #[error("the vault could not look after the connection's tokens; try again")]
    Store,
}

/// How fast tokens are refreshed, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct RefreshLimits {
    /// Calls for one app at a provider in any second, from all replicas together; 0 means no limit.
    pub per_second: u32,
    /// How long an unclear outcome is looked into before consent is asked for.
    pub perseverance: Duration,
}

impl RefreshError {
    /// What a caller is told of a pause.
    fn paused(pause: Pause, retry: Duration) -> Self {
        match pause {
            Pause::Unavailable | Pause::AtWork => Self::Unavailable { retry },
            Pause::Throttled => Self::Throttled { retry },
            Pause::Crowded => Self::Crowded { retry },
            Pause::Vault => Self::Store,
            Pause::Uncatalogued => Self::Uncatalogued,
            Pause::Refused => Self::Refused { retry },
            Pause::Incomplete => Self::Incomplete,
            Pause::Clock => Self::Clock { retry },
            Pause::Broken => Self::Integrity,
            Pause::App { fault, .. } => Self::App { fault, retry },
        }
    }
}

fn app_words(fault: AppFault) -> &'static str {
    match fault {
        AppFault::Refused => {
            "the provider does not accept the platform's app; PutOAuthApp stores its current id and secret"
        }
        AppFault::Missing => {
            "the platform's app at this provider, or a part of it, is missing, so nothing was sent; PutOAuthApp stores it"
        }
        AppFault::Other => {
            "the tokens were got with another app than the one that is stored now; PutOAuthApp stores that one again, or \
             the owner consents anew (BeginAuthorization)"
        }
    }
}

/// Why a refresh is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Somebody waits for it, or it is due.
    Now,
    /// Somebody waits for it, and knows that the last attempts failed.
    Forced,
}

type Flight = Shared<BoxFuture<'static, Result<(), RefreshError>>>;

/// Keeps tokens fresh.
#[derive(Clone)]
pub struct Refresher(Arc<Inner>);

struct Inner {
    store: Store,
    catalog: Arc<Catalog>,
    http: Http,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pace: Pace,
    /// How long an unclear outcome is looked into.
    perseverance: Duration,
    /// Refreshes under way in this process: whoever wants one that is there joins it.
    flights: Mutex<HashMap<Place, Flight>>,
    /// A provider that is slow must not take the calls of the others.
    providers: Mutex<HashMap<ProviderId, Turns>>,
    work: TaskTracker,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").finish_non_exhaustive()
    }
}

impl Refresher {
    /// A refresher for everything in `store`.
    pub fn new(parts: Parts, limits: RefreshLimits) -> Self {
        let Parts { store, catalog, http, clock, random } = parts;
        let RefreshLimits { per_second, perseverance } = limits;
        let pace = Pace::new(store.clone(), Arc::clone(&clock), Arc::clone(&random), per_second);
        let (flights, providers, work) = (Mutex::default(), Mutex::default(), TaskTracker::new());
        Self(Arc::new(Inner {
            store,
            catalog,
            http,
            clock,
            random,
            pace,
            perseverance,
            flights,
            providers,
            work,
        }))
    }

    /// Has the tokens of generation `seen` renewed, or waits for whoever renews them. Afterwards they are newer than
    /// that. Whoever stops waiting stops nothing.
    ///
    /// # Errors
    /// Why they are not.
    pub async fn refresh(&self, place: Place, seen: i64, need: Need) -> Result<(), RefreshError> {
        self.flight(place, seen, need).await
    }

    /// Joins the refresh that is under way, or begins one.
    fn flight(&self, place: Place, seen: i64, need: Need) -> Flight {
        let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&place) {
            return flight.clone();
        }
        let (inner, at) = (Arc::clone(&self.0), place.clone());
        let task = self.0.work.spawn(async move {
            // Removed however this ends, or nobody could begin another.
            let landing = Landing { inner: &inner, place: &at };
            let done = inner.run(&at, seen, need).await;
            drop(landing);
            done
        });
        let flight: Flight = async move { task.await.unwrap_or(Err(RefreshError::Store)) }.boxed().shared();
        flights.insert(place, flight.clone());
        flight
    }

    /// Ends the pauses that an app has caused, now that it was stored anew: a tenant's own, or the platform's.
    pub fn app_stored(&self, tenant: TenantId, provider: ProviderId) {
        self.0.pace.forget(&provider);
        let inner = Arc::clone(&self.0);
        self.0.work.spawn(async move {
            if let Err(error) = inner.store.refreshes().wake_waiting_for_app(&tenant, &provider).await {
                // Whoever needs a token finds the new app nevertheless.
                tracing::warn!(provider = provider.as_str(), %error, "what waits for the app could not be woken");
            }
        });
    }

    /// Renews what is due, until `stop`. What is under way then goes on: [`Refresher::finish`].
    pub async fn run(&self, stop: CancellationToken) {
        let (turns, mut from) = (Turns::new(DUE), None);
        loop {
            let search = tokio::time::Instant::now();
            let begun = match self.look(&turns, &mut from).await {
                Ok(begun) => begun,
                Err(error) => {
                    tracing::warn!(%error, "due refreshes could not be looked for");
                    false
                }
            };
            let pause = if begun { SEARCH.0 } else { SEARCH.1 };
            // A search that takes long, because very much is due, must not be all that the database does.
            let pause = pause.max(search.elapsed());
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Looks for what is due and begins as much of it as there is room for. Whether there was any.
    async fn look(&self, turns: &Turns, from: &mut Option<TenantId>) -> Result<bool, credvault_store::Error> {
        let inner = &self.0;
        // What is not asked, or has enough under way, must not crowd out the rest.
        let mut without = inner.pace.left_out();
        let mut any = false;
        for _ in 0..SEARCHES {
            let under_way = inner.flights.lock().unwrap_or_else(PoisonError::into_inner).len();
            let found = inner.store.refreshes().due(DUE + under_way, &without, from.as_ref()).await?;
            *from = found.next;
            let known = without.len();
            for due in found.due {
                let flies =
                    inner.flights.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&due.place);
                if flies || without.iter().any(|left_out| left_out.covers(&due)) {
                    continue;
                }
                any = true;
                let tenant = due.place.tenant();
                let turn = match turns.try_take(tenant) {
                    Ok(turn) => turn,
                    Err(Full::All) => return Ok(any),
                    Err(Full::Tenant) => {
                        without.push(LeftOut { tenant: Some(tenant.clone()), app: None });
                        continue;
                    }
                };
                match inner.pace.begin(&due.app, tenant) {
                    Ok(begun) => self.begin(due, (turn, begun)),
                    Err(full) => {
                        let tenant = (full == Full::Tenant).then(|| tenant.clone());
                        without.push(LeftOut { tenant, app: Some(due.app) });
                    }
                }
            }
            if found.all || without.len() == known || without.len() > MOST_LEFT_OUT {
                break;
            }
        }
        Ok(any)
    }

    /// Begins a due refresh. `room` is given back when it ends.
    fn begin(&self, due: Due, room: (Turn, Option<Turn>)) {
        let Due { place, generation, .. } = due;
        let (inner, flight) = (Arc::clone(&self.0), self.flight(place.clone(), generation, Need::Now));
        tokio::spawn(async move {
            let connection = place.connection();
            if let Err(error) = flight.await {
                // What stays due for another reason than its own retry time must not crowd out the rest.
                let until = inner.clock.now().after(CROWD);
                let _ = inner.store.refreshes().postpone(&place, generation, until).await;
                tracing::debug!(%connection, %error, "a due refresh did not succeed");
            }
            drop(room);
        });
    }

    /// Waits until nothing is under way any more: what a provider has given must be stored.
    pub async fn finish(&self) {
        self.0.work.close();
        self.0.work.wait().await;
    }
}

/// Takes a refresh from those under way.
struct Landing<'a> {
    inner: &'a Inner,
    place: &'a Place,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.inner.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(self.place);
    }
}
