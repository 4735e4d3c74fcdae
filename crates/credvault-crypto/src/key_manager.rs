//! The contract of a key manager: a system outside of the process that holds the root key and never gives it away. The
//! implementations are in credvault-kms.

use std::fmt::Debug;
use std::pin::Pin;

use crate::Opened;

/// The answer of a key manager, which is on its way.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeyManagerError>> + Send + 'a>>;

/// A key manager with one key in it, which wraps and unwraps 32-byte keys.
///
/// Every call has a time-out of its own, and none is made while a transaction is open. An implementation never logs, and
/// never puts into an error, what it wraps or the credentials that it authenticates with.
pub trait KeyManager: Send + Sync + Debug {
    /// The kind of key manager in lower case, as it stands in the database, such as `transit`.
    fn kind(&self) -> &'static str;

    /// The full name of the key, without its version: what an operator finds it by, and never anything secret. The same
    /// key has the same name on every replica. At most 512 printable ASCII characters.
    fn key_name(&self) -> &str;

    /// Wraps at most 256 bytes with the newest version of the key. `place` says what is wrapped, and only the same place
    /// unwraps it, if the key manager can bind one.
    fn wrap<'a>(&'a self, place: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>>;

    /// Unwraps what [`KeyManager::wrap`] gave for the same place, under whichever version of the key it was wrapped.
    fn unwrap<'a>(&'a self, place: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened>;

    /// Makes a new version of the key, with which everything is wrapped from now on. What older versions wrapped still
    /// unwraps.
    fn add_version(&self) -> Reply<'_, Versioning>;

    /// Destroys all versions of the key but the newest, for good. Call it only after everything was wrapped anew.
    fn destroy_older_versions(&self) -> Reply<'_, Versioning>;

    /// Whether [`KeyManager::destroy_older_versions`] may find something to destroy, as [`Versioning::Done`] says. Changes
    /// nothing.
    fn find_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(std::future::ready(Ok(Versioning::Done)))
    }
}

/// Whether a key manager did what was asked for with the versions of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Versioning {
    /// It did what was asked for.
    Done,
    /// It cannot; the text says, as a sentence for an operator, what to do instead.
    ByHand(&'static str),
}

/// What is wrapped: the place that the wrapped bytes belong to. None of it is secret, for key managers log it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrapPlace<'a> {
    /// The kind of value, such as `tenant_key`.
    pub class: &'static str,
    /// The tenant's id, or `:platform`.
    pub tenant: &'a str,
    /// The number of the key within its tenant.
    pub version: u64,
}

impl WrapPlace<'_> {
    /// The place as name and value, for key managers that take an encryption context.
    pub fn pairs(&self) -> [(&'static str, String); 3] {
        [
            ("credvault-class", self.class.to_owned()),
            ("credvault-tenant", self.tenant.to_owned()),
            ("credvault-version", self.version.to_string()),
        ]
    }

    /// The place as bytes, for key managers that take associated data. Two places never give the same bytes.
    pub fn associated_data(&self) -> Vec<u8> {
        let mut data = b"credvault/wrap/1".to_vec();
        for part in [self.class, self.tenant] {
            data.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data.extend_from_slice(&self.version.to_be_bytes());
        data
    }
}

/// Why a key manager did not do what it was asked for. The texts hold no secret: neither what was wrapped nor the
/// credentials of the vault at the key manager.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyManagerError {
    /// The settings of the vault for it are wrong, or name a file that cannot be used. It was not called.
    #[error("the settings of the key manager are wrong: {0}")]
    Settings(String),
    /// It did not answer in time, answered that it cannot serve now, or has no room for another call. Trying again may
    /// help.
    #[error("the key manager does not answer: {0}")]
    Unavailable(String),
    /// It answered that the vault may not do this. Trying again does not help until an operator changes its settings.
    #[error("the key manager refused the vault's credentials or does not permit this: {0}")]
    Denied(String),
    /// The key is not there, is switched off, or is of the wrong kind.
    #[error("the key manager cannot use the key: {0}")]
    Key(String),
    /// What was to be unwrapped is not of this key and this place.
    #[error("what was to be unwrapped was not wrapped by this key for this place")]
    Foreign,
}
