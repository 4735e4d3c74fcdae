//! The one format of sealed bytes: credentials, tenant keys, the root's check value, page tokens.
//!
//! ```text
//! offset  length
//!      0       1  format = 1
//!      1       1  suite = 1: HKDF-SHA-256 (RFC 5869), AES-256-GCM (SP 800-38D), 32-byte key commitment
//!      2       1  class of what is sealed
//!      3       1  reserved, 0
//!      4       4  key id, big-endian: the tenant key's version, or the root key's id
//!      8      32  salt of the derivation
//!     40      32  commitment to the key
//!     72      12  nonce
//!     84       n  ciphertext of: length (4, big-endian), value, zeros up to the next size step
//!   84+n      16  tag
//! ```
//!
//! ```text
//! PRK        = HKDF-Extract(salt, key)
//! record key = HKDF-Expand(PRK, "credvault/1/record key" || class, 32)
//! commitment = HKDF-Expand(PRK, "credvault/1/commitment" || class, 32)
//! ```
//!
//! Knows no key but the one it is given, and no meaning of the value. Each attack that the format stops is named at the
//! line that stops it.

use credvault_domain::Random;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::context::{Context, MAX_PADDED_BYTES};
use crate::{Error, Opened};

const FORMAT: u8 = 1;
/// HKDF-SHA-256, AES-256-GCM and the key commitment.
const SUITE: u8 = 1;
const SALT: std::ops::Range<usize> = 8..40;
const COMMITMENT: std::ops::Range<usize> = 40..72;
const NONCE: std::ops::Range<usize> = 72..84;
const HEADER_BYTES: usize = 84;
const TAG_BYTES: usize = 16;
/// The length field in front of the value.
const LENGTH_BYTES: usize = 4;

/// The size of the smallest sealed value.
pub const MIN_SEALED_BYTES: usize = HEADER_BYTES + 64 + TAG_BYTES;
/// The size of the largest sealed value, audit records apart.
pub const MAX_SEALED_BYTES: usize = HEADER_BYTES + MAX_PADDED_BYTES + TAG_BYTES;

/// The 32 secret bytes behind a root or tenant key. Boxed, so that moving the owner leaves no copy behind.
pub(crate) type KeyBytes = Box<Zeroizing<[u8; 32]>>;

/// Seals `value` under `key` for the place `context`.
pub(crate) fn seal(
    key: &[u8; 32],
    key_id: u32,
    context: &Context<'_>,
    value: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, Error> {
    // A repeated nonce under one key would reveal the XOR of two plaintexts and let a reader forge tags. The salt gives
    // each record a key of its own, so two records would have to share 32 random bytes and 12 more.
    let mut fresh = [0_u8; SALT.end - SALT.start + NONCE.end - NONCE.start];
    random.fill(&mut fresh)?;
    let (salt, nonce) = fresh.split_at(SALT.end - SALT.start);

    let padded = padded_length(value.len(), context.most_padded_bytes())?;
    // Allocated in its final size: a buffer that grows leaves plaintext behind in the old allocation.
    let mut blob = Vec::with_capacity(HEADER_BYTES + padded + TAG_BYTES);
    blob.extend_from_slice(&[FORMAT, SUITE, context.class as u8, 0]);
    blob.extend_from_slice(&key_id.to_be_bytes());
    blob.extend_from_slice(salt);
    let record = derive_record_key(key, salt, context);
    blob.extend_from_slice(&record.commitment);
    blob.extend_from_slice(nonce);
    // The whole header and the place are authenticated: an altered header, or a value that was moved to another row or
    // tenant, fails the tag.
    let associated = context.associated_data(&blob);

    blob.extend_from_slice(&u32::try_from(value.len()).map_err(|_| Error::TooLarge)?.to_be_bytes());
    blob.extend_from_slice(value);
    // Padding: a reader of the database learns a secret's size step, not its length.
    blob.resize(HEADER_BYTES + padded, 0);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Integrity)?;
    let (_, plaintext) = blob.split_at_mut(HEADER_BYTES);
    let tag = record
        .key
        .seal_in_place_separate_tag(nonce, Aad::from(associated), plaintext)
        .map_err(|_| Error::TooLarge)?;
    blob.extend_from_slice(tag.as_ref());
    Ok(blob)
}

