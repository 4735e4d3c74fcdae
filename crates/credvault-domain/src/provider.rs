//! Names in the provider catalog: providers, their ways to authenticate, their fields. The catalog itself is a crate of
//! its own.

use std::fmt;

use crate::NameError;

/// The longest name in the catalog, in bytes.
const MAX_IDENTIFIER_BYTES: usize = 64;

/// Parses `[a-z][a-z0-9_]*` of at most 64 characters, the alphabet of every name in the catalog.
fn identifier(text: &str) -> Result<String, NameError> {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    let in_alphabet = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if text.len() <= MAX_IDENTIFIER_BYTES && starts && in_alphabet {
        Ok(text.to_owned())
    } else {
        Err(NameError("must be 1 to 64 characters of a-z 0-9 _ and begin with a letter"))
    }
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            /// Parses a name: 1 to 64 characters of `a-z 0-9 _`, a letter first.
            ///
            /// # Errors
            /// The text is not such a name.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                identifier(text).map(Self)
            }

            /// A name that was parsed before it was stored.
            pub fn from_stored(text: String) -> Self {
                Self(text)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

identifiers! {
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
