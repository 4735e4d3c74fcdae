//! Counts by state and health: the one query over all tenants says what the filter by health says of each.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, ConnectionState, HealthState, ProviderId, TenantScope};
use credvault_store::{ConnectionCount, ConnectionFilter, HealthFilter, NewCredential, Tested};

use crate::fixture::{Fixture, credential, scope, soon, write};
use crate::on_both;

on_both![counts_agree_with_the_filter_by_health, deleted_connections_and_erased_tenants_do_not_count];

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A tenant with a connection in each health that needs no incident.
async fn tenant_in_every_health(fixture: &Fixture, name: &str) -> TenantScope {
    let tenant = fixture.tenant(name).await;
    fixture.connection(&tenant, "empty").await;
    let well = fixture.connection(&tenant, "well").await.id;
    fixture.put(&tenant, well, "CANARY well").await;
    for (account, days) in [("ended", 3), ("ending", 30)] {
        let id = fixture.connection(&tenant, account).await.id;
        let ends = Some(fixture.clock.now().after(DAY * days));
        let ends = NewCredential { expire_time: ends, ..credential("CANARY ends") };
        let put = write(&tenant, Action::PutCredential);
        fixture.store.credentials().put(&tenant, id, &ends, None, &put).await.unwrap().into_inner();
    }
    for account in ["refused", "doubtful"] {
        let id = fixture.connection(&tenant, account).await.id;
        let version = fixture.put(&tenant, id, "CANARY refused").await;
        let test = write(&tenant, Action::TestConnection);
        let connections = fixture.store.connections();
        connections.tested(&tenant, id, (version, 0), &Tested::Refused, &test).await.unwrap().into_inner();
    }
    tenant
}

/// The number of connections of a tenant with each health, by the filter.
async fn filtered(fixture: &Fixture, tenant: &TenantScope, incidents: &[ProviderId]) -> Vec<i64> {
    let mut numbers = Vec::new();
    for state in HealthState::ALL {
        let health = Some(HealthFilter { state, incidents: incidents.to_vec() });
        let filter = ConnectionFilter { health, ..ConnectionFilter::default() };
        let number = fixture.store.connections().count(tenant, &filter).await.unwrap();
        numbers.push(i64::try_from(number).unwrap());
    }
    numbers
}

/// The same by the counts.
fn counted(counts: &[ConnectionCount], tenant: &TenantScope) -> Vec<i64> {
    let of = |state: HealthState| {
        let alike = counts.iter().filter(move |one| one.tenant == *tenant.tenant() && one.health == state);
        alike.map(|one| one.count).sum::<i64>()
    };
    HealthState::ALL.into_iter().map(of).collect()
}

async fn counts_agree_with_the_filter_by_health(fixture: &Fixture) {
    let tenants = [
        tenant_in_every_health(fixture, "acme").await,
        tenant_in_every_health(fixture, "other").await,
        scope(":platform", None),
    ];
    fixture.clock.advance(DAY * 20);
    fixture
        .execute(
            "UPDATE connections SET error_reason = 'PROVIDER_UNAVAILABLE' WHERE account_name = 'doubtful'",
        )
        .await;
    let generic = ProviderId::parse("generic").unwrap();
    let xero = ProviderId::parse("xero").unwrap();
    for (incidents, expected) in [
        (vec![], [1, 1, 1, 1, 1, 1, 0]),
        (vec![xero.clone()], [1, 1, 1, 1, 1, 1, 0]),
        (vec![xero, generic], [1, 0, 0, 1, 1, 0, 3]),
    ] {
        let connections = fixture.store.connections();
        let everywhere = connections.counts_everywhere(&tenants[2], &incidents).await.unwrap();
        for tenant in &tenants[..2] {
            let own = connections.counts(tenant, &incidents).await.unwrap();
            assert_eq!(counted(&own, tenant), expected, "{incidents:?}");
            assert_eq!(counted(&everywhere, tenant), expected, "{incidents:?}");
            assert_eq!(filtered(fixture, tenant, &incidents).await, expected, "{incidents:?}");
            let all: i64 = own.iter().map(|one| one.count).sum();
            assert!(own.iter().all(|one| one.tenant == *tenant.tenant()) && all == 6, "{own:?}");
        }
        assert!(connections.counts(&tenants[2], &incidents).await.unwrap().is_empty());
    }
    let own = fixture.store.connections().counts(&tenants[0], &[]).await.unwrap();
    let in_error =
        own.iter().filter(|one| one.state == ConnectionState::Error).map(|one| one.count).sum::<i64>();
    assert_eq!(in_error, 2);
}

async fn deleted_connections_and_erased_tenants_do_not_count(fixture: &Fixture) {
    let (acme, gone) = (fixture.tenant("acme").await, fixture.tenant("gone").await);
    for (tenant, account) in [(&acme, "kept"), (&acme, "deleted"), (&gone, "main")] {
        fixture.connection(tenant, account).await;
    }
    fixture
        .execute("UPDATE connections SET delete_time = 1, purge_time = 2 WHERE account_name = 'deleted'")
        .await;
    let platform = scope(":platform", None);
    let everywhere = async || {
        let counts = fixture.store.connections().counts_everywhere(&platform, &[]).await.unwrap();
        let mut counts: Vec<_> =
            counts.iter().map(|one| (one.tenant.as_str().to_owned(), one.count)).collect();
        counts.sort();
        counts
    };
    assert_eq!(everywhere().await, [("acme".to_owned(), 1), ("gone".to_owned(), 1)]);
    let erase = || write(&gone, Action::EraseTenant);
    let requested = fixture.store.erasures().request(&gone, &erase()).await.unwrap().into_inner();
    fixture.store.erasures().confirm(&gone, &requested.token, &erase(), soon()).await.unwrap().into_inner();
    assert_eq!(everywhere().await, [("acme".to_owned(), 1)]);
}
