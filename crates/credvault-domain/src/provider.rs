//! Names in the provider catalog: providers, their ways to authenticate, their fields. The catalog itself is a crate of
//! its own.

use crate::NameError;
use crate::name::names;

/// The longest name in the catalog, in bytes.
const MAX_IDENTIFIER_BYTES: usize = 64;

/// Checks the rule of every name in the catalog: `[a-z][a-z0-9_]*` of at most 64 characters.
fn check(text: &str) -> Result<(), NameError> {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    let in_alphabet = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if text.len() <= MAX_IDENTIFIER_BYTES && starts && in_alphabet {
        Ok(())
    } else {
        Err(NameError("must be 1 to 64 characters of a-z 0-9 _ and begin with a letter"))
    }
}

names! {
    check, "a name: 1 to 64 characters of `a-z 0-9 _`, a letter first";
    /// A catalog entry: `shopify`, `amazon_ads`, `generic`.
    ProviderId;
    /// One of a provider's ways to authenticate: `access_token`, `key_pair`, `oauth2_code`.
    AuthMode;
    /// A field of a credential or of a connection's config: `consumer_key`, `shop`.
    FieldName;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_identifiers() {
        assert!(ProviderId::parse("amazon_sp_seller").is_ok());
        for text in ["", "A", "1a", "_a", "a-b", "a b", &"x".repeat(65)] {
            assert!(FieldName::parse(text).is_err(), "{text:?}");
        }
    }
}
