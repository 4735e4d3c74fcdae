//! What stores of secrets have in common: the text that is kept there, the ids in its name, and bounds. It knows no
//! particular store.
//!
//! What is kept is one text, `credvault.v1.` and the sealed bytes in base64url, so that people who find it know what it is.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use credvault_crypto::{AdoptedSecret, Opened, SecretStoreError};
use credvault_domain::ConnectionId;

const BEGINNING: &str = "credvault.v1.";
/// What AWS and Google take, and what is read of a secret of others.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// The text that is kept for sealed bytes, of at most `max_bytes`.
///
/// # Errors
/// [`SecretStoreError::Full`]: there are too many.
pub(crate) fn text_of(sealed: &[u8], max_bytes: usize) -> Result<String, SecretStoreError> {
    let text = format!("{BEGINNING}{}", BASE64_URL_SAFE_NO_PAD.encode(sealed));
    if text.len() <= max_bytes {
        return Ok(text);
    }
    Err(SecretStoreError::Full(format!(
        "a secret there has at most {} KiB, sealed and in base64: keep this one in the database",
        max_bytes / 1024
    )))
}

/// The sealed bytes in a text that was kept.
///
/// # Errors
/// [`SecretStoreError::Unusable`]: it is another text.
pub(crate) fn bytes_in(text: &str) -> Result<Vec<u8>, SecretStoreError> {
    let sealed = text.strip_prefix(BEGINNING).and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
    sealed.ok_or_else(foreign)
}

/// Something is there that the vault has not kept.
pub(crate) fn foreign() -> SecretStoreError {
    SecretStoreError::Unusable("what is there is not what the vault has kept".to_owned())
}

/// Whether a text is an id of a connection or of a payload. Nothing else becomes part of a name.
pub(crate) fn is_id(text: &str) -> bool {
    text.parse::<ConnectionId>().is_ok()
}

/// Checks ids before they become part of a name.
///
/// # Errors
/// [`SecretStoreError::Unusable`]: one of them is no id.
pub(crate) fn check_ids(ids: &[&str]) -> Result<(), SecretStoreError> {
    if ids.iter().all(|id| is_id(id)) {
        return Ok(());
    }
    Err(SecretStoreError::Unusable("an id is not a UUID with hyphens in lower case".to_owned()))
}

/// A secret of others, if it is not too large.
///
/// # Errors
/// [`SecretStoreError::Unusable`]: it is.
pub(crate) fn adopted(value: Opened, version: String) -> Result<AdoptedSecret, SecretStoreError> {
    if value.len() <= MAX_BYTES {
        return Ok(AdoptedSecret { value, version });
    }
    Err(SecretStoreError::Unusable(format!("the secret is larger than {} KiB", MAX_BYTES / 1024)))
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, adopted, bytes_in, check_ids, text_of};
    use credvault_crypto::{Opened, SecretStoreError};

    #[test]
    fn what_is_kept_comes_back_and_other_texts_do_not() {
        let text = text_of(b"sealed", MAX_BYTES).unwrap();
        assert_eq!(text, "credvault.v1.c2VhbGVk");
        assert_eq!(bytes_in(&text).unwrap(), b"sealed");
        for other in
            ["", "credvault.v1", "credvault.v2.c2VhbGVk", "c2VhbGVk", "credvault.v1.c2V=", "credvault.v1.a b"]
        {
            assert!(matches!(bytes_in(other), Err(SecretStoreError::Unusable(_))), "{other}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let most = (MAX_BYTES - "credvault.v1.".len()) / 4 * 3;
        assert!(text_of(&vec![0; most], MAX_BYTES).is_ok());
        assert!(matches!(text_of(&vec![0; most + 3], MAX_BYTES), Err(SecretStoreError::Full(_))));
        let secret = |bytes| adopted(Opened::new(vec![b'x'; bytes]), "1".to_owned());
        assert!(secret(MAX_BYTES).is_ok());
        assert!(matches!(secret(MAX_BYTES + 1), Err(SecretStoreError::Unusable(_))));
    }

    #[test]
    fn ids_are_uuids() {
        check_ids(&["0190aaaa-0000-7000-8000-000000000001"]).unwrap();
        for id in
            ["", "a", "../x", "0190AAAA-0000-7000-8000-000000000001", "0190aaaa00007000800000000000000001"]
        {
            assert!(check_ids(&["0190aaaa-0000-7000-8000-000000000001", id]).is_err(), "{id}");
        }
    }
}
