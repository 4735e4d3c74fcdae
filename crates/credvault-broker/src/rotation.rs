//! The calls of a rotation: one that makes another key, and one that ends a key (`end`). Its callers decide what the vault
//! stores of the answers; no transaction is open here.

pub(crate) mod end;
pub(crate) mod error;

use std::time::Duration;

use credvault_catalog::{Given, Mint, Mode, RefusalKind};
use credvault_domain::{ProviderId, Random, jitter};
use credvault_store::{ClaimedRotation, NewKey};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::deadlines::SEND_TIMEOUT;
use crate::flow::{app_values, flow_defaults};
use crate::http::client::Answer;
use crate::http::error::{SendError, SendOnceError};
use crate::incidents::Asked;
use crate::refresh::refusal::{may_be_at_work, may_have_worked};
use error::RotationError;

/// The pause after the first failure. Doubled with each.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause after failures in a row.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// How long the next attempt waits after so many failures in a row: a minute, doubled with each, up to six hours, of which
/// half may be taken off.
pub fn pause_of_rotation(failures: u32, random: &dyn Random) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
    pause.mul_f64(jitter(random, 0.5..=1.0))
}

impl Broker {
    /// Has the provider make another key for a rotation that was claimed at `started`. The answer has all secret fields of the
    /// credential with that key.
    ///
    /// # Errors
    /// No key was made, or it is not known whether one was ([`RotationError::Lost`]).
    pub async fn mint(
        &self,
        claimed: &ClaimedRotation,
        (mode, mint): (&Mode, &Mint),
        started: Instant,
    ) -> Result<NewKey, RotationError> {
        let retry = pause_of_rotation(claimed.failures, self.random());
        let (connection, tenant) = (&claimed.connection, claimed.key.tenant());
        let (provider, config) = (&connection.provider, &connection.config);
        let place = self.app_place(provider, config);
        let usable = self.store().apps().usable_at(&claimed.key, &place).await?;
        let app = usable.as_ref().map(app_values);
        let flow = flow_defaults(self.clock().now(), self.random());
        let given = Given { config, secrets: &claimed.fields, app: app.as_ref(), flow: &flow };
        let request = mode.request(&mint.call, given).map_err(RotationError::Incomplete)?;
        if let Some(test) = mode.test.as_ref().filter(|_| mint.is_tested()) {
            // A key that cannot be tested would be made in vain.
            mode.request(&test.call, given).map_err(RotationError::Incomplete)?;
        }
        if !self.refresher().take_call(provider, tenant, started + SEND_TIMEOUT).await? {
            return Err(RotationError::Crowded { retry });
        }
        self.store().credential_rotations().sending(claimed).await?;
        // Too late, and another replica may have taken over; without proof of life, every replica may.
        let may_send = self.store().credential_rotations().may_send(claimed);
        if started.elapsed() > SEND_TIMEOUT || !may_send {
            return Err(RotationError::Crowded { retry });
        }
        let sent = self.clock().now();
        let (heard, minted) = match self.http().send_once(request).await {
            Ok(answer) => match mint.read(answer.status, &answer.body, sent) {
                Ok(minted) => (Ok(()), Ok(minted)),
                Err(kind) => (Err(Some(kind)), Err(refusal(kind, &answer, retry))),
            },
            Err(error) => (Err(None), Err(unanswered(provider, &error, retry))),
        };
        self.refresher().heard(Asked { provider, tenant, mode, config, call: &mint.call }, heard);
        let minted = minted?;
        let mut fields = claimed.fields.clone();
        for (name, value) in minted.fields.iter() {
            fields.set(name.clone(), value.clone());
        }
        let key_id = mode.key_id(mint, config, &fields);
        Ok(NewKey { fields, expire_time: minted.expires, key_id })
    }
}

/// What it means that there is no answer.
fn unanswered(provider: &ProviderId, error: &SendOnceError, retry: Duration) -> RotationError {
    match error {
        SendOnceError::Send(SendError::NotSent(detail)) => {
            tracing::info!(provider = provider.as_str(), detail, "no key was asked for");
            RotationError::Unavailable { retry }
        }
        SendOnceError::Send(SendError::Lost(_)) | SendOnceError::Silent => {
            tracing::warn!(provider = provider.as_str(), %error, "the answer to a call for a key was lost");
            RotationError::Lost { retry }
        }
    }
}

/// What an answer without a key means: whether one may have been made all the same, and what helps.
fn refusal(kind: RefusalKind, answer: &Answer, retry: Duration) -> RotationError {
    let status = answer.status;
    let retry = answer.retry_after.unwrap_or_default().max(retry);
    if may_be_at_work(kind, status) || may_have_worked(kind, status) {
        return RotationError::Lost { retry };
    }
    match kind {
        RefusalKind::RateLimited => RotationError::Throttled { retry },
        RefusalKind::Outage | RefusalKind::ConcurrentRequest | RefusalKind::ClockSkew => {
            RotationError::Unavailable { retry }
        }
        RefusalKind::InvalidGrant | RefusalKind::InvalidClient | RefusalKind::Unknown => {
            RotationError::Refused { status, retry }
        }
    }
}
