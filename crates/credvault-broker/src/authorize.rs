//! Consent: from the URL that a browser is sent to, to tokens that are stored. RFC 6749 section 4.1 with PKCE
//! (RFC 7636) and issuer identification (RFC 9207); RFC 9700 has the attacks.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_catalog::{Authorize, CallbackSignature, Given, Granted, Mode, OAuth, RefusalKind};
use credvault_crypto::{MacKey, sha256};
use credvault_domain::{Config, Connection, SecretFields, ServiceId, TenantScope, Timestamp, Violations};
use credvault_store::{
    Consent, NewAuthorization, NewCredential, Recorded, Renewal, ReturnedAuthorization, Selector, UsableApp,
    Write,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::Broker;
use crate::http::SendError;
use crate::refresher::{app_values, due_time, merge, moment};

/// How long it is tried to store what a consent has given.
const STORING: std::time::Duration = std::time::Duration::from_secs(60);

/// Why a consent does not begin or end well.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// The auth mode has no consent.
    #[error("the connection's auth mode has no consent; choose a mode of the provider that has")]
    NoConsent,
    /// Nobody has stored the app.
    #[error("neither the tenant nor the platform has an app at this provider; PutOAuthApp stores it")]
    NoApp,
    /// The app is another one than at the beginning.
    #[error("the app was replaced since the consent began; begin again")]
    AppChanged,
    /// The connection or the callback lacks something.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The owner said no, or the provider did.
    #[error(
        "the provider gave no consent: the account's owner declined, or the app may not ask for this; begin again"
    )]
    Declined,
    /// The provider does not accept the code.
    #[error("the provider did not accept the code; begin again")]
    CodeRefused,
    /// The provider does not accept the app.
    #[error("the provider does not accept the platform's app; PutOAuthApp stores its current id and secret")]
    AppRefused,
    /// The provider does not answer.
    #[error("the provider does not answer; begin again")]
    Unavailable,
    /// The vault's own database.
    #[error(transparent)]
    Store(#[from] credvault_store::Error),
}

/// What a consent is for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// In whose space.
    pub scope: &'a TenantScope,
    /// Which connection.
    pub connection: &'a Connection,
    /// How it authenticates.
    pub mode: &'a Mode,
}

/// A consent that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Where to send the browser.
    pub url: SecretString,
    /// What the callback is recognised by.
    pub state: SecretString,
    /// Until when it can be completed.
    pub expire_time: Timestamp,
}

/// What the provider sent the browser back with.
#[derive(Clone, Copy)]
pub struct Callback<'a> {
    /// Its query parameters, decoded.
    pub parameters: &'a BTreeMap<String, String>,
}

impl Broker {
    /// Begins a consent.
    ///
    /// # Errors
    /// There is no app, the mode has no consent, or a setting is missing that the URL needs.
    pub async fn begin(
        &self,
        target: Target<'_>,
        scopes: &[String],
        session: Option<String>,
        service: ServiceId,
        write: &Write,
    ) -> Result<Recorded<Begun>, AuthorizeError> {
        let (oauth, _) = consent_of(target.mode)?;
        let usable = self.app(target).await?;
        if usable.app.redirect_uri.is_empty() {
            return Err(Violations::of(
                "redirect_uri",
                "must be stored with PutOAuthApp before a consent can begin",
            )
            .into());
        }
        let chosen = if scopes.is_empty() { &usable.app.scopes } else { scopes };
        let asked = oauth.scopes.asked(chosen);
        let new = NewAuthorization {
            service,
            session,
            redirect_uri: usable.app.redirect_uri.clone(),
            client_id: usable.app.client_id.clone(),
            scopes: asked.clone(),
        };
        let url = |state: &str, verifier: &str| {
            let challenge = URL_SAFE_NO_PAD.encode(sha256(&[verifier.as_bytes()]));
            let flow = moment(self.clock().now(), self.random())
                .with("state", state)
                .with("redirect_uri", usable.app.redirect_uri.as_str())
                .with("code_challenge", challenge);
            let scope = asked.join(&oauth.scopes.separator);
            let flow = if scope.is_empty() { flow } else { flow.with("scope", scope) };
            let app = app_values(&usable);
            let (config, secrets) = (&target.connection.config, SecretFields::default());
            let given = Given { config, secrets: &secrets, app: Some(&app), flow: &flow };
            target.mode.authorize_url(given).ok_or(AuthorizeError::NoConsent)?.map_err(|missing| {
                AuthorizeError::from(Violations::of(missing.0, "must be set before a consent can begin"))
            })
        };
        // What is missing shows before anything is written.
        url("", "")?;
        let authorizations = self.store().authorizations();
        let begun = authorizations.begin(target.scope, target.connection.id, &new, write).await?;
        let state = begun.get().state.clone();
        let expire_time = begun.get().expire_time;
        let url = url(state.expose_secret(), begun.get().code_verifier.expose_secret())?;
        Ok(begun.map(|_| Begun { url: url.into(), state, expire_time }))
    }

