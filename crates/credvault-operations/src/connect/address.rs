//! The addresses of the connect page under the vault's `public.url`: where its URL is opened, where the page is, and where a
//! consent comes back to.

use credvault_domain::{ConnectSessionId, ConnectionId, ProviderId};
use credvault_store::Error as StoreError;

use crate::{Context, Refusal};

/// How a page sends its person to a provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsentWay {
    /// In a window of its own, which the page has opened and which tells it the result.
    Window,
    /// In the place of the page, which the browser comes back to: on phones, and without scripts.
    Page,
}

/// The origin under which browsers reach the vault.
///
/// # Errors
/// The vault has no port for browsers.
pub(super) fn public_url(context: &Context) -> Result<&str, Refusal> {
    const NONE: &str =
        "this vault has no port for browsers, which connect pages need; an operator must set public.url";
    context.broker.public_url().ok_or(Refusal::Store(StoreError::State(NONE)))
}

/// The path that opens a session, once.
pub fn open_path(token: &str) -> String {
    format!("/connect/open/{token}")
}

/// The path of a session's page.
pub fn page_path(id: ConnectSessionId) -> String {
    format!("/connect/s/{id}")
}

/// A consent that a page waits for, as the address says that the consent comes back to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Awaited {
    /// The session of the page.
    pub session: ConnectSessionId,
    /// How the page has sent its person to the provider.
    pub way: ConsentWay,
    /// The connection that is to be connected.
    pub connection: ConnectionId,
    /// The provider's id in the catalog.
    pub provider: ProviderId,
}

impl Awaited {
    /// The path that the consent comes back to. What it connects stands in the query, for the pages that say how it ended.
    pub(super) fn return_path(&self) -> String {
        let rest = match self.way {
            ConsentWay::Window => "/window",
            ConsentWay::Page => "",
        };
        format!("{}{rest}?{}", page_path(self.session), self.query())
    }

    /// What says in an address which connection it is about, as [`Awaited::read`] reads it.
    pub fn query(&self) -> String {
        format!("of={}&at={}", self.connection, self.provider.as_str())
    }

    /// The consent that comes back to `url`; `None` if that is no page for consents at the vault's own `origin`. For the
    /// callback's page, which completes the consent by `Visit::complete` if the browser has that session, and otherwise tells the
    /// page that opened the window.
    pub fn read(url: &str, origin: &str) -> Option<Self> {
        let place = url.strip_prefix(origin)?.strip_prefix("/connect/s/")?;
        let (path, query) = place.split_once('?')?;
        let (session, way) = match path.split_once('/') {
            None => (path, ConsentWay::Page),
            Some((session, "window")) => (session, ConsentWay::Window),
            Some(_) => return None,
        };
        let (connection, provider) = query.strip_prefix("of=")?.split_once("&at=")?;
        Some(Self {
            session: session.parse().ok()?,
            way,
            connection: connection.parse().ok()?,
            provider: ProviderId::parse(provider).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_page_itself_gives_is_found_again() {
        const ORIGIN: &str = "https://connect.example.com";
        let id: ConnectSessionId = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".parse().expect("an id");
        let connection: ConnectionId = "0193a5b2-7c40-7cc1-9d3e-00000000000c".parse().expect("an id");
        for way in [ConsentWay::Window, ConsentWay::Page] {
            let provider = ProviderId::parse("shopify").expect("a name");
            let awaited = Awaited { session: id, way, connection, provider };
            let url = format!("{ORIGIN}{}", awaited.return_path());
            assert_eq!(Awaited::read(&url, ORIGIN), Some(awaited));
            assert_eq!(Awaited::read(&url, "https://app.example.com"), None);
        }
        for url in ["", ORIGIN, "https://connect.example.com/connect/s/x", "/connect/s/"] {
            assert_eq!(Awaited::read(url, ORIGIN), None, "{url}");
        }
        for rest in ["/else?of=x&at=y", "?of=x&at=shopify", &format!("?at=shopify&of={connection}")] {
            let url = format!("{ORIGIN}{}{rest}", page_path(id));
            assert_eq!(Awaited::read(&url, ORIGIN), None, "{url}");
        }
    }
}
