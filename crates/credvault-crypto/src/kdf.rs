//! The derivation of a root key from a passphrase, for a single person's machine. Knows no file and no database.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use credvault_domain::Random;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::Error;
use crate::envelope::KeyBytes;

/// The function that derives a root key from a passphrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassphraseKdf {
    /// Argon2id (RFC 9106), the default.
    Argon2id,
    /// PBKDF2-HMAC-SHA-256 (RFC 8018), for places that allow no other.
    Pbkdf2,
}

/// The parameters of one derivation. They are stored beside the root's check value: altered parameters give another
/// root key, which the check value does not accept.
///
/// The text form is `argon2id$m=65536,t=3,p=1$SALT` or `pbkdf2-sha256$i=600000$SALT`, the salt 16 bytes in base64.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KdfParameters {
    cost: Cost,
    salt: [u8; 16],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cost {
    /// RFC 9106, version 0x13; `memory` in KiB.
    Argon2id { memory: u32, passes: u32, lanes: u32 },
    /// RFC 8018 with HMAC-SHA-256.
    Pbkdf2 { iterations: u32 },
}

// Bounds on the parameters that a database may hold. The lower ones stop a writer of the database from making the
// passphrase cheap to guess, the upper ones from exhausting the machine.

/// Argon2id's memory in KiB.
const ALLOWED_MEMORY_KIB: std::ops::RangeInclusive<u32> = 19 * 1024..=1024 * 1024;
/// Argon2id's passes over the memory.
const ALLOWED_PASSES: std::ops::RangeInclusive<u32> = 1..=16;
/// Argon2id's degree of parallelism.
const ALLOWED_LANES: std::ops::RangeInclusive<u32> = 1..=8;
/// PBKDF2's number of iterations.
const ALLOWED_ITERATIONS: std::ops::RangeInclusive<u32> = 600_000..=20_000_000;

impl KdfParameters {
    /// Fresh parameters: RFC 9106's second recommendation (64 MiB, 3 passes), or 600,000 iterations (OWASP, 2023).
    pub(crate) fn generate(kdf: PassphraseKdf, random: &dyn Random) -> Result<Self, Error> {
        let cost = match kdf {
            PassphraseKdf::Argon2id => Cost::Argon2id { memory: 64 * 1024, passes: 3, lanes: 1 },
            PassphraseKdf::Pbkdf2 => Cost::Pbkdf2 { iterations: 600_000 },
        };
        let mut salt = [0; 16];
        random.fill(&mut salt)?;
        Ok(Self { cost, salt })
    }

    pub(crate) fn derive(&self, passphrase: &SecretString) -> Result<KeyBytes, Error> {
        let mut key = Box::new(Zeroizing::new([0_u8; 32]));
        let passphrase = passphrase.expose_secret().as_bytes();
        match self.cost {
            Cost::Argon2id { memory, passes, lanes } => {
                let params =
                    Params::new(memory, passes, lanes, Some(32)).map_err(|_| Error::KdfParameters)?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(passphrase, &self.salt, key.as_mut_slice())
                    .map_err(|_| Error::KdfParameters)?;
            }
            Cost::Pbkdf2 { iterations } => {
                let iterations = NonZeroU32::new(iterations).ok_or(Error::KdfParameters)?;
                let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
                ring::pbkdf2::derive(algorithm, iterations, &self.salt, passphrase, key.as_mut_slice());
            }
        }
        Ok(key)
    }
}

impl std::fmt::Display for KdfParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.cost {
            Cost::Argon2id { memory, passes, lanes } => {
                write!(f, "argon2id$m={memory},t={passes},p={lanes}")?
            }
            Cost::Pbkdf2 { iterations } => write!(f, "pbkdf2-sha256$i={iterations}")?,
        }
        write!(f, "${}", STANDARD_NO_PAD.encode(self.salt))
    }
}

impl std::str::FromStr for KdfParameters {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('$');
        let (Some(name), Some(cost), Some(salt), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::KdfParameters);
        };
        let mut numbers = cost.split(',').map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name, value.parse::<u32>().ok()?))
        });
        let mut number = |expected: &str| match numbers.next() {
            Some(Some((name, value))) if name == expected => Ok(value),
            _ => Err(Error::KdfParameters),
        };
        let (cost, in_bounds) = match name {
            "argon2id" => {
                let (memory, passes, lanes) = (number("m")?, number("t")?, number("p")?);
                let in_bounds = ALLOWED_MEMORY_KIB.contains(&memory)
                    && ALLOWED_PASSES.contains(&passes)
                    && ALLOWED_LANES.contains(&lanes);
                (Cost::Argon2id { memory, passes, lanes }, in_bounds)
            }
            "pbkdf2-sha256" => {
                let iterations = number("i")?;
                (Cost::Pbkdf2 { iterations }, ALLOWED_ITERATIONS.contains(&iterations))
            }
            _ => return Err(Error::KdfParameters),
        };
        let salt = STANDARD_NO_PAD.decode(salt).ok().and_then(|salt| <[u8; 16]>::try_from(salt).ok());
        match salt {
            Some(salt) if in_bounds && numbers.next().is_none() => Ok(Self { cost, salt }),
            _ => Err(Error::KdfParameters),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_the_round_trip_and_out_of_bounds_ones_are_refused() {
        for kdf in [PassphraseKdf::Argon2id, PassphraseKdf::Pbkdf2] {
            let made = KdfParameters::generate(kdf, &crate::SystemRandom).expect("random");
            assert_eq!(made.to_string().parse::<KdfParameters>().expect("own text"), made);
        }
        for text in [
            "",
            "argon2id$m=65536,t=3,p=1",
            "argon2id$m=67108864,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA",
            "argon2id$m=8,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA",
            "argon2id$t=3,m=65536,p=1$AAAAAAAAAAAAAAAAAAAAAA",
            "argon2id$m=65536,t=3,p=1,x=1$AAAAAAAAAAAAAAAAAAAAAA",
            "pbkdf2-sha256$i=1000$AAAAAAAAAAAAAAAAAAAAAA",
            "pbkdf2-sha256$i=600000$AAAA",
            "scrypt$n=1$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(text.parse::<KdfParameters>().is_err(), "{text}");
        }
    }
}
