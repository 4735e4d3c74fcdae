//! The plaintext of a credential: the encoding of its fields before they are sealed. Knows no key.
//!
//! ```text
//! repeated, ordered by name:  name length (1)  name  value length (4, big-endian)  value (UTF-8)
//! ```

use std::collections::BTreeMap;

use credvault_domain::{FieldName, SecretFields};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{Error, Opened};

/// The version of this encoding; it is bound to each sealed credential.
pub const SCHEMA: u16 = 1;

/// Encodes fields in the layout above.
///
/// # Errors
/// A value is over 4 GiB, which the limits of [`SecretFields`] exclude.
pub fn encode(fields: &SecretFields) -> Result<Opened, Error> {
    let size = fields.iter().map(|(name, value)| 5 + name.as_str().len() + value.expose_secret().len()).sum();
    // Allocated in its final size: a buffer that grows leaves plaintext behind in the old allocation.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    for (name, value) in fields.iter() {
        let value = value.expose_secret().as_bytes();
        bytes.push(u8::try_from(name.as_str().len()).map_err(|_| Error::TooLarge)?);
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).map_err(|_| Error::TooLarge)?.to_be_bytes());
        bytes.extend_from_slice(value);
    }
    Ok(bytes)
}

/// Decodes what [`encode`] returned.
///
/// # Errors
/// [`Error::Integrity`] if the bytes are anything else.
pub fn decode(mut bytes: &[u8]) -> Result<SecretFields, Error> {
    let mut fields = BTreeMap::new();
    while !bytes.is_empty() {
        let [length] = *take(&mut bytes, 1)?.first_chunk().ok_or(Error::Integrity)?;
        let name = text(take(&mut bytes, usize::from(length))?)?;
        let name = FieldName::parse(name).map_err(|_| Error::Integrity)?;
        let length = *take(&mut bytes, 4)?.first_chunk().ok_or(Error::Integrity)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| Error::Integrity)?;
        let value = SecretString::from(text(take(&mut bytes, length)?)?);
        fields.insert(name, value);
    }
    Ok(SecretFields::from_sealed(fields))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Error> {
    let (head, tail) = bytes.split_at_checked(count).ok_or(Error::Integrity)?;
    *bytes = tail;
    Ok(head)
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Integrity)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_decodes(pairs in prop::collection::btree_map("[a-z][a-z0-9_]{0,63}", any::<String>(), 0..8)) {
            let secret = |(name, value): (&String, &String)| (name.clone(), SecretString::from(value.clone()));
            let fields = SecretFields::parse("f", pairs.iter().map(secret)).expect("within limits");
            let decoded = decode(&encode(&fields).expect("encodes")).expect("decodes");
            let plain: BTreeMap<_, _> =
                decoded.iter().map(|(name, value)| (name.as_str().to_owned(), value.expose_secret().to_owned())).collect();
            prop_assert_eq!(plain, pairs);
        }

        #[test]
        fn anything_else_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            if let Ok(fields) = decode(&bytes) {
                prop_assert!(!fields.is_empty());
            }
        }
    }
}
