//! A window of a browser on a connect page: it keeps cookies by name, goes where the vault sends it, and sends forms as browsers
//! do. Each page that it gets is held against what holds for all of them.

use std::collections::BTreeMap;

use credvault_proto::v1;
use reqwest::RequestBuilder;
use reqwest::redirect::Policy;

use super::{acting, session, token};
use crate::harness::browser::Seen;
use crate::harness::provider::Connected;

/// The vault's own origin, as its settings have it.
pub const OWN: &str = "http://localhost:7480";
/// The origin that may embed the pages.
pub const APP: &str = "https://app.example.com";

/// A window with the cookies of its browser.
#[derive(Clone)]
pub struct Window {
    http: reqwest::Client,
    url: String,
    cookies: BTreeMap<String, String>,
    /// The path of the session's list.
    pub list: String,
    /// Where the window has come to.
    pub path: String,
    /// The token of the page's forms.
    pub token: String,
}

impl Window {
    /// A window of a browser that has no session yet.
    pub fn new(connected: &Connected) -> Self {
        let address = connected.vault.instance.as_ref().unwrap().public_address.unwrap();
        Self {
            http: reqwest::Client::builder().redirect(Policy::none()).build().unwrap(),
            url: format!("http://{address}"),
            cookies: BTreeMap::new(),
            list: String::new(),
            path: String::new(),
            token: String::new(),
        }
    }

    /// The page of a user, opened.
    pub async fn opened(
        connected: &Connected,
        user: &str,
        request: v1::CreateConnectSessionRequest,
    ) -> (Self, Seen) {
        let made = session(&acting(&connected.vault, user).await, request).await;
        let mut window = Self::new(connected);
        let seen = window.go(&format!("/connect/open/{}", token(&made))).await;
        window.list = format!("/connect/s/{}", made.session_id);
        assert_eq!((seen.status, window.path.as_str()), (200, window.list.as_str()), "{}", seen.body);
        window.token = seen.hidden("token");
        (window, seen)
    }

    /// Follows a link: the path may have the vault's origin before it.
    pub async fn go(&mut self, path: &str) -> Seen {
        let path = path.strip_prefix(OWN).unwrap_or(path).replace("&amp;", "&");
        let request = self.http.get(format!("{}{path}", self.url));
        self.send(&path, request).await
    }

    /// Follows a link to a page of the session.
    pub async fn look(&mut self, rest: &str) -> Seen {
        self.go(&format!("{}{rest}", self.list)).await
    }

    /// Sends a form of the page.
    pub async fn post(&mut self, rest: &str, fields: &[(&str, &str)]) -> Seen {
        let token = self.token.clone();
        let own = [("sec-fetch-site", "same-origin")];
        self.post_with(rest, &[&[("token", token.as_str())][..], fields].concat(), &own).await
    }

    /// Sends a form, token included, with these headers.
    pub async fn post_with(&mut self, rest: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Seen {
        let path = format!("{}{rest}", self.list);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(format!("{}{path}", self.url)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(&path, request).await
    }

    /// Forgets a cookie, or has another value for it.
    pub fn with_cookie(&mut self, name: &str, value: Option<&str>) {
        self.cookies.remove(name);
        self.cookies.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    async fn send(&mut self, path: &str, request: RequestBuilder) -> Seen {
        let (mut path, mut request) = (path.to_owned(), request);
        for _ in 0..6 {
            let cookies: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            if !cookies.is_empty() {
                request = request.header("cookie", cookies.join("; "));
            }
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            for cookie in headers.get_all("set-cookie") {
                let (name, value) =
                    cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            let next = headers.get("location").map(|next| next.to_str().unwrap().to_owned());
            match next.filter(|next| next.starts_with('/')) {
                Some(next) => {
                    request = self.http.get(format!("{}{next}", self.url));
                    path = next;
                }
                None => {
                    path.split('?').next().unwrap().clone_into(&mut self.path);
                    let seen = Seen { status, headers, body: response.text().await.unwrap() };
                    hold(&seen);
                    return seen;
                }
            }
        }
        panic!("{path} leads in a circle");
    }
}

/// What holds for every page: no secret, no code or style in the text, nothing from another site.
fn hold(seen: &Seen) {
    for secret in ["CANARY", "sim_key_", "sim_secret"] {
        assert!(!seen.body.contains(secret), "{secret}: {}", seen.body);
    }
    assert!(!seen.body.contains(" style=") && !seen.body.contains("<style"), "{}", seen.body);
    assert!(!seen.body.contains("src=\"http") && !seen.body.contains("<script>"), "{}", seen.body);
    if seen.status != 303 {
        let policy = seen.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

/// Who may embed a page, by each of the two headers.
pub fn embedders(seen: &Seen) -> (String, bool) {
    let policy = seen.headers["content-security-policy"].to_str().unwrap();
    let (_, embedders) = policy.split_once("frame-ancestors ").unwrap();
    (embedders.to_owned(), seen.headers.contains_key("x-frame-options"))
}
