//! The root key that opens a backup, found without a database: the header says which one it is and how it is derived.

use std::sync::Arc;

use credvault_crypto::{BackupKey, KdfParameters, Keyring, RootKeySource};
use credvault_domain::Random;

use super::error::BackupError;
use super::manifest::Header;

/// Loads the configured root key as the header needs it.
pub(super) async fn keyring(
    source: &RootKeySource,
    header: &Header,
    random: &Arc<dyn Random>,
) -> Result<Keyring, BackupError> {
    let parameters = header.root_key_derivation.as_deref().map(str::parse::<KdfParameters>).transpose();
    let parameters = parameters.map_err(|_| BackupError::Header)?;
    let (root, _) = source.load(parameters.as_ref(), &**random).map_err(BackupError::RootKey)?;
    Ok(Keyring::new(root, Arc::clone(random)))
}

/// Unwraps the backup's key.
pub(super) async fn backup_key(keyring: &Keyring, header: &Header) -> Result<BackupKey, BackupError> {
    let wrapped = header.wrapped_key()?;
    let configured = keyring.root().id();
    if wrapped.root_id != configured {
        return Err(BackupError::OtherRoot { needed: wrapped.root_id, configured });
    }
    match keyring.unwrap_backup_key(&wrapped).await {
        Ok(key) => Ok(key),
        Err(credvault_crypto::Error::Integrity) => Err(BackupError::Header),
        Err(error) => Err(BackupError::RootKey(error)),
    }
}
