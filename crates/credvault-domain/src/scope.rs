//! The right to touch one tenant's rows.

use crate::{TenantId, UserId};

/// Which users' rows a scope reaches. What belongs to the tenant itself is in every reach.
///
/// There are three values and no fourth: what a call leaves out never widens what it reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// What is shared, and what is this user's.
    User(UserId),
    /// What is shared, and nothing of any user: the call named no user.
    Shared,
    /// The rows of all users: policy permits `AccessOtherUsers`, or an administrator or the vault itself is at work.
    AllUsers,
}

/// A verified tenant, and which of its users' rows may be touched: the first argument of every repository method, and
/// the only way to a tenant's rows. Who acts is not in it: that is the caller's user, whatever the reach.
///
/// It says that an identity was checked, so only code that checks identities may make one. The compiler cannot know a
/// friend crate; `clippy.toml` bans [`TenantScope::assume_verified`] everywhere else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantScope {
    tenant: TenantId,
    reach: Reach,
}

impl TenantScope {
    /// A scope for a tenant and a reach within it that the caller of this function has verified.
    pub fn assume_verified(tenant: TenantId, reach: Reach) -> Self {
        Self { tenant, reach }
    }

    /// The tenant whose rows may be touched.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which users' rows may be touched. The others are to this scope as if they did not exist.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Whether this user's rows may be touched.
    pub fn reaches(&self, user: &UserId) -> bool {
        match &self.reach {
            Reach::User(own) => own == user,
            Reach::Shared => false,
            Reach::AllUsers => true,
        }
    }
}
