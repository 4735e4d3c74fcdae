//! Public keys that a provider publishes for its webhooks: fetched when a delivery names one, and fetched anew after an
//! hour. Whoever reaches the platform's endpoint can name any key, so how many unknown ones are looked up is limited;
//! that must not keep a known one from being used, nor from being fetched anew, nor another tenant's from being looked
//! up. What one app is told says nothing to another: everything is remembered by app.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use credvault_catalog::{App, Flow, Missing, ProviderRequest, PublicKeys};
use credvault_crypto::P256Key;
use credvault_domain::{Config, TenantId, Timestamp, Violations};
use credvault_store::UsableApp;
use secrecy::SecretString;

use crate::refresher::{app_values, moment};
use crate::verify::PAUSE;
use crate::webhook::{Checked, Delivery, WebhookError, check_ebay, ebay_key_id};
use crate::{Answer, Broker, Http, TestError};

/// How long a key is used before it is fetched anew.
const MEMORY: Duration = Duration::from_secs(3600);
/// How long it is used at most while it cannot be fetched.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How many keys are remembered, and how many tokens.
const MOST: usize = 64;
/// How many keys that are not known are looked up in a minute, by all tenants: each may, as long as it has looked up fewer
/// than three times as many as are left. An id that no key has is known to have none for as long.
const LOOKUPS: u32 = 20;
const FOR_EACH_LEFT: u32 = 3;
const MINUTE: Duration = Duration::from_secs(60);

impl Broker {
    /// Checks a delivery that is signed with a key that the provider publishes.
    ///
    /// # Errors
    /// Nobody knows: the key cannot be fetched. The inner error is the verdict on the delivery.
    pub async fn check_with_public_key(
        &self,
        tenant: &TenantId,
        keys: &PublicKeys,
        config: &Config,
        usable: Option<&UsableApp>,
        delivery: &Delivery<'_>,
    ) -> Result<Result<Checked, WebhookError>, TestError> {
        let id = match ebay_key_id(delivery) {
            Ok(id) => id,
            Err(error) => return Ok(Err(error)),
        };
        let Some(usable) = usable else { return Ok(Err(WebhookError::AppMissing)) };
        let now = self.clock().now();
        let flow = moment(now, self.random()).with("key_id", id);
        let app = app_values(usable);
        let wanted = Wanted { tenant, keys, config, app: &app, flow: &flow };
        let key = self.published().key(self.http(), now, wanted).await?;
        Ok(key.map_or(Err(WebhookError::KeyUnknown), |key| check_ebay(delivery, &key)))
    }
}

/// Which key is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    tenant: &'a TenantId,
    keys: &'a PublicKeys,
    config: &'a Config,
    app: &'a App,
    flow: &'a Flow,
}

/// What is remembered.
#[derive(Default)]
pub(crate) struct Published(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// By URL and client id.
    keys: HashMap<(String, String), Known>,
    /// By URL and client id: until when there is no such key.
    absent: HashMap<(String, String), (Timestamp, ())>,
    /// By URL and client id: the instant until which they count, and the tokens.
    tokens: HashMap<(String, String), (Timestamp, SecretString)>,
    /// When the current minute began, and how many each tenant has looked up in it.
    minute: (Timestamp, HashMap<TenantId, u32>),
}

struct Known {
    key: P256Key,
    /// When it is fetched anew.
    renew: Timestamp,
    /// When it does not count any more.
    end: Timestamp,
}

impl Published {
    /// The key; `None` if the provider has none with this id.
    ///
    /// # Errors
    /// Nobody knows.
    pub(crate) async fn key(
        &self,
        http: &Http,
        now: Timestamp,
        wanted: Wanted<'_>,
    ) -> Result<Option<P256Key>, TestError> {
        let Wanted { tenant, keys, config, app, flow } = wanted;
        let url = keys.key_url(config, app, flow).map_err(missing)?;
        let place = (url, app.client_id.clone());
        let known = match self.with(|memory| memory.known(&place, now)) {
            Some((key, false)) => return Ok(Some(key)),
            Some((key, true)) => Some(key),
            None => None,
        };
        if known.is_none() {
            if self.with(|memory| current(&memory.absent, &place, now)).is_some() {
                return Ok(None);
            }
            self.with(|memory| memory.count(tenant, now))?;
        }
        match (self.fetch(http, now, wanted).await, known) {
            (Ok(Some(key)), _) => {
                let fetched = Known { key: key.clone(), renew: now.after(MEMORY), end: now.after(STALE) };
                self.with(|memory| remember(&mut memory.keys, place, fetched));
                Ok(Some(key))
            }
            (Ok(None), _) => {
                self.with(|memory| {
                    memory.keys.remove(&place);
                    remember(&mut memory.absent, place, (now.after(MINUTE), ()));
                });
                Ok(None)
            }
            (Err(_), Some(key)) => Ok(Some(key)),
            (Err(error), None) => Err(error),
        }
    }

