//! The key in the token: found by its label, and refused unless it is one that cannot leave the token.

use credvault_crypto::KeyManagerError;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::reason;

const KEY_BYTES: u64 = 32;

/// Finds the one AES key with this label.
pub(super) fn find(session: &Session, label: &str) -> Result<ObjectHandle, KeyManagerError> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session.find_objects(&template).map_err(|error| reason::of(&error))?;
    match found.as_slice() {
        [key] => {
            check(session, *key)?;
            Ok(*key)
        }
        [] => Err(unusable("the token has no AES key with the label in `key`")),
        [..] => Err(unusable("several keys have the label in `key`: give the right one a label of its own")),
    }
}

/// What each attribute of the key must be, and the sentence for an operator when it is not.
fn required() -> [(AttributeType, Attribute, &'static str); 6] {
    [
        (AttributeType::Token, Attribute::Token(true), "it is not stored in the token (CKA_TOKEN)"),
        (
            AttributeType::ValueLen,
            Attribute::ValueLen(KEY_BYTES.into()),
            "it is not of 256 bits (CKA_VALUE_LEN)",
        ),
        (
            AttributeType::Sensitive,
            Attribute::Sensitive(true),
            "it can be read in plaintext: CKA_SENSITIVE must be true",
        ),
        (
            AttributeType::Extractable,
            Attribute::Extractable(false),
            "it can be taken out: CKA_EXTRACTABLE must be false",
        ),
        (AttributeType::Encrypt, Attribute::Encrypt(true), "it may not encrypt (CKA_ENCRYPT)"),
        (AttributeType::Decrypt, Attribute::Decrypt(true), "it may not decrypt (CKA_DECRYPT)"),
    ]
}

fn check(session: &Session, key: ObjectHandle) -> Result<(), KeyManagerError> {
    let required = required();
    let asked: Vec<_> = required.iter().map(|(kind, _, _)| *kind).collect();
    let given = session.get_attributes(key, &asked).map_err(|error| reason::of(&error))?;
    match required.iter().find(|(_, wanted, _)| !given.contains(wanted)) {
        Some((_, _, why)) => Err(unusable(why)),
        None => Ok(()),
    }
}

fn unusable(why: &str) -> KeyManagerError {
    KeyManagerError::Key(why.to_owned())
}
