//! An erasure as it is known for ever: the row of an erased tenant.

use credvault_domain::{ServiceId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::entity::erasure::Model;
use crate::erasures::content::ErasureContent;

/// How far an erasure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErasureState {
    /// The keys are destroyed, and rows are being removed.
    Erasing,
    /// All rows are removed, and the statement is signed.
    Erased,
}

impl ErasureState {
    /// The state as it is stored.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Erasing => "ERASING",
            Self::Erased => "ERASED",
        }
    }

    fn from_stored(text: &str) -> Option<Self> {
        [Self::Erasing, Self::Erased].into_iter().find(|state| state.as_str() == text)
    }
}

/// A key of the tenant that was destroyed. Statements hold the fields in this order.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ErasedKey {
    /// The number of the key within its tenant.
    pub version: i64,
    /// The id of the root key that wrapped it, 8 hexadecimal digits.
    pub root_key: String,
}

/// What became of the tenant's payloads in an external store. Statements hold the fields in this order.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ErasedStore {
    /// The name of the store in the settings.
    pub store: String,
    /// How many payloads the store has removed.
    pub removed: u64,
    /// How many an operator had given up with the store, which may still have them, sealed under destroyed keys.
    pub written_off: u64,
}

/// What the vault has signed about an erasure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedStatement {
    /// JSON on one line, byte for byte as it was signed.
    pub text: String,
    /// The signature of the text for the purpose [`ERASURE_STATEMENT`](crate::ERASURE_STATEMENT), 64 bytes.
    pub signature: Vec<u8>,
    /// The id of the key that signed.
    pub signing_key: String,
}

/// The erasure of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Erasure {
    /// The tenant, whose id is never used again.
    pub tenant: TenantId,
    /// How far the erasure is.
    pub state: ErasureState,
    /// The service that asked for it and confirmed it.
    pub service: ServiceId,
    /// When it was asked for.
    pub request_time: Timestamp,
    /// When it was confirmed, and the keys were destroyed.
    pub confirm_time: Timestamp,
    /// When the last row was removed.
    pub finish_time: Option<Timestamp>,
    /// What was there when it was confirmed.
    pub content: ErasureContent,
    /// The keys that were destroyed.
    pub keys: Vec<ErasedKey>,
    /// What became of its payloads in external stores, those without any left out.
    pub stores: Vec<ErasedStore>,
    /// The external stores that have still to remove payloads before the erasure is finished.
    pub waits_for: Vec<String>,
    /// What the vault has signed about it, once it is finished.
    pub statement: Option<SignedStatement>,
}

/// What a row says.
pub(super) fn erasure(row: Model) -> Result<Erasure, Error> {
    let statement = match (row.statement, row.signature, row.signing_key) {
        (Some(text), Some(signature), Some(signing_key)) => {
            Some(SignedStatement { text, signature, signing_key })
        }
        _ => None,
    };
    Ok(Erasure {
        tenant: TenantId::from_stored(row.tenant_id),
        state: ErasureState::from_stored(&row.state).ok_or(Error::Integrity)?,
        service: ServiceId::parse(&row.service).map_err(|_| Error::Integrity)?,
        request_time: Timestamp::from_micros(row.request_time),
        confirm_time: Timestamp::from_micros(row.confirm_time),
        finish_time: row.finish_time.map(Timestamp::from_micros),
        content: serde_json::from_str(&row.content).map_err(|_| Error::Integrity)?,
        keys: serde_json::from_str(&row.keys).map_err(|_| Error::Integrity)?,
        stores: stores(row.stores.as_deref())?,
        waits_for: Vec::new(),
        statement,
    })
}

/// What a row says of external stores.
fn stores(text: Option<&str>) -> Result<Vec<ErasedStore>, Error> {
    text.map_or_else(|| Ok(Vec::new()), |text| serde_json::from_str(text).map_err(|_| Error::Integrity))
}

/// The same with more that became of payloads in one store.
pub(crate) fn with_store(text: Option<&str>, more: ErasedStore) -> Result<String, Error> {
    let mut stores = stores(text)?;
    match stores.iter_mut().find(|store| store.store == more.store) {
        Some(store) => {
            store.removed += more.removed;
            store.written_off += more.written_off;
        }
        None => stores.push(more),
    }
    stores.sort_by(|one, other| one.store.cmp(&other.store));
    serde_json::to_string(&stores).map_err(|_| Error::Integrity)
}
