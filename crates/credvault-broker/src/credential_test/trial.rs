//! Asks the provider about a credential that is not stored yet. One that gives access tokens has none yet, so it gets one first:
//! it proves that the refresh token or the client is accepted, and is forgotten after that.

use credvault_catalog::{Given, Mode, Refresh, RefusalKind, Verdict};
use credvault_domain::{Config, ProviderId, SecretFields, TenantScope};

use super::error::{DEFAULT_RETRY, TestError};
use super::{MUST_BE_SET, unanswered};
use crate::assertion::refresh_request;
use crate::broker::Broker;
use crate::flow::{app_values, flow_defaults, replace_tokens, with_scope};
use crate::incidents::Asked;

impl Broker {
    /// Asks the provider whether it accepts a credential that is about to be stored. `None` if there is nothing to ask it by. The
    /// answer is never [`Verdict::Unclear`].
    ///
    /// # Errors
    /// The provider has not said whether it works.
    pub async fn try_out(
        &self,
        scope: &TenantScope,
        provider: &ProviderId,
        mode: &Mode,
        config: &Config,
        secrets: &SecretFields,
    ) -> Result<Option<Verdict>, TestError> {
        let gets_token = secrets.get("access_token").is_none() && !mode.spends_refresh_token();
        let with_token = match mode.refresh().filter(|_| gets_token) {
            Some(refresh) => {
                match self.with_token(scope, provider, (mode, refresh), config, secrets).await? {
                    Some(secrets) => secrets,
                    None => return Ok(Some(Verdict::Refused)),
                }
            }
            None if mode.test.is_none() => return Ok(None),
            None => secrets.clone(),
        };
        if mode.test.is_none() {
            return Ok(Some(Verdict::Works { account: None, name: None }));
        }
        self.test(scope, provider, mode, config, &with_token).await.map(Some)
    }

    /// The credential with an access token; `None` if the provider refuses to give one.
    async fn with_token(
        &self,
        scope: &TenantScope,
        provider: &ProviderId,
        (mode, refresh): (&Mode, &Refresh),
        config: &Config,
        secrets: &SecretFields,
    ) -> Result<Option<SecretFields>, TestError> {
        let oauth = mode.oauth().ok_or(TestError::Untestable)?;
        let usable = self.store().apps().usable_in(scope, &self.app_place(provider, config)).await?;
        let (app, now) = (usable.as_ref().map(app_values), self.clock().now());
        let flow = flow_defaults(now, self.random());
        let flow = with_scope(flow, &oauth.scopes.asked(&[]), &oauth.scopes);
        let given = Given { config, secrets, app: app.as_ref(), flow: &flow };
        let request = refresh_request(mode, refresh, given, now);
        let answer = self.http().send(request.map_err(|error| error.violations(MUST_BE_SET))?).await;
        let granted = answer.as_ref().map(|answer| oauth.response.read(answer.status, &answer.body, now));
        let heard = match &granted {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kind)) => Err(Some(*kind)),
            Err(_) => Err(None),
        };
        let asked = Asked { provider, tenant: scope.tenant(), mode, config, call: &refresh.call };
        self.refresher().heard(asked, heard);
        match granted.map_err(|error| unanswered(provider, error))? {
            Ok(granted) => {
                let mut fields = secrets.clone();
                replace_tokens(&mut fields, &granted);
                Ok(Some(fields))
            }
            Err(RefusalKind::InvalidGrant) => Ok(None),
            Err(RefusalKind::InvalidClient) if oauth.client_per_connection => Ok(None),
            Err(RefusalKind::RateLimited) => {
                let pause = answer.ok().and_then(|answer| answer.retry_after);
                Err(TestError::Throttled { retry: pause.unwrap_or(DEFAULT_RETRY) })
            }
            Err(
                RefusalKind::InvalidClient
                | RefusalKind::ConcurrentRequest
                | RefusalKind::ClockSkew
                | RefusalKind::Outage
                | RefusalKind::Unknown,
            ) => Err(TestError::Unavailable),
        }
    }
}
