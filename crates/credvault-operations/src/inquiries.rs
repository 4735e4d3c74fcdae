//! The questions to providers about credentials that callers report as rejected: those that this process is asking, and what
//! came of one for all callers who wait for it.

use std::time::Duration;

use credvault_broker::{InFlight, RefreshError};
use credvault_domain::{LimitValues, TenantScope, Timestamp, UserId};
use credvault_store::{ConnectionKey, Finding, GivenOut, Reporter, Standing};

use crate::{Exceeded, Refusal};

/// The questions that this process is asking, by what they are about.
pub(crate) type Inquiries = InFlight<(ConnectionKey, GivenOut), Settled>;

/// Whose report causes a question: the call to the provider counts against their rates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Payer {
    pub(crate) reporter: Reporter,
    pub(crate) user: Option<UserId>,
    pub(crate) scope: TenantScope,
    pub(crate) limits: LimitValues,
}

/// What a payer has used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spent {
    /// The calls that its reports about one connection may cause on this replica; there is room again after this time.
    Reports(Duration),
    /// A rate of its tenant, over all replicas.
    Rate(Exceeded),
}

impl From<Spent> for Refusal {
    fn from(spent: Spent) -> Self {
        match spent {
            Spent::Reports(wait) => Self::TooManyRejections(wait),
            Spent::Rate(exceeded) => Self::RateLimited(exceeded),
        }
    }
}

/// What came of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Settled {
    /// The tokens were renewed.
    Renewed,
    /// Another credential became current meanwhile.
    Changed,
    /// The provider accepted the credential at this time.
    Accepted(Timestamp),
    /// The provider refuses the credential.
    Refused,
    /// The provider cannot be asked.
    Unverifiable,
    /// Tokens of this connection were renewed because of a report a moment ago.
    Early(Duration),
    /// The one that asked has used up its calls.
    Spent(Box<Payer>, Spent),
    /// There is no answer, and why.
    Failed(RefreshError),
}

impl Settled {
    /// What is known already; `None` if the provider may be asked.
    pub(crate) fn of(standing: Standing, now: Timestamp) -> Option<Self> {
        let (finding, time, next_time) = match standing {
            Standing::Open => return None,
            Standing::Early { next_time } => return Some(Self::Early(now.until(next_time))),
            Standing::Found { finding, time, next_time } => (finding, time, next_time),
        };
        let retry = now.until(next_time);
        Some(match finding {
            Finding::Renewed => Self::Renewed,
            Finding::Accepted => Self::Accepted(time),
            Finding::Refused => Self::Refused,
            Finding::Unavailable => Self::Failed(RefreshError::Unavailable { retry }),
            Finding::Throttled => Self::Failed(RefreshError::Throttled { retry }),
            Finding::Unknown => Self::Failed(RefreshError::Store),
        })
    }
}
