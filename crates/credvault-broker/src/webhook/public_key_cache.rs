//! The cache of public keys that providers publish for their webhooks. A key is fetched when a delivery names it, and again
//! after an hour.
//!
//! Anyone who reaches the platform's endpoint can name any key, so the number of unknown keys that are fetched is limited.
//! That limit must not keep a known key from being used or fetched again, nor another tenant's key from being fetched.

use std::sync::{Mutex, PoisonError};

use credvault_catalog::{App, Flow, Missing, ProviderRequest, PublicKeys};
use credvault_crypto::P256Key;
use credvault_domain::{Config, TenantId, Timestamp, Violations};
use secrecy::SecretString;

use super::public_key_memory::{LOOKUP_WINDOW, Memory, Place};
use crate::credential_test::error::{DEFAULT_RETRY, TestError};
use crate::http::client::{Answer, Http};

/// The key that a delivery names, and what is needed to fetch it.
#[derive(Clone, Copy)]
pub(crate) struct KeyQuery<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) keys: &'a PublicKeys,
    pub(super) config: &'a Config,
    pub(super) app: &'a App,
    pub(super) flow: &'a Flow,
}

impl KeyQuery<'_> {
    fn place(self, url: String) -> Place {
        (url, self.app.client_id.clone())
    }

    fn token_request(self) -> Result<ProviderRequest, TestError> {
        self.keys.token_request(self.config, self.app, self.flow).map_err(missing)
    }
}

/// The public keys of all providers.
#[derive(Default)]
pub(crate) struct PublicKeyCache(Mutex<Memory>);

impl PublicKeyCache {
    /// The key; `None` if the provider has no key with this id.
    ///
    /// # Errors
    /// The key cannot be fetched now.
    pub(super) async fn key(
        &self,
        http: &Http,
        now: Timestamp,
        query: KeyQuery<'_>,
    ) -> Result<Option<P256Key>, TestError> {
        let KeyQuery { keys, config, app, flow, .. } = query;
        let place = query.place(keys.key_url(config, app, flow).map_err(missing)?);
        let known = match self.with(|memory| memory.key(&place, now)) {
            Some((key, false)) => return Ok(Some(key)),
            Some((key, true)) => Some(key),
            None if self.with(|memory| memory.is_absent(&place, now)) => return Ok(None),
            None => {
                let counted = self.with(|memory| memory.count_lookup(query.tenant, now));
                counted.map_err(|retry| TestError::Throttled { retry })?;
                None
            }
        };
        match (self.fetch(http, now, query).await, known) {
            (Ok(Some(key)), _) => {
                self.with(|memory| memory.set_key(place, key.clone(), now));
                Ok(Some(key))
            }
            (Ok(None), _) => {
                self.with(|memory| memory.set_absent(place, now));
                Ok(None)
            }
            // The known key serves while it cannot be fetched again.
            (Err(_), Some(key)) => Ok(Some(key)),
            (Err(error), None) => Err(error),
        }
    }

    async fn fetch(
        &self,
        http: &Http,
        now: Timestamp,
        query: KeyQuery<'_>,
    ) -> Result<Option<P256Key>, TestError> {
        let KeyQuery { keys, config, app, flow, .. } = query;
        let token = self.token(http, now, query).await?;
        let flow = flow.clone().with("token", token);
        let answer = send(http, keys.key_request(config, app, &flow).map_err(missing)?).await?;
        match answer.status {
            200..300 => {
                let key = keys.read_key(&answer.body).and_then(|pem| P256Key::from_pem(pem).ok());
                Ok(Some(key.ok_or(TestError::Unavailable)?))
            }
            400 | 404 => Ok(None),
            401 => {
                let place = query.place(query.token_request()?.url);
                self.with(|memory| memory.forget_token(&place));
                Err(TestError::Unavailable)
            }
            _ => Err(refused(&answer)),
        }
    }

    /// A token with which the app may fetch keys.
    async fn token(
        &self,
        http: &Http,
        now: Timestamp,
        query: KeyQuery<'_>,
    ) -> Result<SecretString, TestError> {
        let request = query.token_request()?;
        let place = query.place(request.url.clone());
        if let Some(token) = self.with(|memory| memory.token(&place, now)) {
            return Ok(token);
        }
        let answer = send(http, request).await?;
        let read = (200..300).contains(&answer.status).then(|| query.keys.read_token(&answer.body)).flatten();
        let Some((token, lifetime)) = read else {
            tracing::warn!(status = answer.status, "the app gets no token for the provider's public keys");
            return Err(refused(&answer));
        };
        // Used up to a minute before its end.
        let until = now.after(lifetime.saturating_sub(LOOKUP_WINDOW));
        self.with(|memory| memory.set_token(place, token.clone(), until));
        Ok(token)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn send(http: &Http, request: ProviderRequest) -> Result<Answer, TestError> {
    http.send(request).await.map_err(|error| {
        tracing::info!(%error, "a public key could not be fetched");
        TestError::Unavailable
    })
}

fn refused(answer: &Answer) -> TestError {
    match answer.status {
        429 => TestError::Throttled { retry: answer.retry_after.unwrap_or(DEFAULT_RETRY) },
        _ => TestError::Unavailable,
    }
}

fn missing(missing: Missing) -> TestError {
    Violations::of(missing.0, "must be set before the provider's public key can be fetched").into()
}

#[cfg(test)]
mod tests;
