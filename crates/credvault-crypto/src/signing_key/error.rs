//! Why a private key cannot sign. The texts end a sentence about the key and never show a part of it.

use ring::error::KeyRejected;

/// The reason why a private key cannot sign, as the end of a sentence about the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what they are")]
pub enum KeyError {
    #[error(
        "must be PEM, from -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY----- to the END line, or a JWK"
    )]
    NotPem,
    #[error("must be a whole JWK: RSA with n, e, d, p, q, dp, dq and qi, or EC on P-256 with x, y and d")]
    NotJwk,
    #[error("must be a private key: this is a public key or a certificate")]
    Public,
    #[error("must not be encrypted: `openssl pkey -in key.pem -out plain.pem` removes the passphrase")]
    Encrypted,
    #[error("must be PEM, and this is OpenSSH's own format: `ssh-keygen -p -m PEM -f key` converts it")]
    OpenSsh,
    #[error(
        "must be an RSA key, because the provider requires RS256 or PS256: this is a key of another kind"
    )]
    NotRsa,
    #[error("must be a key on P-256, because the provider requires ES256: this is an RSA key")]
    NotP256,
    #[error("must be an RSA key, or one on the curve P-256")]
    Kind,
    #[error("must not be bound by its JWK to an algorithm that the provider does not accept")]
    Algorithm,
    #[error("must be an RSA key of 2048 to 4096 bits")]
    Size,
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
