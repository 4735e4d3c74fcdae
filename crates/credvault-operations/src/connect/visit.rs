//! A browser on a connect page. Its cookie was bound to the session when the URL was opened; every request shows it again, and
//! policy is asked again whether the service may have such a page at all.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_crypto::{MacKey, same_secret};
use credvault_domain::{Action, ConnectSessionId, ConnectTerms, TenantId, UserId};
use credvault_identity::Facts;
use credvault_store::{ConnectSession, ConnectSessionError, Error as StoreError, Recorded};
use futures::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};

use crate::call::{note_refusal, record_refusal};
use crate::consents::browser::Browser;
use crate::{Call, Context, Refusal, run};

/// How many random bytes a browser's cookie has.
const COOKIE_BYTES: usize = 32;
/// How many characters a token or a cookie of ours has.
const BROUGHT_CHARS: usize = 43;

/// The connect pages of a vault.
#[derive(Clone, Debug)]
pub struct Visits(Arc<Context>);

/// A request of a browser that has opened a session. It may look, and not change anything.
#[derive(Clone)]
pub struct Visit {
    pub(super) context: Arc<Context>,
    pub(super) session: Arc<ConnectSession>,
    address: IpAddr,
    token: SecretString,
}

/// A request that comes from the page itself. It may change what the session permits.
#[derive(Clone)]
pub struct Changes(pub(super) Visit);

crate::debug_without_content!(Visit, Changes);

impl Visits {
    /// The connect pages of a vault with this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// The value of a cookie for a browser that has none.
    ///
    /// # Errors
    /// [`Refusal::Internal`] if there is no randomness.
    pub fn new_cookie(&self) -> Result<String, Refusal> {
        let mut bytes = [0; COOKIE_BYTES];
        self.0.random.fill(&mut bytes).map_err(|_| Refusal::Internal)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens the session of a token for a browser with a cookie. The first browser that comes has it; the same one may come
    /// again.
    ///
    /// # Errors
    /// There is no such session, its time is over, another browser has opened it, or its service has lost the right.
    pub async fn open(&self, token: &str, browser: &Browser) -> Result<ConnectSessionId, Refusal> {
        let cookie = browser.id.as_deref().filter(|cookie| cookie.len() == BROUGHT_CHARS);
        let (Some(cookie), BROUGHT_CHARS) = (cookie, token.len()) else { return Err(unknown()) };
        let sessions = self.0.store.connect_sessions();
        let session = noted(sessions.find(token).await)?;
        let mut call = self.call(&session, browser);
        let opened = async {
            admit(&mut call).await?;
            sessions.open(&session, cookie).await?;
            Ok::<_, Refusal>(())
        };
        match opened.await {
            Ok(()) => Ok(session.id),
            Err(refusal) => Err(recorded(&call, refusal).await),
        }
    }

    /// A request of the page with this id.
    ///
    /// # Errors
    /// As for [`Visits::open`].
    pub async fn enter(&self, id: &str, browser: &Browser) -> Result<Visit, Refusal> {
        let Ok(id) = id.parse::<ConnectSessionId>() else { return Err(unknown()) };
        let session = noted(self.0.store.connect_sessions().get(id).await)?;
        let mut call = self.call(&session, browser);
        let entered = async {
            session.check_browser(browser.id.as_deref())?;
            if session.is_over {
                return Err(ConnectSessionError::Expired.into());
            }
            admit(&mut call).await
        };
        if let Err(refusal) = entered.await {
            return Err(recorded(&call, refusal).await);
        }
        let cookie = browser.id.as_deref().unwrap_or_default();
        Ok(Visit {
            context: Arc::clone(&self.0),
            token: page_token(cookie, id).ok_or(Refusal::Internal)?,
            address: browser.address,
            session: Arc::new(session),
        })
    }

    /// The origin that may embed what the vault answers about a session, also a refusal. `None` if there is no such session, or
    /// none may.
    pub async fn embedder(&self, id: &str) -> Option<String> {
        let id = id.parse::<ConnectSessionId>().ok()?;
        self.0.store.connect_sessions().get(id).await.ok()?.terms.origin
    }

    /// The same for the session that a token opens.
    pub async fn embedder_at(&self, token: &str) -> Option<String> {
        if token.len() != BROUGHT_CHARS {
            return None;
        }
        self.0.store.connect_sessions().find(token).await.ok()?.terms.origin
    }

    /// Whether this browser has opened the session. Unlike [`Visits::enter`], the question leaves no record: a consent may come
    /// back to a window that has nothing of the page but its address.
    pub async fn is_open_in(&self, id: ConnectSessionId, browser: &Browser) -> bool {
        let session = self.0.store.connect_sessions().get(id).await;
        session.is_ok_and(|session| session.check_browser(browser.id.as_deref()).is_ok())
    }

    fn call(&self, session: &ConnectSession, browser: &Browser) -> Call {
        Call::of_page(&self.0, Action::CreateConnectSession, session, browser.address)
    }
}

/// Refuses a session whose service may not have made it now.
async fn admit(call: &mut Call) -> Result<(), Refusal> {
    call.check_source().await?;
    let scope = call.find_scope()?;
    call.permit(&scope, Facts::default()).map(drop)
}

/// A token or an id that is not one of ours: it is in no tenant's log, for it names none.
fn unknown() -> Refusal {
    let refusal = ConnectSessionError::Unknown.into();
    note_refusal(Action::CreateConnectSession, &refusal);
    refusal
}

fn noted(found: Result<ConnectSession, StoreError>) -> Result<ConnectSession, Refusal> {
    found.map_err(|error| {
        let refusal = error.into();
        note_refusal(Action::CreateConnectSession, &refusal);
        refusal
    })
}

async fn recorded(call: &Call, refusal: Refusal) -> Refusal {
    record_refusal(&call.context, call.refused_event(&refusal), &refusal).await;
    refusal
}

/// The token of a page's forms: a keyed hash of the session under the browser's cookie, which no other site can read. `None`
/// for an empty cookie.
fn page_token(cookie: &str, id: ConnectSessionId) -> Option<SecretString> {
    let tag = MacKey::new(cookie.as_bytes())?
        .sign(&[b"credvault connect form ".as_slice(), id.as_uuid().as_bytes()]);
    Some(URL_SAFE_NO_PAD.encode(tag).into())
}

impl Visit {
    /// The session's id, as in its address.
    pub fn id(&self) -> ConnectSessionId {
        self.session.id
    }

