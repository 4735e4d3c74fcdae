//! Why a private key cannot sign. The texts end a sentence about the key and never show a part of it.

use ring::error::KeyRejected;

/// The reason why a private key cannot sign, as the end of a sentence about the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is neither PEM nor a JWK.
    #[error(
        "must be PEM, from -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY----- to the END line, or a JWK"
    )]
    NotPem,
    /// The JWK lacks members, or is of another kind.
    #[error("must be a whole JWK: RSA with n, e, d, p, q, dp, dq and qi, or EC on P-256 with x, y and d")]
    NotJwk,
    /// The key is a public one, or a certificate.
    #[error("must be a private key: this is a public key or a certificate")]
    Public,
    /// The key is protected by a passphrase.
    #[error("must not be encrypted: `openssl pkey -in key.pem -out plain.pem` removes the passphrase")]
    Encrypted,
    /// The key is in OpenSSH's own format.
    #[error("must be PEM, and this is OpenSSH's own format: `ssh-keygen -p -m PEM -f key` converts it")]
    OpenSsh,
    /// The algorithm needs an RSA key.
    #[error(
        "must be an RSA key, because the provider requires RS256 or PS256: this is a key of another kind"
    )]
    NotRsa,
    /// The algorithm needs a key on P-256.
    #[error("must be a key on P-256, because the provider requires ES256: this is an RSA key")]
    NotP256,
    /// The key is of a kind that no algorithm takes.
    #[error("must be an RSA key, or one on the curve P-256")]
    Kind,
    /// The JWK names an algorithm that the provider does not accept.
    #[error("must not be bound by its JWK to an algorithm that the provider does not accept")]
    Algorithm,
    /// The RSA key is too short or too long.
    #[error("must be an RSA key of 2048 to 4096 bits")]
    Size,
    /// The key does not decode.
    #[error("must be complete: it does not decode, so copy it again with all of its lines")]
    Broken,
}

pub(super) fn rejected(error: KeyRejected) -> KeyError {
    match error.to_string().as_str() {
        "WrongAlgorithm" => KeyError::Kind,
        "TooSmall" | "TooLarge" => KeyError::Size,
        _ => KeyError::Broken,
    }
}
