//! One login to OpenBao: its token, when to renew it, and when to look at the file that it came from.

use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tokio::time::Instant;

use super::http::{Answer, Client};
use super::login::{self, Token};
use super::settings::{OpenBaoLogin, OpenBaoSettings};
use crate::failure::Failure;

/// How often the file with a token is read, and how soon what was in vain is tried again.
const LOOK: Duration = Duration::from_secs(5);

/// A login. A clone is the same login.
#[derive(Clone)]
pub(super) struct Session {
    client: Client,
    token: Token,
    since: Instant,
    /// When to look at it again before a request. `None` if there is never a need.
    look: Option<Instant>,
    from_file: bool,
}

impl Session {
    /// Logs in with the files as they are now.
    pub(super) async fn begin(settings: &OpenBaoSettings, client: Client) -> Result<Self, Failure> {
        let from_file = matches!(settings.login, OpenBaoLogin::TokenFile(_));
        let token = login::log_in(settings, &client).await?;
        Ok(Self::of(client, token, from_file))
    }

    fn of(client: Client, token: Token, from_file: bool) -> Self {
        let session = Self { client, token, since: Instant::now(), look: None, from_file };
        let in_time = session.renewal();
        let file = from_file.then(|| session.since + LOOK);
        let look = [in_time, file].into_iter().flatten().min();
        Self { look, ..session }
    }

    /// Whether it is due to be looked at.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.look.is_some_and(|look| look <= now)
    }

    /// The same, to be looked at again a little later.
    pub(super) fn looked_at(self, now: Instant) -> Self {
        let later = now + LOOK;
        let renewal = self.renewal().filter(|renewal| *renewal > now);
        Self { look: Some(renewal.map_or(later, |renewal| renewal.min(later))), ..self }
    }

    /// Whether two thirds of the token's life are over.
    pub(super) fn wants_renewal(&self, now: Instant) -> bool {
        self.renewal().is_some_and(|renewal| renewal <= now)
    }

    fn renewal(&self) -> Option<Instant> {
        (!self.token.lease.is_zero()).then(|| self.since + self.token.lease * 2 / 3)
    }

    /// Whether the token's life is not over yet.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.token.lease.is_zero() || now < self.since + self.token.lease
    }

    /// The same login with more time. `None` if the server gives no more, or so little that the token is near its last
    /// end.
    pub(super) async fn renewed(&self) -> Result<Option<Self>, Failure> {
        if !self.token.renewable {
            return Ok(None);
        }
        let renewed = login::renew(&self.client, &self.token.value).await?;
        let enough = renewed.filter(|renewed| renewed.lease * 2 >= self.token.lease);
        Ok(enough.map(|token| Self::of(self.client.clone(), token, self.from_file)))
    }

    /// Whether the server still accepts the token.
    pub(super) async fn is_valid(&self) -> Result<bool, Failure> {
        login::is_valid(&self.client, &self.token.value).await
    }

    /// Whether this is the token of the session.
    pub(super) fn has(&self, token: &SecretString) -> bool {
        self.token.value.expose_secret() == token.expose_secret()
    }

    /// Whether both are the same login.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.has(&other.token.value)
    }

    /// Sends a request with the token, for an answer of at most `max_bytes`.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        max_bytes: usize,
    ) -> Result<Answer, Failure> {
        self.client.send_for(method, path, Some(&self.token.value), body, max_bytes).await
    }
}
