//! Where endpoints are found that a provider's file does not name: in the metadata that an issuer publishes (OpenID Connect
//! Discovery 1.0, RFC 8414). The broker reads them.

use std::collections::BTreeMap;

use credvault_domain::FieldName;

/// Where a mode's endpoints are found.
#[derive(Debug)]
pub struct Discovery {
    /// The setting with the issuer's URL.
    pub issuer: FieldName,
    /// The settings that come from the metadata, each with the name of the member there.
    pub(crate) settings: BTreeMap<FieldName, String>,
    /// Whether the vault registers an app where there is none, if the metadata offer that (RFC 7591).
    pub registers_app: bool,
}
