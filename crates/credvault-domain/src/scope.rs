//! The right to touch one tenant's rows.

use crate::{TenantId, UserId};

/// A verified tenant, and the user within it if the caller's identity named one: the first argument of every
/// repository method, and the only way to a tenant's rows.
///
/// It says that somebody's identity was checked, so only code that checks identities may make one. The compiler
/// cannot know a friend crate; `clippy.toml` bans [`TenantScope::assume_verified`] everywhere else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantScope {
    tenant: TenantId,
    user: Option<UserId>,
}

impl TenantScope {
    /// A scope for a tenant (and user) that the caller of this function has verified.
    pub fn assume_verified(tenant: TenantId, user: Option<UserId>) -> Self {
        Self { tenant, user }
    }

    /// The tenant whose rows may be touched.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The user who acts. Rows of other users are to this scope as if they did not exist.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The same tenant without the limit to one user, for callers whom policy lets act for the others too.
    pub fn for_all_users(&self) -> Self {
        Self { tenant: self.tenant.clone(), user: None }
    }
}
