//! The two kinds of key pairs that sign, as ring holds them.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, RsaKeyPair};

use super::error::{KeyError, rejected};

/// A key pair that signs.
pub(super) enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

/// The algorithm of all P-256 keys here.
const P256: &EcdsaSigningAlgorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;

/// A pair of a private key, 32 bytes, and its uncompressed point.
pub(super) fn p256(private: &[u8], point: &[u8]) -> Result<Pair, KeyError> {
    let pair = EcdsaKeyPair::from_private_key_and_public_key(P256, private, point, &SystemRandom::new());
    pair.map(|pair| Pair::P256(Box::new(pair))).map_err(|_| KeyError::Broken)
}

/// A pair in PKCS #8, with its public half.
pub(super) fn p256_of_pkcs8(der: &[u8]) -> Result<EcdsaKeyPair, KeyError> {
    EcdsaKeyPair::from_pkcs8(P256, der, &SystemRandom::new()).map_err(rejected)
}
