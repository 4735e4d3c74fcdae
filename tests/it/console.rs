//! The operators' console: the program serves it, and a plain HTTP client is its browser.

mod access;
mod audit;
mod changes;
mod connection;
mod pages;

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};

use crate::harness::browser::Seen;
use crate::harness::{DOMAIN, Process, TestVault, VaultBuilder};

/// What lets the operator of these tests see all of a tenant: the pages need it beside the administration.
const LOOKS_INTO_TENANTS: &str = r#"
@id("operator-looks-into-tenants")
permit (principal == Service::"spiffe://test.local/operator",
    action in [Action::"AssertTenant", Action::"AccessOtherUsers"], resource);
"#;

/// A vault whose operator sees all of each tenant.
async fn overseen(builder: VaultBuilder) -> TestVault {
    builder.policies(LOOKS_INTO_TENANTS).allow_loopback().start().await
}

/// A console that runs, its one-time ticket, and the browser that it has let in.
struct Console {
    child: Child,
    /// Open as long as the program runs, which could print nothing more otherwise.
    _printed: Lines<BufReader<ChildStdout>>,
    authority: String,
    ticket: String,
    http: reqwest::Client,
    cookie: Option<String>,
}

impl Console {
    /// Starts the program with the certificate of a service.
    fn start(vault: &TestVault, service: &str) -> Self {
        vault.write_leaf(service, &vault.authority.service(&format!("spiffe://{DOMAIN}/{service}")));
        let profile = format!(
            "address = 'https://localhost:{}'\nauthority = 'ca.pem'\ncertificate = '{service}.pem'\nkey = '{service}.key'\nenvironment = 'staging'\n",
            vault.address().port()
        );
        vault.write("console.toml", &profile);
        let mut command = Process::command();
        command.current_dir(vault.folder.path()).args([
            "console",
            "--no-browser",
            "--profile",
            "console.toml",
        ]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = lines.by_ref().map_while(Result::ok).map(|line| line.trim().to_owned());
        let url = printed.find(|line| line.starts_with("http://")).unwrap();
        let (authority, ticket) = url.strip_prefix("http://").unwrap().split_once("/begin?ticket=").unwrap();
        let (authority, ticket) = (authority.to_owned(), ticket.to_owned());
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { child, _printed: lines, authority, ticket, http, cookie: None }
    }

    /// The same, with the browser let in.
    async fn open(vault: &TestVault, service: &str) -> Self {
        let mut console = Self::start(vault, service);
        let seen = console.enter().await;
        assert_eq!(seen.status, 200, "{}", seen.body);
        console
    }

    /// Opens the printed address, and keeps the cookie if there is one.
    async fn enter(&mut self) -> Seen {
        let seen = self.get(&format!("/begin?ticket={}", self.ticket)).await;
        if let Some(cookie) = seen.headers.get(SET_COOKIE) {
            self.cookie = Some(cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        seen
    }

    /// A request with the cookie and nothing else.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.authority));
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Seen {
        seen(self.request(Method::GET, path)).await
    }

    /// A page that must be whole.
    async fn page(&self, path: &str) -> String {
        let seen = self.get(path).await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.body);
        assert!(!seen.body.contains("CANARY"), "{path}: {}", seen.body);
        seen.body
    }

    /// Sends a form as a page of the console does.
    async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Seen {
        let key = self.get("/end").await.hidden("form_key");
        let form = form(&[&[("form_key", key.as_str())][..], pairs].concat());
        seen(self.form(path, form).header(ORIGIN, format!("http://{}", self.authority))).await
    }

    /// A form with this body, which names no origin.
    fn form(&self, path: &str, body: String) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

async fn seen(request: RequestBuilder) -> Seen {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Seen { status, headers, body: response.text().await.unwrap() }
}
