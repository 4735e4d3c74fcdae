//! PostgreSQL's password verifiers. `CREATE ROLE` carries one in place of the password, because servers may log the
//! statement.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_domain::Random;
use ring::{digest, hmac, pbkdf2};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::Error;

/// PostgreSQL's own default number of iterations.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");

/// The SCRAM-SHA-256 verifier (RFC 5803, RFC 7677) of an ASCII password, as PostgreSQL stores it. `None` for a password
/// with other characters, which would need SASLprep (RFC 4013).
///
/// # Errors
/// There is no randomness.
pub fn scram_sha_256_verifier(password: &SecretString, random: &dyn Random) -> Result<Option<String>, Error> {
    if !password.expose_secret().bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(None);
    }
    let mut salt = [0; 16];
    random.fill(&mut salt)?;
    Ok(Some(verifier(password, &salt)))
}

fn verifier(password: &SecretString, salt: &[u8; 16]) -> String {
    let mut salted = Zeroizing::new([0_u8; 32]);
    let password = password.expose_secret().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, password, salted.as_mut_slice());
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_slice());
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with PostgreSQL 15.18: `SET password_encryption = 'scram-sha-256'`, then read from `pg_authid`.
    #[test]
    fn the_verifier_is_the_one_that_postgresql_makes() {
        let known = include_str!("../tests/vectors/scram-postgresql-15.txt").trim();
        let (password, expected) = known.split_once('\n').expect("two lines");
        let salt = expected.split(['$', ':']).nth(2).expect("salt");
        let salt: [u8; 16] = STANDARD.decode(salt).expect("base64").try_into().expect("16 bytes");
        assert_eq!(verifier(&SecretString::from(password), &salt), expected);
    }

    #[test]
    fn passwords_that_need_preparation_get_no_verifier() {
        let random = crate::SystemRandom;
        assert!(scram_sha_256_verifier(&"pässword".into(), &random).expect("random").is_none());
    }
}
