//! Asks the provider whether a credential works. Its callers decide what the vault stores of the answer.

pub(crate) mod error;

mod trial;

use credvault_catalog::{Given, Mode, RefusalKind, Verdict};
use credvault_domain::{Config, ProviderId, SecretFields, TenantScope, Violations};

use crate::assertion::with_proof;
use crate::broker::Broker;
use crate::flow::{app_values, flow_defaults};
use crate::http::error::SendError;
use crate::incidents::Asked;
use error::{DEFAULT_RETRY, TestError};

/// What a sentence says about a value that is missing.
const MUST_BE_SET: &str = "must be set before the credential can be tested";

fn unanswered(provider: &ProviderId, error: &SendError) -> TestError {
    let (SendError::NotSent(detail) | SendError::Lost(detail)) = error;
    tracing::info!(provider = provider.as_str(), detail, "a credential could not be tested");
    TestError::Unavailable
}

impl Broker {
    /// Asks the provider whether a credential works. The answer is never [`Verdict::Unclear`].
    ///
    /// # Errors
    /// The provider has not said whether it works.
    pub async fn test(
        &self,
        scope: &TenantScope,
        provider: &ProviderId,
        mode: &Mode,
        config: &Config,
        secrets: &SecretFields,
    ) -> Result<Verdict, TestError> {
        let usable = self.store().apps().usable_in(scope, &self.app_place(provider, config)).await?;
        let app = usable.as_ref().map(app_values);
        let flow = flow_defaults(self.clock().now(), self.random());
        let given = Given { config, secrets, app: app.as_ref(), flow: &flow };
        let test = mode.test.as_ref().ok_or(TestError::Untestable)?;
        let flow =
            with_proof(mode, given, self.clock().now()).map_err(|error| error.violations(MUST_BE_SET))?;
        let request = mode.request(&test.call, Given { flow: &flow, ..given });
        let request = request.map_err(|missing| Violations::of(missing.0, MUST_BE_SET))?;
        let answer = self.http().send(request).await;
        let verdict = answer.as_ref().map(|answer| test.read(answer.status, &answer.body));
        let outcome = match &verdict {
            Ok(Verdict::Unclear(kind)) => Err(Some(*kind)),
            Ok(Verdict::Works { .. } | Verdict::Limited | Verdict::Refused) => Ok(()),
            Err(_) => Err(None),
        };
        let asked = Asked { provider, tenant: scope.tenant(), mode, config, call: &test.call };
        self.refresher().heard(asked, outcome);
        let verdict = verdict.map_err(|error| unanswered(provider, error))?;
        match verdict {
            Verdict::Unclear(RefusalKind::RateLimited) => {
                let pause = answer.ok().and_then(|answer| answer.retry_after);
                Err(TestError::Throttled { retry: pause.unwrap_or(DEFAULT_RETRY) })
            }
            Verdict::Unclear(_) => Err(TestError::Unavailable),
            verdict @ (Verdict::Works { .. } | Verdict::Limited | Verdict::Refused) => Ok(verdict),
        }
    }
}
