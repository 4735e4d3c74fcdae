//! Sends the request of an attempt, if the provider is to be asked now, and reads the answer. No transaction is open here.

use std::time::Duration;

use credvault_catalog::{Mode, OAuth, ProviderRequest, Refresh, RefusalKind};
use credvault_domain::Connection;
use credvault_store::{AppFault, AppKey, AppRevision, Claimed, Pause, RefreshedTokens, Turn};
use tokio::time::Instant;

use super::backoff::{APP_PAUSE, FIRST_BACKOFF, pause_after_refusal};
use super::failed::Failed;
use super::request::{Request, UsedApp};
use super::worker::Worker;
use crate::deadlines::SEND_TIMEOUT;
use crate::http::client::Answer;
use crate::http::error::{SendError, SendOnceError};
use crate::incidents::Asked;
use crate::throttle::breaker::BreakerKey;
use crate::throttle::circuit::{Attempt, CircuitOpen, Outcome};

/// How often an attempt looks whether a circuit has closed.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

impl Worker {
    /// Fills the request, waits for its turn, sends it and reads the new tokens.
    pub(super) async fn send(&self, claimed: &Claimed, started: Instant) -> Result<RefreshedTokens, Failed> {
        let deadline = started + SEND_TIMEOUT;
        let (mode, oauth, refresh) = self.refreshable_mode(claimed)?;
        let Request { request, app } = self.request(claimed, mode).await?;
        let attempt = Attempt {
            tenant: claimed.key.tenant().clone(),
            connection: claimed.key.connection(),
            app: app.revision,
            repeatable: refresh.policy.repeatable(),
        };
        let place = self.parts.app_place(&claimed.connection.provider, &claimed.connection.config);
        let breaker = breaker_key(claimed, oauth, &request, &app, place.server());
        let _turn = self.turn(claimed, deadline).await?;
        if let Some(breaker) = &breaker {
            self.pass_throttle(breaker, &attempt, deadline).await?;
        }
        // Too late, and another replica may have taken over; without proof of life, every replica may.
        if started.elapsed() > SEND_TIMEOUT || !self.parts.store.refreshes().may_send(claimed) {
            return Err(self.not_sent(claimed, Pause::Vault, "it was not sent in time"));
        }
        let sent = self.parts.clock.now();
        let answer = self.parts.http.send_once(request).await;
        let (heard, outcome, result) = match answer {
            Err(error) => {
                let (outcome, failed) = self.no_answer(claimed, error);
                (Err(None), outcome, failed)
            }
            Ok(answer) => match oauth.response.read(answer.status, &answer.body, sent) {
                Ok(granted) => {
                    let refreshed = self.refreshed(claimed, mode, granted, sent, app.id);
                    (Ok(()), Outcome::Success, Ok(refreshed))
                }
                Err(kind) => {
                    let (outcome, failed) = self.refusal(claimed, oauth, kind, &answer, app.revision);
                    (Err(Some(kind)), outcome, failed)
                }
            },
        };
        let Connection { provider, config, .. } = &claimed.connection;
        let asked = Asked { provider, tenant: &attempt.tenant, mode, config, call: &refresh.call };
        self.incidents.record(asked, heard, self.parts.clock.now());
        if let Some(breaker) = &breaker {
            self.throttle.record(breaker, &attempt, outcome);
        }
        result
    }

    /// The auth mode of a claim, its way to get tokens and to refresh them, if its tokens can be refreshed.
    fn refreshable_mode(&self, claimed: &Claimed) -> Result<(&Mode, &OAuth, &Refresh), Failed> {
        let connection = &claimed.connection;
        let mode = self.mode(&connection.provider, &connection.auth_mode);
        let known = mode.and_then(|mode| Some((mode, mode.oauth()?, mode.refresh()?)));
        let (mode, oauth, refresh) = known.ok_or_else(|| {
            self.not_sent(claimed, Pause::Uncatalogued, "the catalog does not say how to refresh it")
        })?;
        if mode.lacks_refresh_token(&claimed.fields) {
            return Err(Failed::nothing("there is no refresh token".to_owned()));
        }
        mode.check_destinations(&connection.config).map_err(|refused| {
            Failed::paused(Pause::Incomplete, APP_PAUSE, self.parts.clock.now(), refused.to_string())
        })?;
        Ok((mode, oauth, refresh))
    }

