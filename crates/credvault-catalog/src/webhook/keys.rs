//! Where the keys of webhooks are, and how they are written. The keys themselves are in credentials and apps.

use credvault_domain::FieldName;
use serde::Deserialize;

/// Where a key is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyPlace {
    /// In a secret field of the connection.
    Secret(FieldName),
    /// In the app's client secrets: the current and the previous one.
    AppSecret,
    /// In a secret value of the app.
    App(FieldName),
}

/// How a key's bytes are written in its field.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// The text's own bytes.
    #[default]
    Text,
    /// Base64, after the prefix `whsec_` if that is there.
    Base64,
    /// Hexadecimal, in either case.
    Hex,
}
