//! How the owner of a connection is stored beside its counts: a user's id, nothing for the tenant, and blanks for what has
//! no id. No user's id begins with a blank.

/// The owner was a user who is deleted.
pub(crate) const ERASED: &str = " ";
/// The owner is the platform, whose connection a tenant has fetched.
pub(crate) const OF_PLATFORM: &str = "  ";

/// Whether connections with this stored owner are shared ones.
pub(super) fn is_shared(owner_user: &str) -> bool {
    owner_user.is_empty() || owner_user == OF_PLATFORM
}
