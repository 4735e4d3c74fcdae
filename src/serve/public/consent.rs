//! What happens when a browser comes by: it starts, comes back from the provider, and the person confirms.
//!
//! A browser has no tenant. What vouches for one is the state, which the vault gave out and found again; and the cookie,
//! which says that it is the browser that started. Who completes the consent proves more: the page that opened the
//! window through its back end (same tenant, user and session), or the person by the code that the beginner shows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_broker::{AuthorizeError, Callback, Target, confirmation_code};
use credvault_domain::{Action, AuditEvent, Connection, Reason, TenantScope, TenantSource, TraceId};
use credvault_store::{AuthorizationError, AwaitedAuthorization, Error, Write};
use http::StatusCode;
use secrecy::ExposeSecret as _;

use super::page::{Message, Page, Question};
use crate::call::record_refusal;
use crate::trace;
use crate::vault::Vault;
use crate::wire::Refusal;

pub(super) type Parameters = BTreeMap<String, String>;

/// Consents in browsers.
pub(super) struct Consents(pub(super) Arc<Vault>);

/// Who comes by.
pub(super) struct Browser {
    /// What its cookie says.
    pub(super) id: Option<String>,
    /// From where, as far as a reverse proxy lets that be seen.
    pub(super) source: IpAddr,
}

/// A browser that may go on to the provider.
pub(super) struct Started {
    pub(super) url: String,
    /// What it is recognised by from now on.
    pub(super) browser: String,
}

/// A consent whose state was shown.
pub(super) struct Found {
    scope: TenantScope,
    pub(super) awaited: AwaitedAuthorization,
    pub(super) connection: Connection,
    trace: TraceId,
}

