//! The request that follows the exchange: it asks the provider for settings without which the tokens are of no use.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_catalog::{Details, Given, Granted, PostExchange, ProviderRequest, RefusalKind};
use credvault_domain::{Config, SecretFields};
use credvault_store::UsableApp;
use serde_json::Value;

use super::error::ConsentError;
use super::target::Target;
use crate::broker::Broker;
use crate::flow::{app_values, flow_defaults, replace_tokens};
use crate::http::error::SendError;

/// How often the provider is asked. The code is spent, so the owner would have to consent again.
const MAX_ATTEMPTS: u32 = 3;
/// The pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The settings of a consent, with those that the provider has added.
pub(super) struct Completed {
    /// All settings, which the catalog has accepted.
    pub(super) config: Config,
    /// The settings among them that the provider has given now.
    pub(super) added: BTreeMap<String, Value>,
    /// The account's id at the provider, if it was in the answer.
    pub(super) account: Option<String>,
}

impl Broker {
    /// Adds the settings that the provider gives after the exchange.
    ///
    /// # Errors
    /// The provider does not give them, or the catalog does not accept them, and the mode needs them.
    pub(super) async fn complete_settings(
        &self,
        target: Target<'_>,
        usable: &UsableApp,
        config: Config,
        granted: &Granted,
    ) -> Result<Completed, ConsentError> {
        let unchanged = |config| Completed { config, added: BTreeMap::new(), account: None };
        let grant = target.mode.code_grant();
        let Some(post_exchange) = grant.and_then(|grant| grant.post_exchange.as_ref()) else {
            return Ok(unchanged(config));
        };
        let asked = self.ask_after_exchange(target, post_exchange, usable, &config, granted).await;
        let completed = asked.and_then(|Details { settings, account }| {
            let mut all = config.clone().into_object();
            all.extend(settings.clone());
            Ok(Completed { config: target.accepted_config(all)?, added: settings, account })
        });
        match completed {
            Err(error) if post_exchange.optional => {
                let provider = target.connection.provider.as_str();
                tracing::info!(provider, %error, "a consent ended without the settings that are requested after it");
                Ok(unchanged(config))
            }
            completed => completed,
        }
    }

    /// Asks the provider, several times if it does not answer.
    async fn ask_after_exchange(
        &self,
        target: Target<'_>,
        post_exchange: &PostExchange,
        usable: &UsableApp,
        config: &Config,
        granted: &Granted,
    ) -> Result<Details, ConsentError> {
        let mut fields = SecretFields::default();
        replace_tokens(&mut fields, granted);
        let app = app_values(usable);
        for attempt in 1..=MAX_ATTEMPTS {
            let flow = flow_defaults(self.clock().now(), self.random());
            let given = Given { config, secrets: &fields, app: Some(&app), flow: &flow };
            let Ok(request) = target.mode.request(&post_exchange.call, given) else {
                return Err(ConsentError::Unavailable);
            };
            match self.details(target, post_exchange, request).await {
                Some(Ok(details)) => return Ok(details),
                Some(Err(RefusalKind::RateLimited | RefusalKind::Outage)) | None
                    if attempt < MAX_ATTEMPTS =>
                {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                _ => break,
            }
        }
        Err(ConsentError::Unavailable)
    }

    /// `None` if there is no answer.
    async fn details(
        &self,
        target: Target<'_>,
        post_exchange: &PostExchange,
        request: ProviderRequest,
    ) -> Option<Result<Details, RefusalKind>> {
        match self.http().send(request).await {
            Ok(answer) => Some(post_exchange.read(answer.status, &answer.body)),
            Err(SendError::NotSent(detail) | SendError::Lost(detail)) => {
                let provider = target.connection.provider.as_str();
                tracing::info!(provider, detail, "the request after a consent had no answer");
                None
            }
        }
    }
}
