//! Warnings of grants that end: each once, however many replicas look at the same time. And what a test of a credential
//! leaves in the health.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::{Action, Clock as _, EventType, Reason};
use credvault_store::{NewCredential, Pause, Tested};

use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, credential, write};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// More connections than a piece has, for each of two tenants.
const EACH: u64 = 210;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_warning_is_sent_once_by_many_at_a_time() {
    for fixture in [Fixture::sqlite().await, Fixture::postgres().await] {
        let end = Some(fixture.clock.now().after(DAY * 20));
        for tenant in ["acme", "other"] {
            let scope = fixture.tenant(tenant).await;
            put(&fixture, &scope, &new_endpoint(&[EventType::Expiring])).await.unwrap();
            for number in 0..EACH {
                let id = fixture.connection(&scope, &format!("a{number}")).await.id;
                let ends = NewCredential { expire_time: end, ..credential("CANARY") };
                let put = write(&scope, Action::PutCredential);
                fixture.store.credentials().put(&scope, id, &ends, None, &put).await.unwrap().into_inner();
            }
        }
        assert_eq!(fixture.store.warn_of_ends().await.unwrap(), 0, "nothing ends soon");
        for (days, passed) in [(14, 6), (3, 11), (1, 2)] {
            fixture.clock.advance(DAY * passed);
            let looks = (0..6).map(|_| {
                let store = fixture.store.clone();
                tokio::spawn(async move { store.warn_of_ends().await.unwrap() })
            });
            let sent = futures::future::join_all(looks).await.into_iter().map(Result::unwrap).sum::<u64>();
            assert_eq!(sent, 2 * EACH, "{days} days before");
        }
    }
}

/// What a test meets shows in the health alone, ends with a test that works, and is nothing beside what the connection shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_a_test_meets_is_the_last_error_until_a_test_works() {
    for fixture in [Fixture::sqlite().await, Fixture::postgres().await] {
        let scope = fixture.tenant("acme").await;
        let connection = fixture.connection(&scope, "a").await;
        let version = fixture.put(&scope, connection.id, "CANARY").await;
        let connections = fixture.store.connections();
        let key = fixture.store.connection_key(&scope, connection.id);
        let before = connections.get(&scope, connection.id).await.unwrap();
        let last_error = async || {
            let health = connections.health_of(&scope, std::slice::from_ref(&before)).await.unwrap();
            health.get(&before.id).and_then(|record| record.last_error.clone())
        };
        let outage = (Reason::ProviderUnavailable, Pause::Unavailable);
        connections.untested(&key, version + 1, outage.0, outage.1).await.unwrap();
        assert_eq!(last_error().await, None, "another version was tested");
        connections.untested(&key, version, outage.0, outage.1).await.unwrap();
        let met = last_error().await.unwrap();
        assert_eq!(
            (met.reason.as_str(), met.pause.as_deref()),
            ("PROVIDER_UNAVAILABLE", Some("UNAVAILABLE"))
        );
        assert_eq!(connections.get(&scope, connection.id).await.unwrap(), before, "nothing else has changed");
        let accepted = Tested::Accepted { account: None, settings: BTreeMap::new() };
        let test = async |result: &Tested| {
            let write = write(&scope, Action::TestConnection);
            connections
                .tested(&scope, connection.id, (version, 0), result, &write)
                .await
                .unwrap()
                .into_inner()
        };
        test(&accepted).await;
        assert!(last_error().await.unwrap().recover_time.is_some());
        test(&Tested::Refused).await;
        connections.untested(&key, version, outage.0, outage.1).await.unwrap();
        assert_eq!(last_error().await.unwrap().reason, "REAUTHORIZATION_REQUIRED");
    }
}
