//! A browser as the vault's own port sees it: a plain HTTP client with a cookie, and what it gets.

use std::collections::BTreeMap;

use credvault_proto::v1;
use reqwest::redirect::Policy;

use super::provider::{Connected, decide};

/// A browser and the port that it calls.
pub struct Browser {
    pub http: reqwest::Client,
    pub url: String,
    pub cookie: Option<String>,
}

/// What a browser got.
pub struct Seen {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Seen {
    fn between(&self, before: &str, after: &str) -> String {
        let (_, rest) = self.body.split_once(before).unwrap_or_else(|| panic!("{before} in {}", self.body));
        rest.split_once(after).unwrap().0.to_owned()
    }

    pub fn title(&self) -> String {
        self.between("<title>", "</title>")
    }

    pub fn reason(&self) -> String {
        self.between("class=\"reason\">", "<")
    }

    pub fn data(&self, name: &str) -> String {
        self.between(&format!(" data-{name}=\""), "\"")
    }

    /// The page of the vault's own that a browser is sent to.
    pub fn returned(&self) -> Option<String> {
        let location = self.headers.get("location")?.to_str().ok()?;
        (self.status == 303 && location.starts_with("/oauth/return/")).then(|| location.to_owned())
    }

    /// The address that the window goes to where no page can be told, and the message in its fragment.
    pub fn onward(&self) -> (String, BTreeMap<String, String>) {
        let address = self.between("id=\"onward\" href=\"", "\"").replace("&amp;", "&");
        let (address, fragment) = address.split_once('#').unwrap();
        (address.to_owned(), url::form_urlencoded::parse(fragment.as_bytes()).into_owned().collect())
    }

    /// The address of a file that the page loads, such as `page` with the ending `js`.
    pub fn file(&self, stem: &str, ending: &str) -> String {
        let (start, end) = (format!("/assets/{stem}-"), format!(".{ending}"));
        let mut values = self.body.split('"');
        let found = values.find(|value| value.starts_with(&start) && value.ends_with(&end));
        found.unwrap_or_else(|| panic!("{start}{end} in {}", self.body)).to_owned()
    }

    pub fn hidden(&self, name: &str) -> String {
        self.between(&format!("name=\"{name}\" value=\""), "\"")
    }
}

impl Browser {
    pub fn of(connected: &Connected) -> Self {
        let address = connected.vault.instance.as_ref().unwrap().public_address.unwrap();
        Self::at(&format!("http://{address}"))
    }

    pub fn at(url: &str) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { http, url: url.to_owned(), cookie: None }
    }

    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> Seen {
        let cookie = self.cookie.iter().fold(request, |request, cookie| request.header("cookie", cookie));
        let response = cookie.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if let Some(cookie) = headers.get("set-cookie") {
            self.cookie = Some(cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        Seen { status, headers, body: response.text().await.unwrap() }
    }

    /// Opens an address, and the page of the vault's own that this leads to.
    pub async fn get(&mut self, path: &str, query: &BTreeMap<String, String>) -> Seen {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let seen = self.send(self.http.get(format!("{}{path}?{query}", self.url))).await;
        match seen.returned() {
            Some(page) => self.open(&page).await,
            None => seen,
        }
    }

    pub async fn open(&mut self, path: &str) -> Seen {
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    pub async fn post(&mut self, path: &str, form: &BTreeMap<String, String>) -> Seen {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(format!("{}{path}", self.url));
        self.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    /// Follows the URL that BeginAuthorization gave, as far as the provider.
    pub async fn start(&mut self, begun: &v1::BeginAuthorizationResponse) -> Seen {
        let path = begun.authorization_url.strip_prefix("http://localhost:7480").unwrap();
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    /// Starts, and allows at the provider: what the callback is called with.
    pub async fn allow(&mut self, begun: &v1::BeginAuthorizationResponse) -> BTreeMap<String, String> {
        let started = self.start(begun).await;
        assert_eq!(started.status, 303, "{}", started.body);
        decide(started.headers["location"].to_str().unwrap(), "shop-1", "allow").await
    }

    pub async fn confirm(&mut self, page: &Seen) -> Seen {
        self.decide(&page.hidden("consent"), "connect").await
    }

    pub async fn decide(&mut self, consent: &str, decision: &str) -> Seen {
        let form = [("consent", consent), ("decision", decision)];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.post("/oauth/confirm", &form.into()).await
    }
}
