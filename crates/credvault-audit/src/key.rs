//! Keys of checkpoints: Ed25519 (RFC 8032), named and numbered as C2SP signed-note and tlog-cosignature have it. A key id
//! covers the name, so one key that signs for many logs has another id in each.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::Origin;
use crate::hash::sha256;

/// What a key signs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyKind {
    /// Checkpoints of its own log: type 0x01.
    Log,
    /// What a witness has seen of other logs, with the time: type 0x04.
    Witness,
}

impl KeyKind {
    const fn number(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }
}

/// The public half of a key, with its name. Written as a C2SP verifier key: `NAME+ID+BASE64`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VerifierKey {
    name: Origin,
    kind: KeyKind,
    public_key: [u8; 32],
    id: u32,
}

/// The text is not a verifier key that this program can use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a key must be NAME+ID+BASE64 of an Ed25519 key with the type 1 (log) or 4 (witness) and its own id")]
pub struct KeyError;

impl VerifierKey {
    /// The key with this name, kind and public half.
    pub fn new(name: Origin, kind: KeyKind, public_key: [u8; 32]) -> Self {
        let hash = sha256(&[name.as_str().as_bytes(), b"\n", &[kind.number()], &public_key]).to_bytes();
        let [first, second, third, fourth, ..] = hash;
        Self { name, kind, public_key, id: u32::from_be_bytes([first, second, third, fourth]) }
    }

    /// The name of the key: for a log the origin.
    pub fn name(&self) -> &Origin {
        &self.name
    }

    /// What the key signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The number by which signatures name the key.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The public half of the key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public_key).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[self.kind.number()], self.public_key.as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(material))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Base64 may have plus signs, names have none.
        let (name, rest) = text.split_once('+').ok_or(KeyError)?;
        let (_, material) = rest.split_once('+').ok_or(KeyError)?;
        let material = STANDARD.decode(material).map_err(|_| KeyError)?;
        let (number, public_key) = material.split_first().ok_or(KeyError)?;
        let kind = [KeyKind::Log, KeyKind::Witness].into_iter().find(|kind| kind.number() == *number);
        let public_key = public_key.try_into().map_err(|_| KeyError)?;
        let name = Origin::parse(name).map_err(|_| KeyError)?;
        let key = Self::new(name, kind.ok_or(KeyError)?, public_key);
        if key.to_string() == text { Ok(key) } else { Err(KeyError) }
    }
}

/// A private key that signs checkpoints.
pub struct SigningKey {
    // Boxed, so that moving the owner leaves no copy of the key behind.
    pair: Box<Ed25519KeyPair>,
    public_key: [u8; 32],
}

impl SigningKey {
    /// The key of a 32-byte seed.
    ///
    /// # Errors
    /// The seed has another length.
    pub fn from_seed(seed: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError)?;
        let public_key = pair.public_key().as_ref().try_into().map_err(|_| KeyError)?;
        Ok(Self { pair: Box::new(pair), public_key })
    }

    /// The public half of the key under a name.
    pub fn verifier(&self, name: Origin, kind: KeyKind) -> VerifierKey {
        VerifierKey::new(name, kind, self.public_key)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}
