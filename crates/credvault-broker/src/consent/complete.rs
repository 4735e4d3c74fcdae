//! The end of a consent: the callback is checked, its code exchanged, and the credential stored.

use std::collections::BTreeMap;

use credvault_catalog::{Authorize, Granted};
use credvault_domain::{Config, Connection, Permit, SecretFields, TenantScope, Timestamp};
use credvault_store::{
    Bringer, Consent, NewCredential, NewSettings, ProviderOutcome, Recorded, RefreshSchedule,
    ReturnedAuthorization, UsableApp, Write,
};
use serde_json::Value;

use super::callback::{Callback, CallbackResult};
use super::error::ConsentError;
use super::exchange::Exchanged;
use super::post_exchange::Completed;
use super::target::Target;
use crate::broker::Broker;
use crate::flow::replace_tokens;
use crate::grant::grant;
use crate::schedule::first_due_time;

impl Broker {
    /// Finds the authorization that a callback belongs to. Its state cannot be used a second time, so this takes the
    /// permission to complete the consent.
    ///
    /// # Errors
    /// The state is missing or not accepted.
    pub async fn take_callback(
        &self,
        scope: &TenantScope,
        callback: Callback<'_>,
        bringer: Bringer<'_>,
        _permit: &Permit,
    ) -> Result<ReturnedAuthorization, ConsentError> {
        let state = callback.state()?;
        Ok(self.store().authorizations().take(scope, state, bringer).await?)
    }

    /// Completes a consent and stores its credential.
    ///
    /// # Errors
    /// The callback is not accepted, the owner declined, or the provider does not accept the code. The authorization has
    /// ended then.
    pub async fn complete_consent(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        callback: Callback<'_>,
        write: &Write,
    ) -> Result<Recorded<Connection>, ConsentError> {
        let completed = if target.mode.delivery().is_some() {
            self.complete_delivery(target, returned, write).await
        } else {
            self.complete_with_code(target, returned, callback, write).await
        };
        let outcome = match &completed {
            Ok(_) => ProviderOutcome::ConsentCompleted,
            Err(ConsentError::Denied) => ProviderOutcome::ConsentDenied,
            Err(_) => ProviderOutcome::ConsentFailed,
        };
        self.store().count_outcome(target.scope.tenant(), &target.connection.provider, outcome);
        if completed.is_err()
            && let Err(error) = self.store().authorizations().end(&returned.key).await
        {
            tracing::warn!(%error, "the end of a consent could not be stored");
        }
        completed
    }

    async fn complete_with_code(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        callback: Callback<'_>,
        write: &Write,
    ) -> Result<Recorded<Connection>, ConsentError> {
        let (authorize, before) = (&target.code_grant()?.authorize, &target.connection.config);
        // What the code is exchanged for is sent where the issuer's metadata say now, and stays with these endpoints.
        let connection = self.with_discovered(target.mode, target.connection).await?;
        let target = Target { connection: &connection, ..target };
        let usable = self.app(target).await?;
        check_unchanged(target, &usable, returned)?;
        callback.check(target, authorize, &usable)?;
        let code = match callback.result(authorize) {
            CallbackResult::Code(code) => code,
            CallbackResult::Denial => return Err(ConsentError::Denied),
            CallbackResult::Failure => return Err(ConsentError::NotGranted),
        };
        let config = callback_config(target, authorize, callback)?;
        let Exchanged { granted, sent } = self.exchange(target, returned, &usable, code, &config).await?;
        let mut settings = config.into_object();
        settings.extend(granted.settings.clone());
        let config = target.accepted_config(settings)?;
        let in_exchange = target.mode.settings_in_exchange(&config);
        let completed = self.complete_settings(target, &usable, config, &granted).await?;
        let named = subject(target, &granted, &usable, sent)?;
        let confirmed_account =
            named.or_else(|| granted.account.clone()).or_else(|| completed.account.clone());
        let mut fields = self.stored_fields(target).await?;
        keep_or_drop_tokens(target, confirmed_account.as_ref(), &mut fields);
        replace_tokens(&mut fields, &granted);
        let random = self.random();
        let due = first_due_time(target.mode, granted.expires, granted.refresh_expires, sent, random);
        let client_id = Some(usable.app.client_id.clone());
        let grant = grant(target.mode, &fields, granted.expires, granted.refresh_expires, sent);
        let schedule = RefreshSchedule { due_time: due, client_id, grant };
        let credential = NewCredential {
            hints: target.mode.hints(&fields),
            fields,
            adopted: None,
            expire_time: granted.expires,
            schedule: target.mode.refreshes().then_some(schedule),
            consent_time: None,
            accepted: None,
        };
        let moved = target.mode.moved(before, &completed.config);
        let write = write.clone().changing(moved);
        let consent = consent(target, authorize, granted, completed, in_exchange, confirmed_account);
        self.store_consented(target, &credential, &consent, &write).await
    }
}

