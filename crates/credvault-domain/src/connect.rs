//! What a connect page may do: the page on which a customer lists, adds and ends connections, in the name of the service that
//! made a session for it. A session says for whom the page is, where it may be embedded, and this.

use crate::{Action, NameError, ProviderId};

/// The largest number of providers that a session names.
pub const MAX_CONNECT_PROVIDERS: usize = 64;
/// The longest language tag, in bytes.
const MAX_LANGUAGE_BYTES: usize = 35;

/// Something that a person may do on a connect page. Every session shows the connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConnectAction {
    /// Connect another account at a provider.
    Add,
    /// Give a connection another credential, or consent again.
    Reconnect,
    /// Ask the provider whether a connection works.
    Test,
    /// Give a connection another name.
    Rename,
    /// Choose which account is used where none is named.
    SetDefault,
    /// Destroy a connection's credential, and revoke it at the provider.
    Disconnect,
    /// The same, and the connection leaves the list.
    Remove,
}

impl ConnectAction {
    /// Every action, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Add,
        Self::Reconnect,
        Self::Test,
        Self::Rename,
        Self::SetDefault,
        Self::Disconnect,
        Self::Remove,
    ];

    /// The action as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Reconnect => "reconnect",
            Self::Test => "test",
            Self::Rename => "rename",
            Self::SetDefault => "set_default",
            Self::Disconnect => "disconnect",
            Self::Remove => "remove",
        }
    }

    /// Reads what [`ConnectAction::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// Whether it changes a connection. A test only notes what the provider says.
    pub const fn changes(self) -> bool {
        match self {
            Self::Test => false,
            Self::Add
            | Self::Reconnect
            | Self::Rename
            | Self::SetDefault
            | Self::Disconnect
            | Self::Remove => true,
        }
    }

    /// The RPC that does it, whose permission the service needs. `by_consent` tells whether the provider asks the person for
    /// consent, which takes BeginAuthorization and CompleteAuthorization, too.
    pub const fn rpc(self, by_consent: bool) -> Action {
        match self {
            Self::Add => Action::CreateConnection,
            Self::Reconnect if by_consent => Action::BeginAuthorization,
            Self::Reconnect => Action::PutCredential,
            Self::Test => Action::TestConnection,
            Self::Rename => Action::UpdateConnection,
            Self::SetDefault => Action::SetDefaultConnection,
            Self::Disconnect => Action::DisconnectConnection,
            Self::Remove => Action::DeleteConnection,
        }
    }
}

/// What a session lets its page do, and where the page is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectTerms {
    /// The providers that the page shows; none means all.
    pub providers: Vec<ProviderId>,
    /// What the person may do.
    pub actions: Vec<ConnectAction>,
    /// Whether the page changes what all users of the tenant share, and not only the person's own connections.
    pub manages_shared: bool,
    /// The origin that may embed the page and gets its messages; `None` if the page stands alone.
    pub origin: Option<String>,
    /// Where the person goes when the page is done; a URL of that origin.
    pub return_url: Option<String>,
    /// The language of the page; empty means that of the browser.
    pub language: String,
}

impl ConnectTerms {
    /// Whether the page shows this provider.
    pub fn shows(&self, provider: &ProviderId) -> bool {
        self.providers.is_empty() || self.providers.contains(provider)
    }

    /// Whether the page does this.
    pub fn permits(&self, action: ConnectAction) -> bool {
        self.actions.contains(&action)
    }
}

/// Checks a language tag (RFC 5646), such as `en` or `de-AT`; empty means that of the browser.
///
/// # Errors
/// The text is not of that form.
pub fn check_language(tag: &str) -> Result<(), NameError> {
    let part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if tag.is_empty() || (tag.len() <= MAX_LANGUAGE_BYTES && tag.split('-').all(part)) {
        Ok(())
    } else {
        Err(NameError(
            "must be a language tag, such as en or de-AT, or be left out for the browser's language",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_one_spelling_each() {
        for action in ConnectAction::ALL {
            assert_eq!(ConnectAction::from_stored(action.as_str()), Some(action));
        }
        assert_eq!(ConnectAction::from_stored("purge"), None);
    }

    #[test]
    fn no_action_of_a_page_needs_more_than_a_change_of_connections() {
        for action in ConnectAction::ALL {
            for by_consent in [false, true] {
                assert!(!action.rpc(by_consent).administers(), "{action:?}");
            }
        }
    }

    #[test]
    fn terms_without_providers_show_all_of_them() {
        let xero = ProviderId::parse("xero").expect("a name");
        let shopify = ProviderId::parse("shopify").expect("a name");
        let mut terms = ConnectTerms {
            providers: Vec::new(),
            actions: vec![ConnectAction::Test],
            manages_shared: false,
            origin: None,
            return_url: None,
            language: String::new(),
        };
        assert!(terms.shows(&xero) && terms.permits(ConnectAction::Test));
        assert!(!terms.permits(ConnectAction::Add));
        terms.providers.push(shopify.clone());
        assert!(terms.shows(&shopify) && !terms.shows(&xero));
    }

    #[test]
    fn languages_are_tags() {
        for tag in ["", "en", "de-AT", "zh-Hant-TW"] {
            assert_eq!(check_language(tag), Ok(()), "{tag}");
        }
        for tag in ["-", "en_GB", "en-", "../en", "toolonglanguage", &"a-".repeat(20)] {
            assert!(check_language(tag).is_err(), "{tag}");
        }
    }
}
