//! Proofs with a shared secret: HMAC-SHA256 (RFC 2104) over a message, or the secret itself sent along. Comparisons
//! take the same time whether the first or the last byte differs. No key here guards stored values: these are the keys
//! of providers and customers, and those that sign events.

use ring::{digest, hmac};
use subtle::ConstantTimeEq;

/// A key of HMAC-SHA256.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// The key with these bytes. `None` for the empty key, which every attacker knows.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// Returns the first of `tags` that authenticates `message`, which is given in parts. Hashes the message once,
    /// however many tags a sender offers.
    pub fn matching(&self, message: &[impl AsRef<[u8]>], tags: &[[u8; 32]]) -> Option<[u8; 32]> {
        let expected = self.sign(message);
        tags.iter().find(|tag| bool::from(expected.as_slice().ct_eq(tag.as_slice()))).copied()
    }

    /// The tag that authenticates `message`, which is given in parts.
    pub fn sign(&self, message: &[impl AsRef<[u8]>]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in message {
            context.update(part.as_ref());
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey")
    }
}

/// Whether `sent` is the secret. Compares hashes, so that the time reveals neither the secret nor its length. An empty
/// secret equals nothing.
pub fn same_secret(sent: &str, secret: &str) -> bool {
    let equal = sha256(&[sent]).ct_eq(&sha256(&[secret]));
    !secret.is_empty() && bool::from(equal)
}

/// SHA-256 (FIPS 180-4) of the parts, one after the other.
pub fn sha256(parts: &[impl AsRef<[u8]>]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part.as_ref());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    const TAG: [u8; 32] = [
        0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a,
        0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
    ];

    #[test]
    fn the_known_tag_is_found_among_others() {
        let key = MacKey::new(b"Jefe").expect("not empty");
        let message = ["what do ya want ", "for nothing?"];
        assert_eq!(key.sign(&message), TAG);
        assert_eq!(key.matching(&message, &[[0; 32], TAG]), Some(TAG));
        assert_eq!(key.matching(&message, &[[0; 32]]), None);
        assert_eq!(key.matching(&message, &[]), None);
        assert_eq!(key.matching(&message[..1], &[TAG]), None);
    }

    #[test]
    fn every_flipped_bit_of_a_tag_is_noticed() {
        let key = MacKey::new(b"Jefe").expect("not empty");
        for bit in 0..256 {
            let mut tag = TAG;
            tag[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.matching(&["what do ya want for nothing?"], &[tag]), None, "bit {bit}");
        }
    }

    #[test]
    fn there_is_no_empty_key() {
        assert!(MacKey::new(b"").is_none());
        assert!(!same_secret("", ""));
    }

    #[test]
    fn secrets_are_the_same_only_if_every_byte_is() {
        assert!(same_secret("CANARY", "CANARY"));
        for other in ["", "CANAR", "CANARYY", "canary", "CANARX"] {
            assert!(!same_secret(other, "CANARY"), "{other}");
        }
    }

    #[test]
    fn debug_says_only_the_type() {
        assert_eq!(format!("{:?}", MacKey::new(b"CANARY")), "Some(MacKey)");
    }
}