    /// Takes a callback's state back: whose consent it is. The state is used up then.
    ///
    /// # Errors
    /// The state is missing or not accepted.
    pub async fn returned(
        &self,
        scope: &TenantScope,
        callback: Callback<'_>,
        session: Option<&str>,
    ) -> Result<ReturnedAuthorization, AuthorizeError> {
        let state = callback.parameter("state")?;
        Ok(self.store().authorizations().take(scope, state, session).await?)
    }

    /// Ends a consent: checks the callback, exchanges its code for tokens, and stores them.
    ///
    /// # Errors
    /// The callback is not what it must be, the owner declined, or the provider does not accept the code.
    pub async fn complete(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        callback: Callback<'_>,
        write: &Write,
    ) -> Result<Recorded<Connection>, AuthorizeError> {
        let done = self.try_complete(target, returned, callback, write).await;
        if done.is_err()
            && let Err(error) = self.store().authorizations().end(&returned.place).await
        {
            tracing::warn!(%error, "the end of a consent could not be noted");
        }
        done
    }

    async fn try_complete(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        callback: Callback<'_>,
        write: &Write,
    ) -> Result<Recorded<Connection>, AuthorizeError> {
        let (_, authorize) = consent_of(target.mode)?;
        let usable = self.app(target).await?;
        if usable.app.client_id != returned.client_id {
            return Err(AuthorizeError::AppChanged);
        }
        callback.check(authorize, &usable, target.connection)?;
        if callback.parameters.contains_key("error") {
            return Err(AuthorizeError::Declined);
        }
        let code = callback.parameter(&authorize.code)?;
        let mut settings = target.connection.config.clone().into_object();
        for (setting, parameter) in &authorize.settings {
            if let Some(value) = callback.parameters.get(parameter) {
                settings.insert(setting.as_str().to_owned(), Value::String(value.clone()));
            }
        }
        let config = accepted(target.mode, settings)?;
        let (granted, sent) = self.exchange(target, returned, &usable, code, &config).await?;
        let mut settings = config.into_object();
        settings.extend(granted.settings.clone());
        let config = accepted(target.mode, settings)?;
        let (config, told) = self.complete_settings(target, &usable, config, &granted).await?;
        let account = granted.account.clone().or(told).or_else(|| {
            let named = config.get(authorize.account.as_ref()?.as_str())?;
            named.as_str().map(str::to_owned)
        });
        // What the consent does not touch stays: a webhook secret, say.
        let mut fields = self.fields(target).await?;
        // Tokens of two accounts, or of two apps, must not stand side by side.
        let known = target.connection.external_account_id.as_ref();
        if known.is_none() || known != account.as_ref() {
            fields.retain(|name| !matches!(name.as_str(), "access_token" | "refresh_token"));
        }
        merge(&mut fields, &granted);
        let credential = NewCredential {
            hints: target.mode.hints(&fields),
            fields,
            expire_time: granted.expires,
            renewal: target.mode.renews().then(|| Renewal {
                due_time: due_time(
                    target.mode,
                    granted.expires,
                    granted.refresh_expires,
                    sent,
                    self.random(),
                ),
                client_id: Some(usable.app.client_id.clone()),
            }),
        };
        let consent = Consent { config, account, scopes: granted.scopes };
        // The code is spent, so nothing else has these tokens.
        let until = tokio::time::Instant::now() + STORING;
        loop {
            let credentials = self.store().credentials();
            let id = target.connection.id;
            match credentials.authorize(target.scope, id, &credential, &consent, write).await {
                Err(error) if error.is_transient() && tokio::time::Instant::now() < until => {
                    tracing::warn!(connection = %id, %error, "a consent could not be stored yet; it is tried again");
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                }
                stored => return Ok(stored?),
            }
        }
    }

