//! What all requests of the port are served with, and how they are read and answered.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRef;
use axum::response::{IntoResponse as _, Response};
use credvault_operations::Context;
use credvault_operations::connect::{Visit, Visits};
use credvault_operations::consents::browser::{Browsers, Parameters};
use http::{HeaderValue, StatusCode, header};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::page::Page;
use super::site::{Site, Visitor};
use crate::http::port::HEAD_TIMEOUT;
use crate::pages::Design;

/// The largest query, form and delivery of keys, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How many requests may use the database at once, because all calls share it.
const MAX_AT_ONCE: usize = 16;
/// How many of them come from the connect pages of one person. Some wait for a provider, which may be slow or the person's own.
const MAX_OF_PERSON: usize = 4;
/// Over how many limits the people are spread. A few of them share one by chance.
const LANES: u64 = 256;

/// What all requests are served with.
pub(super) struct Port {
    pub(super) browsers: Browsers,
    pub(super) visits: Visits,
    pub(super) site: Site,
    pub(super) design: Arc<Design>,
    turns: Semaphore,
    lanes: Vec<Semaphore>,
    hasher: RandomState,
}

impl FromRef<Arc<Port>> for Site {
    fn from_ref(port: &Arc<Port>) -> Self {
        port.site.clone()
    }
}

impl Port {
    /// The port at `url`, an origin, with pages of this design.
    pub(super) fn new(context: Arc<Context>, url: &str, design: Arc<Design>) -> Self {
        Self {
            visits: Visits::new(Arc::clone(&context)),
            browsers: Browsers::new(context),
            site: Site::new(Arc::clone(&design), url),
            design,
            turns: Semaphore::new(MAX_AT_ONCE),
            lanes: (0..LANES).map(|_| Semaphore::new(MAX_OF_PERSON)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Does something to its end, even if the window is closed meanwhile. `None` if it has failed for a fault of the vault.
    pub(super) async fn whole<T>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T>
    where
        T: Send + 'static,
    {
        self.browsers.spawn(work).await.ok()
    }

    /// Waits for a turn, as long as the head of a request may take. Never closed.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(HEAD_TIMEOUT, self.turns.acquire()).await.ok()?.ok()
    }

    /// Waits for a turn of the person whose connect page it is, and then for one of all. `None` if either takes too long.
    pub(super) async fn turn_of(&self, visit: &Visit) -> Option<[SemaphorePermit<'_>; 2]> {
        let lane = usize::try_from(self.hasher.hash_one(visit.person()) % LANES).ok()?;
        let own = tokio::time::timeout(HEAD_TIMEOUT, self.lanes.get(lane)?.acquire()).await.ok()?.ok()?;
        Some([own, self.turn().await?])
    }

    pub(super) fn show(&self, page: &Page, visitor: &Visitor) -> Response {
        self.site.show(page, visitor)
    }
}

/// Reads a query or a form. What comes twice counts once: the last, as everywhere here.
pub(super) fn parameters(text: &str) -> Parameters {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// The bytes of a request; `None` if they are too many or do not arrive.
pub(super) async fn bytes(body: Body) -> Option<axum::body::Bytes> {
    tokio::time::timeout(HEAD_TIMEOUT, axum::body::to_bytes(body, MAX_BODY_BYTES)).await.ok()?.ok()
}

/// What a form holds; `None` if it is too large or does not arrive.
pub(super) async fn form(body: Body) -> Option<Parameters> {
    Some(parameters(&String::from_utf8_lossy(&bytes(body).await?)))
}

/// 303, so that the browser continues with a GET (RFC 9700, section 4.12).
pub(super) fn see_other(url: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // It is ASCII without line breaks.
    HeaderValue::try_from(url).into_iter().for_each(|value| {
        response.headers_mut().insert(header::LOCATION, value);
    });
    response
}
