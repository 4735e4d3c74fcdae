//! The signature of a manifest: made by the vault's signing key, verified with the public half that the manifest names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_crypto::{VaultSigner, signing_key_id, verify_statement};

use super::error::BackupError;
use super::manifest::Manifest;

/// What the signature is for: one over a manifest is of no use for anything else.
const PURPOSE: &str = "backup manifest";

/// Signs the bytes of a manifest.
pub(super) fn sign(signer: &VaultSigner, manifest: &[u8]) -> [u8; 64] {
    signer.sign(PURPOSE, manifest)
}

/// The public half of a signing key as a manifest has it.
pub(super) fn public_key_text(signer: &VaultSigner) -> String {
    STANDARD.encode(signer.public_key())
}

/// The public half that a manifest names.
///
/// # Errors
/// It is no such key.
pub(super) fn public_key(manifest: &Manifest) -> Result<[u8; 32], BackupError> {
    let decoded = STANDARD.decode(&manifest.public_key).map_err(|_| BackupError::Signature)?;
    decoded.try_into().map_err(|_| BackupError::Signature)
}

/// Checks that the key which the manifest names has signed its bytes, and that it is one of those expected, if there are any.
pub(super) fn verify(
    manifest: &Manifest,
    bytes: &[u8],
    signature: &[u8],
    expected: &[[u8; 32]],
) -> Result<(), BackupError> {
    let public_key = public_key(manifest)?;
    let id = signing_key_id(&public_key);
    if !expected.is_empty() && !expected.contains(&public_key) {
        return Err(BackupError::OtherSigner(id));
    }
    let verifies = verify_statement(&public_key, PURPOSE, bytes, signature);
    if verifies && id == manifest.signing_key_id { Ok(()) } else { Err(BackupError::Signature) }
}
