//! What a key manager has wrapped, in the frame of sealed bytes.
//!
//! ```text
//! offset  length
//!      0       1  format = 1
//!      1       1  suite = 128: wrapped by a key manager
//!      2       1  class of what is wrapped
//!      3       1  reserved, 0
//!      4       4  id of the root key, big-endian
//!      8      32  salt of the commitment
//!     40      32  commitment to value and place
//!     72      12  zeros
//!     84       n  what the key manager gave for: length (4, big-endian), value, zeros up to 64 bytes
//! ```
//!
//! ```text
//! commitment = HKDF-Expand(HKDF-Extract(salt, value), "credvault/1/managed commitment" || SHA-256(associated data), 32)
//! ```
//!
//! Key managers differ in what they bind. The commitment binds the value to its place in any case: a wrapped key that was
//! moved to another tenant does not open, even if the key manager unwraps it.

use credvault_domain::Random;
use ring::hkdf::{HKDF_SHA256, Salt};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::envelope;
use crate::key_manager::{KeyManager, KeyManagerError};
use crate::mac::sha256;
use crate::{Error, Opened};

const FORMAT: u8 = 1;
const SUITE: u8 = 128;
const SALT: std::ops::Range<usize> = 8..40;
const COMMITMENT: std::ops::Range<usize> = 40..72;
const HEADER_BYTES: usize = 84;
/// The value with its length field and zeros.
const PADDED_BYTES: usize = 64;
/// The most bytes that a key manager may make of [`PADDED_BYTES`]: what is stored has at most 4 KiB.
const MAX_WRAPPED_BYTES: usize = 4096 - HEADER_BYTES;

/// Has `manager` wrap a value of at most 60 bytes.
pub(crate) async fn seal(
    manager: &dyn KeyManager,
    key_id: u32,
    context: &Context<'_>,
    value: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, Error> {
    let mut salt = [0; SALT.end - SALT.start];
    random.fill(&mut salt)?;
    let mut plain = Zeroizing::new([0; PADDED_BYTES]);
    let (length, room) = plain.split_at_mut(4);
    length.copy_from_slice(&u32::try_from(value.len()).map_err(|_| Error::TooLarge)?.to_be_bytes());
    room.get_mut(..value.len()).ok_or(Error::TooLarge)?.copy_from_slice(value);

    let mut sealed = Vec::with_capacity(HEADER_BYTES + PADDED_BYTES);
    sealed.extend_from_slice(&[FORMAT, SUITE, context.class as u8, 0]);
    sealed.extend_from_slice(&key_id.to_be_bytes());
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(&commit(value, key_id, context, &salt));
    sealed.resize(HEADER_BYTES, 0);
    let wrapped = manager
        .wrap(&context.wrap_place(), plain.as_slice())
        .await
        .map_err(|error| failed(manager, error))?;
    if !(PADDED_BYTES..=MAX_WRAPPED_BYTES).contains(&wrapped.len()) {
        let length = KeyManagerError::Key(format!("it made {} bytes of {PADDED_BYTES}", wrapped.len()));
        return Err(failed(manager, length));
    }
    sealed.extend_from_slice(&wrapped);
    Ok(sealed)
}

/// Has `manager` unwrap what [`seal`] made for the same place.
pub(crate) async fn open(
    manager: &dyn KeyManager,
    key_id: u32,
    context: &Context<'_>,
    sealed: &[u8],
) -> Result<Opened, Error> {
    let (header, wrapped) = sealed.split_at_checked(HEADER_BYTES).ok_or(Error::Integrity)?;
    let well_formed = header.starts_with(&[FORMAT, SUITE, context.class as u8, 0])
        && header.get(4..8) == Some(&key_id.to_be_bytes())
        && header.get(COMMITMENT.end..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
        && (PADDED_BYTES..=MAX_WRAPPED_BYTES).contains(&wrapped.len());
    if !well_formed {
        return Err(Error::Integrity);
    }
    let plain =
        manager.unwrap(&context.wrap_place(), wrapped).await.map_err(|error| failed(manager, error))?;
    let (length, room) = plain.split_first_chunk::<4>().ok_or(Error::Integrity)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Error::Integrity)?;
    let (value, zeros) = room.split_at_checked(length).ok_or(Error::Integrity)?;
    if plain.len() != PADDED_BYTES || zeros.iter().any(|byte| *byte != 0) {
        return Err(Error::Integrity);
    }
    let (salt, commitment) = (header.get(SALT), header.get(COMMITMENT));
    let expected = commit(value, key_id, context, salt.ok_or(Error::Integrity)?);
    if !bool::from(expected.as_slice().ct_eq(commitment.ok_or(Error::Integrity)?)) {
        return Err(Error::Integrity);
    }
    Ok(Zeroizing::new(value.to_vec()))
}

/// The root key's id that a wrapped key names, from its frame.
pub(crate) fn key_id(sealed: &[u8]) -> Option<u32> {
    sealed.get(4..8)?.try_into().ok().map(u32::from_be_bytes)
}

/// The failure of a key manager as an error of this crate, which names the key.
pub(crate) fn failed(manager: &dyn KeyManager, error: KeyManagerError) -> Error {
    match error {
        KeyManagerError::Foreign => Error::Integrity,
        KeyManagerError::Unavailable(_)
        | KeyManagerError::Denied(_)
        | KeyManagerError::Key(_)
        | KeyManagerError::Settings(_) => {
            Error::KeyManager { key: format!("{} {}", manager.kind(), manager.key_name()), source: error }
        }
    }
}

fn commit(value: &[u8], key_id: u32, context: &Context<'_>, salt: &[u8]) -> [u8; 32] {
    let place = sha256(&[context.associated_data(&key_id.to_be_bytes())]);
    let prk = Salt::new(HKDF_SHA256, salt).extract(value);
    let mut commitment = [0; 32];
    envelope::hkdf_expand(&prk, &[b"credvault/1/managed commitment", &place], &mut commitment);
    commitment
}

#[cfg(test)]
mod tests;
