//! A consent that a browser continues, found by its state. It runs as a call of the service that began it.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_broker::Target;
use credvault_domain::{Action, Connection, Reason, TenantScope, TraceId};
use credvault_store::{AuthorizationError, AwaitedAuthorization, Error as StoreError, ProviderOutcome};

use super::{Browser, Browsers};
use crate::call::{note_refusal, record_refusal};
use crate::{Call, Refusal};

/// A consent whose state was shown.
pub(super) struct Found {
    pub(super) call: Call,
    pub(super) scope: Arc<TenantScope>,
    pub(super) awaited: AwaitedAuthorization,
    pub(super) connection: Connection,
}

/// Why a browser is refused, and what that makes of the consent.
pub(super) enum Failure {
    /// The consent stays as it is.
    Refused(Refusal),
    /// The consent is over: the person or the provider has declined it.
    Declined(Refusal),
}

impl<E: Into<Refusal>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// The page that waits for the end of a consent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReturnPage {
    /// The origin that receives the message, if one of its pages has opened this window.
    pub origin: String,
    /// Where the browser goes otherwise: a URL of that origin.
    pub url: String,
}

/// A refusal, with the page that may learn of it.
#[derive(Debug)]
pub struct Refused {
    /// Why the browser is refused.
    pub refusal: Refusal,
    /// The page that waits; `None` if none does, or if this browser may not tell it.
    pub waiting: Option<Box<ReturnPage>>,
    /// The trace of the record of this refusal; `None` if it is about no known consent, and so on no record.
    pub trace: Option<TraceId>,
}

impl<E: Into<Refusal>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { refusal: error.into(), waiting: None, trace: None }
    }
}

impl Browsers {
    /// The consent of a state.
    pub(super) async fn find(&self, state: &str, address: IpAddr) -> Result<Found, Refused> {
        // What the vault gives out has 32 bytes; anything else is not worth a look into the database.
        let found = if URL_SAFE_NO_PAD.decode(state).map_or(0, |bytes| bytes.len()) == 32 {
            self.0.store.authorizations().find(state).await
        } else {
            Err(AuthorizationError::Unknown.into())
        };
        self.found(counted(found)?, address).await
    }

    /// The consent of an authorization. A refusal is on record.
    pub(super) async fn found(
        &self,
        awaited: AwaitedAuthorization,
        address: IpAddr,
    ) -> Result<Found, Refused> {
        match self.reached(awaited, address).await {
            Ok(found) => Ok(found),
            Err(unreached) => {
                let (call, refusal) = *unreached;
                record_refusal(&call.context, call.refused_event(&refusal), &refusal).await;
                Err(Refused { refusal, waiting: None, trace: Some(call.trace) })
            }
        }
    }

    /// The consent of an authorization; or why its beginner does not reach it any more, with the call that was to continue.
    pub(super) async fn reached(
        &self,
        awaited: AwaitedAuthorization,
        address: IpAddr,
    ) -> Result<Found, Box<(Call, Refusal)>> {
        let (action, tenant) = (Action::CompleteAuthorization, &awaited.tenant);
        let mut call = Call::of_browser(&self.0, action, tenant, &awaited.beginner, address);
        call.subject.connection = Some(awaited.connection);
        // The beginner's call continues: what that does not reach any more, nothing is connected to any more.
        let scope = match call.find_scope() {
            Ok(scope) => scope,
            Err(refusal) => return Err(Box::new((call, refusal))),
        };
        if let Err(refusal) = call.check_source().await {
            return Err(Box::new((call, refusal)));
        }
        match self.0.store.connections().get(&scope, awaited.connection).await {
            Ok(connection) => {
                call.subject.found(&connection);
                Ok(Found { call, scope, awaited, connection })
            }
            Err(error) => Err(Box::new((call, error.into()))),
        }
    }
}

/// Counts and logs a state that belongs to no consent: no tenant's audit log is the right one for that.
pub(super) fn counted<T>(found: Result<T, StoreError>) -> Result<T, Refusal> {
    found.map_err(|error| {
        let refusal = error.into();
        note_refusal(Action::CompleteAuthorization, &refusal);
        refusal
    })
}

impl Found {
    pub(super) fn target(&self) -> Result<Target<'_>, Refusal> {
        let Self { call, scope, connection, .. } = self;
        let mode = call.context.mode(&connection.provider, &connection.auth_mode)?;
        Ok(Target { scope, connection, mode })
    }

    /// The page that waits for the end of this consent, if one does.
    pub(super) fn waiting(&self) -> Option<ReturnPage> {
        let origin = self.awaited.return_origin.clone()?;
        let url = self.awaited.return_url.clone().unwrap_or_else(|| format!("{origin}/"));
        Some(ReturnPage { origin, url })
    }

    /// Records why a browser is refused, ends the consent if it was declined, and says whether the page that waits may learn
    /// of it.
    pub(super) async fn failed(&self, failure: Failure, browser: &Browser) -> Refused {
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Declined(refusal) => match self.decline(&refusal).await {
                Ok(()) => return self.refusing(refusal, browser),
                Err(error) => error,
            },
        };
        self.refused(refusal, browser).await
    }

    /// Ends the consent, in one change with the record of the refusal.
    ///
    /// # Errors
    /// It is over already, or the database fails.
    pub(super) async fn decline(&self, refusal: &Refusal) -> Result<(), Refusal> {
        let record = self.call.refused_event(refusal);
        self.call.context.store.authorizations().decline(&self.awaited, record).await?;
        note_refusal(self.call.action, refusal);
        let denied = refusal.recorded_reason() == Reason::ConsentDenied;
        let outcome = if denied { ProviderOutcome::ConsentDenied } else { ProviderOutcome::ConsentFailed };
        let store = &self.call.context.store;
        store.count_outcome(&self.awaited.tenant, &self.connection.provider, outcome);
        Ok(())
    }

    /// Records a refusal, and says whether the page that waits may learn of it.
    pub(super) async fn refused(&self, refusal: Refusal, browser: &Browser) -> Refused {
        self.record(&refusal).await;
        self.refusing(refusal, browser)
    }

    fn refusing(&self, refusal: Refusal, browser: &Browser) -> Refused {
        let waiting = self.told(&refusal, browser).map(Box::new);
        Refused { refusal, waiting, trace: Some(self.call.trace) }
    }

    pub(super) async fn record(&self, refusal: &Refusal) {
        record_refusal(&self.call.context, self.call.refused_event(refusal), refusal).await;
    }

    /// The page that may learn of a refusal. A stranger's browser does not show whose consent it is, and tells no page.
    pub(super) fn told(&self, refusal: &Refusal, browser: &Browser) -> Option<ReturnPage> {
        use AuthorizationError as A;
        let Refusal::Store(StoreError::Authorization(error)) = refusal else { return self.waiting() };
        let tells = match error {
            A::Missing | A::Ambiguous | A::Expired => {
                self.awaited.check_browser(browser.id.as_deref()).is_ok()
            }
            // What is used up may have ended well, and nothing else ends.
            A::OtherProvider | A::Unknown | A::Replayed | A::Foreign | A::OtherWay => false,
        };
        self.waiting().filter(|_| tells)
    }
}
