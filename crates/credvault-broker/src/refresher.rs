//! Fresh tokens for every caller, with one call to the provider for all of them. `docs/refresh.md` has the protocol;
//! the steps here are those of the model there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_catalog::{App, Catalog, Flow, Given, Granted, Mode, ProviderRequest, RefusalKind, Rotation};
use credvault_domain::{
    Action, AuditEvent, AuditOutcome, AuthMode, Clock, Config, FieldName, ProviderId, Random, Reason,
    SecretFields, Timestamp,
};
use credvault_store::{AppKey, Claim, Claimed, Due, Place, RefreshFailure, Renewed, Store, UsableApp};
use futures::future::{BoxFuture, FutureExt as _, Shared};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{Answer, Http, SendError};
use crate::pace::{Pace, Shut, Sign};

/// How much life an access token must have left to be given out without another look.
pub const ENOUGH: Duration = Duration::from_secs(30);
/// How long a claim may lie before its request is sent: longer, and its owner may have been taken for dead.
const PROMPT: Duration = Duration::from_secs(5);
/// How often a claim of somebody else is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How long somebody else's claim is waited for, by the one who waits on behalf of all callers of this process.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The pauses after failures: the first, doubled each time, at most the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The pause after the provider refused the app itself, which somebody has to mend first.
const APP_PAUSE: Duration = Duration::from_secs(300);
/// How long other connections of an app that the provider has refused wait.
const APP_REST: Duration = Duration::from_secs(30);
/// Calls to one provider at once.
const PER_PROVIDER: usize = 32;
/// How long a due refresh that did not succeed is not looked at again, at least.
const CROWD: Duration = Duration::from_secs(10);
/// How many due refreshes are worked on at once.
const DUE: usize = 256;
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
    /// The provider wants fewer calls.
    #[error("the provider asks for fewer calls; try again as late as the retry delay says")]
    Throttled {
        /// How long to wait.
        retry: Duration,
    },
    /// The platform's app at the provider is missing or not accepted.
    #[error("the platform's app at this provider is missing or not accepted; PutOAuthApp stores it")]
    App,
    /// The connection cannot be refreshed.
    #[error("this connection has nothing to refresh")]
    Nothing,
    /// The vault's own database or keys.
    #[error("the vault could not look after the connection's tokens; try again")]
    Store,
}

/// Why a refresh is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Somebody waits for it.
    Now,
    /// Somebody waits for it, and knows that the last attempts failed.
    Forced,
    /// It is due, and its place in the budget is taken already.
    Due,
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
    /// Refreshes under way in this process: whoever wants one that is there joins it.
    flights: Mutex<HashMap<Place, Flight>>,
    /// A provider that is slow must not take the calls of the others.
    providers: Mutex<HashMap<ProviderId, Arc<Semaphore>>>,
    work: TaskTracker,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").finish_non_exhaustive()
    }
}

