//! The beginning of a consent: the row that waits for it, and the URL that the browser is sent to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_catalog::{Given, Scopes};
use credvault_crypto::sha256;
use credvault_domain::{SecretFields, Timestamp, Violations};
use credvault_store::{
    AwaitedAuthorization, Beginner, NewAuthorization, ProviderOutcome, Recorded, UsableApp, Write,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::confirmation_code::confirmation_code;
use super::error::ConsentError;
use super::target::Target;
use crate::broker::Broker;
use crate::flow::{app_values, flow_defaults, with_scope};

/// How a consent is to begin.
#[derive(Clone, Debug)]
pub struct ConsentRequest {
    /// The scopes to ask for. If there are none, those of the app or the catalog are asked for.
    pub scopes: Vec<String>,
    /// A value that stands for the browser or session. The caller that completes the consent must give the same value.
    pub session: Option<String>,
    /// The origin of the page that learns when the browser is back. Only for the vault's own callback, which asks the person
    /// for confirmation if there is no such page.
    pub return_origin: Option<String>,
    /// A URL of the same origin, where the browser goes if that page cannot be reached.
    pub return_url: Option<String>,
    /// The caller that begins the consent.
    pub beginner: Beginner,
}

/// A consent that has begun.
#[derive(Debug)]
pub struct BegunConsent {
    /// Where to send the browser: to the provider, or to the vault's own page that leads there.
    pub url: SecretString,
    /// The state by which the callback is recognised.
    pub state: SecretString,
    /// The code that the person compares before confirming; `None` if no confirmation is asked for.
    pub confirmation_code: Option<String>,
    /// Until when the consent can be completed.
    pub expire_time: Timestamp,
}

/// What a consent asks the provider for.
struct Asked<'a> {
    redirect_uri: &'a str,
    scopes: &'a [String],
}

impl Broker {
    /// Begins a consent.
    ///
    /// # Errors
    /// There is no app, the mode has no consent, or a setting is missing that the URL needs.
    pub async fn begin_consent(
        &self,
        target: Target<'_>,
        request: ConsentRequest,
        write: &Write,
    ) -> Result<Recorded<BegunConsent>, ConsentError> {
        let known_scopes = target.mode.consent_scopes().ok_or(ConsentError::ModeWithoutConsent)?;
        // The browser is sent where the settings lead, so they are read together with the secrets that they belong to.
        let connection = self.store().credentials().whole(target.scope, target.connection).await?;
        let connection = self.with_discovered(target.mode, &connection).await?;
        let target = Target { connection: &connection, ..target };
        target.mode.check_destinations(&target.connection.config)?;
        let usable = self.app_or_registered(target).await?;
        let new = self.new_authorization(target, usable.as_ref(), known_scopes, request)?;
        let asked = Asked { redirect_uri: &new.redirect_uri, scopes: &new.scopes };
        // A missing setting is reported before anything is written.
        self.provider_url(target, usable.as_ref(), &asked, "", "")?;
        let authorizations = self.store().authorizations();
        let begun = authorizations.begin(target.scope, target.connection.id, &new, write).await?;
        let provider = &target.connection.provider;
        self.store().count_outcome(target.scope.tenant(), provider, ProviderOutcome::ConsentBegun);
        let (state, expire_time) = (begun.get().state.clone(), begun.get().expire_time);
        let (shown, verifier) = (state.expose_secret(), begun.get().code_verifier.expose_secret());
        let url = match self.public_url().filter(|_| new.public) {
            Some(base) => format!("{base}/oauth/start?state={shown}").into(),
            None => self.provider_url(target, usable.as_ref(), &asked, shown, verifier)?,
        };
        let confirms = new.public && new.return_origin.is_none();
        let confirmation_code = confirms.then(|| confirmation_code(shown));
        Ok(begun.map(|_| BegunConsent { url, state, confirmation_code, expire_time }))
    }

