//! The one way out: every request to a provider, and every event, goes through here, with its limits and its guard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::{Body, Method, ProviderRequest};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::guard::Guard;
use crate::reader::{self, LARGEST, TooLarge};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long all of it may take.
const TOTAL: Duration = Duration::from_secs(10);
/// How long an answer is waited for that nobody can ask for again: within the 45 s of a refresh's lease, with its 5 s
/// before sending.
pub(crate) const READ_ON: Duration = Duration::from_secs(35);
/// In what portions that is counted: a process that was stopped has waited for one of them, however long it took.
const PORTION: Duration = Duration::from_millis(500);
/// No limit of the client's own: its clock goes on while the process is stopped.
const UNLIMITED: Duration = Duration::from_secs(24 * 3600);

/// An answer of a provider.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null if it can not be read.
    pub body: Value,
    /// How long the provider wants no further call.
    pub retry_after: Option<Duration>,
}

/// The head of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The HTTP status.
    pub status: u16,
    /// How long the receiver wants no further call.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer. The texts are for operators and name no secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The request surely did not reach the provider.
    #[error("the provider was not reached: {0}")]
    NotSent(String),
    /// It may have reached the provider.
    #[error("the provider's answer was lost: {0}")]
    Lost(String),
}

/// Why there is no answer to a request that is sent once.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SendOnceError {
    /// It was not sent, or the connection has ended without an answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It was sent, and the provider may still be at it.
    #[error("the provider had not answered after {} seconds", READ_ON.as_secs())]
    Silent,
}

/// Why a URL is not called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("its URL has no host")]
    Host,
    #[error("its address is not public, and broker.allowed_networks does not name it")]
    Address,
    #[error("its URL must begin with https://")]
    Scheme,
    #[error("its port is neither 443 nor above 1023")]
    Port,
    #[error("its name is one of a local network")]
    Name,
}

impl UrlError {
    /// The rule, as the end of a sentence about the URL.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Host => "must name a host",
            Self::Address => {
                "must lead to a public address; an operator can allow others in broker.allowed_networks"
            }
            Self::Scheme => {
                "must begin with https://; http:// is for addresses that broker.allowed_networks names, written as such"
            }
            Self::Port => "must have the port 443 or one above 1023",
            Self::Name => {
                "must have a public name; an operator who allows a network in broker.allowed_networks allows its names"
            }
        }
    }
}

/// The client.
#[derive(Clone, Debug)]
pub struct Http {
    client: Result<reqwest::Client, String>,
    guard: Guard,
}

impl Http {
    /// A client behind `guard`. No redirects, no proxy from the environment, no cookies. On a machine without certificate
    /// authorities it sends nothing.
    pub fn new(guard: Guard) -> Self {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("credvault/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Guarded(guard.clone())))
            .build()
            .map_err(|error| chain(&error));
        if let Err(error) = &client {
            tracing::warn!(error, "no provider can be called");
        }
        Self { client, guard }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// There is no answer; which of the two kinds decides whether the request may be sent again.
    pub async fn send(&self, request: ProviderRequest) -> Result<Answer, SendError> {
        self.ask(request, TOTAL).await
    }

    /// Sends a request whose answer cannot be asked for again without a risk, and reads on for as long as the claim to it
    /// lasts. The time counts in portions in which this process runs: after a stop, what has arrived meanwhile is read
    /// before anything is judged.
    ///
    /// # Errors
    /// As [`Http::send`], and the provider keeps silent.
    pub(crate) async fn send_once(&self, request: ProviderRequest) -> Result<Answer, SendOnceError> {
        let answer = in_portions(self.ask(request, UNLIMITED), READ_ON, PORTION).await;
        Ok(answer.ok_or(SendOnceError::Silent)??)
    }

    async fn ask(&self, request: ProviderRequest, limit: Duration) -> Result<Answer, SendError> {
        let mut response = self.begin(request, limit).await?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let encoding = header(response.headers(), "content-encoding").unwrap_or_default().to_owned();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| SendError::Lost(text(error)))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(too_large(TooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body: reader::body(&body, &encoding).map_err(too_large)?, retry_after })
    }

    /// Sends a request and reads the head of the answer only: its body is a stranger's, and nobody wants it.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn deliver(&self, request: ProviderRequest) -> Result<Receipt, SendError> {
        let response = self.begin(request, TOTAL).await?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        Ok(Receipt { status, retry_after })
    }

