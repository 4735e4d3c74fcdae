//! Whether a credential works, asked of the provider.

use std::time::Duration;

use credvault_catalog::{Given, Mode, RefusalKind, Verdict};
use credvault_domain::{Config, ProviderId, SecretFields, TenantScope, Violations};

use crate::Broker;
use crate::http::SendError;
use crate::refresher::{app_values, moment};

/// Why nobody knows whether a credential works.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The catalog has no verification.
    #[error("the provider's catalog entry has no verification for this auth mode")]
    Untestable,
    /// A setting is missing that the call needs.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The provider does not answer, or not to the point.
    #[error("the provider does not say whether the credential works; try again")]
    Unavailable,
    /// The provider wants fewer calls.
    #[error("the provider asks for fewer calls; try again as late as the retry delay says")]
    Throttled {
        /// How long to wait.
        retry: Duration,
    },
    /// The vault's own database.
    #[error(transparent)]
    Store(#[from] credvault_store::Error),
}

/// How long to wait where a provider that wants fewer calls does not say.
pub(crate) const PAUSE: Duration = Duration::from_secs(10);

impl Broker {
    /// Asks the provider whether a credential works. Never [`Verdict::Unclear`].
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn test(
        &self,
        scope: &TenantScope,
        provider: &ProviderId,
        mode: &Mode,
        config: &Config,
        secrets: &SecretFields,
    ) -> Result<Verdict, TestError> {
        let usable = self.store().apps().usable_in(scope, provider).await?;
        let app = usable.as_ref().map(app_values);
        let flow = moment(self.clock().now(), self.random());
        let verification = mode.verification.as_ref().ok_or(TestError::Untestable)?;
        let given = Given { config, secrets, app: app.as_ref(), flow: &flow };
        let request = mode.request(&verification.call, given).map_err(|missing| {
            Violations::of(missing.0, "must be set before the credential can be tested")
        })?;
        let answer = self.http().send(request).await.map_err(|error| {
            let (SendError::NotSent(detail) | SendError::Lost(detail)) = &error;
            tracing::info!(provider = provider.as_str(), detail, "a credential could not be tested");
            TestError::Unavailable
        })?;
        match verification.read(answer.status, &answer.body) {
            Verdict::Unclear(RefusalKind::Throttled) => {
                Err(TestError::Throttled { retry: answer.retry_after.unwrap_or(PAUSE) })
            }
            Verdict::Unclear(_) => Err(TestError::Unavailable),
            verdict => Ok(verdict),
        }
    }
}
