//! Why a vault does not start.

use std::net::SocketAddr;

use credvault_store::OpenError;

use crate::app::{ManagerError, SecretStoreSettingsError};
use crate::settings::SettingsError;

/// Why a vault does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Settings are wrong, or files that they name are missing or broken.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Files were being written while the vault read them.
    #[error(
        "the configuration, certificates, bundles, policies or key files changed while the vault started, so it may have \
         read only half of them; start again"
    )]
    Changing,
    /// A key manager cannot be used as it is configured.
    #[error(transparent)]
    RootKey(#[from] ManagerError),
    /// A store of secrets cannot be used as it is configured.
    #[error(transparent)]
    SecretStore(#[from] SecretStoreSettingsError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Reflection cannot be built from the descriptors.
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
    /// An address cannot be listened on.
    #[error("{key} = {address} cannot be listened on: {source}")]
    Address {
        /// The key of the setting.
        key: &'static str,
        /// The value of the setting.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Metrics cannot be recorded.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(String),
}
