//! Names, labels and other short texts that callers choose.

use std::collections::BTreeMap;
use std::fmt;

use unicode_normalization::is_nfc;
use uuid::Uuid;

use crate::Violations;

/// The longest name that people choose, in characters.
const MAX_NAME_CHARS: usize = 128;
/// The longest key of a label, in bytes.
const MAX_LABEL_KEY_BYTES: usize = 63;

/// The rule that a text breaks, in words that a caller may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub &'static str);

/// Checks the rule of all names that people choose: 1 to 128 printable characters, no blank at either end, NFC.
///
/// Two texts that look alike must be the same name. Otherwise a name with a blank or a decomposed letter would evade
/// policies and unique constraints, as happened to other vaults.
pub(crate) fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError("must not be empty"));
    }
    if text.chars().count() > MAX_NAME_CHARS {
        return Err(NameError("must have at most 128 characters"));
    }
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(NameError("must have printable characters only"));
    }
    if text.trim() != text {
        return Err(NameError("must not begin or end with a blank"));
    }
    if !is_nfc(text) {
        return Err(NameError("must be in Unicode normalization form C"));
    }
    Ok(())
}

/// Characters that show nothing or turn the reading direction, so that two different names look the same.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Declares types of names: texts that the function `$rule` has checked.
macro_rules! names {
    ($rule:path, $form:literal; $($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Parses ", $form, ".")]
            ///
            /// # Errors
            /// The text is not of that form.
            pub fn parse(text: &str) -> Result<Self, $crate::NameError> {
                $rule(text).map(|()| Self(text.to_owned()))
            }

            /// One that was parsed before it was stored.
            pub fn from_stored(text: String) -> Self {
                Self(text)
            }

            /// The name as a text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
pub(crate) use names;

/// The name of one account at one provider, unique for its owner and provider among connections not deleted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AccountName(String);

impl AccountName {
    /// The name of an account whose creator gave none.
    pub const DEFAULT: &'static str = "default";

    /// Parses a name; the empty text stands for [`AccountName::DEFAULT`].
    ///
    /// # Errors
    /// The text is not 1 to 128 printable characters in NFC without blanks at its ends.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = if text.is_empty() { Self::DEFAULT } else { text };
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The caller's purpose for a credential, in a few words, for policy and audit: 1 to 128 printable characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purpose(String);

impl Purpose {
    /// Parses a purpose.
    ///
    /// # Errors
    /// The text is not 1 to 128 printable characters in NFC without blanks at its ends.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The purpose as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The largest number of labels on a connection.
pub const LABELS_MAX: usize = 64;

/// A connection's labels: at most 64 pairs; keys `[a-z][a-z0-9_.-]{0,62}`, values up to 128 printable characters.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Parses labels, naming each wrong one as `field[key]`.
    ///
    /// # Errors
    /// One violation for each pair that breaks the rule, and one if there are too many.
    pub fn parse(field: &str, pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Violations> {
        let labels: BTreeMap<String, String> = pairs.into_iter().collect();
        let mut violations = Violations::default();
        if labels.len() > LABELS_MAX {
            violations.add(field, "must have at most 64 labels");
            return Err(violations);
        }
        for (key, value) in &labels {
            if !is_label_key(key) {
                // The key is not repeated: a secret pasted into the wrong place would come back in the message.
                violations.add(field, "has a key that is not [a-z][a-z0-9_.-]{0,62}");
            } else if !value.is_empty()
                && let Err(rule) = check_name(value)
            {
                violations.add(format!("{field}[{key}]"), rule.0);
            }
        }
        violations.into_result().map(|()| Self(labels))
    }

    /// The pairs, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The pairs as a map.
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }

    /// Labels that were parsed before they were stored.
    pub fn from_stored(pairs: BTreeMap<String, String>) -> Self {
        Self(pairs)
    }
}

fn is_label_key(key: &str) -> bool {
    key.len() <= MAX_LABEL_KEY_BYTES
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b))
}

/// A caller's own id for one change, by which the vault recognizes a retry (AIP-155): a UUID of any version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Parses the hyphenated form, 36 characters, in either case.
    ///
    /// # Errors
    /// The text is not a UUID in that form, or is the nil UUID.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const RULE: NameError = NameError("must be a UUID such as 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e");
        if text.len() != 36 {
            return Err(RULE);
        }
        match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() => Ok(Self(id)),
            _ => Err(RULE),
        }
    }

    /// The id as a UUID.
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_account_name_is_the_default_one() {
        assert_eq!(AccountName::parse("").expect("default").as_str(), "default");
    }

    #[test]
    fn names_that_only_look_alike_are_refused() {
        for text in [" eu", "eu ", "e\u{301}u", "e\u{200b}u", "e\nu", "\u{202e}eu", &"x".repeat(129)] {
            assert!(AccountName::parse(text).is_err(), "{text:?}");
        }
        for text in ["eu", "EU Store", "é", "店舗", &"x".repeat(128)] {
            assert!(AccountName::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_label_is_named_by_its_key_and_never_by_its_value() {
        let wrong =
            Labels::parse("labels", [("team".into(), "a\u{7}CANARY".into())]).expect_err("control character");
        let text = format!("{wrong:?}");
        assert!(text.contains("labels[team]") && !text.contains("CANARY"), "{text}");
        let wrong = Labels::parse("labels", [("CANARY KEY".into(), "x".into())]).expect_err("key");
        assert!(!format!("{wrong:?}").contains("CANARY"));
    }

    #[test]
    fn sixty_five_labels_are_one_too_many() {
        let pairs = |n: usize| (0..n).map(|i| (format!("k{i}"), "v".to_owned()));
        assert!(Labels::parse("labels", pairs(64)).is_ok());
        assert!(Labels::parse("labels", pairs(65)).is_err());
    }

    #[test]
    fn a_request_id_is_a_hyphenated_uuid() {
        assert!(RequestId::parse("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e").is_ok());
        for text in ["", "x", "00000000-0000-0000-0000-000000000000", "0193a5b27c407cc19d3e1f2a3b4c5d6e"] {
            assert!(RequestId::parse(text).is_err(), "{text:?}");
        }
    }
}
