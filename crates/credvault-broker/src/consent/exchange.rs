//! The exchange of a code for tokens (RFC 6749, section 4.1.3).

use std::time::Duration;

use credvault_catalog::{Given, Granted, ProviderRequest, RefusalKind, TokenResponse};
use credvault_domain::{Config, SecretFields, Timestamp, Violations};
use credvault_store::{ReturnedAuthorization, UsableApp};

use super::error::ConsentError;
use super::target::Target;
use crate::assertion::with_proof;
use crate::broker::Broker;
use crate::flow::{app_values, flow_defaults, with_scope};
use crate::http::client::Answer;
use crate::http::error::SendError;
use crate::incidents::Asked;

/// When a consent can begin again if the provider asks for fewer calls and does not say for how long.
const DEFAULT_RETRY: Duration = Duration::from_secs(60);

/// Tokens that were exchanged for a code.
pub(super) struct Exchanged {
    pub(super) granted: Granted,
    /// When the request was sent, from which on lifetimes count.
    pub(super) sent: Timestamp,
}

impl Broker {
    /// Exchanges `code`. The settings in `config` decide where.
    pub(super) async fn exchange(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        usable: &UsableApp,
        code: &str,
        config: &Config,
    ) -> Result<Exchanged, ConsentError> {
        let sent = self.clock().now();
        let request = self.exchange_request(target, returned, usable, code, config, sent)?;
        let response = &target.mode.oauth().ok_or(ConsentError::ModeWithoutConsent)?.response;
        let (provider, mode) = (&target.connection.provider, target.mode);
        let asked = Asked {
            provider,
            tenant: target.scope.tenant(),
            mode,
            config,
            call: &target.code_grant()?.exchange,
        };
        let answer = self.http().send(request).await.map_err(|error| {
            let (SendError::NotSent(detail) | SendError::Lost(detail)) = &error;
            tracing::warn!(provider = provider.as_str(), detail, "a code could not be exchanged");
            self.refresher().heard(asked, Err(None));
            ConsentError::Unavailable
        })?;
        let granted = response.read(answer.status, &answer.body, sent);
        self.refresher().heard(asked, granted.as_ref().map(|_| ()).map_err(|kind| Some(*kind)));
        let granted = granted.map_err(|kind| refused(kind, response, &answer))?;
        Ok(Exchanged { granted, sent })
    }

    fn exchange_request(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        usable: &UsableApp,
        code: &str,
        config: &Config,
        sent: Timestamp,
    ) -> Result<ProviderRequest, ConsentError> {
        let known_scopes = target.mode.consent_scopes().ok_or(ConsentError::ModeWithoutConsent)?;
        let flow = flow_defaults(sent, self.random())
            .with("code", code)
            .with("redirect_uri", returned.redirect_uri.as_str())
            .with("code_verifier", returned.code_verifier.clone());
        let flow = with_scope(flow, &returned.scopes, known_scopes);
        let (secrets, app) = (SecretFields::default(), app_values(usable));
        let given = Given { config, secrets: &secrets, app: Some(&app), flow: &flow };
        let rule = "must be set before the consent can be completed";
        let flow = with_proof(target.mode, given, sent).map_err(|error| error.violations(rule))?;
        let request = target.mode.request(&target.code_grant()?.exchange, Given { flow: &flow, ..given });
        Ok(request.map_err(|missing| Violations::of(missing.0, rule))?)
    }
}

/// What a refusal of the code means for the caller.
fn refused(kind: RefusalKind, response: &TokenResponse, answer: &Answer) -> ConsentError {
    match kind {
        RefusalKind::InvalidGrant | RefusalKind::ConcurrentRequest => ConsentError::CodeRefused,
        RefusalKind::Unknown => {
            let code = response.error_code(&answer.body);
            ConsentError::Refused(code.map(|code| format!(" ({code})")).unwrap_or_default())
        }
        RefusalKind::InvalidClient => ConsentError::AppRefused,
        RefusalKind::RateLimited => {
            ConsentError::Throttled { retry: answer.retry_after.unwrap_or(DEFAULT_RETRY) }
        }
        RefusalKind::ClockSkew | RefusalKind::Outage => ConsentError::Unavailable,
    }
}
