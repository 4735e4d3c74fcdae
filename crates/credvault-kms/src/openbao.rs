//! A client of OpenBao and of Vault, whose HTTP interface is the same: where it is, how the vault logs in, and calls with a
//! token that is renewed in time. It knows no secrets engine.
//!
//! It is small because little is needed, and because a published client would log every refusal, read answers of any size
//! and keep plaintext in types that print it.

mod settings;

mod http;

mod login;

mod session;

use std::fmt;

use reqwest::Method;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub(crate) use self::http::Answer;
use self::http::{MAX_ANSWER_BYTES, Server};
use self::login::token_in;
use self::session::Session;
pub(crate) use self::settings::check_path;
pub use self::settings::{OpenBaoLogin, OpenBaoSettings};
use crate::failure::Failure;

/// A client of one server with one login. It logs in with the first call.
pub(crate) struct OpenBao {
    settings: OpenBaoSettings,
    server: Server,
    /// The lock is held while the vault logs in, so that one caller does it for all.
    session: Mutex<Option<Session>>,
}

impl fmt::Debug for OpenBao {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenBao").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl OpenBao {
    /// A client that has not called yet.
    ///
    /// # Errors
    /// [`Failure::Settings`]: the address, a name or a file is of no use.
    pub(crate) async fn new(settings: OpenBaoSettings) -> Result<Self, Failure> {
        let server = Server::of(&settings)?;
        if let Some(mount) = settings.login.mount() {
            check_path("mount of the login", mount)?;
        }
        // Shows now whether the files of certificates can be used.
        server.client(&settings).await?;
        Ok(Self { settings, server, session: Mutex::default() })
    }

    /// Calls the server with a valid token. An answer is a success, or a refusal that the request is to blame for.
    ///
    /// # Errors
    /// The vault cannot log in, or there is no answer, or none of use.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, Failure> {
        self.call_for(method, path, body, MAX_ANSWER_BYTES).await
    }

    /// The same for an answer that may be larger, or must be smaller, than others.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) async fn call_for(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        max_bytes: usize,
    ) -> Result<Answer, Failure> {
        let session = self.session().await?;
        let answer = session.send(method.clone(), path, body, max_bytes).await?;
        // The same status says that the token has ended, and that it may not do this.
        if answer.status != 403 || session.is_valid().await? {
            return Ok(answer);
        }
        self.forget(&session).await;
        self.session().await?.send(method, path, body, max_bytes).await
    }

    async fn session(&self) -> Result<Session, Failure> {
        let mut current = self.session.lock().await;
        let now = Instant::now();
        let next = match current.clone() {
            Some(session) if !session.is_due(now) => return Ok(session),
            Some(session) => self.keep(session, now).await?,
            None => self.log_in().await?,
        };
        *current = Some(next.clone());
        Ok(next)
    }

    async fn log_in(&self) -> Result<Session, Failure> {
        Session::begin(&self.settings, self.server.client(&self.settings).await?).await
    }

    /// A session whose time to look at it has come: renewed, or another one, or the same if it still serves.
    async fn keep(&self, session: Session, now: Instant) -> Result<Session, Failure> {
        if let OpenBaoLogin::TokenFile(file) = &self.settings.login
            && let Ok(token) = token_in(file).await
            && !session.has(&token)
        {
            return self.log_in().await;
        }
        if !session.wants_renewal(now) {
            return Ok(session.looked_at(now));
        }
        let renewed = match session.renewed().await {
            Ok(None) => self.log_in().await,
            Ok(Some(renewed)) => Ok(renewed),
            Err(error) => Err(error),
        };
        match renewed {
            // The server does not answer. The request itself will say so, or the server is back by then.
            Err(Failure::Unavailable(_)) if session.is_alive(now) => Ok(session.looked_at(now)),
            renewed => renewed,
        }
    }

    /// Ends a session, unless another caller has done it already.
    async fn forget(&self, session: &Session) {
        let mut current = self.session.lock().await;
        if current.as_ref().is_some_and(|current| current.is_same(session)) {
            *current = None;
        }
    }
}
