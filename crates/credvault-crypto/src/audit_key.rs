//! A tenant's audit key, under which the records of its log are sealed. It is sealed under the tenant's key itself: a rotation
//! of that one seals 32 bytes anew and not the whole log, and with the tenant's key an erasure ends the log, too.

use credvault_domain::Random;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::envelope::{self, KeyBytes};
use crate::{Error, Opened, TenantKey};

/// The number of the key in the envelope. The row of a sealed value says which audit key it is.
const ONLY: u32 = 1;

/// An audit key, zeroed when it is dropped.
pub struct AuditKey {
    bytes: KeyBytes,
    words: Box<hmac::Key>,
}

impl AuditKey {
    /// A new key.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, Error> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        random.fill(bytes.as_mut_slice())?;
        Ok(Self::of(bytes))
    }

    fn of(bytes: KeyBytes) -> Self {
        let prk = Salt::new(HKDF_SHA256, &[]).extract(bytes.as_slice());
        let mut words = Zeroizing::new([0; 32]);
        envelope::hkdf_expand(&prk, &[b"credvault/1/audit words"], &mut words);
        let words = Box::new(hmac::Key::new(hmac::HMAC_SHA256, words.as_slice()));
        Self { bytes, words }
    }

    /// The key, sealed under a tenant's key for its place.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn sealed_under(
        &self,
        key: &TenantKey,
        context: &Context<'_>,
        random: &dyn Random,
    ) -> Result<Vec<u8>, Error> {
        key.seal(context, self.bytes.as_slice(), random)
    }

    /// Opens what [`AuditKey::sealed_under`] made under the same key for the same place.
    ///
    /// # Errors
    /// [`Error::Integrity`], whatever the cause.
    pub fn open_under(key: &TenantKey, context: &Context<'_>, sealed: &[u8]) -> Result<Self, Error> {
        let opened = key.open(context, sealed)?;
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        if opened.len() != bytes.len() {
            return Err(Error::Integrity);
        }
        bytes.copy_from_slice(&opened);
        Ok(Self::of(bytes))
    }

    /// Seals records for their place.
    ///
    /// # Errors
    /// They are more than 17 MiB, or there is no randomness.
    pub fn seal(&self, context: &Context<'_>, value: &[u8], random: &dyn Random) -> Result<Vec<u8>, Error> {
        envelope::seal(&self.bytes, ONLY, context, value, random)
    }

    /// Opens what [`AuditKey::seal`] made for the same place.
    ///
    /// # Errors
    /// [`Error::Integrity`], whatever the cause.
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        envelope::open(&self.bytes, ONLY, context, sealed)
    }

    /// A keyed hash of a field's value, for indexes that stand in clear: without the key, a reader of them cannot test a guess.
    pub fn word(&self, field: &str, value: &[u8]) -> u64 {
        let mut mac = hmac::Context::with_key(&self.words);
        for part in [field.as_bytes(), value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let tag = mac.sign();
        tag.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use credvault_domain::TenantId;

    use super::*;
    use crate::SystemRandom;

    fn tenant_key(byte: u8) -> TenantKey {
        TenantKey::new(1, Box::new(Zeroizing::new([byte; 32])))
    }

    #[test]
    fn a_key_opens_under_its_tenants_key_in_its_place_only() {
        let (random, acme) = (SystemRandom, TenantId::parse("acme").expect("a tenant"));
        let other = TenantId::parse("other").expect("a tenant");
        let (key, place) = (AuditKey::generate(&random).expect("random"), Context::audit_key(&acme, 1));
        let sealed = key.sealed_under(&tenant_key(1), &place, &random).expect("seals");
        let same = AuditKey::open_under(&tenant_key(1), &place, &sealed).expect("opens");
        let bundle = Context::audit_bundle(&acme, 256);
        let records = key.seal(&bundle, b"CANARY", &random).expect("seals");
        assert_eq!(same.open(&bundle, &records).expect("opens").as_slice(), b"CANARY");
        assert_eq!(same.word("user", b"u1"), key.word("user", b"u1"));
        assert_ne!(key.word("user", b"u1"), key.word("service", b"u1"));
        for place in [Context::audit_key(&acme, 2), Context::audit_key(&other, 1)] {
            assert!(matches!(AuditKey::open_under(&tenant_key(1), &place, &sealed), Err(Error::Integrity)));
        }
        assert!(matches!(AuditKey::open_under(&tenant_key(2), &place, &sealed), Err(Error::Integrity)));
        for place in [
            Context::audit_bundle(&acme, 0),
            Context::audit_bundle(&other, 256),
            Context::audit_journal([0; 16]),
            Context::audit_day(&acme, 0, 256),
        ] {
            assert!(matches!(key.open(&place, &records), Err(Error::Integrity)));
        }
    }

    #[test]
    fn records_may_be_larger_than_a_credential() {
        let (random, acme) = (SystemRandom, TenantId::parse("acme").expect("a tenant"));
        let key = AuditKey::generate(&random).expect("random");
        let place = Context::audit_bundle(&acme, 0);
        let large = vec![1; 16 * 1024 * 1024];
        let sealed = key.seal(&place, &large, &random).expect("seals");
        assert_eq!(key.open(&place, &sealed).expect("opens").as_slice(), large);
        let larger = vec![1; 17 * 1024 * 1024];
        assert!(matches!(key.seal(&place, &larger, &random), Err(Error::TooLarge)));
    }
}
