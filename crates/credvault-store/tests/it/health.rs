//! Warnings of grants that end: each once, however many replicas look at the same time.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, EventType};
use credvault_store::NewCredential;

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
