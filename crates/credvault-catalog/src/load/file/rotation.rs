//! The shape of the rotation of credentials in a provider file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::call::{CallFile, ConditionFile, PathFile, RevokeFile};

/// How a credential is replaced by another one, and how often it should be.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationFile {
    /// After how many days the provider, or common practice, advises to replace it.
    #[serde(default)]
    pub(crate) rotate_after_days: Option<u32>,
    /// The call that makes another key.
    #[serde(default)]
    pub(crate) mint: Option<MintFile>,
    /// The id of a key, a template of its settings and secret fields.
    #[serde(default)]
    pub(crate) key_id: Option<String>,
    /// The call that revokes the key that was replaced.
    #[serde(default)]
    pub(crate) revoke: Option<RevokeFile>,
    /// The call that revokes a new key that is not used, if it is another one than `revoke`.
    #[serde(default)]
    pub(crate) discard: Option<RevokeFile>,
    /// How long the old key works beside the new one. Without `revoke`, the provider itself ends it then.
    #[serde(default)]
    pub(crate) overlap_seconds: Option<u64>,
    /// Whether the old key ends at once when the new one is made.
    #[serde(default)]
    pub(crate) self_replacing: bool,
    /// How long the provider may refuse the new key after it was made.
    #[serde(default)]
    pub(crate) usable_after_seconds: u64,
}

/// The call that makes another key, and how its answer is read.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct MintFile {
    /// The call, which the present credential authenticates. It also carries what the mode's own requests carry.
    pub(crate) call: CallFile,
    /// Conditions of a success, beside a status of 2xx.
    #[serde(default)]
    pub(crate) success: Vec<ConditionFile>,
    /// The path of each secret field that is new. All must be there; other fields stay as they are.
    pub(crate) fields: BTreeMap<String, PathFile>,
    /// The account for which the call makes a key, a template of settings, where they name it.
    #[serde(default)]
    pub(crate) account_id: Option<String>,
    /// The path of the new key's lifetime in seconds, if it has an end.
    #[serde(default)]
    pub(crate) expires_in: Option<PathFile>,
    /// The path of its end, instead of its lifetime: seconds since 1970, or RFC 3339.
    #[serde(default)]
    pub(crate) expires_at: Option<PathFile>,
}