    async fn exchange(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        usable: &UsableApp,
        code: &str,
        config: &Config,
    ) -> Result<(Granted, Timestamp), AuthorizeError> {
        let sent = self.clock().now();
        let flow = moment(sent, self.random())
            .with("code", code)
            .with("redirect_uri", returned.redirect_uri.as_str())
            .with("code_verifier", returned.code_verifier.clone());
        let secrets = SecretFields::default();
        let app = app_values(usable);
        let given = Given { config, secrets: &secrets, app: Some(&app), flow: &flow };
        let request = target.mode.exchange(given).ok_or(AuthorizeError::NoConsent)?;
        let request =
            request.map_err(|missing| Violations::of(missing.0, "must be set before a consent can end"))?;
        let answer = self.http().send(request).await.map_err(|error| {
            let (SendError::NotSent(detail) | SendError::Lost(detail)) = &error;
            tracing::warn!(
                provider = target.connection.provider.as_str(),
                detail,
                "a code could not be exchanged"
            );
            AuthorizeError::Unavailable
        })?;
        let granted =
            target.mode.read_tokens(answer.status, &answer.body, sent).map_err(|kind| match kind {
                RefusalKind::Dead | RefusalKind::Unknown => AuthorizeError::CodeRefused,
                RefusalKind::App => AuthorizeError::AppRefused,
                RefusalKind::Throttled | RefusalKind::Outage => AuthorizeError::Unavailable,
            })?;
        Ok((granted, sent))
    }

    async fn app(&self, target: Target<'_>) -> Result<UsableApp, AuthorizeError> {
        let usable = self.store().apps().usable_in(target.scope, &target.connection.provider).await?;
        usable.ok_or(AuthorizeError::NoApp)
    }

    /// The fields of the credential so far; none if it has none.
    async fn fields(&self, target: Target<'_>) -> Result<SecretFields, AuthorizeError> {
        let credentials = self.store().credentials();
        let selector = Selector::Connection { id: target.connection.id, version: None };
        let fetched = credentials.fetch(target.scope, &selector).await?;
        match credentials.open_stored(&fetched, self.clock().now(), true) {
            Ok(opened) => Ok(opened.fields),
            Err(credvault_store::Error::NoCredential) => Ok(SecretFields::default()),
            Err(error) => Err(error.into()),
        }
    }
}

fn consent_of(mode: &Mode) -> Result<(&OAuth, &Authorize), AuthorizeError> {
    let oauth = mode.oauth.as_ref().ok_or(AuthorizeError::NoConsent)?;
    Ok((oauth, oauth.authorize.as_ref().ok_or(AuthorizeError::NoConsent)?))
}

/// Settings that came from a provider, which decide where secrets are sent: they must pass as if a caller had set them.
pub(crate) fn accepted(
    mode: &Mode,
    settings: serde_json::Map<String, Value>,
) -> Result<Config, AuthorizeError> {
    let config = Config::new(settings).map_err(|rule| Violations::of("config", rule.to_string()))?;
    mode.check_config("config", &config)?;
    Ok(config)
}

impl Callback<'_> {
    fn parameter(&self, name: &str) -> Result<&str, Violations> {
        let value = self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            Violations::of(format!("parameters[{name}]"), "must be given, as the callback had it")
        })
    }

    /// Checks what the provider vouches for: its issuer, its signature, and that it speaks of the same account.
    fn check(
        &self,
        authorize: &Authorize,
        usable: &UsableApp,
        connection: &Connection,
    ) -> Result<(), Violations> {
        let wrong = |name: &str, rule: &str| Err(Violations::of(format!("parameters[{name}]"), rule));
        if let (Some(expected), Some(issuer)) = (&authorize.issuer, self.parameters.get("iss"))
            && expected != issuer
        {
            return wrong("iss", "must be the issuer that the consent was asked of");
        }
        match authorize.signature {
            Some(CallbackSignature::Shopify) if !self.shopify_signed(usable) => {
                return wrong("hmac", "must be the provider's signature over the other parameters");
            }
            _ => {}
        }
        for (parameter, setting) in &authorize.same {
            let expected = connection.config.get(setting.as_str()).and_then(Value::as_str);
            if self.parameters.get(parameter).map(String::as_str) != expected {
                return wrong(parameter, "must be the one that the consent was asked of");
            }
        }
        Ok(())
    }

    /// Hexadecimal HMAC-SHA256 under the app's secret of the other parameters, sorted, joined as `name=value&…`.
    fn shopify_signed(&self, usable: &UsableApp) -> bool {
        let Some(tag) = self.parameters.get("hmac").and_then(|text| decoded(text)) else { return false };
        let others =
            self.parameters.iter().filter(|(name, _)| !matches!(name.as_str(), "hmac" | "signature"));
        let pairs: Vec<_> = others.map(|(name, value)| format!("{name}={value}")).collect();
        let message = pairs.join("&");
        let secrets = [&usable.client_secret, &usable.previous_client_secret];
        secrets.into_iter().flatten().any(|secret| {
            let key = MacKey::new(secret.expose_secret().as_bytes());
            key.is_some_and(|key| key.matching(&[message.as_bytes()], &[tag]).is_some())
        })
    }
}

fn decoded(hexadecimal: &str) -> Option<[u8; 32]> {
    let digits = hexadecimal.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}
