//! The sealed part of a backup: frames under the backup's own key, which the root key wraps. Knows nothing of what is in
//! the frames, and reads and writes no file.
//!
//! ```text
//! backup     = header, frame 0, frame 1, …, last frame
//! frame      = length of the rest (4, big-endian; the highest bit is set in the last frame only), ciphertext, tag (16)
//! ciphertext = AES-256-GCM (SP 800-38D) under the backup's key, which seals nothing else
//! nonce      = number of the frame from 0 (11, big-endian), then 1 in the last frame and 0 in all others
//! data       = "credvault/backup/1", SHA-256 of the whole header
//! ```
//!
//! This is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its
//! Nonce-Reuse Misuse-Resistance", 2015). A frame that was altered, left out, moved or taken from another backup does not
//! open, and a backup without its last frame never ends.

use credvault_domain::Random;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use zeroize::Zeroizing;

use crate::Error;
use crate::envelope::KeyBytes;
use crate::mac::sha256;

/// The most plaintext of a frame, in bytes.
pub const FRAME_BYTES: usize = 256 * 1024;
/// The length in front of a frame.
pub const FRAME_HEAD_BYTES: usize = 4;

const TAG_BYTES: usize = 16;
/// Marks the last frame in its length.
const LAST: u32 = 1 << 31;
/// The most frames of a backup: how often SP 800-38D, section 8, lets one key be used. They hold a pebibyte.
const MAX_FRAMES: u64 = 1 << 32;

const LABEL: &[u8] = b"credvault/backup/1";

/// Why the frames of a backup cannot be made or opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupStreamError {
    /// A frame does not open at its place in this backup.
    #[error("a part of the backup was altered, is missing, is out of order, or belongs to another backup")]
    Altered,
    /// A frame is larger, or there are more of them, than the format has room for.
    #[error("the backup is larger than its format has room for")]
    TooLarge,
}

/// The key of one backup: 32 random bytes, zeroed when they are dropped.
pub struct BackupKey(KeyBytes);

impl BackupKey {
    /// Makes a key for a new backup.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, Error> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        random.fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// The key that was unwrapped.
    ///
    /// # Errors
    /// [`Error::Integrity`] if these are not 32 bytes.
    pub(crate) fn from_unwrapped(unwrapped: &[u8]) -> Result<Self, Error> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        if unwrapped.len() != bytes.len() {
            return Err(Error::Integrity);
        }
        bytes.copy_from_slice(unwrapped);
        Ok(Self(bytes))
    }

    /// The bytes, to be wrapped.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackupKey")
    }
}

/// A backup's key as the header holds it: wrapped by a root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrappedBackupKey {
    /// The id of the root key that wrapped it.
    pub root_id: u32,
    /// The wrapped bytes of the key.
    pub bytes: Vec<u8>,
}

/// Seals the frames of a backup, in their order.
pub struct BackupSealer(Frames);

/// Opens the frames of a backup, in their order.
pub struct BackupOpener(Frames);

/// The place in a backup that has been reached.
struct Frames {
    key: LessSafeKey,
    data: Vec<u8>,
    number: u64,
    ended: bool,
}

impl Frames {
    fn new(key: &BackupKey, header: &[u8]) -> Self {
        let key =
            UnboundKey::new(&AES_256_GCM, key.bytes().as_slice()).expect("a key of AES-256 has 32 bytes");
        let data = [LABEL, &sha256(&[header])].concat();
        Self { key: LessSafeKey::new(key), data, number: 0, ended: false }
    }

    /// The nonce of the next frame. No other frame of this key has it.
    fn next(&mut self, last: bool) -> Result<Nonce, BackupStreamError> {
        if self.ended {
            return Err(BackupStreamError::Altered);
        }
        if self.number >= MAX_FRAMES {
            return Err(BackupStreamError::TooLarge);
        }
        let [a, b, c, d, e, f, g, h] = self.number.to_be_bytes();
        let nonce: [u8; NONCE_LEN] = [0, 0, 0, a, b, c, d, e, f, g, h, u8::from(last)];
        self.number += 1;
        self.ended = last;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

impl BackupSealer {
    /// Begins the frames behind this header.
    pub fn new(key: &BackupKey, header: &[u8]) -> Self {
        Self(Frames::new(key, header))
    }

    /// Puts the next frame, with its length in front, into `frame`, in place of what that held.
    ///
    /// # Errors
    /// There are over [`FRAME_BYTES`] bytes, or the last frame was sealed before.
    pub fn seal(&mut self, plain: &[u8], last: bool, frame: &mut Vec<u8>) -> Result<(), BackupStreamError> {
        if plain.len() > FRAME_BYTES {
            return Err(BackupStreamError::TooLarge);
        }
        let nonce = self.0.next(last)?;
        let length = u32::try_from(plain.len() + TAG_BYTES).map_err(|_| BackupStreamError::TooLarge)?;
        let head = if last { length | LAST } else { length };
        frame.clear();
        frame.extend_from_slice(&head.to_be_bytes());
        frame.extend_from_slice(plain);
        let (_, body) = frame.split_at_mut(FRAME_HEAD_BYTES);
        let sealed = self.0.key.seal_in_place_separate_tag(nonce, Aad::from(self.0.data.as_slice()), body);
        let tag = sealed.map_err(|_| BackupStreamError::TooLarge)?;
        frame.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

impl BackupOpener {
    /// Begins the frames behind this header.
    pub fn new(key: &BackupKey, header: &[u8]) -> Self {
        Self(Frames::new(key, header))
    }

    /// How many bytes follow the length of a frame. It is not proven yet.
    ///
    /// # Errors
    /// No frame has such a length.
    pub fn body_bytes(head: [u8; FRAME_HEAD_BYTES]) -> Result<usize, BackupStreamError> {
        let length = usize::try_from(u32::from_be_bytes(head) & !LAST);
        let length = length.ok().filter(|length| (TAG_BYTES..=FRAME_BYTES + TAG_BYTES).contains(length));
        length.ok_or(BackupStreamError::Altered)
    }

    /// Opens the next frame in place: `body` becomes its plaintext. Says whether it is the last one.
    ///
    /// # Errors
    /// It is not the next frame of this backup.
    pub fn open(
        &mut self,
        head: [u8; FRAME_HEAD_BYTES],
        body: &mut Vec<u8>,
    ) -> Result<bool, BackupStreamError> {
        let last = u32::from_be_bytes(head) & LAST != 0;
        if Self::body_bytes(head)? != body.len() {
            return Err(BackupStreamError::Altered);
        }
        let nonce = self.0.next(last)?;
        let opened = self.0.key.open_in_place(nonce, Aad::from(self.0.data.as_slice()), body);
        let length = opened.map_err(|_| BackupStreamError::Altered)?.len();
        body.truncate(length);
        Ok(last)
    }
}

impl std::fmt::Debug for BackupSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupSealer").field("number", &self.0.number).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BackupOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupOpener").field("number", &self.0.number).finish_non_exhaustive()
    }
}

/// SHA-256 (FIPS 180-4) of bytes that come one after the other.
#[derive(Clone)]
pub struct RunningSha256(digest::Context);

impl RunningSha256 {
    /// The hash of nothing so far.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes that were taken.
    pub fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

impl Default for RunningSha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for RunningSha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunningSha256")
    }
}

#[cfg(test)]
mod tests;
