//! WooCommerce's delivery of API keys: the shop posts them from server to server, then redirects the browser back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use crate::page;
use crate::parameters::{Parameters, is_loopback, with_pairs};
use crate::state::{KeyPair, Shared};

/// The longest time that the callback may take.
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(5);

const CARRIED: [&str; 5] = ["app_name", "scope", "user_id", "return_url", "callback_url"];

pub(crate) async fn authorize(RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::query(query.as_deref());
    let delivery = match KeyDelivery::read(&parameters) {
        Ok(delivery) => delivery,
        Err(what) => return page::objection(what).into_response(),
    };
    let carried: Vec<_> =
        CARRIED.into_iter().filter_map(|name| Some((name, parameters.get(name)?))).collect();
    let app = parameters.get("app_name").unwrap_or("An app without a name");
    let content = html! {
        p { strong { (app) } " asks for API keys with the permission " code { (delivery.permissions) } "." }
        (page::decision("/wc-auth/v1/decide", &carried))
    };
    page::page(StatusCode::OK, "Give access to your shop?", &content).into_response()
}

pub(crate) async fn decide(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let parameters = Parameters::form(&body);
    let delivery = match KeyDelivery::read(&parameters) {
        Ok(delivery) => delivery,
        Err(what) => return page::objection(what).into_response(),
    };
    let allowed = parameters.get("decision") == Some("allow");
    if allowed {
        let Some(account) = parameters.account() else {
            return page::objection(page::ACCOUNT).into_response();
        };
        if !delivery.deliver(&shared, account).await {
            return page::objection("The callback_url did not take the keys.").into_response();
        }
    }
    let success = if allowed { "1" } else { "0" };
    let pairs = [("success", success), ("user_id", delivery.user_id)];
    Redirect::to(&with_pairs(&delivery.return_url, &pairs)).into_response()
}

struct KeyDelivery<'p> {
    permissions: &'static str,
    user_id: &'p str,
    return_url: Url,
    callback_url: Url,
}

impl<'p> KeyDelivery<'p> {
    fn read(parameters: &'p Parameters) -> Result<Self, &'static str> {
        let permissions = match parameters.get("scope") {
            Some("read") => "read",
            Some("write") => "write",
            Some("read_write") => "read_write",
            _ => return Err("The scope must be read, write or read_write."),
        };
        let local = |name| {
            let url = parameters.get(name).and_then(|url| Url::parse(url).ok());
            url.filter(is_loopback)
        };
        let return_url = local("return_url").ok_or("The return_url must stay on this machine.")?;
        // A real shop insists on https. Here it is plain HTTP that never leaves the machine.
        let callback_url = local("callback_url").filter(|url| url.scheme() == "http");
        let callback_url = callback_url.ok_or("The callback_url must be plain HTTP on this machine.")?;
        let user_id = parameters.get("user_id").ok_or("The user_id is missing.")?;
        Ok(Self { permissions, user_id, return_url, callback_url })
    }

    /// Makes keys and posts them to the callback. `false` if the callback did not accept them; then they do not work.
    async fn deliver(&self, shared: &Shared, account: &str) -> bool {
        let (id, key, secret) = shared.with(|state| {
            let (key, secret) = (state.ledger.opaque.value("ck_"), state.ledger.opaque.value("cs_"));
            let pair = KeyPair { secret: secret.clone(), account: account.to_owned() };
            state.key_pairs.insert(key.clone(), pair);
            (state.key_pairs.len(), key, secret)
        });
        let body = json!({
            "key_id": id,
            "user_id": self.user_id,
            "consumer_key": key,
            "consumer_secret": secret,
            "key_permissions": self.permissions,
        });
        let posted =
            tokio::time::timeout(CALLBACK_TIMEOUT, post(&self.callback_url, &body.to_string())).await;
        let taken = matches!(posted, Ok(Ok(200)));
        shared.with(|state| {
            if taken {
                state.counts.keys_delivered += 1;
            } else {
                state.key_pairs.remove(&key);
            }
        });
        taken
    }
}

/// Posts JSON over plain HTTP/1.1 and returns the status. Written by hand, because a client library would bring TLS and
/// proxies for this one request to the same machine.
async fn post(url: &Url, body: &str) -> io::Result<u16> {
    let strange = || io::Error::from(io::ErrorKind::InvalidData);
    let host = url.host_str().ok_or_else(strange)?;
    let port = url.port_or_known_default().ok_or_else(strange)?;
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let (path, query) = (url.path(), url.query().map(|query| format!("?{query}")).unwrap_or_default());
    let request = format!(
        "POST {path}{query} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: WooCommerce simulator\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    // `HTTP/1.1 200`: the rest of the answer does not matter.
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|status| str::from_utf8(status).ok());
    status.and_then(|status| status.parse().ok()).ok_or_else(strange)
}
