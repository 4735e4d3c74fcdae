//! Tags: which credential was given out, as opaque text that its caller may show again. Only the vault reads a tag, and only
//! for the tenant that got it.
//!
//! ```text
//! offset  length
//!      0       1  format = 1
//!      1       1  whose key: 0 the asking tenant's, 1 the platform's
//!      2       4  the key's version, big-endian
//!      6      16  synthetic IV
//!     22      32  connection (16), version (8), generation (8), encrypted
//! ```
//!
//! ```text
//! tag key = HKDF-Expand(HKDF-Extract(no salt, tenant key), "credvault/1/credential tag", 32)
//! IV      = first 16 bytes of HMAC(tag key, 0 || header || length of tenant || tenant || plaintext)
//! cipher  = plaintext XOR HMAC(tag key, 1 || header || IV)
//! ```
//!
//! The composition is SIV (Rogaway and Shrimpton, "Deterministic authenticated-encryption", 2006; RFC 5297) with
//! HMAC-SHA-256 as the pseudorandom function. It needs no randomness and two short hashes, so a fetch can afford it; two tags
//! of one credential for one tenant are equal, and that is all that they reveal.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_domain::{ConnectionId, TenantId, Version};
use ring::hmac;
use subtle::ConstantTimeEq;

use crate::{KeyVersion, TenantKey};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 6;
const IV_BYTES: usize = 16;
const BODY_BYTES: usize = 32;
const TAG_BYTES: usize = HEADER_BYTES + IV_BYTES + BODY_BYTES;

/// The number of characters of a tag.
pub const TAG_CHARS: usize = TAG_BYTES.div_ceil(3) * 4;

/// The credential that a tag is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tagged {
    /// The id of the connection, as bytes.
    pub connection: [u8; 16],
    /// The version of its credential.
    pub version: Version,
    /// The generation of its tokens; 0 where they are never refreshed.
    pub generation: i64,
}

impl Tagged {
    /// The credential of a connection.
    pub fn of(connection: ConnectionId, version: Version, generation: i64) -> Self {
        Self { connection: connection.as_uuid().into_bytes(), version, generation }
    }

    fn to_bytes(self) -> [u8; BODY_BYTES] {
        let mut bytes = [0; BODY_BYTES];
        let (connection, numbers) = bytes.split_at_mut(16);
        connection.copy_from_slice(&self.connection);
        let (version, generation) = numbers.split_at_mut(8);
        version.copy_from_slice(&self.version.to_be_bytes());
        generation.copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; BODY_BYTES]) -> Option<Self> {
        let (connection, numbers) = bytes.split_first_chunk::<16>()?;
        let (version, generation) = numbers.split_first_chunk::<8>()?;
        let generation = generation.first_chunk::<8>()?;
        let (version, generation) = (i64::from_be_bytes(*version), i64::from_be_bytes(*generation));
        Some(Self { connection: *connection, version, generation })
    }
}

/// A tag as a caller shows it, not opened yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    header: [u8; HEADER_BYTES],
    iv: [u8; IV_BYTES],
    body: [u8; BODY_BYTES],
}

impl Tag {
    /// Reads the text of a tag; `None` if it has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        // Refused by its length first, so that a long text costs nothing.
        let bytes = (text.len() == TAG_CHARS).then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (iv, rest) = rest.split_first_chunk::<IV_BYTES>()?;
        let body = rest.first_chunk::<BODY_BYTES>()?;
        let tag = Self { header: *header, iv: *iv, body: *body };
        (header.starts_with(&[FORMAT, 0]) || header.starts_with(&[FORMAT, 1])).then_some(tag)
    }

    /// Whether it was made with the platform's key, because the connection is the platform's.
    pub fn of_platform(&self) -> bool {
        self.header.get(1) == Some(&1)
    }

    /// The version of the key that it was made with.
    pub fn key_version(&self) -> KeyVersion {
        self.header.last_chunk::<4>().map_or(0, |version| KeyVersion::from_be_bytes(*version))
    }

    /// Opens the tag with the key that it names; `None` if that did not make it for `asking`.
    pub fn open(&self, key: &TenantKey, asking: &TenantId) -> Option<Tagged> {
        if key.version() != self.key_version() {
            return None;
        }
        let keys = key.tag_key();
        let plaintext = xor(&self.body, &pad(keys, &self.header, &self.iv));
        let genuine = iv(keys, &self.header, asking, &plaintext).ct_eq(&self.iv);
        Tagged::from_bytes(&plaintext).filter(|_| bool::from(genuine))
    }
}

impl TenantKey {
    /// The tag of a credential that is given out to `asking`. `platform`: this is the platform's key, not that tenant's.
    pub fn tag(&self, asking: &TenantId, platform: bool, tagged: Tagged) -> String {
        let mut bytes = [0; TAG_BYTES];
        let mut header = [FORMAT, u8::from(platform), 0, 0, 0, 0];
        let (_, version) = header.split_at_mut(2);
        version.copy_from_slice(&self.version().to_be_bytes());
        let (plaintext, key) = (tagged.to_bytes(), self.tag_key());
        let iv = iv(key, &header, asking, &plaintext);
        let body = xor(&plaintext, &pad(key, &header, &iv));
        let (first, rest) = bytes.split_at_mut(HEADER_BYTES);
        first.copy_from_slice(&header);
        let (second, third) = rest.split_at_mut(IV_BYTES);
        second.copy_from_slice(&iv);
        third.copy_from_slice(&body);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn iv(key: &hmac::Key, header: &[u8], asking: &TenantId, plaintext: &[u8; BODY_BYTES]) -> [u8; IV_BYTES] {
    let mut mac = hmac::Context::with_key(key);
    mac.update(&[0]);
    mac.update(header);
    // Every other part has one length, so this makes the input unambiguous.
    mac.update(&u16::try_from(asking.as_str().len()).unwrap_or(u16::MAX).to_be_bytes());
    mac.update(asking.as_str().as_bytes());
    mac.update(plaintext);
    let mut iv = [0; IV_BYTES];
    iv.copy_from_slice(mac.sign().as_ref().split_at(IV_BYTES).0);
    iv
}

fn pad(key: &hmac::Key, header: &[u8], iv: &[u8; IV_BYTES]) -> [u8; BODY_BYTES] {
    let mut mac = hmac::Context::with_key(key);
    mac.update(&[1]);
    mac.update(header);
    mac.update(iv);
    let mut pad = [0; BODY_BYTES];
    pad.copy_from_slice(mac.sign().as_ref());
    pad
}

fn xor(left: &[u8; BODY_BYTES], right: &[u8; BODY_BYTES]) -> [u8; BODY_BYTES] {
    let mut both = *left;
    both.iter_mut().zip(right).for_each(|(byte, other)| *byte ^= other);
    both
}

#[cfg(test)]
mod tests;