    /// The provider's page to which the vault's own page sends a browser.
    ///
    /// # Errors
    /// The app was replaced, or a setting is missing.
    pub async fn provider_page(
        &self,
        target: Target<'_>,
        awaited: &AwaitedAuthorization,
        state: &str,
    ) -> Result<SecretString, ConsentError> {
        let connection = self.with_discovered(target.mode, target.connection).await?;
        let target = Target { connection: &connection, ..target };
        let usable = self.app_if_needed(target).await?;
        if usable.as_ref().is_some_and(|usable| usable.app.client_id != awaited.client_id) {
            return Err(ConsentError::AppChanged);
        }
        let asked = Asked { redirect_uri: &awaited.redirect_uri, scopes: &awaited.scopes };
        let verifier = awaited.code_verifier(state)?;
        self.provider_url(target, usable.as_ref(), &asked, state, verifier.expose_secret())
    }

    /// The row of a consent that begins.
    fn new_authorization(
        &self,
        target: Target<'_>,
        usable: Option<&UsableApp>,
        known_scopes: &Scopes,
        request: ConsentRequest,
    ) -> Result<NewAuthorization, ConsentError> {
        let own = self.callback_url(&self.place_of(target));
        let (redirect_uri, client_id, app_scopes) = match usable {
            Some(UsableApp { app, .. }) => {
                (app.redirect_uri.clone(), app.client_id.clone(), app.scopes.as_slice())
            }
            None => (own.clone().ok_or(ConsentError::NoPublicUrl)?, String::new(), &[][..]),
        };
        let public = own.as_deref() == Some(redirect_uri.as_str());
        check_return(public, &redirect_uri, &request)?;
        let ConsentRequest { scopes, session, return_origin, return_url, beginner } = request;
        Ok(NewAuthorization {
            beginner,
            session,
            public,
            return_origin,
            return_url,
            redirect_uri,
            exchange_url: target.exchange_url(usable),
            client_id,
            scopes: known_scopes.asked(if scopes.is_empty() { app_scopes } else { &scopes }),
        })
    }

    /// The URL of the provider's page.
    fn provider_url(
        &self,
        target: Target<'_>,
        usable: Option<&UsableApp>,
        asked: &Asked<'_>,
        state: &str,
        verifier: &str,
    ) -> Result<SecretString, ConsentError> {
        let known_scopes = target.mode.consent_scopes().ok_or(ConsentError::ModeWithoutConsent)?;
        let challenge = URL_SAFE_NO_PAD.encode(sha256(&[verifier.as_bytes()]));
        let flow = flow_defaults(self.clock().now(), self.random())
            .with("state", state)
            .with("redirect_uri", asked.redirect_uri)
            .with("code_challenge", challenge);
        let flow = self.with_delivery_address(flow, &target.connection.provider);
        let flow = with_scope(flow, asked.scopes, known_scopes);
        let app = usable.map(app_values);
        let (config, secrets) = (&target.connection.config, SecretFields::default());
        let given = Given { config, secrets: &secrets, app: app.as_ref(), flow: &flow };
        let page = target.mode.consent_page().ok_or(ConsentError::ModeWithoutConsent)?;
        let url = target.mode.consent_url(page, given);
        Ok(url.map_err(|missing| Violations::of(missing.0, "must be set before a consent can begin"))?.into())
    }
}

/// Checks that the request fits the way back: to the vault's own callback (`public`), or to the caller's.
fn check_return(public: bool, redirect_uri: &str, request: &ConsentRequest) -> Result<(), Violations> {
    let (field, rule) = if redirect_uri.is_empty() {
        ("redirect_uri", "must be stored with PutOAuthApp before a consent can begin")
    } else if !public && request.return_origin.is_some() {
        ("return_origin", "is for apps whose redirect_uri is the vault's own callback; leave it out")
    } else if public && request.return_origin.is_none() && request.session.is_some() {
        ("session", "must be left out without return_origin, because the person then confirms in the browser")
    } else {
        return Ok(());
    };
    Err(Violations::of(field, rule))
}
