//! The key of a payload that is kept outside of the database. The database has the key, sealed under the tenant's, and the
//! other place has the payload: neither opens anything alone.

use credvault_domain::{ConnectionId, Random, TenantId};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::envelope::{self, KeyBytes};
use crate::{Error, Opened};

/// The number of the key in the envelope: a payload has one key, and a key one payload.
const ONLY: u32 = 1;

/// A random key for one payload of a connection, zeroed when it is dropped.
#[derive(Clone)]
pub struct PayloadKey(KeyBytes);

impl PayloadKey {
    /// A new key.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, Error> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        random.fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// A key that was stored in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the text is no such key.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Error::Integrity);
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| Error::Integrity)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| Error::Integrity)?;
        }
        Ok(Self(bytes))
    }

    /// The key in hexadecimal, to be sealed.
    pub fn to_hex(&self) -> Zeroizing<String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Allocated in its final size: a text that grows leaves a part of the key behind in the old allocation.
        let mut text = Zeroizing::new(String::with_capacity(64));
        for byte in self.0.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0').into());
            }
        }
        text
    }

    /// Seals a payload.
    ///
    /// # Errors
    /// The value is over 68 KiB, or there is no randomness.
    pub fn seal(
        &self,
        (tenant, connection, payload): (&TenantId, ConnectionId, [u8; 16]),
        value: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, Error> {
        envelope::seal(&self.0, ONLY, &Context::payload(tenant, connection, payload), value, random)
    }

    /// Opens a payload that was sealed for the same place.
    ///
    /// # Errors
    /// [`Error::Integrity`], whatever the cause.
    pub fn open(
        &self,
        (tenant, connection, payload): (&TenantId, ConnectionId, [u8; 16]),
        sealed: &[u8],
    ) -> Result<Opened, Error> {
        envelope::open(&self.0, ONLY, &Context::payload(tenant, connection, payload), sealed)
    }
}

impl std::fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayloadKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use credvault_domain::ConnectionId;
    use uuid::Uuid;

    use super::*;
    use crate::SystemRandom;

    #[test]
    fn a_payload_opens_in_its_place_with_its_key_only() {
        let (random, tenant) = (SystemRandom, TenantId::parse("acme").expect("a tenant"));
        let connection = ConnectionId::from_uuid(Uuid::from_u128(1));
        let key = PayloadKey::generate(&random).expect("random");
        let sealed = key.seal((&tenant, connection, [1; 16]), b"CANARY", &random).expect("seals");
        let same = PayloadKey::from_hex(&key.to_hex()).expect("reads");
        assert_eq!(same.open((&tenant, connection, [1; 16]), &sealed).expect("opens").as_slice(), b"CANARY");
        let other = TenantId::parse("beta").expect("a tenant");
        let elsewhere = ConnectionId::from_uuid(Uuid::from_u128(2));
        for place in
            [(&other, connection, [1; 16]), (&tenant, elsewhere, [1; 16]), (&tenant, connection, [2; 16])]
        {
            assert!(matches!(key.open(place, &sealed), Err(Error::Integrity)));
        }
        let foreign = PayloadKey::generate(&random).expect("random");
        assert!(matches!(foreign.open((&tenant, connection, [1; 16]), &sealed), Err(Error::Integrity)));
        assert!(PayloadKey::from_hex("00").is_err() && PayloadKey::from_hex(&"+1".repeat(32)).is_err());
    }
}
