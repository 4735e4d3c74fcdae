//! What a provider is asked right after it gave tokens: the settings without which they are of no use.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_catalog::{Details, Given, Granted, PostExchange, ProviderRequest, RefusalKind};
use credvault_domain::{Config, SecretFields};
use credvault_store::UsableApp;
use serde_json::Value;

use crate::authorize::{ConsentError, Target, accepted};
use crate::refresher::{app_values, merge, moment};
use crate::{Broker, SendError};

/// How often it is asked. The code is spent, so the user would have to begin again.
const ATTEMPTS: u32 = 3;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// The settings of a consent, as far as they are known now.
pub(crate) struct Completed {
    /// All of them, which the catalog has accepted.
    pub(crate) config: Config,
    /// Those that the provider has told right now.
    pub(crate) told: BTreeMap<String, Value>,
    /// The account's id at the provider, if it says so.
    pub(crate) account: Option<String>,
}

impl Broker {
    /// The settings with those that the provider adds, and the account's id if it says so.
    ///
    /// # Errors
    /// The provider does not answer to the point, or with settings that the catalog does not accept, and the mode cannot
    /// do without.
    pub(crate) async fn complete_settings(
        &self,
        target: Target<'_>,
        usable: &UsableApp,
        config: Config,
        granted: &Granted,
    ) -> Result<Completed, ConsentError> {
        let nothing = |config| Completed { config, told: BTreeMap::new(), account: None };
        let Some(post_exchange) = target.mode.code_grant().and_then(|grant| grant.post_exchange.as_ref())
        else {
            return Ok(nothing(config));
        };
        let asked = self.ask(target, post_exchange, usable, &config, granted).await;
        let added = asked.and_then(|Details { settings, account }| {
            let mut all = config.clone().into_object();
            all.extend(settings.clone());
            Ok(Completed { config: accepted(target.mode, all)?, told: settings, account })
        });
        match added {
            Err(error) if post_exchange.optional => {
                tracing::info!(
                    provider = target.connection.provider.as_str(),
                    %error,
                    "a consent ended without the settings that are asked for after it"
                );
                Ok(nothing(config))
            }
            added => added,
        }
    }

    /// Asks the provider, again if it does not answer.
    async fn ask(
        &self,
        target: Target<'_>,
        post_exchange: &PostExchange,
        usable: &UsableApp,
        config: &Config,
        granted: &Granted,
    ) -> Result<Details, ConsentError> {
        let mut fields = SecretFields::default();
        merge(&mut fields, granted);
        let app = app_values(usable);
        for attempt in 1..=ATTEMPTS {
            let flow = moment(self.clock().now(), self.random());
            let given = Given { config, secrets: &fields, app: Some(&app), flow: &flow };
            let Ok(request) = target.mode.request(&post_exchange.call, given) else {
                return Err(ConsentError::Unavailable);
            };
            match self.details(target, post_exchange, request).await {
                Some(Ok(details)) => return Ok(details),
                Some(Err(RefusalKind::Throttled | RefusalKind::Outage)) | None if attempt < ATTEMPTS => {
                    tokio::time::sleep(PAUSE).await;
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
                tracing::info!(provider, detail, "what is asked after a consent had no answer");
                None
            }
        }
    }
}