/// The account that the ID token names, if the answer has one.
fn subject(
    target: Target<'_>,
    granted: &Granted,
    usable: &UsableApp,
    now: Timestamp,
) -> Result<Option<String>, ConsentError> {
    let issuer = target.mode.issuer(&target.connection.config);
    let Some((token, issuer)) = granted.id_token.as_ref().zip(issuer) else { return Ok(None) };
    token.subject(&issuer, &usable.app.client_id, now).map(Some).map_err(|error| {
        tracing::warn!(provider = target.connection.provider.as_str(), %error, "a consent was refused");
        ConsentError::Refused(" (id_token)".to_owned())
    })
}

/// The app and the destination of the code must be those with which the consent began.
fn check_unchanged(
    target: Target<'_>,
    usable: &UsableApp,
    returned: &ReturnedAuthorization,
) -> Result<(), ConsentError> {
    if usable.app.client_id != returned.client_id {
        return Err(ConsentError::AppChanged);
    }
    if target.exchange_url(Some(usable)) != returned.exchange_url {
        return Err(ConsentError::SettingsChanged);
    }
    Ok(())
}

/// The connection's settings with those that the callback brings.
fn callback_config(
    target: Target<'_>,
    authorize: &Authorize,
    callback: Callback<'_>,
) -> Result<Config, ConsentError> {
    let mut settings = target.connection.config.clone().into_object();
    for (setting, parameter) in &authorize.settings {
        if let Some(value) = callback.parameters.get(parameter) {
            settings.insert(setting.as_str().to_owned(), Value::String(value.clone()));
        }
    }
    target.accepted_config(settings)
}

/// Keeps stored fields that the consent does not touch, such as a webhook secret. Tokens are dropped unless the provider
/// has confirmed the same account for both, because tokens of two accounts or apps must not be mixed.
fn keep_or_drop_tokens(target: Target<'_>, confirmed: Option<&String>, fields: &mut SecretFields) {
    let known = target.connection.confirmed_account_id.as_ref();
    if known.is_none() || known != confirmed {
        fields.retain(|name| !matches!(name.as_str(), "access_token" | "refresh_token"));
    }
}

/// What is stored of the consent beside the credential. `in_exchange` are the settings that the exchange has confirmed.
fn consent(
    target: Target<'_>,
    authorize: &Authorize,
    granted: Granted,
    completed: Completed,
    in_exchange: BTreeMap<String, String>,
    confirmed_account: Option<String>,
) -> Consent {
    let Completed { config, added, .. } = completed;
    let mut confirmed_settings = in_exchange;
    let given = granted.settings.iter().chain(&added);
    confirmed_settings
        .extend(given.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))));
    // Parameters of the callback are not signed, so an account that only they name is not confirmed.
    let account = confirmed_account.clone().or_else(|| {
        let named = config.get(authorize.account_id_setting.as_ref()?.as_str())?;
        named.as_str().map(str::to_owned)
    });
    let settings = NewSettings { config, destinations: target.mode.destinations().clone() };
    Consent { settings, account, confirmed_account, confirmed_settings, scopes: granted.scopes }
}
