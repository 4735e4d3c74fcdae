//! Credential delivery: some providers post keys to the vault's own port before they send the browser back. Any sender that
//! knows the state could have posted them; only the state vouches for them.

use std::collections::BTreeMap;

use credvault_catalog::Flow;
use credvault_domain::{Connection, ProviderId, Violations};
use credvault_store::{
    AwaitedAuthorization, Consent, NewCredential, NewSettings, Recorded, ReturnedAuthorization, Write,
};
use serde_json::Value;

use super::error::ConsentError;
use super::target::Target;
use crate::broker::Broker;

impl Broker {
    /// Keeps the keys that a provider posts, until the consent is completed or expires.
    ///
    /// # Errors
    /// The keys are not those of the mode, or the consent does not wait for them.
    pub async fn deliver_keys(
        &self,
        target: Target<'_>,
        awaited: &AwaitedAuthorization,
        posted: &Value,
    ) -> Result<(), ConsentError> {
        let delivery = target.mode.delivery().ok_or(ConsentError::ModeWithoutConsent)?;
        let missing = || Violations::of("fields", "must all be there");
        let fields = delivery.fields(posted).ok_or_else(missing)?;
        target.mode.check_secrets("fields", &fields)?;
        Ok(self.store().authorizations().deliver_keys(awaited, &fields).await?)
    }

    /// Completes a consent with the keys that were delivered for it.
    pub(super) async fn complete_delivery(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        write: &Write,
    ) -> Result<Recorded<Connection>, ConsentError> {
        let Target { connection, mode, .. } = target;
        if target.exchange_url(None) != returned.exchange_url {
            return Err(ConsentError::SettingsChanged);
        }
        let delivered = returned.delivered.as_ref().ok_or(ConsentError::NotDelivered)?;
        // Stored fields that are not delivered stay, such as a webhook secret.
        let mut fields = self.stored_fields(target).await?;
        for (name, value) in delivered.iter() {
            fields.set(name.clone(), value.clone());
        }
        mode.check_secrets("fields", &fields)?;
        let hints = mode.hints(&fields);
        let credential = NewCredential {
            fields,
            adopted: None,
            hints,
            expire_time: None,
            schedule: None,
            consent_time: None,
            accepted: None,
        };
        let settings =
            NewSettings { config: connection.config.clone(), destinations: mode.destinations().clone() };
        let consent = Consent {
            settings,
            account: None,
            confirmed_account: None,
            confirmed_settings: BTreeMap::new(),
            scopes: None,
        };
        self.store_consented(target, &credential, &consent, write).await
    }

    /// Adds the address to which keys are to be posted, and the host that asks for them.
    pub(super) fn with_delivery_address(&self, flow: Flow, provider: &ProviderId) -> Flow {
        let Some(base) = self.public_url() else { return flow };
        let host = url::Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_owned));
        let flow = flow.with("delivery_uri", format!("{base}/oauth/handoff/{provider}"));
        host.into_iter().fold(flow, |flow, host| flow.with("host", host))
    }
}
