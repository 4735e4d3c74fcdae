//! What a tool requires of its users' connections. Whether a requirement is met is decided where connections are read.

use crate::{AccountName, AuthMode, Etag, ProviderId, Timestamp, ToolName};

/// The most requirements of one tool, and of one check.
pub const MAX_REQUIREMENTS: usize = 100;

/// A credential that a tool needs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Requirement {
    /// The provider of the credential.
    pub provider: ProviderId,
    /// The auth modes that the tool can work with; none means any.
    pub auth_modes: Vec<AuthMode>,
    /// The scopes that the provider must have granted.
    pub scopes: Vec<String>,
    /// The account, where the tool does not use its owner's default one.
    pub account: Option<AccountName>,
    /// Whether the tool works without it, though with less.
    pub works_without: bool,
}

/// A tool of the platform, with what it requires.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tool {
    /// The name of the tool.
    pub name: ToolName,
    /// What it is, for people.
    pub description: String,
    /// What it requires, in the order in which people are to connect accounts.
    pub requirements: Vec<Requirement>,
    /// Grows by one with each change.
    pub revision: i64,
    /// When it was first registered.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

impl Tool {
    /// The etag of this revision.
    pub fn etag(&self) -> Etag {
        Etag::of(self.revision)
    }
}
