//! What a fetch looks for, what it finds, and what it opens.

use std::sync::Arc;

use credvault_crypto::{FIELDS_SCHEMA, MAX_SEALED_BYTES, TenantKey};
use credvault_domain::{
    AccountName, Connection, ConnectionId, ProviderId, SecretFields, TenantId, Timestamp, UserId, Version,
};

use crate::{ConnectionKey, Weighed};

/// Which credential is wanted.
#[derive(Clone, Debug)]
pub enum Selector {
    /// The credential of one connection: the current version, unless another is given.
    Connection {
        /// The id of the connection.
        id: ConnectionId,
        /// The version, if not the current one.
        version: Option<Version>,
    },
    /// The first of: the user's, the tenant's, the platform's, among connections that have a credential.
    Provider {
        /// The provider in the catalog.
        provider: ProviderId,
        /// The user, if one is meant. One who is out of the scope's reach has no connections.
        user: Option<UserId>,
        /// The account; without one, each owner's default.
        account: Option<AccountName>,
    },
}

/// What was found, still sealed. Policy decides about the connection before it is opened.
#[derive(Debug)]
pub struct Fetched {
    /// The connection that was found.
    pub connection: Connection,
    /// The namespace that holds the connection: the tenant's, or the platform's own.
    pub tenant: TenantId,
    pub(super) version: Option<Sealed>,
    pub(super) asked_version: Option<Version>,
    pub(super) generation: i64,
}

impl Fetched {
    /// The key of the connection.
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey { tenant: self.tenant.clone(), connection: self.connection.id }
    }

    /// Raised by whatever changes the credential or its tokens.
    pub fn generation(&self) -> i64 {
        self.generation
    }
}

impl Weighed for Fetched {
    /// Counts the fields twice: as fields and, perhaps in base64, in the filled request template.
    fn weight(&self) -> usize {
        // How large a secret is that is kept elsewhere shows when it is there.
        let sealed = |version: &Sealed| match version.schema {
            schema if schema == i64::from(FIELDS_SCHEMA) => version.sealed.len(),
            _ => MAX_SEALED_BYTES,
        };
        self.connection.weight() + 4 * self.version.as_ref().map_or(0, sealed)
    }
}

/// A credential in plaintext, after its sealed bytes were opened.
#[derive(Debug)]
pub struct OpenedCredential {
    /// Its fields, the newest tokens among them.
    pub fields: SecretFields,
    /// The number of its version.
    pub version: Version,
    /// When it, or its access token, stops working.
    pub expire_time: Option<Timestamp>,
    /// Raised by whatever changes the credential or its tokens.
    pub generation: i64,
    /// Whether it is the connection's current version, whose tokens can be refreshed.
    pub current: bool,
    /// The store in which others keep its fields, and may have changed them since the vault has checked them.
    pub adopted: Option<String>,
    /// The key that opened it, which makes its tag.
    pub(super) key: Arc<TenantKey>,
}

/// A sealed version with the wrapped key that was read beside it.
pub(super) struct Sealed {
    pub(super) version: Version,
    pub(super) schema: i64,
    pub(super) expire_time: Option<Timestamp>,
    /// The generation of the tokens among the fields; `None` if they are as the version was stored.
    pub(super) tokens: Option<i64>,
    pub(super) token_expire_time: Option<Timestamp>,
    pub(super) sealed: Vec<u8>,
    pub(super) key_version: i64,
    pub(super) wrapped: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("version", &self.version).finish_non_exhaustive()
    }
}