/// Opens what [`seal`] made under the same key for the same place.
pub(crate) fn open(key: &[u8; 32], key_id: u32, context: &Context<'_>, blob: &[u8]) -> Result<Opened, Error> {
    let (header, body) = blob.split_at_checked(HEADER_BYTES).ok_or(Error::Integrity)?;
    let most = context.most_padded_bytes();
    // Only this format: a writer of the database cannot choose an older or weaker suite.
    let expected = [FORMAT, SUITE, context.class as u8, 0];
    let well_formed = header.starts_with(&expected)
        && header.get(4..8) == Some(&key_id.to_be_bytes())
        && (MIN_SEALED_BYTES..=HEADER_BYTES + most + TAG_BYTES).contains(&blob.len());
    if !well_formed {
        return Err(Error::Integrity);
    }
    let field = |range: std::ops::Range<usize>| header.get(range).ok_or(Error::Integrity);
    let record = derive_record_key(key, field(SALT)?, context);
    // AES-GCM does not bind its key: one ciphertext can be made that opens under two keys, each time to another value
    // (Dodis, Grubbs, Ristenpart, Woodage: "From invisible salamanders to encryptment"). The commitment stops that.
    // Compared in constant time, before anything is decrypted, so the time tells nothing about the expected bytes.
    if !bool::from(record.commitment.as_slice().ct_eq(field(COMMITMENT)?)) {
        return Err(Error::Integrity);
    }
    let nonce = Nonce::try_assume_unique_for_key(field(NONCE)?).map_err(|_| Error::Integrity)?;
    let mut opened = Zeroizing::new(body.to_vec());
    let length = record
        .key
        .open_in_place(nonce, Aad::from(context.associated_data(header)), &mut opened)
        .map_err(|_| Error::Integrity)
        .and_then(|padded| value_length(padded, most))?;
    opened.copy_within(LENGTH_BYTES..LENGTH_BYTES + length, 0);
    opened.truncate(length);
    Ok(opened)
}

/// The length of the value in an opened body. Refuses any body that [`seal`] would not write, so that each value has
/// one sealed length and the padding carries no hidden bytes.
fn value_length(padded: &[u8], most: usize) -> Result<usize, Error> {
    let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>().ok_or(Error::Integrity)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Error::Integrity)?;
    let canonical = padded_length(length, most).is_ok_and(|expected| expected == padded.len());
    let zeros = rest.get(length..).ok_or(Error::Integrity)?;
    if canonical && zeros.iter().all(|byte| *byte == 0) { Ok(length) } else { Err(Error::Integrity) }
}

/// The size step for a value: powers of two from 64 bytes to 4 KiB, then multiples of 4 KiB.
fn padded_length(value: usize, most: usize) -> Result<usize, Error> {
    let needed = value.checked_add(LENGTH_BYTES).filter(|needed| *needed <= most).ok_or(Error::TooLarge)?;
    Ok(if needed <= 4096 { needed.next_power_of_two().max(64) } else { needed.next_multiple_of(4096) })
}

/// The key of one record, and the public value that commits to it.
struct RecordKey {
    key: LessSafeKey,
    commitment: [u8; 32],
}

/// Derives both from the tenant or root key as the header of this file says. The class is part of `info`, so that a
/// record's key is of no use for another kind of value.
fn derive_record_key(key: &[u8; 32], salt: &[u8], context: &Context<'_>) -> RecordKey {
    let prk = Salt::new(HKDF_SHA256, salt).extract(key);
    let class = [context.class as u8];
    let mut commitment = [0; 32];
    hkdf_expand(&prk, &[b"credvault/1/commitment", &class], &mut commitment);
    let info: [&[u8]; 2] = [b"credvault/1/record key", &class];
    let okm = prk.expand(&info, &AES_256_GCM).expect("HKDF-SHA256 gives up to 255 blocks, and this is one");
    RecordKey { key: LessSafeKey::new(UnboundKey::from(okm)), commitment }
}

/// HKDF-Expand (RFC 5869, section 2.3) to 32 bytes. ring joins the parts of `info` without separators, so only the last
/// part may vary in length: otherwise two lists of parts could give the same key.
pub(crate) fn hkdf_expand(prk: &Prk, info: &[&[u8]], output: &mut [u8; 32]) {
    struct Block;
    impl KeyType for Block {
        fn len(&self) -> usize {
            32
        }
    }
    prk.expand(info, Block)
        .and_then(|okm| okm.fill(output))
        .expect("HKDF-SHA256 gives up to 255 blocks, and this is one");
}

#[cfg(test)]
mod tests;
