//! Issuers of tokens: their keys, kept fresh, and what their claims mean.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use credvault_domain::{Present, ServiceId, TenantId, TenantSource, Timestamp, UserId};
use futures::future::BoxFuture;
use tokio::sync::Mutex;

use crate::claims::{Claims, text_at, texts_at};
use crate::jwks::{KeySet, MAX_BYTES};
use crate::jwt::{self, TokenError};
use crate::{Error, VerifiedTenant};

/// How long fetched keys are good before they are fetched again.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// How long keys are used when they cannot be fetched again.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// The least time between two fetches that unknown key ids or failures cause, where there are keys; without any, the
/// longest.
const RETRY: Duration = Duration::from_secs(60);
/// The first pause between fetches where there are no keys; each one after it is twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Gets a document over HTTPS. Handed in by the program, which owns all outgoing HTTP.
pub type Fetch = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<u8>, FetchError>> + Send + Sync>;

/// A document could not be had.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// What kind of tokens an issuer makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IssuerKind {
    /// Tokens of users, such as those of a sign-in service.
    User,
    /// Assertions: short-lived, for this vault alone, and bound to the calling service by `act.sub`.
    Assertion,
}

/// Which claim says whom a token is meant for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AudienceClaim {
    /// `aud`, or what the issuer has in its place (Clerk: `azp`).
    pub claim: String,
    /// The accepted values.
    pub accepted: Vec<String>,
}

/// Where an issuer's keys come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A URL, fetched again every ten minutes.
    Url(String),
}

/// An issuer as it is configured.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The name that messages use.
    pub name: String,
    /// What kind of tokens it makes.
    pub kind: IssuerKind,
    /// Its `iss`.
    pub issuer: String,
    /// Where its keys are.
    pub keys: KeySource,
    /// Whom its tokens must be meant for.
    pub audience: AudienceClaim,
    /// Where the tenant is in the claims.
    pub tenant_claim: String,
    /// Where the user is in the claims. A token of a user must have it; an assertion may.
    pub user_claim: String,
    /// How long its tokens may live.
    pub max_lifetime: Duration,
}

/// An issuer with its keys.
pub struct Issuer {
    settings: IssuerSettings,
    keys: ArcSwapOption<KeySet>,
    /// When keys were last asked for and last received. Held while asking, so that one call asks for all.
    fetching: Mutex<Fetched>,
    fetch: Fetch,
}

#[derive(Default)]
struct Fetched {
    tried: Option<Timestamp>,
    received: Option<Timestamp>,
    /// How often in a row they could not be had.
    failures: u32,
}

impl Issuer {
    /// An issuer without keys: call [`Issuer::refresh`] or [`Issuer::use_document`].
    pub fn new(settings: IssuerSettings, fetch: Fetch) -> Self {
        Self { settings, keys: ArcSwapOption::empty(), fetching: Mutex::default(), fetch }
    }

    /// How it is configured.
    pub fn settings(&self) -> &IssuerSettings {
        &self.settings
    }

    /// Uses the keys of a document that was read.
    ///
    /// # Errors
    /// It is no usable key set; the old keys stay.
    pub fn use_document(&self, document: &[u8]) -> Result<(), String> {
        if document.len() > MAX_BYTES {
            return Err("it is larger than 256 KiB".to_owned());
        }
        self.keys.store(Some(Arc::new(KeySet::parse(document).map_err(|error| error.to_string())?)));
        Ok(())
    }

    /// Fetches the keys if they are not fresh. Keys that cannot be fetched again stay good for a day.
    pub async fn refresh(&self, now: Timestamp) {
        let mut fetched = self.fetching.lock().await;
        let fresh = fetched.received.is_some_and(|at| at.until(now) < FRESH);
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
                if fetched.received.is_some_and(|at| at.until(now) >= STALE) {
                    self.keys.store(None);
                }
            }
        }
    }

    /// How long the keys are not asked for yet.
    fn pause(&self, fetched: &Fetched, now: Timestamp) -> Option<Duration> {
        let pause = match (self.keys.load().is_some(), fetched.failures) {
            (false, failures @ 1..) => FIRST_RETRY.saturating_mul(1 << (failures - 1).min(16)).min(RETRY),
            _ => RETRY,
        };
        let left = pause.checked_sub(fetched.tried?.until(now))?;
        Some(left).filter(|left| !left.is_zero())
    }

    /// Whether there are keys to verify tokens with.
    fn has_keys(&self) -> bool {
        self.keys.load().is_some()
    }

    /// The keys, looked for again if they lack `kid`: at most once a minute, sooner where there are none, and once for
    /// all who wait.
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
            retry: self.pause(&fetched, now).unwrap_or(FIRST_RETRY),
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
        // An assertion for several audiences could be replayed by each of them at the others.
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

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// All configured issuers.
#[derive(Debug, Default)]
pub struct Issuers(Vec<Issuer>);

impl Issuers {
    /// The issuers.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self(issuers)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter()
    }

    /// The names of those whose keys could not be had.
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
