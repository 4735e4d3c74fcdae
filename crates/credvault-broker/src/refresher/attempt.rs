//! One attempt: claim, send, store; or wait for somebody else who does.

use std::sync::PoisonError;
use std::time::Duration;

use credvault_catalog::{Mode, ProviderRequest, RefusalKind};
use credvault_domain::{Action, AuditEvent, AuditOutcome, AuthMode, ProviderId, Reason};
use credvault_store::{
    AppFault, AppKey, AppRevision, Claim, Claimed, Pause, Perseverance, Place, RefreshFailure, Renewed,
    RepeatRisk, Turns,
};

use super::failed::{APP_PAUSE, BACKOFF, Failed, wait};
use super::request::Client;
use super::{Inner, Need, RefreshError};
use crate::http::{SendError, SendOnceError};
use crate::pace::{Comer, Door, Shut, Sign};

/// How long a claim may lie before its request is sent: longer, and its owner may have been taken for dead.
pub(super) const PROMPT: Duration = Duration::from_secs(5);
/// How often a claim of somebody else is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How long somebody else's claim is waited for, by the one who waits on behalf of all callers of this process.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Calls to one provider at once.
const PER_PROVIDER: usize = 32;

impl Inner {
    /// Claims, sends, stores; or waits for somebody else who does.
    pub(super) async fn run(&self, place: &Place, seen: i64, need: Need) -> Result<(), RefreshError> {
        let until = tokio::time::Instant::now() + LONGEST_WAIT;
        let mut forced = need == Need::Forced;
        let risk = |provider: &ProviderId, mode: &AuthMode| {
            let mode = self.catalog.get(provider).and_then(|provider| provider.mode(mode));
            // Where the catalog says nothing any more, nothing is sent either.
            let policy = mode.and_then(Mode::oauth).map(|oauth| oauth.policy);
            policy.map_or(RepeatRisk::Consent, |policy| match policy.repeatable() {
                true => RepeatRisk::Nothing,
                false if policy.reuse_ends_other_consents => RepeatRisk::OtherConsents,
                false => RepeatRisk::Consent,
            })
        };
        let perseverance = Perseverance { longest: self.perseverance, risk: &risk };
        loop {
            let begun = tokio::time::Instant::now();
            let claim = self.store.refreshes().claim(place, seen, perseverance, forced).await;
            if let Err(credvault_store::Error::Integrity) = claim {
                let event = AuditEvent::of(place.tenant().clone(), Action::RefreshConnection);
                self.store.broken(place, &event).await.map_err(|error| stored(&error))?;
                return Err(RefreshError::Integrity);
            }
            let claim = claim.map_err(|error| stored(&error))?;
            let asked_again = matches!(claim, Claim::Dead);
            match claim {
                Claim::Ours(claimed) => return self.renew(*claimed, begun).await,
                Claim::Changed => return Ok(()),
                Claim::Dead | Claim::Nothing
                    if self.store.refreshes().put_off(place, seen, asked_again).await.is_err() =>
                {
                    return Err(RefreshError::Store);
                }
                Claim::Dead => return Err(RefreshError::Reauthorize),
                Claim::Nothing => return Err(RefreshError::Nothing),
                Claim::Later { time, pause, provider } => {
                    if forced || !self.is_over(place, &provider, pause).await? {
                        return Err(RefreshError::paused(pause, self.clock.now().until(time)));
                    }
                    forced = true;
                }
                Claim::Busy if tokio::time::Instant::now() < until => tokio::time::sleep(POLL).await,
                Claim::Busy => return Err(RefreshError::Unavailable { retry: POLL }),
            }
        }
    }

    /// Whether a pause has lost its cause: the app that was at fault is another one by now, or its secret opens again.
    async fn is_over(
        &self,
        place: &Place,
        provider: &ProviderId,
        pause: Pause,
    ) -> Result<bool, RefreshError> {
        match pause {
            Pause::App { revision, .. } => {
                let now = self.store.apps().revision_at(place, provider).await;
                Ok(now.map_err(|error| stored(&error))? != revision)
            }
            Pause::Broken => Ok(self.store.apps().usable_at(place, provider).await.is_ok()),
            _ => Ok(false),
        }
    }

