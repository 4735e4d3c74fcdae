//! Sends events as Standard Webhooks (version 1.0.0 of that specification), through the same guard as every other request.
//! `docs/events.md` has what receivers rely on.
//!
//! Endpoints are served side by side, each with a few events at once, so that a slow endpoint delays only its own events.

mod signature;

use std::collections::HashMap;
use std::time::Duration;

use credvault_catalog::{Body, Method, ProviderRequest};
use credvault_domain::DeliveryState;
use credvault_store::{Attempt, ClaimedEvent, EndpointKey, EventTarget, Turns};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::broker::Broker;
use crate::every::every;
use crate::http::error::SendError;
use crate::http::url_rule::UrlError;
use signature::signatures;

/// How often due events are searched for.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);
/// How many endpoints are served at once. Tenants share them.
const MAX_ENDPOINTS: usize = 64;
/// How often one endpoint's events are claimed before other endpoints have their turn.
const MAX_CLAIMS_PER_TURN: usize = 16;
/// How long an endpoint is left alone after the vault's own database failed to claim its events.
const CLAIM_ERROR_PAUSE: Duration = Duration::from_secs(10);
/// The longest URL of an endpoint.
const MAX_URL_BYTES: usize = 2048;

impl Broker {
    /// The URL of an event endpoint, in the form in which it is used.
    ///
    /// # Errors
    /// The rule that the URL breaks.
    pub fn event_url(&self, text: &str) -> Result<String, &'static str> {
        let url = Url::parse(text).ok();
        let url = url.filter(|url| text.len() <= MAX_URL_BYTES && url.as_str().len() <= MAX_URL_BYTES);
        let url =
            url.ok_or("must be an absolute URL of at most 2,048 bytes, such as https://app.example/events")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user name or password; the signature says who sends");
        }
        if url.fragment().is_some() {
            return Err("must have no fragment (what follows a #)");
        }
        self.http().guard().check_stored_url(&url).map(|()| url.into()).map_err(UrlError::rule)
    }

    /// Sends an event once, signed with every live secret of its endpoint.
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
                let failure = shown_failure(&error).to_owned();
                return Attempt::Failed { failure, retry_after: None, gone: false };
            }
        };
        Attempt::Failed {
            failure: format!("status {}", receipt.status),
            retry_after: receipt.retry_after,
            gone: receipt.status == 410,
        }
    }

    /// Sends events that are due, until `end`. Then it waits for those that are being sent.
    pub async fn run_events(&self, end: CancellationToken) {
        let mut senders =
            Senders { turns: Turns::new(MAX_ENDPOINTS), tasks: JoinSet::new(), busy: HashMap::new() };
        let (mut ticks, mut from) = (every(SEARCH_INTERVAL, &end), None);
        while ticks.next().await.is_some() {
            senders.forget_finished();
            match self.store().event_deliveries().due(from.as_ref()).await {
                Ok(due) => {
                    from = due.next;
                    due.keys.into_iter().for_each(|key| senders.start(self, key, &end));
                }
                Err(error) => tracing::warn!(%error, "the search for due events failed"),
            }
        }
        while senders.tasks.join_next().await.is_some() {}
    }

    /// Sends an endpoint's events until none is due, one fails, or other endpoints are to have their turn.
    async fn serve_endpoint(&self, key: &EndpointKey, end: &CancellationToken) {
        for _ in 0..MAX_CLAIMS_PER_TURN {
            if end.is_cancelled() {
                return;
            }
            let (target, events) = match self.store().event_deliveries().claim(key).await {
                Ok(Some(claimed)) => claimed,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(endpoint = %key.endpoint(), %error, "events could not be claimed");
                    end.run_until_cancelled(tokio::time::sleep(CLAIM_ERROR_PAUSE)).await;
                    return;
                }
            };
            let sending = events.iter().map(|event| self.deliver_event(&target, event));
            let delivered = futures::future::join_all(sending).await;
            if delivered.contains(&false) {
                return;
            }
        }
    }

    /// Sends an event and stores the outcome. Whether the event was delivered.
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
                tracing::warn!(event = %event.event, %error, "the outcome of an event's delivery could not be stored");
                return false;
            }
        };
        metrics::counter!("credvault_event_deliveries_total", "outcome" => outcome).increment(1);
        outcome == "delivered"
    }
}

/// The endpoints that are being served.
struct Senders {
    turns: Turns,
    tasks: JoinSet<()>,
    busy: HashMap<Id, EndpointKey>,
}

impl Senders {
    fn forget_finished(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.busy.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
        }
    }

    /// Serves an endpoint, unless that is in progress or there is no turn for its tenant.
    fn start(&mut self, broker: &Broker, key: EndpointKey, end: &CancellationToken) {
        if self.busy.values().any(|busy| *busy == key) {
            return;
        }
        let Ok(turn) = self.turns.try_take(key.tenant()) else { return };
        let (broker, endpoint, end) = (broker.clone(), key.clone(), end.clone());
        let task = self.tasks.spawn(async move {
            broker.serve_endpoint(&endpoint, &end).await;
            drop(turn);
        });
        self.busy.insert(task.id(), key);
    }
}

/// Why there was no answer, in words for the endpoint's owner that say nothing about the network behind the vault.
fn shown_failure(error: &SendError) -> &'static str {
    match error {
        SendError::NotSent(_) => {
            "it was not reached: no address, no TLS, no server, or an address that is not public and not in \
             broker.allowed_networks"
        }
        SendError::Lost(_) => "it did not answer within 10 seconds",
    }
}
