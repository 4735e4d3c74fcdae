//! The root keys that open a backup, found without a database: the header says which one it is and how passphrases are
//! stretched.

use std::sync::Arc;

use credvault_crypto::{BackupKey, KdfParameters, Keyring, RootKey, RootKeySource, RootKeySources};
use credvault_domain::Random;

use super::error::{BackupError, malformed};
use super::manifest::{Header, Manifest};

/// Loads the configured root keys as the header needs them.
pub(super) fn keyring(
    sources: &RootKeySources,
    header: &Header,
    random: &Arc<dyn Random>,
) -> Result<Keyring, BackupError> {
    let main = load(&sources.main, header, &**random)?;
    let keyring = Keyring::new(main, Arc::clone(random)).with_lifetime(sources.lifetime);
    match &sources.other {
        Some(other) => Ok(keyring.with_other(load(other, header, &**random)?)),
        None => Ok(keyring),
    }
}

fn load(source: &RootKeySource, header: &Header, random: &dyn Random) -> Result<RootKey, BackupError> {
    let mut loaded = None;
    if let RootKeySource::Passphrase(..) = source {
        for text in &header.root_key_derivations {
            let parameters: KdfParameters = text.parse().map_err(|_| BackupError::Header)?;
            let (root, _) = source.load(Some(&parameters), random).map_err(BackupError::RootKey)?;
            if root.id() == header.root_key_id {
                return Ok(root);
            }
            loaded = Some(root);
        }
    }
    match loaded {
        Some(root) => Ok(root),
        None => source.load(None, random).map(|(root, _)| root).map_err(BackupError::RootKey),
    }
}

/// Unwraps the backup's key.
pub(super) async fn backup_key(keyring: &Keyring, header: &Header) -> Result<BackupKey, BackupError> {
    let wrapped = header.wrapped_key()?;
    if keyring.root(wrapped.root_id).is_none() {
        let configured = keyring.active().id();
        return Err(BackupError::OtherRoot { needed: wrapped.root_id, configured });
    }
    match keyring.unwrap_backup_key(&wrapped).await {
        Ok(key) => Ok(key),
        Err(credvault_crypto::Error::Integrity) => Err(BackupError::Header),
        Err(error) => Err(BackupError::RootKey(error)),
    }
}

/// Checks that the process has every root key that wraps keys in the backup: without one of them, a vault with its rows
/// would not start.
pub(super) fn check_root_keys(keyring: &Keyring, manifest: &Manifest) -> Result<(), BackupError> {
    for text in &manifest.root_key_ids {
        let id = u32::from_str_radix(text, 16).map_err(|_| malformed())?;
        if keyring.root(id).is_none() {
            let kind = "which the backup was made beside".to_owned();
            return Err(BackupError::RootKey(credvault_crypto::Error::RootKeyMissing { id, kind }));
        }
    }
    Ok(())
}
