//! Issuers of tokens: keeps their keys fresh, verifies tokens with them, and reads tenant and user from the claims.
//! Fetches nothing itself: the program hands in a function for that.

mod settings;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use credvault_domain::{Present, ServiceId, TenantId, TenantSource, Timestamp, UserId};
use futures::future::BoxFuture;
use tokio::sync::Mutex;

use crate::Error;
use crate::caller::VerifiedTenant;
use crate::claims::{Claims, text_at, texts_at};
use crate::jwks::{KeySet, MAX_BYTES};
use crate::jwt;
use crate::token_error::TokenError;

pub use settings::{AudienceClaim, IssuerKind, IssuerSettings, KeySource};

/// The age at which keys are fetched again.
const REFRESH_AGE: Duration = Duration::from_secs(10 * 60);
/// The age at which keys that could not be fetched again are no longer used.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// The pause after a fetch before an unknown key id or a failure causes another. Without any keys, the longest pause.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
/// The first pause between fetches without any keys; each following pause is twice as long.
const FIRST_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Fetches a document over HTTPS. The program hands it in, because it owns all outgoing HTTP.
pub type Fetch = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<u8>, FetchError>> + Send + Sync>;

/// The error of a document that could not be fetched.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// A configured issuer with its current keys.
pub struct Issuer {
    settings: IssuerSettings,
    keys: ArcSwapOption<KeySet>,
    /// The times of the last fetches. A fetch holds the lock, so that concurrent callers wait for one fetch.
    fetching: Mutex<Fetched>,
    fetch: Fetch,
}

#[derive(Default)]
struct Fetched {
    tried: Option<Timestamp>,
    received: Option<Timestamp>,
    /// The number of failed fetches since the last success.
    failures: u32,
}

impl Issuer {
    /// An issuer without keys. Call [`Issuer::refresh`] or [`Issuer::use_document`] next.
    pub fn new(settings: IssuerSettings, fetch: Fetch) -> Self {
        Self { settings, keys: ArcSwapOption::empty(), fetching: Mutex::default(), fetch }
    }

    /// The configuration of the issuer.
    pub fn settings(&self) -> &IssuerSettings {
        &self.settings
    }

    /// Replaces the keys by those of a JWKS document.
    ///
    /// # Errors
    /// The document is not a usable key set; the old keys stay.
    pub fn use_document(&self, document: &[u8]) -> Result<(), String> {
        self.keys.store(Some(key_set(document)?));
        Ok(())
    }

    /// Fetches the keys if they are ten minutes old. Keys that cannot be fetched again stay in use for a day.
    pub async fn refresh(&self, now: Timestamp) {
        let mut fetched = self.fetching.lock().await;
        let fresh = fetched.received.is_some_and(|at| at.until(now) < REFRESH_AGE);
        if !fresh && self.pause(&fetched, now).is_none() {
            self.fetch_now(&mut fetched, now).await;
        }
    }

    async fn fetch_now(&self, fetched: &mut Fetched, now: Timestamp) {
        let KeySource::Url(url) = &self.settings.keys else { return };
        fetched.tried = Some(now);
        let document = (self.fetch)(url.clone()).await.map_err(|error| error.to_string());
        match document.and_then(|document| self.use_document(&document)) {
            Ok(()) => (fetched.received, fetched.failures) = (Some(now), 0),
            Err(error) => {
                fetched.failures += 1;
                tracing::warn!(issuer = self.settings.name, %error, "the issuer's keys could not be fetched");
                metrics::counter!("credvault_jwks_failures_total", "issuer" => self.settings.name.clone())
                    .increment(1);
                if fetched.received.is_some_and(|at| at.until(now) >= MAX_AGE) {
                    self.keys.store(None);
                }
            }
        }
    }

    /// The time until the keys may be fetched again; `None` if they may be now.
    fn pause(&self, fetched: &Fetched, now: Timestamp) -> Option<Duration> {
        let pause = match (self.keys.load().is_some(), fetched.failures) {
            (false, failures @ 1..) => {
                FIRST_RETRY_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(RETRY_PAUSE)
            }
            _ => RETRY_PAUSE,
        };
        let left = pause.checked_sub(fetched.tried?.until(now))?;
        Some(left).filter(|left| !left.is_zero())
    }

    /// Whether the issuer has any keys.
    fn has_keys(&self) -> bool {
        self.keys.load().is_some()
    }

    /// The keys. If they lack `kid`, fetches them again first: at most once a minute, sooner without any keys, and once
    /// for all callers that wait.
    async fn keys_with(&self, kid: Option<&str>, now: Timestamp) -> Result<Arc<KeySet>, Error> {
        if let Some(keys) = self.keys.load_full()
            && keys.find(kid).is_some()
        {
            return Ok(keys);
        }
        let mut fetched = self.fetching.lock().await;
        let known = self.keys.load().as_ref().is_some_and(|keys| keys.find(kid).is_some());
        if !known && self.pause(&fetched, now).is_none() {
            self.fetch_now(&mut fetched, now).await;
        }
        self.keys.load_full().ok_or_else(|| Error::KeysUnavailable {
            issuer: self.settings.name.clone(),
            retry: self.pause(&fetched, now).unwrap_or(FIRST_RETRY_PAUSE),
        })
    }