    /// What the page may do, and where it is shown.
    pub fn terms(&self) -> &ConnectTerms {
        &self.session.terms
    }

    /// How long the page works from now on.
    pub fn time_left(&self) -> Duration {
        self.context.now().until(self.session.expire_time)
    }

    /// Whose page it is.
    pub fn person(&self) -> (&TenantId, Option<&UserId>) {
        (&self.session.tenant, self.session.maker.user.as_ref())
    }

    /// What each form of the page sends along, so that no other site can forge its requests.
    pub fn form_token(&self) -> &SecretString {
        &self.token
    }

    /// The same request, if it comes from the page: `token` is what its form sent.
    ///
    /// # Errors
    /// [`ConnectSessionError::Forged`], on record, if it does not.
    pub async fn confirmed(self, token: &str) -> Result<Changes, Refusal> {
        if same_secret(token, self.token.expose_secret()) {
            return Ok(Changes(self));
        }
        let call = Call::of_page(&self.context, Action::CreateConnectSession, &self.session, self.address);
        Err(recorded(&call, ConnectSessionError::Forged.into()).await)
    }

    /// Runs an operation as a call of the session's service for its user.
    pub(super) async fn run<T, F>(&self, action: Action, operation: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Call) -> BoxFuture<'a, Result<Recorded<T>, Refusal>> + Send + 'static,
    {
        let call = Call::of_page(&self.context, action, &self.session, self.address);
        Ok(run(call, (), operation).await.outcome?.answer)
    }
}

impl Changes {
    /// The request, which may look as well.
    pub fn visit(&self) -> &Visit {
        &self.0
    }

    /// Ends the session: the person has left the page.
    ///
    /// # Errors
    /// The database fails.
    pub async fn leave(&self) -> Result<(), Refusal> {
        Ok(self.0.context.store.connect_sessions().end(&self.0.session).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pages_token_is_of_one_browser_and_one_session() {
        let id = |digit: &str| {
            format!("0193a5b2-7c40-7cc1-9d3e-00000000000{digit}").parse::<ConnectSessionId>().expect("an id")
        };
        let [one, other] = ["1", "2"].map(id);
        let token = |cookie: &str, id| page_token(cookie, id).map(|token| token.expose_secret().to_owned());
        assert_eq!(token("CANARY cookie", one), token("CANARY cookie", one));
        assert_ne!(token("CANARY cookie", one), token("CANARY cookie", other));
        assert_ne!(token("CANARY cookie", one), token("CANARY cookia", one));
        assert_eq!(token("", one), None);
    }
}
