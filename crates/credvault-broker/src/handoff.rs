//! Keys that a provider hands over: it posts them to the vault's own port before it sends the browser back. Whoever knows
//! the state could have posted them; the state is all that vouches.

use std::collections::BTreeMap;

use credvault_catalog::Flow;
use credvault_domain::{Connection, ProviderId, SecretFields, Violations};
use credvault_store::{
    AwaitedAuthorization, Consent, NewCredential, NewSettings, Recorded, ReturnedAuthorization, Write,
};
use serde_json::Value;

use crate::authorize::frozen_url;
use crate::{Broker, ConsentError, Target};

impl Broker {
    /// Keeps the keys that a provider posts, until its consent is completed or over.
    ///
    /// # Errors
    /// They are not what the mode must have, or the consent does not wait for them.
    pub async fn take_delivery(
        &self,
        target: Target<'_>,
        awaited: &AwaitedAuthorization,
        posted: &Value,
    ) -> Result<(), ConsentError> {
        let delivery = target.mode.delivery().ok_or(ConsentError::ModeWithoutConsent)?;
        let missing = || Violations::of("fields", "must all be there");
        let fields = delivery.fields(posted).ok_or_else(missing)?;
        target.mode.check_secrets("fields", &fields)?;
        Ok(self.store().authorizations().hand_over(awaited, &fields).await?)
    }

    /// Ends a consent with the keys that were handed over for it.
    pub(crate) async fn complete_handoff(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        write: &Write,
    ) -> Result<Recorded<Connection>, ConsentError> {
        let Target { connection, mode, .. } = target;
        if frozen_url(target, None) != returned.exchange_url {
            return Err(ConsentError::SettingsChanged);
        }
        let handed_over = returned.handed_over.as_ref().ok_or(ConsentError::NotDelivered)?;
        // What is not handed over stays: a webhook secret, say.
        let mut fields: SecretFields = self.fields(target).await?;
        for (name, value) in handed_over.iter() {
            fields.set(name.clone(), value.clone());
        }
        mode.check_secrets("fields", &fields)?;
        let hints = mode.hints(&fields);
        let credential = NewCredential { fields, hints, expire_time: None, renewal: None };
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

    /// What a provider is told about where keys go, and who asks.
    pub(crate) fn with_handoff(&self, flow: Flow, provider: &ProviderId) -> Flow {
        let Some(base) = self.public_url() else { return flow };
        let host = url::Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_owned));
        let flow = flow.with("delivery_uri", format!("{base}/oauth/handoff/{provider}"));
        host.into_iter().fold(flow, |flow, host| flow.with("host", host))
    }
}
