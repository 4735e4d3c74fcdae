//! What happens when a browser comes by on its way to a provider and back. `returned.rs` has what the person does then.
//!
//! A browser has no tenant. What vouches for one is the state, which the vault gave out and found again; and the cookie,
//! which says that it is the browser that started. Who completes the consent proves more: the page that opened the
//! window through its back end (same tenant, user and session), or the person by the code that the beginner shows.
//!
//! A provider that refuses may leave the state out. Then the cookie alone says which consent it means, and with it a
//! consent can be ended, never completed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_broker::{Callback, CallbackResult, ConsentError, Target};
use credvault_domain::{Action, AuditEvent, Connection, ProviderId, TenantScope, TenantSource, TraceId};
use credvault_identity::{Caller, VerifiedTenant};
use credvault_store::{AuthorizationError, AwaitedAuthorization, Beginner, Error};
use secrecy::ExposeSecret as _;

use super::page::{Page, Return};
use super::refused::page_of;
use crate::call::record_refusal;
use crate::trace;
use crate::vault::Vault;
use credvault_operations::Refusal;

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

/// Where a browser goes that has come back.
pub(super) enum Next {
    /// To a page of the vault's own with this in its address, which can be loaded again.
    Returned(String),
    Page(Page),
}

/// A consent whose state was shown.
pub(super) struct Found {
    pub(super) scope: TenantScope,
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
    pub(super) async fn start(&self, query: Parameters, browser: Browser) -> Result<Started, Page> {
        let state = state_of(&query).ok_or_else(|| page_of(&AuthorizationError::Missing.into()))?;
        let found = self.find(state).await.map_err(|refusal| page_of(&refusal))?;
        match self.started(&found, state, browser.id.clone()).await {
            Ok(started) => Ok(started),
            Err(refusal) => {
                let event = AuditEvent { action: Action::BeginAuthorization, ..found.event(&browser) };
                self.record(event, &refusal).await;
                Err(found.page(&refusal, &browser))
            }
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
        let url = self.0.broker.provider_page(self.target(found)?, awaited, state).await?;
        self.0.store.authorizations().start(awaited, &browser).await?;
        Ok(Started { url: url.expose_secret().to_owned(), browser })
    }

    fn new_browser(&self) -> Result<String, Refusal> {
        let mut bytes = [0; 32];
        self.0.random.fill(&mut bytes).map_err(|_| Refusal::Internal)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Takes the browser back from the provider.
    pub(super) async fn callback(&self, provider: &str, query: Parameters, browser: Browser) -> Next {
        let query = self.with_state(provider, query);
        let Some(state) = state_of(&query) else {
            return Next::Page(self.stateless(provider, &query, &browser).await);
        };
        let found = match self.find(state).await {
            Ok(found) => found,
            Err(refusal) => return Next::Page(page_of(&refusal)),
        };
        match self.arrived(&found, provider, &query, &browser).await {
            Ok(page) => Next::Returned(page),
            Err(refusal) => Next::Page(self.refused(&found, &refusal, &browser).await),
        }
    }

    async fn arrived(
        &self,
        found: &Found,
        provider: &str,
        query: &Parameters,
        browser: &Browser,
    ) -> Result<String, Refusal> {
        let Found { awaited, connection, .. } = found;
        if !awaited.public {
            return Err(AuthorizationError::OtherWay.into());
        }
        // A callback of another provider is another consent's (RFC 9700, 4.4).
        if connection.provider.as_str() != provider {
            return Err(AuthorizationError::OtherProvider.into());
        }
        if let Some(over) = awaited.over.or(awaited.arrived.then_some(AuthorizationError::Replayed)) {
            return Err(over.into());
        }
        let authorizations = self.0.store.authorizations();
        let mut brought = self.result(connection, query)?;
        let kept = brought.is_ok().then_some(query);
        authorizations.arrive(awaited, browser.id.as_deref(), kept).await?;
        let hands_over = self.0.mode(&connection.provider, &connection.auth_mode)?.delivery().is_some();
        if brought.is_ok() && hands_over && !authorizations.was_handed_over(awaited).await? {
            brought = Err(ConsentError::NotDelivered);
        }
        if let Err(failure) = brought {
            authorizations.decline(awaited).await?;
            return Err(failure.into());
        }
        Ok(awaited.page())
    }

    /// Whether a callback brings something that can be completed, and why not.
    fn result(
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

    /// Ends what a callback without a state is about, as far as the browser's cookie says that: its open consent at this
    /// provider. Several for one connection are attempts at the same; of several connections none is ended, for the
    /// person may be busy with another one of them.
    async fn stateless(&self, provider: &str, query: &Parameters, browser: &Browser) -> Page {
        let open = match self.open(provider, browser).await {
            Ok(open) => open,
            Err(refusal) => return page_of(&refusal),
        };
        let Some(newest) = open.first() else { return page_of(&AuthorizationError::Missing.into()) };
        let one = open.iter().all(|found| found.connection.id == newest.connection.id);
        let refusal: Refusal = match (one, self.result(&newest.connection, query)) {
            (false, _) => AuthorizationError::Ambiguous.into(),
            // A code without a state is not this browser's for sure, so it is never exchanged.
            (true, Ok(Ok(()))) => AuthorizationError::Missing.into(),
            (true, Ok(Err(failure))) => failure.into(),
            (true, Err(refusal)) => refusal,
        };
        for found in &open {
            if one && let Err(error) = self.0.store.authorizations().decline(&found.awaited).await {
                return found.page(&error.into(), browser);
            }
            self.record(found.event(browser), &refusal).await;
        }
        // The page that opened this window is one of those that wait: it is told only if all of them are the same page.
        let page = newest.page(&refusal, browser);
        let same = open.iter().all(|found| found.back() == newest.back());
        if same { page } else { Page { message: None, ..page } }
    }

    async fn open(&self, provider: &str, browser: &Browser) -> Result<Vec<Found>, Refusal> {
        let callback = ProviderId::parse(provider).ok().and_then(|id| self.0.broker.callback_url(&id));
        let (Some(callback), Some(browser)) = (callback, &browser.id) else { return Ok(Vec::new()) };
        let mut open = Vec::new();
        for awaited in self.0.store.authorizations().open_of(browser, &callback).await? {
            match self.found(awaited).await {
                Ok(found) => open.push(found),
                // The connection is gone, and with it what the consent was for.
                Err(Refusal::Store(Error::ConnectionNotFound)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(open)
    }

    pub(super) async fn find(&self, state: &str) -> Result<Found, Refusal> {
        // What the vault gives out has 32 bytes; anything else is not worth a look into the database.
        if URL_SAFE_NO_PAD.decode(state).map_or(0, |bytes| bytes.len()) != 32 {
            return Err(AuthorizationError::Unknown.into());
        }
        self.found(self.0.store.authorizations().find(state).await?).await
    }

    pub(super) async fn found(&self, awaited: AwaitedAuthorization) -> Result<Found, Refusal> {
        // The beginner's call goes on: what that reaches no more, nothing is connected to any more.
        let scope = self.0.identity.scope(&caller(&awaited))?;
        let connection = self.0.store.connections().get(&scope, awaited.connection).await?;
        Ok(Found { scope, awaited, connection, trace: trace::new_id() })
    }

    pub(super) fn target<'a>(&'a self, found: &'a Found) -> Result<Target<'a>, Refusal> {
        let Found { scope, connection, .. } = found;
        Ok(Target { scope, connection, mode: self.0.mode(&connection.provider, &connection.auth_mode)? })
    }

    pub(super) async fn refused(&self, found: &Found, refusal: &Refusal, browser: &Browser) -> Page {
        self.record(found.event(browser), refusal).await;
        found.page(refusal, browser)
    }

    async fn record(&self, event: AuditEvent, refusal: &Refusal) {
        let (outcome, policies) = (refusal.outcome(), refusal.policies().to_vec());
        let event = AuditEvent { outcome, policies, reason: Some(refusal.recorded_reason()), ..event };
        record_refusal(&self.0, event, refusal).await;
    }
}

impl Found {
    pub(super) fn event(&self, browser: &Browser) -> AuditEvent {
        let Self { awaited, connection, trace, .. } = self;
        AuditEvent {
            service: Some(awaited.beginner.service.clone()),
            user: awaited.beginner.user.clone(),
            tenant_source: TenantSource::State,
            connection: Some(connection.id),
            owner_user: connection.owner.user().cloned(),
            provider: Some(connection.provider.clone()),
            trace: *trace,
            source: Some(browser.source),
            ..AuditEvent::of(awaited.tenant.clone(), Action::CompleteAuthorization)
        }
    }

    /// The page that waits for the end of this consent, if one does.
    pub(super) fn back(&self) -> Option<Return> {
        let origin = self.awaited.return_origin.clone()?;
        let url = self.awaited.return_url.clone().unwrap_or_else(|| format!("{origin}/"));
        Some(Return { origin, url })
    }

    /// The page of a refusal. A stranger's browser is not told whose consent it is, and no page is told by it.
    fn page(&self, refusal: &Refusal, browser: &Browser) -> Page {
        use AuthorizationError as A;
        let page = page_of(refusal);
        let tells = match refusal {
            Refusal::Store(Error::Authorization(A::Missing | A::Ambiguous | A::Expired)) => {
                self.awaited.check_browser(browser.id.as_deref()).is_ok()
            }
            // What is used up may have ended well, and nothing else ends.
            Refusal::Store(Error::Authorization(_)) => false,
            _ => true,
        };
        let outcome = match refusal {
            Refusal::Authorize(ConsentError::Denied) => "denied",
            _ => "failed",
        };
        if tells { page.telling(self.back(), outcome) } else { page }
    }
}

/// Whoever began, as policy is asked about its call.
pub(super) fn caller(awaited: &AwaitedAuthorization) -> Caller {
    let Beginner { service, user, tenant_source, source } = awaited.beginner.clone();
    let named = !awaited.tenant.is_platform();
    let tenant =
        named.then(|| VerifiedTenant { tenant: awaited.tenant.clone(), user, source: tenant_source });
    Caller { service, tenant, source: source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) }
}

/// The state in a query. An empty one is none.
fn state_of(query: &Parameters) -> Option<&str> {
    query.get("state").map(String::as_str).filter(|state| !state.is_empty())
}
