//! The hashes of the tree: SHA-256 with a first byte that tells leaves from nodes (RFC 6962, section 2.1), so that neither
//! can pose as the other.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// A SHA-256 hash of the tree, 32 bytes. Written in Base64 with padding, as checkpoints have it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Hash::BYTES]);

impl Hash {
    /// The number of bytes of a hash.
    pub const BYTES: usize = 32;

    /// Wraps the bytes of a hash.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the hash.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// Reads the one Base64 spelling of a hash; `None` for anything else.
    pub fn from_base64(text: &str) -> Option<Self> {
        Some(Self(STANDARD.decode(text).ok()?.try_into().ok()?))
    }

    /// The root of a tree without leaves.
    pub fn of_empty_tree() -> Self {
        sha256(&[])
    }

    /// The leaf that stands for a log entry. The parts are hashed as if they were one text.
    pub fn of_leaf(entry: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(LEAF);
        entry.iter().for_each(|part| context.update(part));
        finish(context)
    }

    /// The node above two others.
    pub fn of_node(left: Self, right: Self) -> Self {
        sha256(&[NODE, &left.0, &right.0])
    }
}

/// The plain SHA-256 of some parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    finish(context)
}

fn finish(context: Context) -> Hash {
    let mut bytes = [0; Hash::BYTES];
    bytes.copy_from_slice(context.finish().as_ref());
    Hash(bytes)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn a_hash_has_one_spelling() {
        let hash = Hash::of_leaf(&[b"credvault"]);
        assert_eq!(Hash::from_base64(&hash.to_string()), Some(hash));
        let unpadded = hash.to_string().trim_end_matches('=').to_owned();
        for text in ["", &unpadded, &format!("{hash}\n"), &hash.to_string()[4..]] {
            assert_eq!(Hash::from_base64(text), None, "{text:?}");
        }
        // The last character before the padding has two bits that mean nothing; they must be zero.
        let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(Hash::from_base64(zeros), Some(Hash::from_bytes([0; 32])));
        assert_eq!(Hash::from_base64(&zeros.replace("A=", "B=")), None);
    }

    #[test]
    fn parts_of_an_entry_are_hashed_as_one_text() {
        assert_eq!(Hash::of_leaf(&[b"cred", b"", b"vault"]), Hash::of_leaf(&[b"credvault"]));
        assert_ne!(Hash::of_leaf(&[]), Hash::of_empty_tree(), "a leaf without bytes is a leaf");
    }
}
