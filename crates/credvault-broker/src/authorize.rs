//! Consent: from the URL that a browser is sent to, to tokens that are stored. RFC 6749 section 4.1 with PKCE
//! (RFC 7636) and issuer identification (RFC 9207); RFC 9700 has the attacks.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_catalog::{Authorize, CallbackSignature, Given, Granted, Mode, RefusalKind};
use credvault_crypto::sha256;
use credvault_domain::{Config, Connection, SecretFields, TenantScope, Timestamp, Violations};
use credvault_store::{
    AwaitedAuthorization, Beginner, Bringer, Consent, NewAuthorization, NewCredential, NewSettings, Recorded,
    Renewal, ReturnedAuthorization, Selector, UsableApp, Write,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::after::Completed;
use crate::callback_signature::shopify_signed;
use crate::http::SendError;
use crate::refresher::{app_values, due_time, merge, moment};
use crate::{Broker, CallbackResult};

/// How long it is tried to store what a consent has given.
const STORING: Duration = Duration::from_secs(60);
/// After how long a provider that wants fewer calls is asked again where it does not say.
const PAUSE: Duration = Duration::from_secs(60);

/// Why a consent does not begin or end well.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The auth mode has no consent.
    #[error("the connection's auth mode has no consent; choose a mode of the provider that has")]
    ModeWithoutConsent,
    /// Nobody has stored the app.
    #[error("neither the tenant nor the platform has an app at this provider; PutOAuthApp stores it")]
    AppMissing,
    /// The app is another one than at the beginning.
    #[error("the app was replaced since the consent began; begin again")]
    AppChanged,
    /// The settings lead elsewhere than at the beginning.
    #[error("the connection's settings were changed since the consent began; begin again")]
    SettingsChanged,
    /// The connection or the callback lacks something.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The mode hands over keys, and the vault has no address for that.
    #[error(
        "the provider hands over keys at the vault's own port, which this vault does not have; the operator sets \
         public.url"
    )]
    NoPublicUrl,
    /// The browser came back before the keys did.
    #[error("the provider handed over no keys; begin again")]
    NotDelivered,
    /// The account's owner said no.
    #[error("the account's owner declined; begin again if it was a mistake")]
    Denied,
    /// The provider sent no code, and did not say that its owner declined.
    #[error(
        "the provider gave no consent: it reports an error, as where the app may not ask for this; begin again"
    )]
    NotGranted,
    /// The provider does not accept the code.
    #[error("the provider did not accept the code; begin again")]
    CodeRefused,
    /// The provider refuses to give tokens, for a reason that its file does not know: its code, in brackets.
    #[error(
        "the provider refused to give tokens for the code{0}; begin again, and if that goes on, ask it why"
    )]
    Refused(String),
    /// The provider does not accept the app.
    #[error("the provider does not accept the platform's app; PutOAuthApp stores its current id and secret")]
    AppRefused,
    /// The provider does not answer, or something else does in its place.
    #[error("the provider does not answer, or not in its own words; begin again")]
    Unavailable,
    /// The provider wants fewer calls.
    #[error("the provider wants fewer calls; begin again after {} seconds", retry.as_secs().max(1))]
    Throttled {
        /// When to begin again.
        retry: Duration,
    },
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

/// How a consent is to begin.
#[derive(Clone, Debug)]
pub struct ConsentRequest {
    /// What to ask for; without any, what the app or the catalog says.
    pub scopes: Vec<String>,
    /// What stands for the browser or session.
    pub session: Option<String>,
    /// The origin of the page that is told when the browser is back. Only for the vault's own callback, which asks the
    /// person if there is none.
    pub return_origin: Option<String>,
    /// Where the browser goes where that page cannot be told: a URL of the same origin.
    pub return_url: Option<String>,
    /// Who begins it.
    pub beginner: Beginner,
}