impl Refresher {
    /// A refresher for everything in `store`, which calls a provider for one app so many times in a second at most; 0
    /// means no limit.
    pub fn new(
        store: Store,
        catalog: Arc<Catalog>,
        http: Http,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        per_second: u32,
    ) -> Self {
        let pace = Pace::new(store.clone(), Arc::clone(&clock), Arc::clone(&random), per_second);
        let (flights, providers, work) = (Mutex::default(), Mutex::default(), TaskTracker::new());
        Self(Arc::new(Inner { store, catalog, http, clock, random, pace, flights, providers, work }))
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

    /// Renews what is due, until `end`.
    pub async fn run(&self, end: CancellationToken) {
        let places = Arc::new(Semaphore::new(DUE));
        loop {
            let begun = match self.look(&places).await {
                Ok(begun) => begun,
                Err(error) => {
                    tracing::warn!(%error, "due refreshes could not be looked for");
                    false
                }
            };
            let pause = if begun { SEARCH.0 } else { SEARCH.1 };
            if end.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Looks for what is due and begins as much of it as there is room and budget for. Whether there was any.
    async fn look(&self, places: &Arc<Semaphore>) -> Result<bool, credvault_store::Error> {
        let inner = &self.0;
        // What is not asked, or not now, must not crowd out the rest.
        let mut without = inner.pace.all_shut();
        let mut any = false;
        loop {
            let under_way = inner.flights.lock().unwrap_or_else(PoisonError::into_inner).len();
            let limit = DUE + under_way;
            let due = inner.store.refreshes().due(limit as u64, &without).await?;
            let all = due.len() < limit;
            let known = without.len();
            for due in due {
                let flies =
                    inner.flights.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&due.place);
                if flies || without.contains(&due.app) {
                    continue;
                }
                let Ok(place) = Arc::clone(places).try_acquire_owned() else { return Ok(true) };
                if !inner.pace.take(&due.app).await? {
                    without.insert(due.app);
                    any = true;
                    continue;
                }
                any = true;
                self.begin(due, place);
            }
            if all || without.len() == known {
                return Ok(any);
            }
        }
    }

    fn begin(&self, due: Due, room: OwnedSemaphorePermit) {
        let Due { place, generation, .. } = due;
        let (inner, flight) = (Arc::clone(&self.0), self.flight(place.clone(), generation, Need::Due));
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

impl Inner {
    /// Claims, sends, stores; or waits for somebody else who does.
    async fn run(&self, place: &Place, seen: i64, need: Need) -> Result<(), RefreshError> {
        let until = tokio::time::Instant::now() + LONGEST_WAIT;
        let repeatable = |provider: &ProviderId, mode: &AuthMode| {
            let mode = self.catalog.get(provider).and_then(|provider| provider.mode(mode));
            mode.and_then(|mode| mode.oauth.as_ref()).is_some_and(|oauth| oauth.renewal.repeatable())
        };
        loop {
            let begun = tokio::time::Instant::now();
            let claim = self.store.refreshes().claim(place, seen, &repeatable, need == Need::Forced).await;
            match claim.map_err(|error| stored(&error))? {
                Claim::Ours(claimed) => return self.renew(*claimed, begun, need).await,
                Claim::Changed => return Ok(()),
                Claim::Dead | Claim::Nothing
                    if self.store.refreshes().put_off(place, seen).await.is_err() =>
                {
                    return Err(RefreshError::Store);
                }
                Claim::Dead => return Err(RefreshError::Reauthorize),
                Claim::Nothing => return Err(RefreshError::Nothing),
                Claim::Later(time) => {
                    return Err(RefreshError::Unavailable { retry: self.clock.now().until(time) });
                }
                Claim::Busy if tokio::time::Instant::now() < until => tokio::time::sleep(POLL).await,
                Claim::Busy => return Err(RefreshError::Unavailable { retry: POLL }),
            }
        }
    }

    async fn renew(
        &self,
        claimed: Claimed,
        begun: tokio::time::Instant,
        need: Need,
    ) -> Result<(), RefreshError> {
        let done = self.call(&claimed, begun, need).await;
        let mut event = AuditEvent::of(claimed.place.tenant().clone(), Action::RefreshConnection);
        match done {
            Ok(renewed) => {
                metrics::counter!("credvault_refreshes_total", "outcome" => "renewed").increment(1);
                self.keep(&claimed, &renewed, &event).await
            }
            Err(failed) => {
                metrics::counter!("credvault_refreshes_total", "outcome" => failed.outcome()).increment(1);
                event.outcome = AuditOutcome::Failed;
                event.reason = Some(failed.reason());
                tracing::info!(
                    connection = %claimed.place.connection(),
                    provider = claimed.connection.provider.as_str(),
                    outcome = failed.outcome(),
                    detail = failed.detail,
                    "a refresh did not succeed"
                );
                match self.end(&claimed, failed.failure, &event).await {
                    // Somebody has stored a newer credential meanwhile.
                    Ok(false) => Ok(()),
                    Ok(true) => Err(failed.error),
                    Err(error) => Err(stored(&error)),
                }
            }
        }
    }

    /// Ends a claim, as soon as the database lets us: nobody else can while this process lives.
    async fn end(
        &self,
        claimed: &Claimed,
        failure: RefreshFailure,
        event: &AuditEvent,
    ) -> Result<bool, credvault_store::Error> {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.store.refreshes().fail(claimed, failure, event).await {
                Err(error) if error.is_transient() => {
                    tracing::warn!(connection = %claimed.place.connection(), %error, "a refresh could not be ended yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                ended => return ended,
            }
        }
    }

    /// Stores what nothing else has, however long that takes.
    async fn keep(
        &self,
        claimed: &Claimed,
        renewed: &Renewed,
        event: &AuditEvent,
    ) -> Result<(), RefreshError> {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.store.refreshes().store(claimed, renewed, event).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    tracing::info!(
                        connection = %claimed.place.connection(),
                        "renewed tokens were dropped, for the credential was replaced meanwhile"
                    );
                    return Ok(());
                }
                Err(error) if !error.is_transient() => {
                    tracing::error!(connection = %claimed.place.connection(), %error, "renewed tokens cannot be stored");
                    let mut event = event.clone();
                    event.outcome = AuditOutcome::Failed;
                    event.reason = Some(Reason::ReauthorizationRequired);
                    let ended = self.end(claimed, RefreshFailure::Dead, &event).await;
                    return ended.map_err(|error| stored(&error)).and(Err(RefreshError::Reauthorize));
                }
                Err(error) => {
                    tracing::error!(
                        connection = %claimed.place.connection(),
                        %error,
                        "renewed tokens could not be stored yet; it is tried again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    async fn call(
        &self,
        claimed: &Claimed,
        begun: tokio::time::Instant,
        need: Need,
    ) -> Result<Renewed, Failed> {
        let retry = || self.backoff(claimed.failures);
        let not_sent = |detail: String| Failed::temporary(retry(), self.clock.now(), detail);
        let provider = self.catalog.get(&claimed.connection.provider);
        let mode = provider.and_then(|provider| provider.mode(&claimed.connection.auth_mode));
        let Some(mode) = mode.filter(|mode| mode.renews()) else {
            return Err(Failed::app(
                APP_PAUSE,
                self.clock.now(),
                "the catalog says nothing about it".to_owned(),
            ));
        };
        let (request, client_id) = self.request(claimed, mode).await?;
        let app = AppKey {
            provider: claimed.connection.provider.clone(),
            client_id: claimed.client_id.clone().or_else(|| client_id.clone()),
        };
        self.pace(&app, need, begun + PROMPT).await?;
        let turn = self.turn(&claimed.connection.provider);
        let Ok(_turn) = turn.acquire().await else { return Err(not_sent("it is ending".to_owned())) };
        // Too late, somebody else may have taken over; without proof of life, anybody may.
        if begun.elapsed() > PROMPT || !self.store.refreshes().may_send(claimed) {
            return Err(not_sent("it was not sent in time".to_owned()));
        }
        let sent = self.clock.now();
        let answer = match self.http.send(request).await {
            Ok(answer) => answer,
            Err(SendError::NotSent(detail)) => {
                self.pace.note(&app, Sign::Down);
                return Err(not_sent(detail));
            }
            Err(SendError::Lost(detail)) => {
                self.pace.note(&app, Sign::Down);
                return Err(Failed::unknown(retry(), self.clock.now(), detail));
            }
        };
        match mode.read_tokens(answer.status, &answer.body, sent) {
            Ok(granted) => {
                self.pace.note(&app, Sign::Well);
                Ok(self.renewed(claimed, mode, granted, sent, client_id))
            }
            Err(kind) => Err(self.refused(claimed, &app, kind, &answer)),
        }
    }

    /// The request, and the app that it is made with.
    async fn request(
        &self,
        claimed: &Claimed,
        mode: &Mode,
    ) -> Result<(ProviderRequest, Option<String>), Failed> {
        let now = self.clock.now();
        let app = self.store.apps().usable_at(&claimed.place, &claimed.connection.provider).await;
        let app = app
            .map_err(|error| Failed::temporary(BACKOFF.0, now, error.to_string()))?
            .map(|usable| app_values(&usable));
        let client_id = app.as_ref().map(|app| app.client_id.clone());
        let other = claimed.client_id.is_some() && client_id.is_some() && claimed.client_id != client_id;
        if other {
            // Another app's refresh token would be refused, and a live connection taken for dead.
            let detail = "the tokens were got with another app than the one that is stored now";
            return Err(Failed::app(APP_PAUSE, now, detail.to_owned()));
        }
        let oauth = mode.oauth.as_ref();
        let scope = oauth
            .map(|oauth| oauth.scopes.asked(&claimed.connection.scopes_asked).join(&oauth.scopes.separator));
        let mut flow = moment(now, &*self.random);
        if let Some(scope) = scope.filter(|scope| !scope.is_empty()) {
            flow = flow.with("scope", scope);
        }
        let given = Given {
            config: &claimed.connection.config,
            secrets: &claimed.fields,
            app: app.as_ref(),
            flow: &flow,
        };
        let missing = |detail: String| Failed::app(APP_PAUSE, now, detail);
        let signed = mode.assertion(given).map(|assertion| {
            let header = json!({ "alg": "RS256", "typ": "JWT", "kid": assertion.key_id });
            let mut claims = assertion.claims;
            claims.insert("iat".to_owned(), json!(now.seconds()));
            claims.insert("exp".to_owned(), json!(now.after(assertion.lifetime).seconds()));
            let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", part(&header), part(&serde_json::Value::Object(claims)));
            let signature = credvault_crypto::sign_rs256(
                secrecy::ExposeSecret::expose_secret(&assertion.key),
                message.as_bytes(),
            );
            signature.map(|signature| format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
        });
        let flow = match signed {
            Some(Ok(signed)) => flow.clone().with("assertion", signed),
            Some(Err(error)) => return Err(missing(error.to_string())),
            None => flow.clone(),
        };
        let given = Given { flow: &flow, ..given };
        match mode.renew(given) {
            Some(Ok(request)) => Ok((request, client_id)),
            Some(Err(error)) => Err(missing(error.to_string())),
            None => Err(missing("the mode renews nothing".to_owned())),
        }
    }

    fn renewed(
        &self,
        claimed: &Claimed,
        mode: &Mode,
        granted: Granted,
        sent: Timestamp,
        client_id: Option<String>,
    ) -> Renewed {
        let mut fields = claimed.fields.clone();
        merge(&mut fields, &granted);
        // Settings decide where secrets are sent: what the catalog would not take from a caller it does not take here.
        let mut merged = claimed.connection.config.clone().into_object();
        merged.extend(granted.settings.clone());
        let sound = Config::new(merged).is_ok_and(|config| mode.check_config("config", &config).is_ok());
        if !sound {
            tracing::warn!(
                connection = %claimed.place.connection(),
                "settings that came with renewed tokens are not acceptable and were left out"
            );
        }
        let plain = |scope: &String| !scope.chars().any(char::is_control);
        Renewed {
            fields,
            expire_time: granted.expires,
            due_time: due_time(mode, granted.expires, granted.refresh_expires, sent, &*self.random),
            scopes: granted.scopes.map(|scopes| scopes.into_iter().filter(plain).collect()),
            settings: if sound { granted.settings } else { Default::default() },
            client_id,
        }
    }

    /// Waits until the app may make a call, unless the provider wants none or does not answer anyway.
    async fn pace(&self, app: &AppKey, need: Need, until: tokio::time::Instant) -> Result<(), Failed> {
        let now = self.clock.now();
        while let Some(shut) = self.pace.shut(app).filter(|_| need != Need::Forced) {
            let detail = "the provider is not asked at the moment".to_owned();
            match shut {
                Shut::Unwanted(pause) => return Err(Failed::throttled(pause, now, detail)),
                Shut::Down(pause) => return Err(Failed::temporary(pause, now, detail)),
                Shut::Probing if tokio::time::Instant::now() + POLL < until => tokio::time::sleep(POLL).await,
                Shut::Probing => return Err(Failed::temporary(BACKOFF.0, now, detail)),
            }
        }
        if need == Need::Due {
            return Ok(());
        }
        match self.pace.wait(app, until).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failed::throttled(BACKOFF.0, now, "the app's budget is used up".to_owned())),
            Err(error) => Err(Failed::temporary(BACKOFF.0, now, error.to_string())),
        }
    }

    fn refused(&self, claimed: &Claimed, app: &AppKey, kind: RefusalKind, answer: &Answer) -> Failed {
        let (now, detail) = (self.clock.now(), format!("status {}", answer.status));
        let retry = answer.retry_after.unwrap_or_else(|| self.backoff(claimed.failures));
        self.pace.note(
            app,
            match kind {
                RefusalKind::Dead | RefusalKind::Unknown => Sign::Well,
                RefusalKind::App => Sign::Refused(APP_REST),
                RefusalKind::Throttled => Sign::Pause(retry),
                RefusalKind::Outage => Sign::Down,
            },
        );
        // A success that cannot be read, and a gateway that lost what stood behind it: the provider may have renewed.
        if matches!(
            (kind, answer.status),
            (RefusalKind::Unknown, 200..300) | (RefusalKind::Outage, 502 | 504)
        ) {
            return Failed::unknown(retry, now, detail);
        }
        match kind {
            RefusalKind::Dead => Failed::dead(detail),
            RefusalKind::App => {
                tracing::error!(
                    provider = claimed.connection.provider.as_str(),
                    "the provider does not accept the platform's app; PutOAuthApp stores its current id and secret"
                );
                Failed::app(APP_PAUSE, now, detail)
            }
            RefusalKind::Throttled => Failed::throttled(retry, now, detail),
            RefusalKind::Outage | RefusalKind::Unknown => Failed::temporary(retry, now, detail),
        }
    }

    /// One, two, four seconds and so on, each somewhere between half of that and all.
    fn backoff(&self, failures: u32) -> Duration {
        let longest = BACKOFF.0.saturating_mul(1 << failures.min(10)).min(BACKOFF.1);
        longest.mul_f64(0.5 + 0.5 * fraction(&*self.random))
    }

    fn turn(&self, provider: &ProviderId) -> Arc<Semaphore> {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        let turn =
            providers.entry(provider.clone()).or_insert_with(|| Arc::new(Semaphore::new(PER_PROVIDER)));
        Arc::clone(turn)
    }
}

/// A refresh that gave nothing.
struct Failed {
    failure: RefreshFailure,
    error: RefreshError,
    detail: String,
}

impl Failed {
    fn temporary(retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Temporary { retry_time: now.after(retry) };
        Self { failure, error: RefreshError::Unavailable { retry }, detail }
    }

    fn throttled(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self { error: RefreshError::Throttled { retry }, ..Self::temporary(retry, now, detail) }
    }

    fn app(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self { error: RefreshError::App, ..Self::temporary(retry, now, detail) }
    }

    fn unknown(retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Unknown { retry_time: now.after(retry) };
        Self { failure, error: RefreshError::Unavailable { retry }, detail }
    }

    fn dead(detail: String) -> Self {
        Self { failure: RefreshFailure::Dead, error: RefreshError::Reauthorize, detail }
    }

    fn reason(&self) -> Reason {
        match self.error {
            RefreshError::Reauthorize => Reason::ReauthorizationRequired,
            RefreshError::Throttled { .. } => Reason::ProviderRateLimited,
            _ => Reason::ProviderUnavailable,
        }
    }

    fn outcome(&self) -> &'static str {
        match (self.failure, self.error) {
            (RefreshFailure::Dead, _) => "dead",
            (RefreshFailure::Unknown { .. }, _) => "unknown",
            (_, RefreshError::Throttled { .. }) => "throttled",
            (_, RefreshError::App) => "app",
            _ => "failed",
        }
    }
}

/// An app as templates see it.
pub fn app_values(usable: &UsableApp) -> App {
    App {
        client_id: usable.app.client_id.clone(),
        client_secret: usable.client_secret.clone(),
        settings: usable.app.settings.clone(),
        secrets: usable.secrets.clone(),
    }
}

/// What a flow has at any time.
pub(crate) fn moment(now: Timestamp, random: &dyn Random) -> Flow {
    let mut bytes = [0; 16];
    // Without randomness the id is a known one, which harms nobody.
    let _ = random.fill(&mut bytes);
    let date = time::OffsetDateTime::from_unix_timestamp(now.seconds()).ok();
    let date = date.and_then(|date| date.format(&time::format_description::well_known::Rfc3339).ok());
    Flow::default()
        .with("now", now.seconds().to_string())
        .with("now_ms", now.millis().to_string())
        .with("date", date.unwrap_or_default())
        .with("uuid", uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// Puts new tokens in place of the old ones. What the answer leaves out stays: a provider that does not rotate need not
/// repeat its refresh token.
pub(crate) fn merge(fields: &mut SecretFields, granted: &Granted) {
    let mut set = |name: &str, value: &secrecy::SecretString| {
        if let Ok(name) = FieldName::parse(name) {
            fields.set(name, value.clone());
        }
    };
    set("access_token", &granted.access_token);
    if let Some(token) = &granted.refresh_token {
        set("refresh_token", token);
    }
    for (name, value) in &granted.secrets {
        set(name.as_str(), value);
    }
}

/// When to renew ahead of need: five minutes or a tenth of its life before the end, give or take a fifth, and never in
/// the first half. Where an unused refresh token dies, and a renewal gives another, it is renewed after half of that.
pub fn due_time(
    mode: &Mode,
    expires: Option<Timestamp>,
    refresh_expires: Option<Timestamp>,
    sent: Timestamp,
    random: &dyn Random,
) -> Option<Timestamp> {
    let renewal = mode.oauth.as_ref().filter(|_| mode.renews())?.renewal;
    let spread = 0.8 + 0.4 * fraction(random);
    let told = refresh_expires.filter(|_| renewal.rotates != Rotation::No).map(|end| sent.until(end));
    let idle = told.into_iter().chain(renewal.idle).min();
    let keep_alive = idle.map(|idle| sent.after((idle / 2).mul_f64(spread)));
    let ahead = expires.map(|expires| {
        let life = sent.until(expires);
        let margin = Duration::from_secs(300).max(life / 10).mul_f64(spread);
        expires.before(margin.min(life / 2))
    });
    match (ahead, keep_alive) {
        (Some(ahead), Some(keep_alive)) => Some(ahead.min(keep_alive)),
        (ahead, keep_alive) => ahead.or(keep_alive),
    }
}

/// Somewhere between 0 and 1.
pub(crate) fn fraction(random: &dyn Random) -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter, which serves as well.
    let _ = random.fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

fn stored(error: &credvault_store::Error) -> RefreshError {
    tracing::warn!(%error, "a refresh met the vault's own database");
    RefreshError::Store
}
