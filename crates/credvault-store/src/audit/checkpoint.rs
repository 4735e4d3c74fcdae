//! The signed head of a log.

use credvault_domain::TenantScope;

use super::tree::LogHead;
use crate::{Audit, Error};

/// A head of a log that the vault has signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpointed {
    /// The checkpoint with its signatures, a C2SP signed note.
    pub note: String,
    /// What the checkpoint says of the log.
    pub head: LogHead,
}

impl Audit<'_> {
    /// Signs the newest head of a tenant's log.
    ///
    /// # Errors
    /// The vault has no key that signs checkpoints.
    pub async fn checkpoint(&self, scope: &TenantScope) -> Result<Checkpointed, Error> {
        let _ = self.head(scope).await?;
        Err(Error::State("the vault has no key that signs checkpoints"))
    }
}
