//! The vault's own signatures: Ed25519 (RFC 8032), for statements that must be verified without the vault. Knows nothing of
//! what a statement says.
//!
//! ```text
//! signed = "credvault/signature/1" || length of purpose (8, big-endian) || purpose || message
//! ```
//!
//! The purpose is signed, too, so a signature that was made for one purpose never counts for another.

use credvault_domain::Random;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::mac::sha256;
use crate::{Error, Opened};

/// The first bytes of everything that is signed.
const LABEL: &[u8] = b"credvault/signature/1";
/// How many bytes of the public key's hash make its id.
const ID_BYTES: usize = 8;

/// The vault's signing key.
pub struct VaultSigner {
    // Boxed, so that moving the owner leaves no copy of the key behind.
    pair: Box<Ed25519KeyPair>,
    public_key: [u8; 32],
    key_id: String,
}

impl VaultSigner {
    /// A new key, and the 32-byte seed that it is made of again with [`VaultSigner::from_seed`].
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(random: &dyn Random) -> Result<(Self, Opened), Error> {
        let mut seed = Zeroizing::new(vec![0; 32]);
        random.fill(seed.as_mut_slice())?;
        Ok((Self::from_seed(&seed)?, seed))
    }

    /// The key of a seed.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the seed is not 32 bytes long.
    pub fn from_seed(seed: &[u8]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Integrity)?;
        let public_key: [u8; 32] =
            pair.public_key().as_ref().first_chunk().copied().ok_or(Error::Integrity)?;
        Ok(Self { pair: Box::new(pair), public_key, key_id: signing_key_id(&public_key) })
    }

    /// The public name of the key: see [`signing_key_id`].
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public half of the key, with which [`verify_statement`] verifies.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// Signs `message` for `purpose`.
    pub fn sign(&self, purpose: &str, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&signed(purpose, message)).as_ref());
        signature
    }
}

impl std::fmt::Debug for VaultSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VaultSigner({})", self.key_id)
    }
}

/// The public name of a signing key: the first 8 bytes of the SHA-256 of its public half, as 16 hexadecimal digits.
pub fn signing_key_id(public_key: &[u8; 32]) -> String {
    sha256(&[public_key]).iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `signature` is the one that the owner of `public_key` has made over `message` for `purpose`.
pub fn verify_statement(public_key: &[u8; 32], purpose: &str, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(&signed(purpose, message), signature).is_ok()
}

fn signed(purpose: &str, message: &[u8]) -> Vec<u8> {
    let length = (purpose.len() as u64).to_be_bytes();
    [LABEL, &length, purpose.as_bytes(), message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    const PURPOSE: &str = "erasure statement";
    const MESSAGE: &[u8] = br#"{"format":"test"}"#;

    fn hex(text: &str) -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).map(digits).collect()
    }

    /// Made by the PyPI package `cryptography` with the seed 00 01 02 … 1f, from the layout at the top of this file.
    #[test]
    fn the_known_signature_is_made_and_verifies() {
        let seed: Vec<u8> = (0..32).collect();
        let signer = VaultSigner::from_seed(&seed).expect("32 bytes");
        let public_key = hex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
        let signature = hex(
            "a7938cfb61800dcf4dc92daba1c7f88ffe9b31a332af8374c0b2c8493a996a376281a17851d7acec8cc7dcd0188556f2\
             552e0bad3ba1af61848484a5dbe1fc00",
        );
        assert_eq!(signer.public_key().as_slice(), public_key);
        assert_eq!(signer.key_id(), "56475aa75463474c");
        assert_eq!(signer.sign(PURPOSE, MESSAGE).as_slice(), signature);
        assert!(verify_statement(&signer.public_key(), PURPOSE, MESSAGE, &signature));
        assert_eq!(format!("{signer:?}"), "VaultSigner(56475aa75463474c)");
    }

    #[test]
    fn another_message_purpose_signature_or_key_does_not_verify() {
        let (signer, seed) = VaultSigner::generate(&SystemRandom).expect("randomness");
        let again = VaultSigner::from_seed(&seed).expect("the same seed");
        assert_eq!(again.public_key(), signer.public_key());
        let (key, signature) = (signer.public_key(), signer.sign(PURPOSE, MESSAGE));
        assert!(verify_statement(&key, PURPOSE, MESSAGE, &signature));
        for place in 0..MESSAGE.len() {
            let mut message = MESSAGE.to_vec();
            message[place] ^= 1;
            assert!(!verify_statement(&key, PURPOSE, &message, &signature), "byte {place}");
        }
        for bit in 0..signature.len() * 8 {
            let mut altered = signature;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify_statement(&key, PURPOSE, MESSAGE, &altered), "bit {bit}");
        }
        assert!(!verify_statement(&key, PURPOSE, MESSAGE, &signature[..63]));
        assert!(!verify_statement(&key, PURPOSE, MESSAGE, b""));
        // A byte that moves from the message to the purpose is noticed, for the purpose has a length.
        let (moved, rest) = MESSAGE.split_at(1);
        let purpose = format!("{PURPOSE}{}", String::from_utf8_lossy(moved));
        assert!(!verify_statement(&key, &purpose, rest, &signature));
        assert!(!verify_statement(&key, "backup manifest", MESSAGE, &signature));
        let (other, _) = VaultSigner::generate(&SystemRandom).expect("randomness");
        assert!(!verify_statement(&other.public_key(), PURPOSE, MESSAGE, &signature));
    }

    #[test]
    fn a_seed_of_another_length_is_refused() {
        for length in [0, 31, 33, 64] {
            assert!(matches!(VaultSigner::from_seed(&vec![7; length]), Err(Error::Integrity)), "{length}");
        }
    }
}
