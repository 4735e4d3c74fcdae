//! Connect pages: the session that a service makes, the browser that opens it, and what the page may do then. Some tests call
//! the operations as the page's handlers do, others the pages over HTTP; `tests/browser` walks them with a real browser.

mod window;

mod accounts;
mod consenting;
mod ends;
mod guarded;
mod marketplaces;
mod opening;
mod pages;
mod shown;
mod windows;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use credvault_operations::Refusal;
use credvault_operations::connect::{Changes, Entry, Visit, Visits};
use credvault_operations::consents::browser::Browser;
use credvault_proto::v1;
use secrecy::{ExposeSecret as _, SecretString};

use crate::harness::{Client, TestVault};

/// A browser on the page that it has opened.
pub struct Page {
    pub visits: Visits,
    pub browser: Browser,
    pub id: String,
}

/// A browser with a cookie of this letter.
pub fn browser(letter: &str) -> Browser {
    Browser { id: Some(letter.repeat(43)), address: "192.0.2.7".parse().unwrap() }
}

pub fn request() -> v1::CreateConnectSessionRequest {
    v1::CreateConnectSessionRequest { return_origin: "https://app.example.com".into(), ..Default::default() }
}

pub async fn session(
    client: &Client,
    request: v1::CreateConnectSessionRequest,
) -> v1::CreateConnectSessionResponse {
    client.connections().create_connect_session(request).await.unwrap().into_inner()
}

/// The token at the end of a session's URL.
pub fn token(made: &v1::CreateConnectSessionResponse) -> String {
    let (place, token) = made.url.rsplit_once('/').unwrap();
    assert_eq!(place, "http://localhost:7480/connect/open");
    token.to_owned()
}

/// The app, acting for a user of the tenant `acme`. It may reach all users.
pub async fn acting(vault: &TestVault, user: &str) -> Client {
    vault.app("acme").await.acting_for("acme", Some(user))
}

pub fn visits(vault: &TestVault) -> Visits {
    Visits::new(Arc::clone(vault.instance.as_ref().unwrap().operations()))
}

/// The page of a user, opened in a browser.
pub async fn opened(vault: &TestVault, user: &str, request: v1::CreateConnectSessionRequest) -> Page {
    let made = session(&acting(vault, user).await, request).await;
    let (visits, browser) = (visits(vault), browser("A"));
    let id = visits.open(&token(&made), &browser).await.unwrap().to_string();
    assert_eq!(id, made.session_id);
    Page { visits, browser, id }
}

impl Page {
    pub async fn visit(&self) -> Result<Visit, Refusal> {
        self.visits.enter(&self.id, &self.browser).await
    }

    /// A request of the page itself.
    pub async fn changes(&self) -> Changes {
        let visit = self.visit().await.unwrap();
        let token = visit.form_token().expose_secret().to_owned();
        visit.confirmed(&token).await.unwrap()
    }

    /// The accounts that the page shows, with what it may do with them.
    pub async fn accounts(&self) -> BTreeMap<String, Vec<&'static str>> {
        let listing = self.visit().await.unwrap().connections(String::new()).await.unwrap();
        let shown = listing.connections.into_iter().map(|connection| {
            let actions = connection.actions.iter().map(|action| action.as_str()).collect();
            (connection.account_name, actions)
        });
        shown.collect()
    }
}

/// The reason that the audit log has for a refusal.
pub fn reason<T>(result: Result<T, Refusal>) -> &'static str {
    result.map(drop).expect_err("it is to be refused").recorded_reason().as_str()
}

/// A form, filled in.
pub fn entry(provider: &str, mode: &str, account: &str, values: &[(&str, &str)]) -> Entry {
    let value = |(name, value): &(&str, &str)| ((*name).to_owned(), SecretString::from(*value));
    Entry {
        provider: provider.into(),
        auth_mode: mode.into(),
        account_name: account.into(),
        shared: false,
        values: values.iter().map(value).collect(),
    }
}
