//! Where a change of many connections continues after it has stopped.

use std::fmt;

use credvault_domain::{Clock as _, Timestamp};

use crate::clock::SystemClock;

/// Where a change continues. It has the instant from which the first command has counted days, so that another command
/// selects the same connections: the vault's token is good for that selection only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The instant from which days count, in whole seconds.
    pub(super) now: Timestamp,
    /// The tenant that is worked on.
    pub(super) tenant: String,
    /// The vault's token of the next page; empty for the first.
    pub(super) page_token: String,
}

impl Place {
    /// The begin of a tenant, with days that count from this second.
    pub(super) fn beginning(tenant: &str) -> Self {
        let now = SystemClock.now();
        let now = Timestamp::from_seconds(now.seconds(), 0).unwrap_or(now);
        Self { now, tenant: tenant.to_owned(), page_token: String::new() }
    }

    /// The begin of another tenant of the same command.
    pub(super) fn at(&self, tenant: &str) -> Self {
        Self { now: self.now, tenant: tenant.to_owned(), page_token: String::new() }
    }

    /// Reads what [`Place`] prints.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '.');
        let now = parts.next().and_then(|seconds| Timestamp::from_seconds(seconds.parse().ok()?, 0));
        let (tenant, page_token) = (parts.next(), parts.next());
        let whole = now.zip(tenant).zip(page_token).map(|((now, tenant), page_token)| Self {
            now,
            tenant: tenant.to_owned(),
            page_token: page_token.to_owned(),
        });
        whole.ok_or_else(|| "must be the token that a change has printed when it stopped".to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.now.seconds(), self.tenant, self.page_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_and_anything_else_is_refused() {
        let place = Place { page_token: "AbC-_.x".to_owned(), ..Place::beginning("acme") };
        assert_eq!(Place::parse(&place.to_string()), Ok(place.clone()));
        assert_eq!(Place::parse(&place.at("other").to_string()), Ok(place.at("other")));
        for wrong in ["", "AbC-_", "x.acme.AbC", "1700000000.acme", "-1.acme.AbC"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
