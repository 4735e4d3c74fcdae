//! Rules of tenants: kept with their changes, and known to every process however late a change commits.

use std::collections::BTreeMap;

use credvault_domain::{Action, AddressRange, LimitKind, SourceRule, SourceRules, TenantScope};
use credvault_store::{Error, TenantRules};

use crate::fixture::{Fixture, credential, new_connection, open_store, repeatable, scope, write};
use crate::on_both;

on_both![rules_are_kept_and_count_in_this_process_at_once, limits_of_a_tenant_count_in_place_of_the_defaults];

fn sources(ranges: &[&str]) -> SourceRules {
    let rule = |range: &&str| SourceRule { service: None, range: AddressRange::parse(range).unwrap() };
    SourceRules::new(ranges.iter().map(rule).collect()).unwrap()
}

async fn set_limit(
    fixture: &Fixture,
    scope: &TenantScope,
    kind: LimitKind,
    value: Option<u64>,
) -> TenantRules {
    let write = write(scope, Action::SetTenantLimits);
    fixture.store.rules().set_limits(scope, &[(kind, value)], &write).await.unwrap().into_inner()
}

async fn rules_are_kept_and_count_in_this_process_at_once(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let rules = fixture.store.rules();
    assert_eq!(rules.get(&acme).await.unwrap(), TenantRules::default());
    assert_eq!(fixture.store.rules_of(acme.tenant()).await.unwrap(), None);

    set_limit(fixture, &acme, LimitKind::Connections, Some(7)).await;
    let allowed = sources(&["10.0.0.0/8", "2001:db8::/32"]);
    let change = repeatable(&acme, Action::SetSourceRules, uuid::Uuid::from_u128(1), "p");
    let set = rules.set_sources(&acme, &allowed, &change).await.unwrap().into_inner();
    assert_eq!((set.limits.of(LimitKind::Connections), &set.sources), (Some(7), &allowed));
    assert!(set.limits_time.is_some() && set.sources_time.is_some());
    assert_eq!(fixture.store.rules_of(acme.tenant()).await.unwrap().as_deref(), Some(&set));
    assert_eq!(fixture.store.rules_of(other.tenant()).await.unwrap(), None);

    // A repetition changes nothing, whatever has happened since.
    let none = write(&acme, Action::SetSourceRules);
    rules.set_sources(&acme, &SourceRules::default(), &none).await.unwrap().into_inner();
    let again = rules.set_sources(&acme, &allowed, &change).await.unwrap().into_inner();
    assert_eq!(again.sources, SourceRules::default());
    let taken_away = set_limit(fixture, &acme, LimitKind::Connections, None).await;
    assert_eq!(taken_away.limits.iter().count(), 0);
    let ghost = scope("ghost", None);
    let set = rules.set_sources(&ghost, &allowed, &write(&ghost, Action::SetSourceRules)).await;
    assert!(matches!(set, Err(Error::TenantNotFound(_))), "{set:?}");
}

async fn limits_of_a_tenant_count_in_place_of_the_defaults(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let create = async |account: &str| {
        let change = write(&acme, Action::CreateConnection);
        let created =
            fixture.store.connections().create(&acme, &new_connection(account), None, &change).await;
        created.map(|created| created.into_inner().id)
    };
    set_limit(fixture, &acme, LimitKind::Connections, Some(1)).await;
    let id = create("a").await.unwrap();
    assert!(matches!(create("b").await, Err(Error::TenantFull { most: 1 })));
    // What was remembered of the old quota does not count.
    set_limit(fixture, &acme, LimitKind::Connections, Some(2)).await;
    create("b").await.unwrap();
    assert!(matches!(create("c").await, Err(Error::TenantFull { most: 2 })));
    set_limit(fixture, &acme, LimitKind::Connections, None).await;
    create("c").await.unwrap();

    set_limit(fixture, &acme, LimitKind::CredentialVersions, Some(2)).await;
    for value in ["CANARY 1", "CANARY 2", "CANARY 3"] {
        let change = write(&acme, Action::PutCredential);
        fixture
            .store
            .credentials()
            .put(&acme, id, &credential(value), None, &change)
            .await
            .unwrap()
            .into_inner();
    }
    let used = fixture.store.quota_use(&acme).await.unwrap();
    assert_eq!((used.connections, used.user_connections, used.credential_versions), (3, 0, 2));
}

/// Two processes on one database, and a change that commits long after others that began later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_misses_no_change_that_commits_late() {
    let fixture = Fixture::postgres().await;
    let (late, early) = (fixture.tenant("late").await, fixture.tenant("early").await);
    let other = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let slow = fixture.admin_connection().await;
    let slow = sea_orm::TransactionTrait::begin(&slow).await.unwrap();
    let sql = "INSERT INTO credvault.tenant_rules
        VALUES ('late', '{\"connections\": 1}', NULL, '[]', NULL, pg_current_xact_id()::text::bigint)";
    sea_orm::ConnectionTrait::execute_unprepared(&slow, sql).await.unwrap();
    set_limit(&fixture, &early, LimitKind::Connections, Some(2)).await;
    let known = async || {
        other.refresh_rules().await.unwrap();
        let mut known = BTreeMap::new();
        for scope in [&late, &early] {
            let rules = other.rules_of(scope.tenant()).await.unwrap();
            known.insert(
                scope.tenant().as_str(),
                rules.and_then(|rules| rules.limits.of(LimitKind::Connections)),
            );
        }
        known
    };
    for _ in 0..3 {
        assert_eq!(known().await, BTreeMap::from([("late", None), ("early", Some(2))]));
    }
    slow.commit().await.unwrap();
    assert_eq!(known().await, BTreeMap::from([("late", Some(1)), ("early", Some(2))]));
    other.close().await;
}

/// A process that has not asked for a while, as one that was stopped, does not go by what it knew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_known_a_second_ago_is_read_again() {
    let fixture = Fixture::postgres().await;
    let acme = fixture.tenant("acme").await;
    let other = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    other.refresh_rules().await.unwrap();
    assert_eq!(other.rules_of(acme.tenant()).await.unwrap(), None);
    let change = write(&acme, Action::SetSourceRules);
    fixture
        .store
        .rules()
        .set_sources(&acme, &sources(&["192.0.2.0/24"]), &change)
        .await
        .unwrap()
        .into_inner();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while other.rules_of(acme.tenant()).await.unwrap().is_none() {
        assert!(std::time::Instant::now() < end, "the bound of a second was passed");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    other.close().await;
}
