//! How often the vault's work at each provider succeeded: consents, refreshes and tests.

use credvault_domain::{ProviderId, TenantId};
use credvault_identity::Facts;
use credvault_store::{OutcomeCount, OutcomeFilter, ProviderOutcome, Recorded};

use crate::{Call, Parsed, Refusal};

/// The counts of one provider, and of one day if each day is by itself.
#[derive(Clone, Debug)]
pub struct ProviderCounts {
    /// The id of the provider.
    pub provider: ProviderId,
    /// The day, in days since 1970 in UTC.
    pub day: Option<i64>,
    counts: Vec<(ProviderOutcome, i64)>,
}

impl ProviderCounts {
    /// How often the work ended so.
    pub fn of(&self, outcome: ProviderOutcome) -> i64 {
        self.counts.iter().filter(|(counted, _)| *counted == outcome).map(|(_, count)| count).sum()
    }
}

/// `GetSuccessRates`: of one tenant, or without one of all. Providers that policy does not show to the caller are left out.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn success_rates(
    call: &mut Call,
    tenant: Option<TenantId>,
    filter: Parsed<OutcomeFilter>,
) -> Result<Recorded<Vec<ProviderCounts>>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let counts = call.context.store.outcomes(&scope, &filter?).await?;
    let mut shown = call.shown(&scope);
    let mut all: Vec<ProviderCounts> = Vec::new();
    for OutcomeCount { provider, day, outcome, count } in counts {
        if !shown.shows(Some(&provider), None) {
            continue;
        }
        match all.last_mut().filter(|last| last.provider == provider && last.day == day) {
            Some(last) => last.counts.push((outcome, count)),
            None => all.push(ProviderCounts { provider, day, counts: vec![(outcome, count)] }),
        }
    }
    call.recorded(&permit, all).await
}