    /// Waits for the tenant's turn at the provider.
    async fn turn(&self, claimed: &Claimed, deadline: Instant) -> Result<Turn, Failed> {
        let turns = self.turns(&claimed.connection.provider);
        let turn = tokio::time::timeout_at(deadline, turns.take(claimed.key.tenant())).await;
        turn.map_err(|_| {
            self.not_sent(claimed, Pause::Crowded, "other calls to this provider were before it")
        })
    }

    /// Waits until the app may make a call, unless a circuit is open.
    async fn pass_throttle(
        &self,
        breaker: &BreakerKey,
        attempt: &Attempt,
        deadline: Instant,
    ) -> Result<(), Failed> {
        let now = self.parts.clock.now();
        while let Err(open) = self.throttle.admit(breaker, attempt) {
            let detail = "the provider is not asked at the moment".to_owned();
            match open {
                CircuitOpen::Paused { pause, retry } => {
                    return Err(Failed::paused(pause, retry, now, detail));
                }
                CircuitOpen::Probing if Instant::now() + POLL_INTERVAL < deadline => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                CircuitOpen::Probing => return Err(Failed::temporary(FIRST_BACKOFF, now, detail)),
            }
        }
        let (pause, detail) = match self.throttle.take(&breaker.app, &attempt.tenant, deadline).await {
            Ok(true) => return Ok(()),
            Ok(false) => (Pause::Crowded, "the app's budget is used up".to_owned()),
            Err(error) => (Pause::Vault, error.to_string()),
        };
        Err(Failed::paused(pause, FIRST_BACKOFF, now, detail))
    }

    /// A failure of an attempt that was not sent.
    fn not_sent(&self, claimed: &Claimed, pause: Pause, detail: &str) -> Failed {
        Failed::paused(pause, self.backoff(claimed.failures), self.parts.clock.now(), detail.to_owned())
    }

    fn no_answer(
        &self,
        claimed: &Claimed,
        error: SendOnceError,
    ) -> (Outcome, Result<RefreshedTokens, Failed>) {
        let (retry, now) = (self.backoff(claimed.failures), self.parts.clock.now());
        let failed = match error {
            SendOnceError::Send(SendError::NotSent(detail)) => {
                Failed::paused(Pause::Unavailable, retry, now, detail)
            }
            SendOnceError::Send(SendError::Lost(detail)) => Failed::uncertain(retry, now, detail),
            silent @ SendOnceError::Silent => Failed::at_work(retry, now, silent.to_string()),
        };
        (Outcome::Failure { pause: Pause::Unavailable, retry }, Err(failed))
    }

    fn refusal(
        &self,
        claimed: &Claimed,
        oauth: &OAuth,
        kind: RefusalKind,
        answer: &Answer,
        app: AppRevision,
    ) -> (Outcome, Result<RefreshedTokens, Failed>) {
        let retry = pause_after_refusal(kind, answer.retry_after, self.backoff(claimed.failures));
        let code = oauth.response.error_code(&answer.body);
        (outcome_of(kind, retry, app), Err(self.refused(claimed, kind, code, answer, retry, app)))
    }
}

/// The circuits that an attempt passes; `None` if each connection has an app of its own, and so a budget of its own.
fn breaker_key(
    claimed: &Claimed,
    oauth: &OAuth,
    request: &ProviderRequest,
    used: &UsedApp,
    server: Option<&str>,
) -> Option<BreakerKey> {
    if oauth.client_per_connection {
        return None;
    }
    let client_id = claimed.client_id.clone().or_else(|| used.id.clone());
    // Apps at two servers may have the same id, and a tenant chooses its server: none uses up the budget of another.
    let client_id = match server {
        Some(server) => client_id.map(|id| format!("{id} {server}")),
        None => client_id,
    };
    let app = AppKey { provider: claimed.connection.provider.clone(), client_id };
    let host = (!oauth.shared_token_host).then(|| host_and_port(&request.url));
    Some(BreakerKey { app, app_owner: used.tenant.clone(), host })
}

fn host_and_port(url: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority.split(['/', '?', '#']).next().unwrap_or_default().to_owned()
}

/// What a refusal says about the next attempts of other connections.
fn outcome_of(kind: RefusalKind, retry: Duration, revision: AppRevision) -> Outcome {
    let pause = match kind {
        RefusalKind::InvalidGrant
        | RefusalKind::ConcurrentRequest
        | RefusalKind::ClockSkew
        | RefusalKind::Unknown => {
            return Outcome::Success;
        }
        RefusalKind::InvalidClient => Pause::App { fault: AppFault::Refused, revision },
        RefusalKind::RateLimited => Pause::Throttled,
        RefusalKind::Outage => Pause::Unavailable,
    };
    Outcome::Failure { pause, retry }
}