/// A consent that has begun.
#[derive(Debug)]
pub struct BegunConsent {
    /// Where to send the browser: to the provider, or to the vault's own page that leads there.
    pub url: SecretString,
    /// What the callback is recognised by.
    pub state: SecretString,
    /// What the person compares before confirming; `None` where nobody has to confirm.
    pub confirmation_code: Option<String>,
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
    pub async fn begin_consent(
        &self,
        target: Target<'_>,
        wanted: ConsentRequest,
        write: &Write,
    ) -> Result<Recorded<BegunConsent>, ConsentError> {
        let known_scopes = target.mode.consent_scopes().ok_or(ConsentError::ModeWithoutConsent)?;
        // The browser is about to be sent where the settings lead: those that were looked at, and no others.
        let connection = self.store().credentials().whole(target.scope, target.connection).await?;
        let target = Target { connection: &connection, ..target };
        target.mode.check_destinations(&target.connection.config)?;
        let usable = self.needed_app(target).await?;
        let own = self.callback_url(&target.connection.provider);
        let (redirect_uri, client_id, chosen) = match &usable {
            Some(UsableApp { app, .. }) => {
                (app.redirect_uri.clone(), app.client_id.clone(), app.scopes.as_slice())
            }
            None => (own.clone().ok_or(ConsentError::NoPublicUrl)?, String::new(), &[][..]),
        };
        let public = check_way_back(own.as_deref(), &redirect_uri, &wanted)?;
        let ConsentRequest { scopes, session, return_origin, return_url, beginner } = wanted;
        let new = NewAuthorization {
            beginner,
            session,
            public,
            return_origin,
            return_url,
            redirect_uri,
            exchange_url: frozen_url(target, usable.as_ref()),
            client_id,
            scopes: known_scopes.asked(if scopes.is_empty() { chosen } else { &scopes }),
        };
        let url = |state: &str, verifier: &str| {
            let asked = (new.redirect_uri.as_str(), new.scopes.as_slice());
            self.provider_url(target, usable.as_ref(), asked, state, verifier)
        };
        // What is missing shows before anything is written.
        url("", "")?;
        let authorizations = self.store().authorizations();
        let begun = authorizations.begin(target.scope, target.connection.id, &new, write).await?;
        let state = begun.get().state.clone();
        let expire_time = begun.get().expire_time;
        let url = match self.public_url().filter(|_| public) {
            Some(base) => format!("{base}/oauth/start?state={}", state.expose_secret()).into(),
            None => url(state.expose_secret(), begun.get().code_verifier.expose_secret())?,
        };
        let confirms = public && new.return_origin.is_none();
        let confirmation_code = confirms.then(|| confirmation_code(state.expose_secret()));
        Ok(begun.map(|_| BegunConsent { url, state, confirmation_code, expire_time }))
    }

    /// Where a browser that has come to the vault's own page goes on to.
    ///
    /// # Errors
    /// The app was replaced, or a setting is missing.
    pub async fn provider_page(
        &self,
        target: Target<'_>,
        awaited: &AwaitedAuthorization,
        state: &str,
    ) -> Result<SecretString, ConsentError> {
        let usable = self.needed_app(target).await?;
        if usable.as_ref().is_some_and(|usable| usable.app.client_id != awaited.client_id) {
            return Err(ConsentError::AppChanged);
        }
        let asked = (awaited.redirect_uri.as_str(), awaited.scopes.as_slice());
        let verifier = awaited.code_verifier(state);
        self.provider_url(target, usable.as_ref(), asked, state, verifier.expose_secret())
    }

    /// The provider's page for a consent.
    fn provider_url(
        &self,
        target: Target<'_>,
        usable: Option<&UsableApp>,
        (redirect_uri, scopes): (&str, &[String]),
        state: &str,
        verifier: &str,
    ) -> Result<SecretString, ConsentError> {
        let known_scopes = target.mode.consent_scopes().ok_or(ConsentError::ModeWithoutConsent)?;
        let challenge = URL_SAFE_NO_PAD.encode(sha256(&[verifier.as_bytes()]));
        let flow = moment(self.clock().now(), self.random())
            .with("state", state)
            .with("redirect_uri", redirect_uri)
            .with("code_challenge", challenge);
        let flow = self.with_handoff(flow, &target.connection.provider);
        let scope = scopes.join(&known_scopes.separator);
        let flow = if scope.is_empty() { flow } else { flow.with("scope", scope) };
        let app = usable.map(app_values);
        let (config, secrets) = (&target.connection.config, SecretFields::default());
        let given = Given { config, secrets: &secrets, app: app.as_ref(), flow: &flow };
        let page = target.mode.consent_page().ok_or(ConsentError::ModeWithoutConsent)?;
        let url = target.mode.consent_url(page, given);
        Ok(url.map_err(|missing| Violations::of(missing.0, "must be set before a consent can begin"))?.into())
    }

    /// Takes a callback's state back: whose consent it is. The state is used up then.
    ///
    /// # Errors
    /// The state is missing or not accepted.
    pub async fn take_callback(
        &self,
        scope: &TenantScope,
        callback: Callback<'_>,
        bringer: Bringer<'_>,
    ) -> Result<ReturnedAuthorization, ConsentError> {
        let state = callback.parameter("state")?;
        Ok(self.store().authorizations().take(scope, state, bringer).await?)
    }