    async fn begin(&self, request: ProviderRequest, limit: Duration) -> Result<reqwest::Response, SendError> {
        let url = self.checked(&request)?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let client = self.client.as_ref().map_err(|error| SendError::NotSent(error.clone()))?;
        let mut sending = client.request(method, url).timeout(limit).header("accept", "application/json");
        for (name, value) in &request.headers {
            let mut header = reqwest::header::HeaderValue::from_str(value.expose_secret())
                .map_err(|_| SendError::NotSent(format!("the header {name} cannot be sent")))?;
            header.set_sensitive(true);
            // Not two: what the provider's file says about Accept wins.
            let name = reqwest::header::HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| SendError::NotSent("a header has an impossible name".to_owned()))?;
            sending = sending.headers([(name, header)].into_iter().collect());
        }
        sending = match request.body {
            Body::Empty => sending,
            Body::Form(pairs) => {
                sending.header("content-type", "application/x-www-form-urlencoded").body(encoded(&pairs))
            }
            Body::Json(text) => {
                sending.header("content-type", "application/json").body(text.expose_secret().to_owned())
            }
        };
        sending.send().await.map_err(failure)
    }

    /// The URL with its query, if it may be called.
    fn checked(&self, request: &ProviderRequest) -> Result<Url, SendError> {
        let refused = |problem: &str| SendError::NotSent(problem.to_owned());
        let mut url = Url::parse(&request.url).map_err(|_| refused("its URL cannot be read"))?;
        if !request.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(request.query.iter().map(|(name, value)| (name, value.expose_secret())));
        }
        self.admits(&url).map(|()| url).map_err(|error| refused(&error.to_string()))
    }

    /// Whether a URL may be stored as a place that is called, by the vault or by others: as [`Http::admits`], and not a name
    /// of a local network, for others may resolve it elsewhere.
    pub(crate) fn admits_stored(&self, url: &Url) -> Result<(), UrlError> {
        match url.domain() {
            Some(name) if !self.guard.permits_name(name.trim_end_matches('.')) => Err(UrlError::Name),
            _ => self.admits(url),
        }
    }

    /// Whether the scheme and the port of a URL and a literal address in it may be called. Names are checked when they are
    /// resolved. Other ports than these belong to services that do not speak HTTP: SSH, mail, the system's own.
    pub(crate) fn admits(&self, url: &Url) -> Result<(), UrlError> {
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(UrlError::Host),
        };
        if literal.is_some_and(|address| !self.guard.permits(address)) {
            return Err(UrlError::Address);
        }
        let allowed = literal.is_some_and(|address| self.guard.is_allowed(address));
        if !allowed && !matches!(url.port_or_known_default(), Some(443 | 1024..)) && url.scheme() == "https" {
            return Err(UrlError::Port);
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if allowed => Ok(()),
            _ => Err(UrlError::Scheme),
        }
    }
}

/// Waits so long for something, in portions in which this process runs; `None` if it did not come.
async fn in_portions<F: Future>(wanted: F, longest: Duration, portion: Duration) -> Option<F::Output> {
    let mut wanted = std::pin::pin!(wanted);
    for _ in 0..longest.as_millis() / portion.as_millis() {
        if let Ok(came) = tokio::time::timeout(portion, &mut wanted).await {
            return Some(came);
        }
    }
    None
}

/// Resolves names and gives out permitted addresses only, if all are: what was checked is what is connected to.
struct Guarded(Guard);

impl Resolve for Guarded {
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

fn encoded(pairs: &[(String, SecretString)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A failure to connect is one to send. All others may have come after that.
fn failure(error: reqwest::Error) -> SendError {
    if error.is_connect() || error.is_builder() {
        SendError::NotSent(text(error))
    } else {
        SendError::Lost(text(error))
    }
}

/// What went wrong, without the URL, which may hold secrets.
fn text(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

fn chain(error: &dyn std::error::Error) -> String {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// The runtime's only thread is stopped for longer than the whole wait, while the answer arrives.
    #[tokio::test]
    async fn what_arrived_while_the_process_was_stopped_is_read_before_the_time_is_over() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopped, begin) = std::sync::mpsc::channel();
        let provider = std::thread::spawn(move || {
            let mut connection = std::net::TcpStream::connect(address).unwrap();
            begin.recv().unwrap();
            connection.write_all(b"answer").unwrap();
        });
        let (mut connection, _) = listener.accept().await.unwrap();
        // As in a client, another task than the one that waits does the reading.
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            connection.read_to_string(&mut text).await.unwrap();
            text
        });
        tokio::spawn(async move {
            stopped.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(600));
        });
        let came = in_portions(reading, Duration::from_millis(500), Duration::from_millis(100)).await;
        assert_eq!(came.unwrap().unwrap(), "answer");
        provider.join().unwrap();
    }

    #[tokio::test]
    async fn what_does_not_come_is_waited_for_as_long_as_said() {
        let (longest, begun) = (Duration::from_millis(200), tokio::time::Instant::now());
        assert!(in_portions(std::future::pending::<()>(), longest, longest / 10).await.is_none());
        assert!(begun.elapsed() >= longest);
    }
}
