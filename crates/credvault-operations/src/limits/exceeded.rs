//! What is said of a rate that a caller has reached.

use std::time::Duration;

use credvault_domain::{LimitKind, LimitSubject};

/// A rate that a caller has reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exceeded {
    /// The limit of the tenant that is reached.
    pub limit: LimitKind,
    /// Whose part of it is spent.
    pub of: LimitSubject,
    /// How many there may be in a second or minute.
    pub most: u64,
    /// Until there is room again.
    pub retry: Duration,
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, of, most, .. } = self;
        let of = match of {
            LimitSubject::Tenant => "this tenant's callers",
            LimitSubject::User => "this user",
            LimitSubject::Service => "this service, for this tenant,",
        };
        let (noun, name) = (limit.noun(), limit.as_str());
        let period = if name.ends_with("_per_minute") { "minute" } else { "second" };
        write!(
            f,
            "{of} may have {most} {noun} a {period} at most; wait as long as the retry delay says, or have an \
             administrator raise the tenant's limit {name} (SetTenantLimits)"
        )?;
        if *limit == LimitKind::RefreshesPerMinute {
            write!(f, ". A fetch refreshes tokens by itself when they need it")?;
        }
        Ok(())
    }
}

impl std::error::Error for Exceeded {}
