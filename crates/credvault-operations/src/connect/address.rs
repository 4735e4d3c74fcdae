//! The addresses of the connect page under the vault's `public.url`: where its URL is opened, where the page is, and where a
//! consent comes back to.

use credvault_domain::ConnectSessionId;
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

/// The path that a consent of the page comes back to.
pub(super) fn return_path(id: ConnectSessionId, way: ConsentWay) -> String {
    match way {
        ConsentWay::Window => format!("/connect/s/{id}/window"),
        ConsentWay::Page => page_path(id),
    }
}

/// The session whose page a consent comes back to, and the way; `None` if `url` is no such page at the vault's own `origin`.
/// For the callback's page, which completes the consent by `Visit::complete` if the browser has that session, and otherwise
/// tells the page that opened the window.
pub fn session_of(url: &str, origin: &str) -> Option<(ConnectSessionId, ConsentWay)> {
    let place = url.strip_prefix(origin)?.strip_prefix("/connect/s/")?;
    match place.split_once('/') {
        None => Some((place.parse().ok()?, ConsentWay::Page)),
        Some((id, "window")) => Some((id.parse().ok()?, ConsentWay::Window)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_page_itself_gives_is_found_again() {
        const ORIGIN: &str = "https://connect.example.com";
        let id: ConnectSessionId = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".parse().expect("an id");
        for way in [ConsentWay::Window, ConsentWay::Page] {
            let url = format!("{ORIGIN}{}", return_path(id, way));
            assert_eq!(session_of(&url, ORIGIN), Some((id, way)));
            assert_eq!(session_of(&url, "https://app.example.com"), None);
        }
        for url in ["", ORIGIN, "https://connect.example.com/connect/s/x", "/connect/s/"] {
            assert_eq!(session_of(url, ORIGIN), None, "{url}");
        }
        let longer = format!("{ORIGIN}{}/else", page_path(id));
        assert_eq!(session_of(&longer, ORIGIN), None);
    }
}
