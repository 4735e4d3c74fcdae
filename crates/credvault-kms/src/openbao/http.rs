//! Requests to OpenBao and their answers, as HTTP. It knows tokens only as a header, and no paths.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Identity, Method, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::settings::{OpenBaoLogin, OpenBaoSettings, check_path};
use crate::failure::Failure;

/// What callers give up after is shorter. This ends what they have left behind.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most answers have some hundred bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Files with certificates, keys and tokens.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// An address that was checked, and what each request says.
pub(super) struct Server {
    /// The address with the version of the interface, without a slash at its end.
    base: String,
    headers: HeaderMap,
}

/// A way to send requests.
#[derive(Clone)]
pub(super) struct Client {
    base: String,
    client: reqwest::Client,
}

/// What the server answered.
pub(crate) struct Answer {
    /// The status: 2xx or 4xx.
    pub(crate) status: u16,
    body: Zeroizing<Vec<u8>>,
}

impl Server {
    pub(super) fn of(settings: &OpenBaoSettings) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        // What OpenBao's agent and proxy demand, against requests that a browser was talked into.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &settings.namespace {
            check_path("namespace", namespace)?;
            let value = HeaderValue::from_str(namespace);
            headers.insert("x-vault-namespace", value.map_err(|_| wrong("the namespace is no header"))?);
        }
        Ok(Self { base: base(&settings.address)?, headers })
    }

    /// A client with the certificates as they are in the files now.
    pub(super) async fn client(&self, settings: &OpenBaoSettings) -> Result<Client, Failure> {
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            // Whatever proxy the environment names must not see tokens and keys.
            .no_proxy()
            .https_only(self.base.starts_with("https:"))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent("credvault")
            .default_headers(self.headers.clone());
        if let Some(file) = &settings.ca_file {
            let authorities = Certificate::from_pem_bundle(&read("ca_file", file).await?);
            let authorities = authorities.map_err(|_| wrong("ca_file holds no certificates in PEM"))?;
            if authorities.is_empty() {
                return Err(wrong("ca_file holds no certificates in PEM"));
            }
            builder = builder.tls_certs_only(authorities);
        }
        if let OpenBaoLogin::Certificate { certificate_file, key_file, .. } = &settings.login {
            let mut pem = read("certificate_file", certificate_file).await?;
            pem.push(b'\n');
            pem.extend_from_slice(&read("key_file", key_file).await?);
            let identity = Identity::from_pem(&pem);
            let useless = "certificate_file and key_file hold no certificate with its key in PEM";
            builder = builder.identity(identity.map_err(|_| wrong(useless))?);
        }
        let client =
            builder.build().map_err(|error| wrong(&credvault_domain::chain(&error.without_url())))?;
        Ok(Client { base: self.base.clone(), client })
    }
}

impl Client {
    /// Sends a request and reads the answer of at most [`MAX_ANSWER_BYTES`].
    ///
    /// # Errors
    /// As [`Self::send_for`].
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&SecretString>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, Failure> {
        self.send_for(method, path, token, body, MAX_ANSWER_BYTES).await
    }

    /// Sends a request and reads the answer of at most `max_bytes`.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: there is no answer, or one that the request is not to blame for. [`Failure::Large`]: it has
    /// more bytes.
    pub(super) async fn send_for(
        &self,
        method: Method,
        path: &str,
        token: Option<&SecretString>,
        body: Option<&(impl Serialize + Sync)>,
        max_bytes: usize,
    ) -> Result<Answer, Failure> {
        let mut request = self.client.request(method, format!("{}/{path}", self.base));
        if let Some(token) = token {
            let value = HeaderValue::from_str(token.expose_secret());
            let mut value = value.map_err(|_| Failure::Denied("the token is not of one line".to_owned()))?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        if let Some(body) = body {
            let body = serde_json::to_vec(body).map_err(|_| wrong("a name is no text"))?;
            request = request.header("content-type", "application/json").body(body);
        }
        let lost = |error: reqwest::Error| unavailable(&credvault_domain::chain(&error.without_url()));
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > max_bytes {
                return Err(Failure::Large(max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            200..=299 | 400..=428 => Ok(Answer { status, body }),
            429 => Err(unavailable("it has had too many requests (HTTP 429)")),
            503 => Err(unavailable("it is sealed, or a standby that does not forward (HTTP 503)")),
            other => Err(unavailable(&format!("it answered HTTP {other}"))),
        }
    }
}

impl Answer {
    /// Whether the request was carried out.
    pub(crate) fn is_success(&self) -> bool {
        self.status < 300
    }

    /// Reads what was asked for.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: it is of another shape, so something else answered.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| unavailable("its answer is not of OpenBao's shape"))
    }

    /// Whether the text of a refusal contains these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.body.windows(words.len().max(1)).any(|window| window == words.as_bytes())
    }
}

/// Reads a small file, of which `what` is the setting.
///
/// # Errors
/// [`Failure::Settings`]: it is not there, cannot be read or is too large.
pub(super) async fn read(what: &str, file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable =
        |error: std::io::Error| wrong(&format!("{what} {} cannot be read: {error}", file.display()));
    let mut content = Zeroizing::new(Vec::new());
    let opened = tokio::fs::File::open(file).await.map_err(unreadable)?;
    opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).await.map_err(unreadable)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(&format!("{what} {} is larger than 256 KiB", file.display())));
    }
    Ok(content)
}

/// Checks an address and gives the URL that all paths begin with.
fn base(address: &str) -> Result<String, Failure> {
    let url = Url::parse(address)
        .map_err(|_| wrong("the address is no URL, such as https://openbao.internal:8200"))?;
    let bare = url.username().is_empty() && url.password().is_none();
    if !bare || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("the address takes a host and a port only"));
    }
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        _ => return Err(wrong("the address is not https; plain http is for a server on this machine")),
    }
    Ok(format!("{}/v1", url.as_str().trim_end_matches('/')))
}

fn wrong(text: &str) -> Failure {
    Failure::Settings(text.to_owned())
}

fn unavailable(text: &str) -> Failure {
    Failure::Unavailable(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        assert_eq!(base("https://bao.internal:8200/").unwrap(), "https://bao.internal:8200/v1");
        for here in ["http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost:8200"] {
            assert!(base(here).is_ok(), "{here}");
        }
        let elsewhere =
            ["http://10.0.0.1:8200", "http://localhost.example", "ftp://127.0.0.1", "bao:8200", ""];
        let more_than_a_host =
            ["https://user@bao", "https://:CANARY@bao", "https://bao?a=b", "https://bao#a"];
        for address in elsewhere.into_iter().chain(more_than_a_host) {
            let error = format!("{:?}", base(address).unwrap_err());
            assert!(!error.contains("CANARY"), "{error}");
        }
    }
}
