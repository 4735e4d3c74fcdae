//! Everything in credvault that touches a key: the root key, tenant keys, sealing, and the few other primitives that
//! the other crates need (signatures of tokens and webhooks, SCRAM verifiers). No other crate of ours may use ring.
//!
//! ```text
//! root key            32 bytes outside the database, or a key in a key manager
//!   └─ wraps  tenant key        32 random bytes for each tenant and key version, stored wrapped, destroyable
//!        ├─ HKDF-SHA256 with a random salt for each record
//!        │     ├─ record key    AES-256-GCM, used once
//!        │     └─ commitment    32 bytes in the header, compared before anything is decrypted
//!        └─ HKDF-SHA256 without a salt, one key for each purpose: fingerprints of requests, tags of credentials
//!        ├─ seals  audit key     32 random bytes, under which the records of the tenant's log are sealed
//!        └─ seals  payload key   32 random bytes for each payload that is kept in an external store
//!   └─ wraps  backup key        32 random bytes for each backup, in the backup's header
//! ```
//!
//! No tenant key is derived from the root key: a tenant is erased by destroying its key, and a derived key could be
//! derived again. Callers hold handles to keys, never key bytes. Every sealed value that does not open gives the same
//! error, [`Error::Integrity`].

#![warn(clippy::indexing_slicing)]

mod error;

mod private_file;
mod root;

mod kdf;

mod key_manager;
mod secret_store;

mod tenant_key;

mod managed;

mod root_key;

mod backup_stream;

mod keyring;

mod context;

mod envelope;

mod fields;

mod payload_key;

mod audit_key;

mod page_token;

mod tag;

mod signature;

mod signing_key;

mod vault_signer;

mod ecdsa;

mod mac;

mod scram;

mod foreign;

mod random;

pub use audit_key::AuditKey;
pub use backup_stream::{
    BackupKey, BackupOpener, BackupSealer, BackupStreamError, FRAME_BYTES, FRAME_HEAD_BYTES, RunningSha256,
    WrappedBackupKey,
};
pub use context::{Binding, Context};
pub use ecdsa::{EcdsaDigest, P256Key, PublicKeyError};
pub use envelope::{MAX_SEALED_BYTES, MIN_SEALED_BYTES};
pub use error::Error;
pub use fields::{SCHEMA as FIELDS_SCHEMA, decode as decode_fields, encode as encode_fields};
pub use foreign::{ForeignError, ForeignKey, Pbkdf2Hash};
pub use kdf::{KdfParameters, PassphraseKdf};
pub use key_manager::{KeyManager, KeyManagerError, Reply, Versioning, WrapPlace};
pub use keyring::{KeyUse, Keyring, WrappedKey};
pub use mac::{MacKey, same_secret, sha256};
pub use page_token::PageToken;
pub use payload_key::PayloadKey;
pub use private_file::read_private;
pub use random::SystemRandom;
pub use root::{RootKeySource, RootKeySources};
pub use root_key::RootKey;
pub use scram::scram_sha_256_verifier;
pub use secret_store::{
    AdoptedSecret, SecretStore, SecretStoreError, SecretStores, StoreEntry, StoreList, StoreReply,
    StoredReference,
};
pub use signature::{PublicKey, SignatureError};
pub use signing_key::{KeyError, SigningAlgorithm, SigningKey};
pub use tag::{TAG_CHARS, Tag, Tagged};
pub use tenant_key::{KeyVersion, TenantKey};
pub use vault_signer::{VaultSigner, signing_key_id, verify_statement};

/// Bytes that are zeroed when they are dropped.
pub type Opened = zeroize::Zeroizing<Vec<u8>>;
