//! What other systems have sealed: AES-256-GCM under a key that they share, or that they derive with PBKDF2. Only for
//! reading their values once, when their credentials move in. The vault itself seals nothing in this way.
//!
//! ring takes nonces of 12 bytes only. Programs for Node.js often draw 16, from which GCM computes its first counter with
//! GHASH (NIST SP 800-38D, section 7.1), so this one place uses RustCrypto's aes-gcm, for both lengths.

use std::num::NonZeroU32;

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce};
use zeroize::Zeroizing;

use crate::Opened;

/// The length of GCM's tag in bytes.
const TAG_BYTES: usize = 16;

/// Why a value of another system does not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignError {
    /// The key is no AES-256 key.
    #[error("the key must have 32 bytes")]
    KeyLength,
    /// The nonce has a length that no program in question uses.
    #[error("the iv must have 12 or 16 bytes")]
    NonceLength,
    /// The tag was cut short, which makes it easier to guess.
    #[error("the tag must have 16 bytes")]
    TagLength,
    /// Wrong key, or an altered value.
    #[error("the value does not open: the key is another one, or the value was altered")]
    Opening,
}

/// The hash function of a PBKDF2 derivation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pbkdf2Hash {
    /// HMAC with SHA-256, Node.js's usual choice.
    Sha256,
    /// HMAC with SHA-512, the other choice.
    Sha512,
}

/// A key of another system: 32 bytes for AES-256-GCM.
pub struct ForeignKey(Zeroizing<[u8; 32]>);

impl ForeignKey {
    /// A key as its bytes.
    ///
    /// # Errors
    /// [`ForeignError::KeyLength`] if there are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ForeignError> {
        bytes.try_into().map(|key| Self(Zeroizing::new(key))).map_err(|_| ForeignError::KeyLength)
    }

    /// A key that PBKDF2 (RFC 8018) derives from a password.
    pub fn derive(hash: Pbkdf2Hash, rounds: NonZeroU32, password: &[u8], salt: &[u8]) -> Self {
        let algorithm = match hash {
            Pbkdf2Hash::Sha256 => ring::pbkdf2::PBKDF2_HMAC_SHA256,
            Pbkdf2Hash::Sha512 => ring::pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut key = Zeroizing::new([0; 32]);
        ring::pbkdf2::derive(algorithm, rounds, salt, password, &mut *key);
        Self(key)
    }

    /// Opens a value without associated data.
    ///
    /// # Errors
    /// A length is wrong, or the value does not open.
    pub fn open(&self, nonce: &[u8], ciphertext: &[u8], tag: &[u8]) -> Result<Opened, ForeignError> {
        if tag.len() != TAG_BYTES {
            return Err(ForeignError::TagLength);
        }
        let sealed = [ciphertext, tag].concat();
        let opened = if let Ok(nonce) = <[u8; 12]>::try_from(nonce) {
            self.cipher::<U12>().decrypt(&Nonce::from(nonce), sealed.as_slice())
        } else if let Ok(nonce) = <[u8; 16]>::try_from(nonce) {
            self.cipher::<U16>().decrypt(&Nonce::from(nonce), sealed.as_slice())
        } else {
            return Err(ForeignError::NonceLength);
        };
        opened.map(Opened::new).map_err(|_| ForeignError::Opening)
    }

    fn cipher<N: aes_gcm::aead::array::ArraySize>(&self) -> AesGcm<Aes256, N> {
        AesGcm::new((&*self.0).into())
    }
}

impl std::fmt::Debug for ForeignKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForeignKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with Node.js 20: createCipheriv("aes-256-gcm", KEY, iv), and pbkdf2Sync.
    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn nonces_of_12_and_16_bytes_open() {
        let key = ForeignKey::from_bytes(KEY).expect("32 bytes");
        for (nonce, ciphertext, tag) in NODE {
            let opened = key.open(&bytes(nonce), &bytes(ciphertext), &bytes(tag)).expect("it opens");
            assert_eq!(&opened[..], b"CANARY of Node");
        }
    }

    #[test]
    fn derived_keys_are_those_of_node() {
        for (hash, expected) in DERIVED {
            let rounds = NonZeroU32::new(100_000).expect("not zero");
            let key = ForeignKey::derive(hash, rounds, b"user_2abc", b"salt-of-the-platform");
            assert_eq!(key.0[..], bytes(expected)[..]);
        }
    }

    #[test]
    fn what_is_altered_or_cut_does_not_open() {
        let key = ForeignKey::from_bytes(KEY).expect("32 bytes");
        let (nonce, ciphertext, tag) = NODE[0];
        let (nonce, ciphertext, tag) = (bytes(nonce), bytes(ciphertext), bytes(tag));
        let mut altered = ciphertext.clone();
        altered[0] ^= 1;
        assert_eq!(key.open(&nonce, &altered, &tag).expect_err("altered"), ForeignError::Opening);
        assert_eq!(key.open(&nonce, &ciphertext, &tag[..12]).expect_err("cut"), ForeignError::TagLength);
        assert_eq!(key.open(&nonce[..8], &ciphertext, &tag).expect_err("short"), ForeignError::NonceLength);
        let other = ForeignKey::from_bytes(&[7; 32]).expect("32 bytes");
        assert_eq!(other.open(&nonce, &ciphertext, &tag).expect_err("key"), ForeignError::Opening);
        assert_eq!(ForeignKey::from_bytes(&KEY[..31]).expect_err("31 bytes"), ForeignError::KeyLength);
    }

    const NODE: [(&str, &str, &str); 2] = [
        ("000102030405060708090a0b", "6ea4f53d8b41f2c3cefc3fd115aa", "44244e17cf461b3512de013a317c4fa5"),
        (
            "000102030405060708090a0b0c0d0e0f",
            "a587dce19a24fe7aa6aea2e2d86b",
            "90e6c99ce5814c01c1edfa44a255ee57",
        ),
    ];
    const DERIVED: [(Pbkdf2Hash, &str); 2] = [
        (Pbkdf2Hash::Sha256, "47bd9b20f045fe3d842b9382b2336940ffdb7a4b4786f1e0ff2fcedbf2824e40"),
        (Pbkdf2Hash::Sha512, "622117744130bd139dbadc6b5fee1fdca987095c30fc13f67b73411b1bfa4fbe"),
    ];
}
