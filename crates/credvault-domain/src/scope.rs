//! The right to read and write one tenant's rows. Only the identity crate may create it.

use crate::{TenantId, UserId};

/// The users whose rows a scope reaches. Rows of the tenant itself are in every reach.
///
/// A call that names no user gets the narrowest reach: leaving something out never widens it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Shared rows, and rows of this user.
    User(UserId),
    /// Shared rows only: the call named no user.
    Shared,
    /// The rows of all users: policy permits `AccessOtherUsers`, or an administrator or the vault itself is at work.
    AllUsers,
}

/// A verified tenant and a reach within it: the first argument of every repository method, and the only way to a
/// tenant's rows. It does not say who acts; that is the caller's user, whatever the reach.
///
/// A scope proves that an identity was checked, so only code that checks identities may make one. Rust has no friend
/// crates; `clippy.toml` bans [`TenantScope::assume_verified`] everywhere else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantScope {
    tenant: TenantId,
    reach: Reach,
}

impl TenantScope {
    /// A scope for a tenant and a reach. The caller of this function must have verified both.
    pub fn assume_verified(tenant: TenantId, reach: Reach) -> Self {
        Self { tenant, reach }
    }

    /// The tenant whose rows this scope reaches.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The users whose rows this scope reaches. To the caller, all other rows do not exist.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Whether this scope reaches the user's rows.
    pub fn reaches(&self, user: &UserId) -> bool {
        match &self.reach {
            Reach::User(own) => own == user,
            Reach::Shared => false,
            Reach::AllUsers => true,
        }
    }
}