/// Reads a query or a form. What comes twice counts once: the last, as everywhere here.
pub(super) fn parameters(text: &str) -> Parameters {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

impl Consents {
    /// Binds the consent to this browser and sends it on.
    pub(super) async fn start(&self, query: Parameters, browser: Option<String>) -> Result<Started, Page> {
        let state = state_of(&query)?;
        let found = self.find(state).await?;
        if let Some(over) = found.awaited.over {
            return Err(found.page(&Error::from(over).into()));
        }
        if found.awaited.arrived || !found.awaited.public {
            return Err(found.page(&Error::from(AuthorizationError::Replayed).into()));
        }
        let browser = match browser {
            Some(browser) => browser,
            None => self.new_browser()?,
        };
        let started = async {
            // Bound only when nothing else can fail, for it is bound once.
            let url = self.0.broker.go_on(self.target(&found)?, &found.awaited, state).await?;
            self.0.store.authorizations().start(&found.awaited, &browser).await?;
            Ok(url.expose_secret().to_owned())
        };
        match started.await {
            Ok(url) => Ok(Started { url, browser }),
            Err(refusal) => Err(found.page(&refusal)),
        }
    }

    fn new_browser(&self) -> Result<String, Page> {
        let mut bytes = [0; 32];
        self.0.random.fill(&mut bytes).map_err(|_| page_of(&Refusal::Internal))?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Takes the browser back from the provider.
    pub(super) async fn callback(&self, provider: &str, query: Parameters, browser: Browser) -> Page {
        let query = self.with_state(provider, query);
        let state = match state_of(&query) {
            Ok(state) => state.to_owned(),
            Err(page) => return page,
        };
        let found = match self.find(&state).await {
            Ok(found) => found,
            Err(page) => return page,
        };
        match self.arrived(&found, provider, &query, &browser).await {
            Ok(page) => page,
            Err(refusal) => self.refused(&found, &refusal, &browser).await,
        }
    }

    async fn arrived(
        &self,
        found: &Found,
        provider: &str,
        query: &Parameters,
        browser: &Browser,
    ) -> Result<Page, Refusal> {
        let Found { awaited, connection, .. } = found;
        // A callback of another provider, or of a consent that does not end here, is somebody else's (RFC 9700, 4.4).
        if connection.provider.as_str() != provider || !awaited.public {
            return Err(Error::from(AuthorizationError::Foreign).into());
        }
        if let Some(over) = awaited.over.or(awaited.arrived.then_some(AuthorizationError::Replayed)) {
            return Err(Error::from(over).into());
        }
        let authorizations = self.0.store.authorizations();
        authorizations.arrive(awaited, browser.id.as_deref()).await?;
        if let Some(handoff) = &self.0.mode(&connection.provider, &connection.auth_mode)?.handoff {
            if !handoff.succeeded(query) {
                authorizations.decline(awaited).await?;
                return Ok(self.declined(found, true, browser).await);
            }
            if !authorizations.was_handed_over(awaited).await? {
                authorizations.decline(awaited).await?;
                return Err(AuthorizeError::NotHandedOver.into());
            }
        }
        if let Some(error) = query.get("error") {
            authorizations.decline(awaited).await?;
            return Ok(self.declined(found, error == "access_denied", browser).await);
        }
        let result = authorizations.seal_return(awaited, query)?;
        let state = awaited_state(query);
        if let Some(origin) = awaited.return_origin.clone() {
            let text = "The provider has answered. This window closes by itself.";
            let message = Message { origin, outcome: "returned", result: Some(result) };
            return Ok(Page {
                message: Some(Box::new(message)),
                ..Page::plain(StatusCode::OK, "Almost done", text)
            });
        }
        let question = Question {
            provider: self.provider_name(connection),
            account: connection.account_name.to_string(),
            tenant: awaited.tenant.to_string(),
            code: confirmation_code(&state),
            state: state.into(),
            result,
        };
        let text =
            "Confirm only if you have begun this yourself, and the place where you did shows the same code.";
        Ok(Page {
            question: Some(Box::new(question)),
            ..Page::plain(StatusCode::OK, "Connect this account?", text)
        })
    }

    /// The provider has sent the browser back without a consent. What it says about that is shown to nobody.
    async fn declined(&self, found: &Found, by_person: bool, browser: &Browser) -> Page {
        self.record(found, &Refusal::Authorize(AuthorizeError::Declined), browser).await;
        let origin = found.awaited.return_origin.clone();
        let reason = Reason::ReauthorizationRequired.as_str();
        if by_person {
            let text = "You did not give access, so nothing was connected and nothing was changed. You can begin again.";
            return Page::plain(StatusCode::OK, "Not connected", text)
                .because(reason)
                .telling(origin, "denied");
        }
        let text = "The provider reports an error and gave no access. Begin again; if it stays like this, ask whoever \
                    runs the application that you came from.";
        Page::plain(StatusCode::OK, "The provider gave no access", text)
            .because(reason)
            .telling(origin, "failed")
    }

    /// Completes a consent that the person has confirmed.
    pub(super) async fn confirm(&self, form: Parameters, browser: Browser) -> Page {
        let found = match state_of(&form) {
            Ok(state) => self.find(state).await,
            Err(page) => Err(page),
        };
        let found = match found {
            Ok(found) => found,
            Err(page) => return page,
        };
        match self.confirmed(&found, &form, &browser).await {
            Ok(()) => {
                let text = format!(
                    "{} is connected. You may close this window.",
                    self.provider_name(&found.connection)
                );
                Page::plain(StatusCode::OK, "Connected", text)
            }
            Err(refusal) => self.refused(&found, &refusal, &browser).await,
        }
    }

    async fn confirmed(&self, found: &Found, form: &Parameters, browser: &Browser) -> Result<(), Refusal> {
        let Found { scope, awaited, .. } = found;
        awaited.check_browser(browser.id.as_deref()).map_err(Error::from)?;
        if let Some(over) = awaited.over {
            return Err(Error::from(over).into());
        }
        let result = form.get("result").map(String::as_str).unwrap_or_default();
        let parameters = self.0.store.authorizations().open_return(scope, result).await?;
        // A consent that a page was told of is completed by that page's back end.
        if !awaited.arrived || awaited.return_origin.is_some() || parameters.get("state") != form.get("state")
        {
            return Err(Error::from(AuthorizationError::Unknown).into());
        }
        let callback = Callback { parameters: &parameters };
        let broker = &self.0.broker;
        let returned = broker.returned(scope, callback, None, true).await?;
        let write = Write { event: found.event(browser), repeat: None };
        let target = self.target(found)?;
        broker.complete(target, &returned, callback, &write).await?.into_inner();
        Ok(())
    }

    pub(super) async fn find(&self, state: &str) -> Result<Found, Page> {
        let awaited = self.0.store.authorizations().find(state).await;
        let awaited = awaited.map_err(|error| page_of(&error.into()))?;
        let scope = self.0.identity.on_behalf(awaited.tenant.clone(), awaited.user.clone());
        let connection = self.0.store.connections().get(&scope, awaited.connection).await;
        let connection = connection.map_err(|error| page_of(&error.into()))?;
        Ok(Found { scope, awaited, connection, trace: trace::new_id() })
    }

    pub(super) fn target<'a>(&'a self, found: &'a Found) -> Result<Target<'a>, Refusal> {
        let Found { scope, connection, .. } = found;
        Ok(Target { scope, connection, mode: self.0.mode(&connection.provider, &connection.auth_mode)? })
    }

    fn provider_name(&self, connection: &Connection) -> String {
        self.0.catalog.get(&connection.provider).map_or_else(String::new, |provider| provider.name.clone())
    }

    async fn refused(&self, found: &Found, refusal: &Refusal, browser: &Browser) -> Page {
        self.record(found, refusal, browser).await;
        found.page(refusal)
    }

    async fn record(&self, found: &Found, refusal: &Refusal, browser: &Browser) {
        let event =
            AuditEvent { outcome: refusal.outcome(), reason: Some(refusal.kind().1), ..found.event(browser) };
        record_refusal(&self.0, event, refusal).await;
    }
}

impl Found {
    fn event(&self, browser: &Browser) -> AuditEvent {
        let Self { awaited, connection, trace, .. } = self;
        AuditEvent {
            service: Some(awaited.service.clone()),
            user: awaited.user.clone(),
            tenant_source: TenantSource::State,
            connection: Some(connection.id),
            provider: Some(connection.provider.clone()),
            trace: *trace,
            source: Some(browser.source),
            ..AuditEvent::of(awaited.tenant.clone(), Action::CompleteAuthorization)
        }
    }

    /// The page of a refusal. A stranger's browser is not told whose consent it is, and nobody is told by it.
    fn page(&self, refusal: &Refusal) -> Page {
        let page = page_of(refusal);
        match refusal {
            Refusal::Store(Error::Authorization(_)) => page,
            _ => page.telling(self.awaited.return_origin.clone(), "failed"),
        }
    }
}

fn awaited_state(query: &Parameters) -> String {
    query.get("state").cloned().unwrap_or_default()
}

fn state_of(query: &Parameters) -> Result<&str, Page> {
    // What the vault gives out has 32 bytes; anything else is not worth a look into the database.
    let given = query.get("state").map(String::as_str).filter(|state| !state.is_empty());
    if given.is_some_and(|state| URL_SAFE_NO_PAD.decode(state).map_or(0, |bytes| bytes.len()) != 32) {
        return Err(page_of(&Error::from(AuthorizationError::Unknown).into()));
    }
    given.ok_or_else(|| {
        let text = "The address lacks what a connection in progress is recognised by. Begin again in the application \
                    that you want to connect.";
        Page::plain(StatusCode::BAD_REQUEST, "This address is incomplete", text)
            .because(Reason::StateInvalid.as_str())
    })
}

/// The page of a refusal.
fn page_of(refusal: &Refusal) -> Page {
    use AuthorizationError as A;
    let again = "Begin again in the application that you want to connect.";
    let (status, title, text) = match refusal {
        Refusal::Store(Error::Authorization(A::Expired)) => (
            StatusCode::BAD_REQUEST,
            "This took too long",
            format!("An account must be connected within ten minutes, and they are over. {again}"),
        ),
        Refusal::Store(Error::Authorization(A::Replayed)) => (
            StatusCode::BAD_REQUEST,
            "This was used already",
            "Each of these addresses works once. If the account is not connected, begin again in the application."
                .to_owned(),
        ),
        Refusal::Store(Error::Authorization(A::Foreign | A::OtherWay)) => (
            StatusCode::FORBIDDEN,
            "This was begun elsewhere",
            format!("It can be finished only in the browser in which it was begun. {again}"),
        ),
        Refusal::Store(Error::Authorization(A::Unknown) | Error::ConnectionNotFound) => (
            StatusCode::BAD_REQUEST,
            "This address is not known",
            format!("It is not that of a connection in progress. {again}"),
        ),
        Refusal::Invalid(_) => (
            StatusCode::BAD_REQUEST,
            "The provider's answer is not right",
            format!("It is not what was asked for, so nothing was connected. {again}"),
        ),
        Refusal::Authorize(AuthorizeError::Unavailable) | Refusal::Store(Error::Unavailable(_)) => (
            StatusCode::BAD_GATEWAY,
            "Not possible at the moment",
            format!("Nothing was connected. {again}"),
        ),
        // The text is the vault's own and says what to do.
        other => (StatusCode::BAD_REQUEST, "Not connected", format!("Nothing was connected: {other}.")),
    };
    Page::plain(status, title, text).because(refusal.kind().1.as_str())
}
