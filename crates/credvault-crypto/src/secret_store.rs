//! The contract of an external store of secrets. The implementations are in credvault-kms.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use credvault_domain::TenantId;

use crate::Opened;

/// The answer of a store, which is on its way.
pub type StoreReply<'a, T> = Pin<Box<dyn Future<Output = Result<T, SecretStoreError>> + Send + 'a>>;

/// An external store of secrets.
pub trait SecretStore: Send + Sync + Debug {
    /// The kind of store in lower case.
    fn kind(&self) -> &'static str;
    /// The full name of the place.
    fn place(&self) -> &str;
    /// Keeps sealed bytes.
    fn put<'a>(&'a self, connection: &'a str, payload: &'a str, sealed: &'a [u8]) -> StoreReply<'a, String>;
    /// The bytes of a reference.
    fn get<'a>(&'a self, reference: &'a str) -> StoreReply<'a, Vec<u8>>;
    /// The reference of a payload, if it is there.
    fn find<'a>(&'a self, connection: &'a str, payload: &'a str) -> StoreReply<'a, Option<String>>;
    /// Removes what the reference names.
    fn remove<'a>(&'a self, reference: &'a str) -> StoreReply<'a, ()>;
    /// Removes everything of a connection.
    fn forget<'a>(&'a self, connection: &'a str) -> StoreReply<'a, ()>;
    /// A page of what is kept.
    fn list<'a>(&'a self, page: Option<&'a str>) -> StoreReply<'a, StoreList>;
    /// A secret of others.
    fn adopted<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> StoreReply<'a, AdoptedSecret>;
}

/// A page of what a store keeps.
#[derive(Clone, Default, Debug)]
pub struct StoreList {
    /// What there is.
    pub references: Vec<StoredReference>,
    /// The next page.
    pub next: Option<String>,
}

/// What a store keeps.
#[derive(Clone, Debug)]
pub struct StoredReference {
    /// The reference of it.
    pub reference: String,
    /// The connection that it belongs to.
    pub connection: String,
    /// The payload, if known.
    pub payload: Option<String>,
}

/// A secret of others.
pub struct AdoptedSecret {
    /// Its value in plaintext.
    pub value: Opened,
    /// Its version in the store.
    pub version: String,
}

/// Why a store failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecretStoreError {
    /// Settings are of no use.
    #[error("{0}")]
    Settings(String),
    /// It does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// It refuses.
    #[error("{0}")]
    Denied(String),
    /// Not there.
    #[error("it has no such secret")]
    NotFound,
    /// Full.
    #[error("{0}")]
    Full(String),
}

/// Which secrets may be referred to.
#[derive(Clone, Default, Debug)]
pub struct AdoptRules;

impl AdoptRules {
    /// Whether a tenant may refer to a name.
    pub fn allows(&self, _: &TenantId, _: &str) -> bool {
        false
    }
}

/// A store.
#[derive(Clone, Debug)]
pub struct StoreEntry {
    /// The store itself.
    pub store: Arc<dyn SecretStore>,
    /// Which secrets may be adopted.
    pub adopt: AdoptRules,
}

/// All stores.
#[derive(Clone, Default, Debug)]
pub struct SecretStores {
    /// By their names.
    pub by_name: BTreeMap<String, StoreEntry>,
    /// The default one.
    pub default: Option<String>,
    /// How long payloads are remembered.
    pub cache: Duration,
    /// How old an adopted one may be.
    pub adopted_cache: Duration,
    /// How long payloads are kept.
    pub keep_removed: Duration,
}
