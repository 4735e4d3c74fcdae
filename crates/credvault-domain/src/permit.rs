//! The proof that policy permits a call. Like a [`TenantScope`](crate::TenantScope) it is made by the identity crate only,
//! and neither a change nor an answer can be made without one.

/// A permission that policy has given for one call.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a permission is what a change or an answer is made with"]
pub struct Permit {
    policies: Vec<String>,
}

impl Permit {
    /// A permission that these policies have given. Unproven: only the identity crate may call this, for it alone asks
    /// policy; clippy's `disallowed-methods` holds all others off.
    pub fn assume_permitted(policies: Vec<String>) -> Self {
        Self { policies }
    }

    /// The policies that permitted it, by id, for the audit record.
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Both permissions together: of a call that needs two.
    pub fn and(mut self, other: Self) -> Self {
        let new: Vec<_> =
            other.policies.into_iter().filter(|policy| !self.policies.contains(policy)).collect();
        self.policies.extend(new);
        self
    }
}
