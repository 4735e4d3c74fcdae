//! A key manager behind the guard: which of its calls may be repeated, and what its errors mean to the guard.

use std::sync::Arc;

use credvault_crypto::{KeyManager, KeyManagerError, Opened, Reply, Versioning, WrapPlace};

use super::{Guard, GuardSettings, Operation, Peer, PeerError};

const WRAP: Operation = Operation { name: "wrap", may_repeat: true };
const UNWRAP: Operation = Operation { name: "unwrap", may_repeat: true };
const ADD_VERSION: Operation = Operation { name: "add_version", may_repeat: false };
const DESTROY_OLDER_VERSIONS: Operation = Operation { name: "destroy_older_versions", may_repeat: false };
const FIND_OLDER_VERSIONS: Operation = Operation { name: "find_older_versions", may_repeat: true };

/// A key manager behind a guard. Calls that wrap or unwrap are repeated once if the key manager is unavailable and time is
/// left; calls that change versions never are. After five calls in a row without an answer, callers are refused at once for
/// a second, and then one tries.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn KeyManager>,
    guard: Guard,
}

impl Guarded {
    /// Puts a guard around a key manager.
    pub fn new(inner: Arc<dyn KeyManager>, settings: GuardSettings) -> Self {
        let peer = Peer::KeyManager { kind: inner.kind(), key: inner.key_name().to_owned() };
        Self { inner, guard: Guard::new(peer, settings) }
    }
}

impl PeerError for KeyManagerError {
    fn unavailable(why: &str) -> Self {
        Self::Unavailable(why.to_owned())
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Unavailable(_) => "unavailable",
            Self::Denied(_) => "denied",
            Self::Key(_) => "key",
            Self::Foreign => "foreign",
            _ => "other",
        }
    }
}

impl KeyManager for Guarded {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn key_name(&self) -> &str {
        self.inner.key_name()
    }

    fn wrap<'a>(&'a self, place: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(self.guard.call(WRAP, move || self.inner.wrap(place, plain)))
    }

    fn unwrap<'a>(&'a self, place: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(self.guard.call(UNWRAP, move || self.inner.unwrap(place, wrapped)))
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(self.guard.call(ADD_VERSION, || self.inner.add_version()))
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(self.guard.call(DESTROY_OLDER_VERSIONS, || self.inner.destroy_older_versions()))
    }

    fn find_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(self.guard.call(FIND_OLDER_VERSIONS, || self.inner.find_older_versions()))
    }
}
