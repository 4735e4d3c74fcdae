//! The contract of an external store of secrets, which keeps sealed payloads outside of the database, or secrets of others
//! that a tenant refers to. It holds no key: what it keeps for the vault opens only with the database's row. The
//! implementations are in credvault-kms.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use credvault_domain::AdoptRules;

use crate::Opened;

/// The answer of a store, which is on its way.
pub type StoreReply<'a, T> = Pin<Box<dyn Future<Output = Result<T, SecretStoreError>> + Send + 'a>>;

/// An external store of secrets, in one place of it.
///
/// Every call has a time-out of its own, and none is made while a transaction is open. An implementation never logs, and
/// never puts into an error, what it keeps or the credentials that it authenticates with. Connections and payloads have
/// UUIDs, written with hyphens in lower case.
pub trait SecretStore: Send + Sync + Debug {
    /// The kind of store in lower case, such as `aws_secrets_manager`.
    fn kind(&self) -> &'static str;

    /// The full name of the place in the store: what an operator finds it by, and never anything secret.
    fn place(&self) -> &str;

    /// How many payloads of one connection it takes at most, if there is such a limit. It may refuse more for other reasons.
    fn most_payloads(&self) -> Option<usize> {
        None
    }

    /// Whether a call would be made now. One that is refused at once, because the store has not answered the last ones, needs
    /// no preparation.
    fn is_asked(&self) -> bool {
        true
    }

    /// Keeps sealed bytes of a connection, and gives the reference to them: at most 512 printable ASCII characters.
    /// `payload` is a new id, so that a repetition is recognised where the store can; where it cannot, a repetition keeps
    /// the bytes a second time.
    fn put<'a>(&'a self, connection: &'a str, payload: &'a str, sealed: &'a [u8]) -> StoreReply<'a, String>;

    /// The sealed bytes of a reference that [`SecretStore::put`] gave.
    fn get<'a>(&'a self, reference: &'a str) -> StoreReply<'a, Vec<u8>>;

    /// The reference of a payload of a connection, if the store has it: for a put whose answer was lost, and to see whether
    /// all is there.
    fn find<'a>(&'a self, connection: &'a str, payload: &'a str) -> StoreReply<'a, Option<String>>;

    /// Removes what a reference names, for good. What is not there any more is removed.
    fn remove<'a>(&'a self, reference: &'a str) -> StoreReply<'a, ()>;

    /// Removes everything that is kept of a connection, for good. Its id never comes back.
    fn forget<'a>(&'a self, connection: &'a str) -> StoreReply<'a, ()>;

    /// A page of what is kept: the first one, or the one of a token that the page before gave.
    fn list<'a>(&'a self, page: Option<&'a str>) -> StoreReply<'a, StoreList>;

    /// A secret that others keep there: its newest version, or the one given. Only for names that [`AdoptRules`] allow.
    fn adopted<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> StoreReply<'a, AdoptedSecret>;
}

/// A page of what a store keeps for the vault. It may be empty though another one follows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StoreList {
    /// The references on this page.
    pub references: Vec<StoredReference>,
    /// The token of the next page, if there is one.
    pub next: Option<String>,
}

/// What a store keeps for the vault in one entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredReference {
    /// The reference, as [`SecretStore::put`] gave it.
    pub reference: String,
    /// The id of the connection that it belongs to.
    pub connection: String,
    /// The id that the payload was put with, if the store knows it.
    pub payload: Option<String>,
}

/// A secret of others, as it is in the store: at most 64 KiB. Of stores that keep pairs of names and values, it is a JSON
/// object of them.
#[derive(Clone, PartialEq, Eq)]
pub struct AdoptedSecret {
    /// The secret in plain bytes.
    pub value: Opened,
    /// The version that it is of, in the store's words.
    pub version: String,
}

impl Debug for AdoptedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptedSecret").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Why a store did not do what it was asked for. The texts hold no secret: neither what is kept nor the credentials of the
/// vault at the store.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretStoreError {
    /// The settings of the vault for it are wrong, or name a file that cannot be used. It was not called.
    #[error("the settings of the secret store are wrong: {0}")]
    Settings(String),
    /// It did not answer in time, answered that it cannot serve now, or has no room for another call. Trying again may
    /// help.
    #[error("the secret store does not answer: {0}")]
    Unavailable(String),
    /// It answered that the vault may not do this. Trying again does not help until an operator changes its settings.
    #[error("the secret store refused the vault's credentials or does not permit this: {0}")]
    Denied(String),
    /// It has no secret of this name or reference, or not in this version.
    #[error("the secret store does not have the secret")]
    NotFound,
    /// A limit of the store is reached. The text says which, and what to do.
    #[error("the secret store takes no more: {0}")]
    Full(String),
    /// What is there is not what the vault needs: it is disabled, too large, or not what the vault has kept.
    #[error("the secret store cannot be used for this: {0}")]
    Unusable(String),
}

/// The external stores that a vault is configured with, by name. By default there are none.
#[derive(Clone, Default, Debug)]
pub struct SecretStores {
    /// Each store by its name in the settings.
    pub by_name: BTreeMap<String, StoreEntry>,
    /// The store of new secrets of tenants that have chosen none; `None` is the database.
    pub default: Option<String>,
    /// How long sealed payloads serve without their store.
    pub cache: Duration,
    /// How long what was read of a secret of others counts: it changes without the vault's knowledge.
    pub adopted_cache: Duration,
    /// How long a payload is kept that no record refers to any more: a backup of the database may.
    pub keep_removed: Duration,
}

/// A store, and what tenants may refer to in it.
#[derive(Clone, Debug)]
pub struct StoreEntry {
    /// The store, behind its guard.
    pub store: Arc<dyn SecretStore>,
    /// Which secrets of others each tenant may refer to.
    pub adopt: AdoptRules,
}

#[cfg(test)]
mod tests {
    use super::{AdoptedSecret, SecretStores};
    use crate::Opened;

    #[test]
    fn what_was_adopted_is_not_shown() {
        let secret = AdoptedSecret { value: Opened::new(b"CANARY".to_vec()), version: "3".to_owned() };
        let shown = format!("{secret:?}");
        assert!(shown.contains('3') && !shown.contains("CANARY") && !shown.contains("67"), "{shown}");
    }

    #[test]
    fn by_default_there_are_no_stores() {
        let stores = SecretStores::default();
        assert!(stores.by_name.is_empty() && stores.default.is_none());
    }
}
