//! A simulator, a client that follows no redirects, and the app's side of the flows.

use std::net::SocketAddr;
use std::time::Duration;

use credvault_simulator::{Behaviour, CLIENT_ID, CLIENT_SECRET, Simulator, Step};
use reqwest::{Client, Response};
use serde_json::Value;

/// The registered callback. No server listens there, because the client follows no redirects.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:9/callback";
/// A verifier and its challenge, from RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) struct Fixture {
    pub(crate) simulator: Simulator,
    pub(crate) client: Client,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let simulator = Simulator::start(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .unwrap();
        Self { simulator, client }
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Behaviour)) -> Self {
        let fixture = Self::start().await;
        fixture.simulator.behave(change);
        fixture
    }

    pub(crate) async fn with_step(step: Step) -> Self {
        Self::with(|behaviour| behaviour.script = vec![step]).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.simulator.url() + path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> reqwest::Result<Response> {
        let request = self.client.post(self.simulator.url() + path);
        request.header("content-type", "application/x-www-form-urlencoded").body(form(pairs)).send().await
    }

    /// A token request as the app.
    pub(crate) async fn try_token(&self, pairs: &[(&str, &str)]) -> reqwest::Result<Response> {
        let app = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        self.post("/token", &[&app, pairs].concat()).await
    }

    /// A token request as the app, with the answer parsed as JSON.
    pub(crate) async fn token(&self, pairs: &[(&str, &str)]) -> (u16, Value) {
        json(self.try_token(pairs).await.unwrap()).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> (u16, Value) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// A refresh that must succeed.
    pub(crate) async fn renewed(&self, token: &str) -> (String, String) {
        let (status, body) = self.refresh(token).await;
        assert_eq!(status, 200, "{body}");
        (text(&body, "access_token"), text(&body, "refresh_token"))
    }

    /// The status that `/me` gives to a token.
    pub(crate) async fn me(&self, token: &str) -> u16 {
        let request = self.client.get(self.simulator.url() + "/me").bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }

    /// Allows access in the browser and gives the callback's parameters.
    pub(crate) async fn allow(&self, account: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        self.decide(&[&[("decision", "allow"), ("account", account)], more].concat()).await
    }

    pub(crate) async fn decide(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let common = [
            ("client_id", CLIENT_ID),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("state", "state-1"),
            ("scope", "read write"),
        ];
        // The first of a name counts.
        let response = self.post("/decide", &[more, &common].concat()).await.unwrap();
        assert_eq!(response.status(), 303);
        parameters(&response)
    }

    /// A code for an account.
    pub(crate) async fn code(&self, account: &str) -> String {
        value(&self.allow(account, &[]).await, "code").unwrap()
    }

    pub(crate) async fn exchange(&self, code: &str) -> (u16, Value) {
        let pairs = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
        self.token(&pairs).await
    }

    /// The answer to the exchange of a new code.
    pub(crate) async fn connect(&self, account: &str) -> Value {
        let (status, body) = self.exchange(&self.code(account).await).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

/// Lets tokio's clock jump forward. Only in tests with one thread.
pub(crate) async fn pass(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

pub(crate) async fn json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("not JSON: {body}")))
}

/// The query of the URL that a response redirects to.
pub(crate) fn parameters(response: &Response) -> Vec<(String, String)> {
    let location = response.headers()["location"].to_str().unwrap();
    url::Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

pub(crate) fn value(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

pub(crate) fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
}
