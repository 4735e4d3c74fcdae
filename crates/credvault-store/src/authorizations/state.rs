//! What follows from the state of an authorization: the keys that its rows have, and the verifier that binds the code to it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_crypto::{TenantKey, sha256};
use credvault_domain::TenantId;
use secrecy::SecretString;

/// A keyed hash of a text, for one purpose.
pub(super) fn fingerprint(key: &TenantKey, tenant: &TenantId, what: &[u8], text: &str) -> Vec<u8> {
    key.fingerprint(tenant, &[b"authorization", what, text.as_bytes()]).to_vec()
}

/// The key of an authorization's row. Not under the tenant's key, for a browser that brings a state back has no tenant yet.
/// A state is too random to be guessed.
pub(crate) fn state_hash(state: &str) -> Vec<u8> {
    sha256(&[b"credvault state", state.as_bytes()]).to_vec()
}

/// How a row names the browser that it is bound to.
pub(crate) fn browser_hash(browser: &str) -> Vec<u8> {
    sha256(&[b"credvault browser", browser.as_bytes()]).to_vec()
}

/// The code verifier: 43 characters, as RFC 7636 wants them.
pub(super) fn verifier(key: &TenantKey, tenant: &TenantId, state: &str) -> SecretString {
    URL_SAFE_NO_PAD.encode(fingerprint(key, tenant, b"verifier", state)).into()
}
