//! How many connections there are in each state and health, of one tenant or of all together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use credvault_domain::{ConnectionState, HealthState, TenantId};
use credvault_identity::Facts;
use credvault_store::{ConnectionCount, Recorded};

use crate::connections::providers_with_incident;
use crate::{Call, Parsed, Refusal};

/// How many tenants with connections that do not work are named at most.
const MOST_TENANTS: usize = 50;

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

/// The connections of one tenant in numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantSums {
    /// The tenant that has them.
    pub tenant: TenantId,
    /// The sums of all its connections.
    pub sums: Vec<ConnectionSum>,
}

/// What is counted: all together, and by tenant where many are asked about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionSums {
    /// The sums over all tenants that are counted.
    pub sums: Vec<ConnectionSum>,
    /// The tenants with the most connections that do not work; none where one tenant is asked about.
    pub by_tenant: Vec<TenantSums>,
}

/// `CountConnections`: of one tenant, or of all that policy shows to the caller.
///
/// # Errors
/// There is no such tenant, or policy does not permit the counts as a whole.
pub async fn count_connections(
    call: &mut Call,
    whose: Parsed<CountedTenants>,
) -> Result<Recorded<ConnectionSums>, Refusal> {
    let tenant = match &whose {
        Ok(CountedTenants::One(tenant)) => tenant.clone(),
        Ok(CountedTenants::All) | Err(_) => None,
    };
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let incidents = providers_with_incident(&call.context);
    let connections = call.context.store.connections();
    let counted = match whose? {
        CountedTenants::One(_) => {
            let counts = connections.counts(&scope, &incidents).await?;
            ConnectionSums { sums: sums(&counts), by_tenant: Vec::new() }
        }
        CountedTenants::All => {
            let mut counts = connections.counts_everywhere(&scope, &incidents).await?;
            let mut shown: HashMap<TenantId, bool> = HashMap::new();
            counts.retain(|count| {
                *shown.entry(count.tenant.clone()).or_insert_with(|| call.shows_tenant(&count.tenant))
            });
            ConnectionSums { sums: sums(&counts), by_tenant: troubled(&counts) }
        }
    };
    call.recorded(&permit, counted).await
}

/// The tenants with connections that do not work, the most troubled first; the platform is none.
fn troubled(counts: &[ConnectionCount]) -> Vec<TenantSums> {
    let mut tenants: BTreeMap<&str, Vec<ConnectionCount>> = BTreeMap::new();
    for count in counts.iter().filter(|count| !count.tenant.is_platform()) {
        tenants.entry(count.tenant.as_str()).or_default().push(count.clone());
    }
    let mut broken: Vec<(i64, Vec<ConnectionCount>)> =
        tenants.into_values().map(|counts| (not_working(&counts), counts)).collect();
    broken.retain(|(number, _)| *number > 0);
    // A stable sort: tenants with the same number stay in the order of their ids.
    broken.sort_by_key(|(number, _)| Reverse(*number));
    let named = |(_, counts): (i64, Vec<ConnectionCount>)| {
        let tenant = counts.first()?.tenant.clone();
        Some(TenantSums { tenant, sums: sums(&counts) })
    };
    broken.into_iter().take(MOST_TENANTS).filter_map(named).collect()
}

fn not_working(counts: &[ConnectionCount]) -> i64 {
    let does_not_work = |health: HealthState| match health {
        HealthState::Ended | HealthState::Error | HealthState::ProviderIncident => true,
        HealthState::Ok | HealthState::Ending | HealthState::Uncertain | HealthState::NotConnected => false,
    };
    counts.iter().filter(|count| does_not_work(count.health)).map(|count| count.count).sum()
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

    fn count(tenant: &str, state: ConnectionState, health: HealthState, count: i64) -> ConnectionCount {
        ConnectionCount { tenant: TenantId::from_stored(tenant.to_owned()), state, health, count }
    }

    #[test]
    fn tenants_with_the_most_that_does_not_work_come_first_and_healthy_ones_are_left_out() {
        let mut counts = vec![
            count(TenantId::PLATFORM, ConnectionState::Error, HealthState::Error, 9),
            count("well", ConnectionState::Connected, HealthState::Ok, 9),
            count("few", ConnectionState::Error, HealthState::Error, 1),
            count("many", ConnectionState::Connected, HealthState::Ok, 7),
            count("many", ConnectionState::Error, HealthState::Ended, 2),
            count("many", ConnectionState::Connected, HealthState::ProviderIncident, 1),
        ];
        let named = |counts: &[ConnectionCount]| -> Vec<(String, i64)> {
            let all = |one: &TenantSums| one.sums.iter().map(|sum| sum.count).sum::<i64>();
            troubled(counts).iter().map(|one| (one.tenant.as_str().to_owned(), all(one))).collect()
        };
        assert_eq!(named(&counts), [("many".to_owned(), 10), ("few".to_owned(), 1)]);
        let more =
            (0..60).map(|number| count(&format!("t{number}"), ConnectionState::Error, HealthState::Error, 1));
        counts.extend(more);
        assert_eq!(named(&counts).len(), MOST_TENANTS);
    }

    #[test]
    fn what_is_alike_is_summed_over_tenants_and_what_is_not_there_left_out() {
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
