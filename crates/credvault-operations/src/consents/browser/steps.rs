//! The way to the provider and back: the browser starts, and returns with the provider's answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_broker::{Callback, CallbackResult, ConsentError};
use credvault_domain::{Action, Connection};
use credvault_store::AuthorizationError;
use secrecy::ExposeSecret as _;

use super::found::{Failure, Found, Refused};
use super::{Browser, Browsers, Parameters, Started};
use crate::Refusal;

impl Browsers {
    /// Binds a consent to this browser, and sends it to the provider.
    ///
    /// # Errors
    /// The state is not accepted, or the consent cannot begin.
    pub async fn start(&self, query: &Parameters, browser: &Browser) -> Result<Started, Refused> {
        let state = state_of(query).ok_or(AuthorizationError::Missing)?;
        let mut found = self.find(state, browser.address).await?;
        found.call.action = Action::BeginAuthorization;
        match self.started(&found, state, browser.id.clone()).await {
            Ok(started) => Ok(started),
            Err(refusal) => Err(found.refused(refusal, browser).await),
        }
    }

    async fn started(&self, found: &Found, state: &str, browser: Option<String>) -> Result<Started, Refusal> {
        let awaited = &found.awaited;
        if let Some(over) = awaited.over {
            return Err(over.into());
        }
        if awaited.arrived || !awaited.public {
            return Err(AuthorizationError::Replayed.into());
        }
        let browser = match browser {
            Some(browser) => browser,
            None => self.new_browser()?,
        };
        // Bound only when nothing else can fail, for it is bound once.
        let url = self.0.broker.provider_page(found.target()?, awaited, state).await?;
        self.0.store.authorizations().start(awaited, &browser).await?;
        Ok(Started { url: url.expose_secret().to_owned(), browser })
    }

    fn new_browser(&self) -> Result<String, Refusal> {
        let mut bytes = [0; 32];
        self.0.random.fill(&mut bytes).map_err(|_| Refusal::Internal)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Takes the browser back from a provider. The answer is the id of the page that shows what the person can do.
    ///
    /// # Errors
    /// The state is not accepted, or the provider gave no consent.
    pub async fn callback(
        &self,
        provider: &str,
        query: Parameters,
        browser: &Browser,
    ) -> Result<String, Refused> {
        let query = self.with_state(provider, query);
        let Some(state) = state_of(&query) else {
            return Err(self.stateless(provider, &query, browser).await);
        };
        let found = self.find(state, browser.address).await?;
        match self.arrived(&found, provider, &query, browser).await {
            Ok(page) => Ok(page),
            Err(failure) => Err(found.failed(failure, browser).await),
        }
    }

    async fn arrived(
        &self,
        found: &Found,
        provider: &str,
        query: &Parameters,
        browser: &Browser,
    ) -> Result<String, Failure> {
        let Found { awaited, connection, .. } = found;
        if !awaited.public {
            return Err(AuthorizationError::OtherWay.into());
        }
        // A callback at the address of another provider, or of another server, is another consent's (RFC 9700, 4.4).
        if self.0.broker.callback_at(provider).as_deref() != Some(awaited.redirect_uri.as_str()) {
            return Err(AuthorizationError::OtherProvider.into());
        }
        if let Some(over) = awaited.over.or(awaited.arrived.then_some(AuthorizationError::Replayed)) {
            return Err(over.into());
        }
        let authorizations = self.0.store.authorizations();
        let mut result = self.result(connection, query)?;
        let kept = result.is_ok().then_some(query);
        authorizations.arrive(awaited, browser.id.as_deref(), kept).await?;
        let delivers_keys = self.0.mode(&connection.provider, &connection.auth_mode)?.delivery().is_some();
        if result.is_ok() && delivers_keys && !authorizations.were_keys_delivered(awaited).await? {
            result = Err(ConsentError::NotDelivered);
        }
        match result {
            Ok(()) => Ok(awaited.page()),
            Err(failure) => Err(Failure::Declined(failure.into())),
        }
    }

    /// Whether a callback brings something that can be completed, and why not.
    pub(super) fn result(
        &self,
        connection: &Connection,
        query: &Parameters,
    ) -> Result<Result<(), ConsentError>, Refusal> {
        let mode = self.0.mode(&connection.provider, &connection.auth_mode)?;
        if let Some(delivery) = mode.delivery() {
            return Ok(if delivery.succeeded(query) { Ok(()) } else { Err(ConsentError::Denied) });
        }
        let authorize = &mode.code_grant().ok_or(ConsentError::ModeWithoutConsent)?.authorize;
        Ok(match (Callback { parameters: query }).result(authorize) {
            CallbackResult::Code(_) => Ok(()),
            CallbackResult::Denial => Err(ConsentError::Denied),
            CallbackResult::Failure => Err(ConsentError::NotGranted),
        })
    }
}

/// The state in a query. An empty one is none.
fn state_of(query: &Parameters) -> Option<&str> {
    query.get("state").map(String::as_str).filter(|state| !state.is_empty())
}
