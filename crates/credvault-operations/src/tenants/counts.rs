//! How many connections there are in each state and health, of one tenant or of all together.

use std::collections::HashMap;

use credvault_domain::{ConnectionState, HealthState, TenantId};
use credvault_identity::Facts;
use credvault_store::{ConnectionCount, Recorded};

use crate::connections::providers_with_incident;
use crate::{Call, Parsed, Refusal};

/// Whose connections are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CountedTenants {
    /// Those of this tenant; of the platform without one.
    One(Option<TenantId>),
    /// Those of all tenants and of the platform together.
    All,
}

/// How many connections are alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionSum {
    /// The state that they are in.
    pub state: ConnectionState,
    /// The health that they have.
    pub health: HealthState,
    /// How many there are.
    pub count: i64,
}

/// `CountConnections`: of one tenant, or of all that policy shows to the caller.
///
/// # Errors
/// There is no such tenant, or policy does not permit the counts as a whole.
pub async fn count_connections(
    call: &mut Call,
    whose: Parsed<CountedTenants>,
) -> Result<Recorded<Vec<ConnectionSum>>, Refusal> {
    let tenant = match &whose {
        Ok(CountedTenants::One(tenant)) => tenant.clone(),
        Ok(CountedTenants::All) | Err(_) => None,
    };
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let incidents = providers_with_incident(&call.context);
    let connections = call.context.store.connections();
    let counts = match whose? {
        CountedTenants::One(_) => connections.counts(&scope, &incidents).await?,
        CountedTenants::All => {
            let mut counts = connections.counts_everywhere(&scope, &incidents).await?;
            let mut shown: HashMap<TenantId, bool> = HashMap::new();
            counts.retain(|count| {
                *shown.entry(count.tenant.clone()).or_insert_with(|| call.shows_tenant(&count.tenant))
            });
            counts
        }
    };
    call.recorded(&permit, sums(&counts)).await
}

/// The sums over all tenants, in the order in which states and healths are declared. What there is none of is left out.
fn sums(counts: &[ConnectionCount]) -> Vec<ConnectionSum> {
    let kinds = ConnectionState::ALL
        .into_iter()
        .flat_map(|state| HealthState::ALL.into_iter().map(move |health| (state, health)));
    let sum = |(state, health): (ConnectionState, HealthState)| {
        let alike = counts.iter().filter(|one| one.state == state && one.health == health);
        ConnectionSum { state, health, count: alike.map(|one| one.count).sum() }
    };
    kinds.map(sum).filter(|sum| sum.count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_summed_over_tenants_and_what_is_not_there_left_out() {
        let count = |tenant: &str, state, health, count| ConnectionCount {
            tenant: TenantId::from_stored(tenant.to_owned()),
            state,
            health,
            count,
        };
        let counts = [
            count("b", ConnectionState::Error, HealthState::Error, 1),
            count("a", ConnectionState::Connected, HealthState::Ok, 2),
            count("b", ConnectionState::Connected, HealthState::Ok, 3),
            count("b", ConnectionState::Connected, HealthState::Ending, 4),
        ];
        let sums: Vec<_> = sums(&counts).into_iter().map(|sum| (sum.state, sum.health, sum.count)).collect();
        let expected = [
            (ConnectionState::Connected, HealthState::Ok, 5),
            (ConnectionState::Connected, HealthState::Ending, 4),
            (ConnectionState::Error, HealthState::Error, 1),
        ];
        assert_eq!(sums, expected);
    }
}