    async fn verify(
        &self,
        token: &str,
        claims: &Claims,
        service: &ServiceId,
        present: Present,
    ) -> Result<VerifiedTenant, Error> {
        let header = jwt::header(token)?;
        let kid = header.kid.as_deref();
        let keys = self.keys_with(kid, present.now).await?;
        let key = keys.find(kid).ok_or(TokenError::UnknownKey)?;
        jwt::verify(token, &header, key)?;
        jwt::check_times(
            claims,
            i64::try_from(self.settings.max_lifetime.as_secs()).unwrap_or(i64::MAX),
            present,
        )?;
        self.check_audience(claims)?;
        if self.settings.kind == IssuerKind::Assertion
            && text_at(claims, "act.sub") != Ok(Some(service.as_str()))
        {
            return Err(TokenError::Actor.into());
        }
        self.tenant(claims)
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), TokenError> {
        let AudienceClaim { claim, accepted } = &self.settings.audience;
        let values = texts_at(claims, claim);
        let accepted = values.iter().any(|value| accepted.iter().any(|accepted| accepted == value));
        // Each audience of an assertion for several could replay it at the others.
        let alone = values.len() == 1 || self.settings.kind == IssuerKind::User;
        if accepted && alone { Ok(()) } else { Err(TokenError::Audience(claim.clone())) }
    }

    fn tenant(&self, claims: &Claims) -> Result<VerifiedTenant, Error> {
        let broken = |claim: &str, rule: credvault_domain::NameError| TokenError::Claim {
            claim: claim.to_owned(),
            rule: rule.to_string(),
        };
        let IssuerSettings { tenant_claim, user_claim, .. } = &self.settings;
        let (tenant, user) = (text_at(claims, tenant_claim)?, text_at(claims, user_claim)?);
        // A user without an organisation has a sound token that names no tenant.
        let tenant = tenant.ok_or(Error::TenantMissing)?;
        let tenant = TenantId::parse(tenant).map_err(|rule| broken(tenant_claim, rule))?;
        let user = user.map(UserId::parse).transpose();
        let user = user.map_err(|rule| broken(user_claim, rule))?;
        let source = match self.settings.kind {
            IssuerKind::User if user.is_none() => {
                return Err(TokenError::ClaimMissing(user_claim.clone()).into());
            }
            IssuerKind::User => TenantSource::Token,
            IssuerKind::Assertion => TenantSource::Assertion,
        };
        Ok(VerifiedTenant { tenant, user, source })
    }
}

fn key_set(document: &[u8]) -> Result<Arc<KeySet>, String> {
    if document.len() > MAX_BYTES {
        return Err("it is larger than 256 KiB".to_owned());
    }
    KeySet::parse(document).map(Arc::new).map_err(|error| error.to_string())
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The configured issuers of tokens.
#[derive(Debug, Default)]
pub struct Issuers(Vec<Issuer>);

impl Issuers {
    /// A collection of these issuers.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self(issuers)
    }

    /// Every issuer, in the order of configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter()
    }

    /// Replaces the keys of the issuers that have a file, by one JWKS document for each, in the order of configuration.
    ///
    /// # Errors
    /// The name of an issuer whose document is not a usable key set, and why; all issuers keep their old keys.
    pub fn use_documents(&self, documents: &[Vec<u8>]) -> Result<(), String> {
        let from_file = |issuer: &&Issuer| matches!(issuer.settings.keys, KeySource::File(_));
        let parsed = self.0.iter().filter(from_file).zip(documents).map(|(issuer, document)| {
            let keys = key_set(document).map_err(|error| format!("{}: {error}", issuer.settings.name))?;
            Ok((issuer, keys))
        });
        let parsed = parsed.collect::<Result<Vec<_>, String>>()?;
        parsed.into_iter().for_each(|(issuer, keys)| issuer.keys.store(Some(keys)));
        Ok(())
    }

    /// The names of issuers without any keys.
    pub fn without_keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|issuer| !issuer.has_keys()).map(|issuer| issuer.settings.name.as_str())
    }

    /// Verifies the token of an authorization header.
    pub(crate) async fn verify(
        &self,
        authorization: &str,
        service: &ServiceId,
        present: Present,
    ) -> Result<VerifiedTenant, Error> {
        let token = jwt::bearer(authorization)?;
        jwt::header(token)?;
        let claims = jwt::claims(token)?;
        let claimed = jwt::issuer(&claims)?;
        let issuer = self.0.iter().find(|issuer| issuer.settings.issuer == claimed);
        issuer.ok_or(TokenError::UnknownIssuer)?.verify(token, &claims, service, present).await
    }
}