    async fn renew(&self, claimed: Claimed, begun: tokio::time::Instant) -> Result<(), RefreshError> {
        let done = self.call(&claimed, begun).await;
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
                match self.end(&claimed, &failed.failure, &event).await {
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
        failure: &RefreshFailure,
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
                    let ended = self.end(claimed, &RefreshFailure::Dead { code: None }, &event).await;
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

    async fn call(&self, claimed: &Claimed, begun: tokio::time::Instant) -> Result<Renewed, Failed> {
        let retry = || self.backoff(claimed.failures);
        let not_sent =
            |pause, detail: &str| Failed::paused(pause, retry(), self.clock.now(), detail.to_owned());
        let provider = self.catalog.get(&claimed.connection.provider);
        let mode = provider.and_then(|provider| provider.mode(&claimed.connection.auth_mode));
        let Some((mode, oauth)) =
            mode.filter(|mode| mode.renews()).and_then(|mode| Some((mode, mode.oauth()?)))
        else {
            return Err(not_sent(Pause::Uncatalogued, "the catalog says nothing about it"));
        };
        if mode.lacks_refresh_token(&claimed.fields) {
            return Err(Failed::nothing("there is no refresh token".to_owned()));
        }
        if let Err(refused) = mode.check_destinations(&claimed.connection.config) {
            let (now, detail) = (self.clock.now(), refused.to_string());
            return Err(Failed::paused(Pause::Incomplete, APP_PAUSE, now, detail));
        }
        let (request, client) = self.request(claimed, mode).await?;
        let (door, comer) = (door(claimed, mode, &request, &client), comer(claimed, mode, client.revision));
        let turns = self.turns(&claimed.connection.provider);
        let turn = turns.take(claimed.place.tenant());
        let Ok(_turn) = tokio::time::timeout_at(begun + PROMPT, turn).await else {
            return Err(not_sent(Pause::Crowded, "others at this provider are before it"));
        };
        if let Some(door) = &door {
            self.pace(door, &comer, begun + PROMPT).await?;
        }
        let note = |sign| {
            if let Some(door) = &door {
                self.pace.note(door, &comer, sign);
            }
        };
        let down = |rest| Sign::Ill { pause: Pause::Unavailable, rest };
        // Too late, somebody else may have taken over; without proof of life, anybody may.
        if begun.elapsed() > PROMPT || !self.store.refreshes().may_send(claimed) {
            return Err(not_sent(Pause::Vault, "it was not sent in time"));
        }
        let sent = self.clock.now();
        let answer = match self.http.send_once(request).await {
            Ok(answer) => answer,
            Err(SendOnceError::Send(SendError::NotSent(detail))) => {
                note(down(retry()));
                return Err(not_sent(Pause::Unavailable, &detail));
            }
            Err(SendOnceError::Send(SendError::Lost(detail))) => {
                note(down(retry()));
                return Err(Failed::unknown(retry(), self.clock.now(), detail));
            }
            Err(silent @ SendOnceError::Silent) => {
                note(down(retry()));
                return Err(Failed::at_work(retry(), self.clock.now(), silent.to_string()));
            }
        };
        match oauth.response.read(answer.status, &answer.body, sent) {
            Ok(granted) => {
                note(Sign::Well);
                Ok(self.renewed(claimed, mode, granted, sent, client.id))
            }
            Err(kind) => {
                let retry = wait(kind, answer.retry_after, retry());
                note(sign_of(kind, retry, client.revision));
                Err(self.refused(
                    claimed,
                    (kind, oauth.response.error_code(&answer.body)),
                    &answer,
                    retry,
                    client.revision,
                ))
            }
        }
    }

    /// Waits until the app may make a call, unless the provider wants none or does not answer anyway.
    async fn pace(&self, door: &Door, comer: &Comer, until: tokio::time::Instant) -> Result<(), Failed> {
        let now = self.clock.now();
        while let Err(shut) = self.pace.pass(door, comer) {
            let detail = "the provider is not asked at the moment".to_owned();
            match shut {
                Shut::Paused { pause, rest } => return Err(Failed::paused(pause, rest, now, detail)),
                Shut::Probing if tokio::time::Instant::now() + POLL < until => tokio::time::sleep(POLL).await,
                Shut::Probing => return Err(Failed::temporary(BACKOFF.0, now, detail)),
            }
        }
        match self.pace.take(&door.app, &comer.tenant, until).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Failed::paused(Pause::Crowded, BACKOFF.0, now, "the app's budget is used up".to_owned()))
            }
            Err(error) => Err(Failed::paused(Pause::Vault, BACKOFF.0, now, error.to_string())),
        }
    }

    fn turns(&self, provider: &ProviderId) -> Turns {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        providers.entry(provider.clone()).or_insert_with(|| Turns::new(PER_PROVIDER)).clone()
    }
}

/// What fails together with this attempt; `None` where each connection has a client of its own, and so a budget.
fn door(claimed: &Claimed, mode: &Mode, request: &ProviderRequest, client: &Client) -> Option<Door> {
    let oauth = mode.oauth().filter(|oauth| !oauth.client_per_connection)?;
    let client_id = claimed.client_id.clone().or_else(|| client.id.clone());
    let app = AppKey { provider: claimed.connection.provider.clone(), client_id };
    let host = (!oauth.shared_token_host).then(|| host_of(&request.url));
    Some(Door { app, own: client.tenant.clone(), host })
}

/// Who comes to that door.
fn comer(claimed: &Claimed, mode: &Mode, app: AppRevision) -> Comer {
    let (tenant, connection) = (claimed.place.tenant().clone(), claimed.place.connection());
    let repeatable = mode.oauth().is_some_and(|oauth| oauth.policy.repeatable());
    Comer { tenant, connection, app, repeatable }
}

/// The host of a URL, with its port.
fn host_of(url: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority.split(['/', '?', '#']).next().unwrap_or_default().to_owned()
}

fn sign_of(kind: RefusalKind, rest: Duration, revision: AppRevision) -> Sign {
    let pause = match kind {
        RefusalKind::Dead | RefusalKind::Busy | RefusalKind::Clock | RefusalKind::Unknown => {
            return Sign::Well;
        }
        RefusalKind::App => Pause::App { fault: AppFault::Refused, revision },
        RefusalKind::Throttled => Pause::Throttled,
        RefusalKind::Outage => Pause::Unavailable,
    };
    Sign::Ill { pause, rest }
}

fn stored(error: &credvault_store::Error) -> RefreshError {
    if matches!(error, credvault_store::Error::Integrity) {
        return RefreshError::Integrity;
    }
    tracing::warn!(%error, "a refresh met the vault's own database");
    RefreshError::Store
}
