//! What one process has counted of outcomes and not yet added to the database.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use credvault_domain::{ProviderId, TenantId};

macro_rules! outcomes {
    ($($name:ident $text:literal $doc:literal,)*) => {
        /// How one piece of the vault's work at a provider ended.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum ProviderOutcome {
            $(#[doc = $doc] $name,)*
        }

        impl ProviderOutcome {
            /// The name in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Reads what [`ProviderOutcome::as_str`] wrote.
            pub fn from_stored(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

outcomes! {
    ConsentBegun "CONSENT_BEGUN" "A consent has begun.",
    ConsentCompleted "CONSENT_COMPLETED" "A consent has given a credential.",
    ConsentDenied "CONSENT_DENIED" "The account's owner declined.",
    ConsentExpired "CONSENT_EXPIRED" "A consent was not completed in time.",
    ConsentFailed "CONSENT_FAILED" "A consent has given no credential for another reason.",
    RefreshSucceeded "REFRESH_SUCCEEDED" "A refresh has given new tokens.",
    RefreshFailed "REFRESH_FAILED" "A refresh has failed and is tried again, or needs an operator.",
    RefreshEnded "REFRESH_ENDED" "The provider said that a grant has ended.",
    TestWorks "TEST_WORKS" "The provider accepted a credential.",
    TestRefused "TEST_REFUSED" "The provider rejected a credential.",
    TestUnknown "TEST_UNKNOWN" "A test gave no result.",
}

/// Counts that are not in the database yet, by tenant, day, provider and outcome.
#[derive(Default, Debug)]
pub(crate) struct Pending(Mutex<Counts>);

/// Tenant, day, provider and outcome.
pub(crate) type OutcomeKey = (TenantId, i64, ProviderId, ProviderOutcome);

type Counts = HashMap<OutcomeKey, i64>;

impl Pending {
    /// Adds counts to what is collected.
    pub(crate) fn add(&self, counts: impl IntoIterator<Item = (OutcomeKey, i64)>) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in counts {
            *pending.entry(key).or_default() += count;
        }
    }

    /// Takes all that is collected.
    pub(crate) fn take(&self) -> Counts {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
