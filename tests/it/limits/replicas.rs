//! What calls a provider counts over all replicas of one database: tests, exchanges, forced refreshes, and what reports of
//! rejected credentials cause.

use std::time::Duration;

use credvault::Instance;
use credvault_proto::v1::{self, RejectionOutcome as Outcome};
use tonic::Status;

use super::{limit, reached, retry_of, set};
use crate::harness::provider::{Connected, STRICT, begin, complete, connection_request, decide, state};
use crate::harness::{Client, VaultBuilder, by_id, input};
use crate::on_both;

on_both![calls_to_providers_count_over_all_replicas, reports_and_refreshes_spend_one_budget_on_all_replicas];

/// A vault with two replicas beside it, where the database serves several, and a client of each. The vault is the last.
struct Replicas {
    connected: Connected,
    apps: Vec<Client>,
    others: Vec<Instance>,
}

impl Replicas {
    async fn start(builder: VaultBuilder) -> Self {
        let mut connected = builder.start_with_provider(STRICT).await;
        let mut apps = vec![connected.vault.app("acme").await];
        let mut others = Vec::new();
        if connected.vault.database.is_some() {
            for _ in 0..2 {
                others.push(connected.vault.instance.take().unwrap());
                connected.vault.start().await;
                apps.push(connected.vault.app("acme").await);
            }
        }
        Self { connected, apps, others }
    }

    /// The client of a replica other than that of the first ones, if there are several.
    fn last(&self) -> &Client {
        &self.apps[self.apps.len() - 1]
    }

    async fn stop_others(self) {
        for other in self.others {
            other.stop().await;
        }
    }
}

/// A connection with a stored key that the provider accepts.
async fn with_key(app: &Client, account: &str) -> String {
    let create = v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(input(&[("key", &format!("sim_key_{account}"))])),
        ..connection_request(account)
    };
    app.create(create).await.unwrap().id
}

async fn test(client: &Client, id: &str) -> Result<(), Status> {
    let request = v1::TestConnectionRequest { connection_id: id.to_owned() };
    client.connections().test_connection(request).await.map(drop)
}

async fn calls_to_providers_count_over_all_replicas(builder: VaultBuilder) {
    let builder = builder.settings(|settings, _| {
        // Nothing comes back within half a minute.
        settings.limits.tests_per_minute = 2;
        settings.limits.user_share_percent = 50;
        settings.limits.service_share_percent = 100;
        settings.limits.exchanges_per_minute = 1;
    });
    let replicas = Replicas::start(builder).await;
    let Replicas { connected, apps, .. } = &replicas;
    let id = with_key(&apps[0], "shop-1").await;
    let mut refused = Vec::new();
    for i in 0..6 {
        let user = apps[i % apps.len()].acting_for("acme", Some("u1"));
        refused.extend(test(&user, &id).await.err());
    }
    assert_eq!(connected.provider.counts().tests, 1, "{refused:?}");
    for status in &refused {
        assert_eq!(reached(status), "RATE_LIMITED tests_per_minute of user 1");
        assert!(retry_of(status).unwrap() <= Duration::from_secs(60), "{status:?}");
    }
    // What u1 was refused has cost the tenant nothing.
    test(replicas.last(), &id).await.unwrap();
    for app in apps {
        assert_eq!(reached(&test(app, &id).await.unwrap_err()), "RATE_LIMITED tests_per_minute of tenant 2");
    }
    assert_eq!(connected.provider.counts().tests, 2);
    let operator = connected.vault.client("operator").await;
    assert_eq!(limit(&operator, "acme", v1::LimitKind::TestsPerMinute).await.in_use, Some(2));

    a_refused_exchange_leaves_the_consent_as_it_was(&operator, &replicas).await;
    replicas.stop_others().await;
}

/// One exchange a minute is permitted. The first replica makes it, so another one refuses the next.
async fn a_refused_exchange_leaves_the_consent_as_it_was(operator: &Client, replicas: &Replicas) {
    let begun = async |account: &str| {
        let id = replicas.apps[0].create(connection_request(account)).await.unwrap().id;
        let url = begin(&replicas.apps[0], &id, "").await.authorization_url;
        decide(&url, account, "allow").await
    };
    complete(&replicas.apps[0], &begun("shop-2").await, "").await.unwrap();
    let parameters = begun("shop-3").await;
    let refused = complete(replicas.last(), &parameters, "").await.unwrap_err();
    assert_eq!(reached(&refused), "RATE_LIMITED exchanges_per_minute of tenant 1");
    set(operator, "acme", &[(v1::LimitKind::ExchangesPerMinute, Some(0))]).await;
    complete(replicas.last(), &parameters, "").await.unwrap();
}

/// A caller that reports credentials of many connections on many replicas causes no more calls to the provider than its
/// tenant may ask for.
async fn reports_and_refreshes_spend_one_budget_on_all_replicas(builder: VaultBuilder) {
    let builder = builder.settings(|settings, _| {
        settings.broker.forced_refreshes_per_minute = 2;
        settings.limits.tests_per_minute = 1;
        (settings.limits.user_share_percent, settings.limits.service_share_percent) = (100, 100);
    });
    let replicas = Replicas::start(builder).await;
    let Replicas { connected, apps, .. } = &replicas;
    let first = connected.granted(&apps[0], "shop-1", 3600).await;
    let second = connected.granted(&apps[0], "shop-2", 3600).await;
    let refresh = async |client: &Client, id: &str| {
        let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
        client.connections().refresh_connection(request).await.map(drop)
    };
    let report = async |client: &Client, id: &str| {
        let rejected_tag = client.fetch(by_id(id)).await.unwrap().tag;
        client.fetch(v1::FetchCredentialRequest { rejected_tag, ..by_id(id) }).await
    };
    refresh(&apps[0], &first).await.unwrap();
    let renewed = report(&apps[1 % apps.len()], &first).await.unwrap();
    assert_eq!(renewed.rejection.unwrap().outcome(), Outcome::Renewed);
    let budget = "RATE_LIMITED refreshes_per_minute of tenant 2";
    for app in apps {
        assert_eq!(reached(&report(app, &second).await.unwrap_err()), budget);
        assert_eq!(reached(&refresh(app, &second).await.unwrap_err()), budget);
    }
    assert_eq!(connected.provider.counts().refreshes, 2);

    let (first, third) = (with_key(&apps[0], "key-1").await, with_key(&apps[0], "key-2").await);
    let accepted = report(&apps[0], &first).await.unwrap();
    assert_eq!(accepted.rejection.unwrap().outcome(), Outcome::StillAccepted);
    for app in apps {
        let budget = "RATE_LIMITED tests_per_minute of tenant 1";
        assert_eq!(reached(&report(app, &third).await.unwrap_err()), budget);
        assert_eq!(reached(&test(app, &third).await.unwrap_err()), budget);
    }
    assert_eq!(connected.provider.counts().tests, 1);
    // What was not asked changed nothing, and other tenants have budgets of their own.
    for id in [&second, &third] {
        assert_eq!(state(&apps[0], id).await, (v1::ConnectionState::Connected, String::new()));
    }
    let other = connected.vault.app("other").await;
    let theirs = with_key(&other, "key-3").await;
    assert_eq!(report(&other, &theirs).await.unwrap().rejection.unwrap().outcome(), Outcome::StillAccepted);
    replicas.stop_others().await;
}