    /// Ends a consent: checks the callback, exchanges its code for tokens, and stores them.
    ///
    /// # Errors
    /// The callback is not what it must be, the owner declined, or the provider does not accept the code.
    pub async fn complete_consent(
        &self,
        target: Target<'_>,
        returned: &ReturnedAuthorization,
        callback: Callback<'_>,
        write: &Write,
    ) -> Result<Recorded<Connection>, ConsentError> {
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
    ) -> Result<Recorded<Connection>, ConsentError> {
        if target.mode.delivery().is_some() {
            return self.complete_handoff(target, returned, write).await;
        }
        let authorize = &target.mode.code_grant().ok_or(ConsentError::ModeWithoutConsent)?.authorize;
        let usable = self.app(target).await?;
        if usable.app.client_id != returned.client_id {
            return Err(ConsentError::AppChanged);
        }
        if frozen_url(target, Some(&usable)) != returned.exchange_url {
            return Err(ConsentError::SettingsChanged);
        }
        callback.check(authorize, &usable, target.connection)?;
        let code = match callback.result(authorize) {
            CallbackResult::Code(code) => code,
            CallbackResult::Denial => return Err(ConsentError::Denied),
            CallbackResult::Failure => return Err(ConsentError::NotGranted),
        };
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
        let mut confirmed_settings = target.mode.settings_in_exchange(&config);
        let Completed { config, told, account } =
            self.complete_settings(target, &usable, config, &granted).await?;
        let told = granted.settings.iter().chain(&told);
        confirmed_settings
            .extend(told.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))));
        let confirmed_account = granted.account.clone().or(account);
        // What the browser has brought is signed by nobody.
        let account = confirmed_account.clone().or_else(|| {
            let named = config.get(authorize.account_id_setting.as_ref()?.as_str())?;
            named.as_str().map(str::to_owned)
        });
        // What the consent does not touch stays: a webhook secret, say.
        let mut fields = self.fields(target).await?;
        // Tokens of two accounts, or of two apps, must not stand side by side. What a caller says of the account does not
        // count: only what the provider said.
        let known = target.connection.confirmed_account_id.as_ref();
        if known.is_none() || known != confirmed_account.as_ref() {
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
        let write = write.clone().changing(target.mode.moved(&target.connection.config, &config));
        let settings = NewSettings { config, destinations: target.mode.destinations().clone() };
        let consent =
            Consent { settings, account, confirmed_account, confirmed_settings, scopes: granted.scopes };
        self.store_consented(target, &credential, &consent, &write).await
    }

    /// Stores what a consent has given, for nothing else has it: tried again for a minute while the database fails. What
    /// cannot be stored by then is lost, and the owner consents once more.
    pub(crate) async fn store_consented(
        &self,
        target: Target<'_>,
        credential: &NewCredential,
        consent: &Consent,
        write: &Write,
    ) -> Result<Recorded<Connection>, ConsentError> {
        let until = tokio::time::Instant::now() + STORING;
        loop {
            let credentials = self.store().credentials();
            let id = target.connection.id;
            match credentials.authorize(target.scope, id, credential, consent, write).await {
                Err(error) if error.is_transient() && tokio::time::Instant::now() < until => {
                    tracing::warn!(connection = %id, %error, "a consent could not be stored yet; it is tried again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
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
    ) -> Result<(Granted, Timestamp), ConsentError> {
        let sent = self.clock().now();
        let flow = moment(sent, self.random())
            .with("code", code)
            .with("redirect_uri", returned.redirect_uri.as_str())
            .with("code_verifier", returned.code_verifier.clone());
        let scope = returned
            .scopes
            .join(&target.mode.consent_scopes().ok_or(ConsentError::ModeWithoutConsent)?.separator);
        let flow = if scope.is_empty() { flow } else { flow.with("scope", scope) };
        let secrets = SecretFields::default();
        let app = app_values(usable);
        let given = Given { config, secrets: &secrets, app: Some(&app), flow: &flow };
        let oauth = target.mode.oauth().ok_or(ConsentError::ModeWithoutConsent)?;
        let grant = target.mode.code_grant().ok_or(ConsentError::ModeWithoutConsent)?;
        let request = target
            .mode
            .request(&grant.exchange, given)
            .map_err(|missing| Violations::of(missing.0, "must be set before a consent can end"))?;
        let answer = self.http().send(request).await.map_err(|error| {
            let (SendError::NotSent(detail) | SendError::Lost(detail)) = &error;
            tracing::warn!(
                provider = target.connection.provider.as_str(),
                detail,
                "a code could not be exchanged"
            );
            ConsentError::Unavailable
        })?;
        let granted = oauth.response.read(answer.status, &answer.body, sent).map_err(|kind| match kind {
            RefusalKind::Dead | RefusalKind::Busy => ConsentError::CodeRefused,
            RefusalKind::Unknown => {
                let code = oauth.response.error_code(&answer.body);
                ConsentError::Refused(code.map(|code| format!(" ({code})")).unwrap_or_default())
            }
            RefusalKind::App => ConsentError::AppRefused,
            RefusalKind::Throttled => ConsentError::Throttled { retry: answer.retry_after.unwrap_or(PAUSE) },
            RefusalKind::Clock | RefusalKind::Outage => ConsentError::Unavailable,
        })?;
        Ok((granted, sent))
    }

    async fn app(&self, target: Target<'_>) -> Result<UsableApp, ConsentError> {
        let usable = self.store().apps().usable_in(target.scope, &target.connection.provider).await?;
        usable.ok_or(ConsentError::AppMissing)
    }

    /// The app, unless the mode hands over keys: that needs none.
    async fn needed_app(&self, target: Target<'_>) -> Result<Option<UsableApp>, ConsentError> {
        if target.mode.delivery().is_some() { Ok(None) } else { self.app(target).await.map(Some) }
    }

    /// The fields of the credential so far; none if it has none.
    pub(crate) async fn fields(&self, target: Target<'_>) -> Result<SecretFields, ConsentError> {
        let credentials = self.store().credentials();
        let selector = Selector::Connection { id: target.connection.id, version: None };
        let fetched = credentials.fetch(target.scope, &selector).await?;
        match credentials.open_stored(&fetched, self.clock().now(), true).await {
            Ok(opened) => Ok(opened.fields),
            Err(credvault_store::Error::NoCredential) => Ok(SecretFields::default()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the browser comes back to the vault's own callback, `own`.
fn check_way_back(
    own: Option<&str>,
    redirect_uri: &str,
    wanted: &ConsentRequest,
) -> Result<bool, Violations> {
    let public = own == Some(redirect_uri);
    let rule = if redirect_uri.is_empty() {
        ("redirect_uri", "must be stored with PutOAuthApp before a consent can begin")
    } else if !public && wanted.return_origin.is_some() {
        ("return_origin", "is for apps whose redirect_uri is the vault's own callback; leave it out")
    } else if public && wanted.return_origin.is_none() && wanted.session.is_some() {
        ("session", "needs return_origin as well: without one the person confirms in the browser")
    } else {
        return Ok(public);
    };
    Err(Violations::of(rule.0, rule.1))
}

/// Where a code will be exchanged or keys are handed over, as far as that is known when the consent begins (RFC 9700,
/// section 4.4.2).
pub(crate) fn frozen_url(target: Target<'_>, usable: Option<&UsableApp>) -> Option<String> {
    target.mode.consent_recipient(&target.connection.config, usable.map(app_values).as_ref())
}

/// Eight letters and digits in two groups, of which none is mistaken for another (Crockford's base 32): 40 bits.
pub fn confirmation_code(state: &str) -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let hash = sha256(&[b"credvault confirmation".as_slice(), state.as_bytes()]);
    let mut code = String::with_capacity(9);
    for (place, byte) in hash.iter().take(8).enumerate() {
        if place == 4 {
            code.push('-');
        }
        code.extend(LETTERS.get(usize::from(byte % 32)).map(|letter| char::from(*letter)));
    }
    code
}

/// Settings that came from a provider, which decide where secrets are sent: they must pass as if a caller had set them.
pub(crate) fn accepted(
    mode: &Mode,
    settings: serde_json::Map<String, Value>,
) -> Result<Config, ConsentError> {
    let config = Config::new(settings).map_err(|rule| Violations::of("config", rule.to_string()))?;
    Ok(mode.accepted_config("config", config)?)
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
        if let Some(expected) = &authorize.issuer {
            match self.parameters.get("iss") {
                Some(issuer) if issuer == expected => {}
                None if !authorize.sends_issuer => {}
                _ => return wrong("iss", "must be the issuer that the consent was asked of"),
            }
        }
        match authorize.signature {
            Some(CallbackSignature::Shopify) if !shopify_signed(self.parameters, usable) => {
                return wrong("hmac", "must be the provider's signature over the other parameters");
            }
            _ => {}
        }
        for (parameter, setting) in &authorize.must_match {
            let expected = connection.config.get(setting.as_str()).and_then(Value::as_str);
            if self.parameters.get(parameter).map(String::as_str) != expected {
                return wrong(parameter, "must be the one that the consent was asked of");
            }
        }
        Ok(())
    }
}
