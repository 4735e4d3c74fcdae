//! Sending events as Standard Webhooks (version 1.0.0 of that specification): signed with every live secret of the
//! endpoint, through the same guard as every other call. `docs/events.md` has what receivers rely on.
//!
//! Each endpoint has a turn of its own, a few events at once, so that a slow one holds up nobody but itself.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_catalog::{Body, Method, ProviderRequest};
use credvault_crypto::MacKey;
use credvault_domain::DeliveryState;
use credvault_store::{Attempt, ClaimedEvent, EventPlace, EventTarget, Turns};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;
use zeroize::Zeroizing;

use crate::Broker;
use crate::http::{SendError, UrlError};

/// How often what is due is looked for.
const TICK: Duration = Duration::from_secs(1);
/// How many endpoints are served at once. Each tenant has its share.
const ENDPOINTS: usize = 64;
/// How often an endpoint's turn claims before others have theirs.
const ROUNDS: usize = 16;
/// How long an endpoint rests whose claim met an error of the vault's own.
const REST: Duration = Duration::from_secs(10);
/// The longest URL, in bytes.
const LONGEST_URL: usize = 2048;

/// What stands before a secret's base64.
const PREFIX: &str = "whsec_";

impl Broker {
    /// A URL that events can be sent to, spelled as it is used.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn event_url(&self, text: &str) -> Result<String, &'static str> {
        let url = Url::parse(text)
            .ok()
            .filter(|url| text.len() <= LONGEST_URL && url.as_str().len() <= LONGEST_URL);
        let url =
            url.ok_or("must be an absolute URL of at most 2,048 bytes, such as https://app.example/events")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user name or password; the signature says who sends");
        }
        if url.fragment().is_some() {
            return Err("must have no fragment (what follows a #)");
        }
        self.http().admits_stored(&url).map(|()| url.into()).map_err(UrlError::rule)
    }

    /// Sends an event, once.
    pub async fn send_event(&self, target: &EventTarget, event: &ClaimedEvent) -> Attempt {
        let (id, time) = (event.event.to_string(), self.clock().now().seconds().to_string());
        let headers = [
            ("webhook-id", id.clone()),
            ("webhook-timestamp", time.clone()),
            ("webhook-signature", signatures(&target.secrets, &id, &time, &event.body)),
        ];
        let request = ProviderRequest {
            method: Method::Post,
            url: target.url.clone(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.into())).into(),
            query: Vec::new(),
            body: Body::Json(event.body.clone().into()),
        };
        let receipt = match self.http().deliver(request).await {
            Ok(receipt) if (200..300).contains(&receipt.status) => return Attempt::Delivered,
            Ok(receipt) => receipt,
            Err(error) => {
                tracing::info!(event = id, %error, "an event was not delivered");
                let failure = failure(&error).to_owned();
                return Attempt::Failed { failure, retry_after: None, gone: false };
            }
        };
        Attempt::Failed {
            failure: format!("status {}", receipt.status),
            retry_after: receipt.retry_after,
            gone: receipt.status == 410,
        }
    }

    /// Sends what is due, until `end`; then waits for what is under way.
    pub async fn run_events(&self, end: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (places, mut turns) = (Turns::new(ENDPOINTS), JoinSet::new());
        let (mut busy, mut from) = (HashMap::<Id, EventPlace>::new(), None);
        while end.run_until_cancelled(ticks.tick()).await.is_some() {
            while let Some(ended) = turns.try_join_next_with_id() {
                busy.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
            let due = match self.store().event_deliveries().due(from.as_ref()).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "due events could not be looked for");
                    continue;
                }
            };
            from = due.next;
            for place in due.places {
                if busy.values().any(|at| *at == place) {
                    continue;
                }
                if let Ok(held) = places.try_take(place.tenant()) {
                    let (broker, at, end) = (self.clone(), place.clone(), end.clone());
                    let turn = turns.spawn(async move {
                        broker.serve_endpoint(&at, &end).await;
                        drop(held);
                    });
                    busy.insert(turn.id(), place);
                }
            }
        }
        while turns.join_next().await.is_some() {}
    }

    /// An endpoint's turn: until nothing is due there, something fails, or others are to have theirs.
    async fn serve_endpoint(&self, place: &EventPlace, end: &CancellationToken) {
        for _ in 0..ROUNDS {
            if end.is_cancelled() {
                return;
            }
            let (target, events) = match self.store().event_deliveries().claim(place).await {
                Ok(Some(claimed)) => claimed,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(endpoint = %place.endpoint(), %error, "events could not be claimed");
                    end.run_until_cancelled(tokio::time::sleep(REST)).await;
                    return;
                }
            };
            let sent = events.iter().map(|event| self.deliver_event(&target, event));
            let delivered = futures::future::join_all(sent).await;
            if delivered.contains(&false) {
                return;
            }
        }
    }

    /// Sends an event and notes how that ended; whether it was delivered.
    async fn deliver_event(&self, target: &EventTarget, event: &ClaimedEvent) -> bool {
        let attempt = self.send_event(target, event).await;
        let outcome = match self.store().event_deliveries().attempted(event, &attempt).await {
            Ok(DeliveryState::Delivered) => "delivered",
            Ok(DeliveryState::Dead) => {
                if matches!(attempt, Attempt::Failed { gone: true, .. }) {
                    tracing::warn!(endpoint = %event.endpoint(), "an endpoint answered 410 Gone and is disabled");
                }
                tracing::warn!(event = %event.event, "an event was given up; ListEventDeliveries shows it");
                "dead"
            }
            Ok(DeliveryState::Pending) => "failed",
            Err(error) => {
                tracing::warn!(event = %event.event, %error, "how an event's delivery ended could not be noted");
                return false;
            }
        };
        metrics::counter!("credvault_event_deliveries_total", "outcome" => outcome).increment(1);
        outcome == "delivered"
    }
}

/// Why there was no answer, in words that give nothing of the network behind the vault away.
fn failure(error: &SendError) -> &'static str {
    match error {
        SendError::NotSent(_) => {
            "it was not reached: no address, no TLS, nobody there, or an address that is not public and not in \
             broker.allowed_networks"
        }
        SendError::Lost(_) => "it did not answer within 10 seconds",
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over id, time and body, for each secret.
fn signatures(secrets: &[SecretString], id: &str, time: &str, body: &str) -> String {
    let signature = |secret: &SecretString| {
        let key = STANDARD.decode(secret.expose_secret().strip_prefix(PREFIX)?).ok().map(Zeroizing::new)?;
        let tag = MacKey::new(&key)?.sign(&[id, ".", time, ".", body]);
        Some(format!("v1,{}", STANDARD.encode(tag)))
    };
    secrets.iter().filter_map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries are tested with.
    #[test]
    fn the_known_signature() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signed =
            signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