    async fn fetch(
        &self,
        http: &Http,
        now: Timestamp,
        wanted: Wanted<'_>,
    ) -> Result<Option<P256Key>, TestError> {
        let Wanted { keys, config, app, flow, .. } = wanted;
        let token = self.token(http, now, wanted).await?;
        let flow = flow.clone().with("token", token);
        let answer = send(http, keys.key_request(config, app, &flow).map_err(missing)?).await?;
        match answer.status {
            200..300 => {
                let key = keys.read_key(&answer.body).and_then(|pem| P256Key::from_pem(pem).ok());
                Ok(Some(key.ok_or(TestError::Unavailable)?))
            }
            400 | 404 => Ok(None),
            401 => {
                let place =
                    (keys.token_request(config, app, &flow).map_err(missing)?.url, app.client_id.clone());
                self.with(|memory| memory.tokens.remove(&place));
                Err(TestError::Unavailable)
            }
            _ => Err(refused(&answer)),
        }
    }

    async fn token(
        &self,
        http: &Http,
        now: Timestamp,
        wanted: Wanted<'_>,
    ) -> Result<SecretString, TestError> {
        let Wanted { keys, config, app, flow, .. } = wanted;
        let request = keys.token_request(config, app, flow).map_err(missing)?;
        let place = (request.url.clone(), app.client_id.clone());
        if let Some(token) = self.with(|memory| current(&memory.tokens, &place, now)) {
            return Ok(token);
        }
        let answer = send(http, request).await?;
        let read = (200..300).contains(&answer.status).then(|| keys.read_token(&answer.body)).flatten();
        let Some((token, life)) = read else {
            tracing::warn!(status = answer.status, "the app gets no token for the provider's public keys");
            return Err(refused(&answer));
        };
        // Used up to a minute before its end.
        let until = now.after(life.saturating_sub(MINUTE));
        self.with(|memory| remember(&mut memory.tokens, place, (until, token.clone())));
        Ok(token)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Memory {
    /// A key, and whether the caller is to fetch it anew. Nobody else is told so for a minute, so one that cannot be
    /// fetched does not hold every delivery up.
    fn known(&mut self, place: &(String, String), now: Timestamp) -> Option<(P256Key, bool)> {
        let known = self.keys.get_mut(place).filter(|known| now < known.end)?;
        let due = now >= known.renew;
        if due {
            known.renew = now.after(MINUTE);
        }
        Some((known.key.clone(), due))
    }

    /// Counts a look-up of a tenant.
    fn count(&mut self, tenant: &TenantId, now: Timestamp) -> Result<(), TestError> {
        let end = self.minute.0.after(MINUTE);
        if now >= end {
            self.minute = (now, HashMap::new());
        }
        let left = LOOKUPS.saturating_sub(self.minute.1.values().sum());
        let own = self.minute.1.entry(tenant.clone()).or_default();
        if left == 0 || *own >= FOR_EACH_LEFT * left {
            return Err(TestError::Throttled { retry: now.until(end) });
        }
        *own += 1;
        Ok(())
    }
}

fn current<K: std::hash::Hash + Eq, V: Clone>(
    map: &HashMap<K, (Timestamp, V)>,
    key: &K,
    now: Timestamp,
) -> Option<V> {
    map.get(key).filter(|(until, _)| now < *until).map(|(_, value)| value.clone())
}

fn remember<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= MOST && !map.contains_key(&key) {
        map.clear();
    }
    map.insert(key, value);
}

async fn send(http: &Http, request: ProviderRequest) -> Result<Answer, TestError> {
    http.send(request).await.map_err(|error| {
        tracing::info!(%error, "a public key could not be fetched");
        TestError::Unavailable
    })
}

fn refused(answer: &Answer) -> TestError {
    match answer.status {
        429 => TestError::Throttled { retry: answer.retry_after.unwrap_or(PAUSE) },
        _ => TestError::Unavailable,
    }
}

fn missing(missing: Missing) -> TestError {
    Violations::of(missing.0, "must be set before the provider's public key can be fetched").into()
}

#[cfg(test)]
mod tests;
