//! The HTTP client, which sends requests that the catalog has filled. It follows no redirects, uses no proxy from the
//! environment and keeps no cookies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::{Body, Method, ProviderRequest};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::error::{SendError, SendOnceError};
use super::guard::Guard;
use super::reader::{self, MAX_BODY_BYTES, TooLarge};
use super::running_time::timeout_of_running_time;
use super::url_rule::UrlError;
use crate::deadlines::ANSWER_TIMEOUT;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request and its answer may take together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The portion in which [`ANSWER_TIMEOUT`] is counted.
const TIMEOUT_PORTION: Duration = Duration::from_millis(500);
/// Longer than any other limit: the client's own clock counts time in which the process is stopped.
const NO_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// An answer of a provider.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status of the answer.
    pub status: u16,
    /// The body as JSON; null if it cannot be read.
    pub body: Value,
    /// How long the provider wants no further call.
    pub retry_after: Option<Duration>,
}

/// The head of an answer whose body is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The HTTP status of the answer.
    pub status: u16,
    /// How long the receiver wants no further call.
    pub retry_after: Option<Duration>,
}

/// The client for all outgoing HTTP. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: Result<reqwest::Client, String>,
    guard: Guard,
}

impl Http {
    /// A client that calls only what `guard` permits. On a machine without certificate authorities it sends nothing.
    pub fn new(guard: Guard) -> Self {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("credvault/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(GuardedResolver(guard.clone())))
            .build()
            .map_err(|error| with_causes(&error));
        if let Err(error) = &client {
            tracing::warn!(error, "no provider can be called");
        }
        Self { client, guard }
    }

    /// The rules about addresses and URLs that this client obeys.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// There is no answer. The variant says whether the request may be sent again.
    pub async fn send(&self, request: ProviderRequest) -> Result<Answer, SendError> {
        self.send_and_read(request, REQUEST_TIMEOUT).await
    }

    /// Sends a request that must not be repeated without need, and awaits the answer for as long as the claim to it
    /// lasts. Only time in which this process runs counts.
    ///
    /// # Errors
    /// As [`Http::send`], or the provider has not answered in time.
    pub(crate) async fn send_once(&self, request: ProviderRequest) -> Result<Answer, SendOnceError> {
        let sending = self.send_and_read(request, NO_TIMEOUT);
        let answer = timeout_of_running_time(sending, ANSWER_TIMEOUT, TIMEOUT_PORTION).await;
        Ok(answer.ok_or(SendOnceError::Silent)??)
    }

    /// Sends a request and reads only the head of the answer: the vault has no use for a receiver's body.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn deliver(&self, request: ProviderRequest) -> Result<Receipt, SendError> {
        let response = self.start(request, REQUEST_TIMEOUT).await?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        Ok(Receipt { status, retry_after })
    }

    /// Posts a text, and gives the status of the answer and its body as a text: what is no text in it is lost.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post_text(&self, url: &str, text: String) -> Result<(u16, String), SendError> {
        let refused = |problem: &str| SendError::NotSent(problem.to_owned());
        let url = Url::parse(url).map_err(|_| refused("its URL cannot be read"))?;
        self.guard.check_url(&url).map_err(|error| refused(&error.to_string()))?;
        let client = self.client.as_ref().map_err(|error| SendError::NotSent(error.clone()))?;
        let sending = client.post(url).timeout(REQUEST_TIMEOUT);
        let sending = sending.header("content-type", "text/plain; charset=utf-8").body(text);
        let mut response = sending.send().await.map_err(not_sent_or_lost)?;
        let body = read(&mut response).await?;
        Ok((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
    }

    async fn send_and_read(&self, request: ProviderRequest, timeout: Duration) -> Result<Answer, SendError> {
        let mut response = self.start(request, timeout).await?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let encoding = header(response.headers(), "content-encoding").unwrap_or_default().to_owned();
        let body = read(&mut response).await?;
        Ok(Answer { status, body: reader::body(&body, &encoding).map_err(too_large)?, retry_after })
    }

    /// Sends a request and awaits the head of the answer.
    async fn start(
        &self,
        request: ProviderRequest,
        timeout: Duration,
    ) -> Result<reqwest::Response, SendError> {
        let url = self.permitted_url(&request)?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let client = self.client.as_ref().map_err(|error| SendError::NotSent(error.clone()))?;
        let mut sending = client.request(method, url).timeout(timeout).header("accept", "application/json");
        for (name, value) in &request.headers {
            // `headers` replaces: a provider's file that sets Accept must not have two of them sent.
            sending = sending.headers([sensitive_header(name, value)?].into_iter().collect());
        }
        sending = match request.body {
            Body::Empty => sending,
            Body::Form(pairs) => {
                sending.header("content-type", "application/x-www-form-urlencoded").body(form(&pairs))
            }
            Body::Json(text) => {
                sending.header("content-type", "application/json").body(text.expose_secret().to_owned())
            }
        };
        sending.send().await.map_err(not_sent_or_lost)
    }

    /// The request's URL with its query, if the guard permits it.
    fn permitted_url(&self, request: &ProviderRequest) -> Result<Url, SendError> {
        let refused = |problem: &str| SendError::NotSent(problem.to_owned());
        let mut url = Url::parse(&request.url).map_err(|_| refused("its URL cannot be read"))?;
        if !request.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(request.query.iter().map(|(name, value)| (name, value.expose_secret())));
        }
        self.guard.check_url(&url).map(|()| url).map_err(|error| refused(&error.to_string()))
    }
}

/// The body of an answer, as long as it may be.
async fn read(response: &mut reqwest::Response) -> Result<Zeroizing<Vec<u8>>, SendError> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| SendError::Lost(without_url(error)))? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(too_large(TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Resolves names, and answers with addresses only if the guard permits all of them: the address that was checked is the
/// address that is connected to.
struct GuardedResolver(Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().all(|address| guard.permits(address.ip())) {
                Ok(Box::new(found.into_iter()) as Addrs)
            } else {
                Err(UrlError::Address.into())
            }
        })
    }
}

/// A header whose value no log of the client shows.
fn sensitive_header(name: &str, value: &SecretString) -> Result<(HeaderName, HeaderValue), SendError> {
    let mut value = HeaderValue::from_str(value.expose_secret())
        .map_err(|_| SendError::NotSent(format!("the header {name} cannot be sent")))?;
    value.set_sensitive(true);
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| SendError::NotSent("a header has an impossible name".to_owned()))?;
    Ok((name, value))
}

fn form(pairs: &[(String, SecretString)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Only a failure to connect, or to build the request, proves that the provider did not get it.
fn not_sent_or_lost(error: reqwest::Error) -> SendError {
    if error.is_connect() || error.is_builder() {
        SendError::NotSent(without_url(error))
    } else {
        SendError::Lost(without_url(error))
    }
}

/// The error's text without the URL, which may contain secrets.
fn without_url(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn too_large(error: TooLarge) -> SendError {
    SendError::Lost(error.to_string())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    reader::retry_after(header(headers, "retry-after")?, header(headers, "date"))
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
