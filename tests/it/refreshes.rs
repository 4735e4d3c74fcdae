//! Refreshes: one request for all callers, what a provider's failures mean, and how due refreshes are spread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::{Refusal, Rotation, Step};
use futures::FutureExt as _;
use tonic_types::StatusExt as _;

use crate::harness::provider::{
    Connected, GRACE, STRICT, app_request, begin, complete, connection_request, decide, state,
};
use crate::harness::{Client, VaultBuilder, by_id, eventually, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_fetches_on_four_replicas_refresh_an_expired_token_once() {
    // Four replicas and 256 callers on one small machine, which may have other things to do.
    let patience = Duration::from_secs(60);
    let builder = VaultBuilder::postgres().store_timeouts(patience).settings(|settings, _| {
        settings.store.lock_timeout_ms = 60_000;
        settings.store.max_connections = 8;
    });
    let mut connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut replicas = vec![connected.vault.instance.take().unwrap()];
    let mut clients = vec![app.clone()];
    for _ in 0..3 {
        connected.vault.start().await;
        clients.push(connected.vault.client("app").await.acting_for("acme", None));
        replicas.push(connected.vault.instance.take().unwrap());
    }
    connected.provider.behave(|behaviour| behaviour.hold = true);
    let id = connected.granted(&app, "shop-1", -60).await;
    let fetch = async |client: &Client, patience: Duration| {
        let mut request = tonic::Request::new(by_id(&id));
        request.set_timeout(patience);
        let credential = client.vault().fetch_credential(request).await?.into_inner().credential;
        Ok::<_, tonic::Status>(credential.unwrap())
    };
    // A caller with a short deadline gets a time to retry, and the refresh continues.
    let impatient = fetch(&clients[1], Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(refusal(&impatient), "Unavailable PROVIDER_UNAVAILABLE");
    assert!(impatient.get_error_details().retry_info().is_some());
    let answered = AtomicUsize::new(0);
    let counted =
        |i: usize| fetch(&clients[i % 4], patience).inspect(|_| _ = answered.fetch_add(1, Ordering::SeqCst));
    let fetches = futures::future::join_all((0..256).map(counted));
    let mut fetches = std::pin::pin!(fetches);
    // A client's connection keeps the order of its requests: when this later call is answered, the fetches have arrived.
    let later_calls = async {
        for client in &clients {
            state(client, &id).await;
        }
    };
    tokio::select! {
        biased;
        _ = &mut fetches => {}
        () = later_calls => {}
    }
    assert_eq!(answered.load(Ordering::SeqCst), 0, "the provider has not answered yet");
    connected.provider.behave(|behaviour| behaviour.hold = false);
    let fetched = fetches.await;
    let tokens: std::collections::BTreeSet<_> =
        fetched.into_iter().map(|credential| credential.unwrap().fields["access_token"].clone()).collect();
    assert_eq!(tokens.len(), 1, "all callers have the same new token");
    let counts = connected.provider.counts();
    assert_eq!(counts.refreshes, 1);
    assert_eq!(counts.reuses_detected, 0);
    assert!(connected.accepts(&clients[3].fetch(by_id(&id)).await.unwrap()).await);
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_shown_and_recovered_by_the_providers_rule() {
    // The same token is taken again within the grace time.
    let connected = VaultBuilder::sqlite().start_with_provider(GRACE).await;
    connected.provider.behave(|behaviour| {
        behaviour.rotation =
            Rotation::Rotating { grace: Duration::from_secs(1800), same_answer_within_grace: true };
        behaviour.script = vec![Step::LoseAnswer];
    });
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", -60).await;
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "Unavailable PROVIDER_UNAVAILABLE");
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Error, "PROVIDER_UNAVAILABLE".into()));
    connected.vault.clock.advance(Duration::from_secs(400));
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Connected, String::new()));

    // A strict provider is asked once more, and its refusal asks for consent: never silently dead.
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    connected.provider.behave(|behaviour| behaviour.script = vec![Step::LoseAnswer]);
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", -60).await;
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "Unavailable PROVIDER_UNAVAILABLE");
    connected.vault.clock.advance(Duration::from_secs(400));
    assert_eq!(
        refusal(&app.fetch(by_id(&id)).await.unwrap_err()),
        "FailedPrecondition REAUTHORIZATION_REQUIRED"
    );
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Error, "REAUTHORIZATION_REQUIRED".into()));
    let asked = connected.provider.counts().refreshes;
    for _ in 0..3 {
        connected.vault.clock.advance(Duration::from_secs(400));
        app.fetch(by_id(&id)).await.unwrap_err();
    }
    assert_eq!(connected.provider.counts().refreshes, asked, "a dead grant is not asked for again");
    // A new consent mends it in place.
    let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "allow").await;
    complete(&app, &parameters, "").await.unwrap();
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_and_the_apps_own_faults_never_mark_a_connection_dead() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    // Twenty seconds left: it works still, so it is served while the provider is not there.
    let id = connected.granted(&app, "near-its-end", 20).await;
    for step in [
        Step::Fail { status: 503, after_effect: false },
        Step::Throttle { retry_after: credvault_simulator::RetryAfter::Seconds(7) },
        Step::Redirect { to: "http://169.254.169.254/latest".into() },
        Step::Refuse(Refusal::InvalidClient),
    ] {
        connected.provider.behave(|behaviour| behaviour.steady = step.clone());
        connected.vault.clock.advance(Duration::from_secs(1));
        let served = app.fetch(by_id(&id)).await.unwrap();
        assert!(connected.accepts(&served).await, "{step:?}");
        assert_eq!(state(&app, &id).await, (v1::ConnectionState::Connected, String::new()), "{step:?}");
        connected.vault.sql("UPDATE refreshes SET retry_time = NULL").await;
    }
    // Expired: the caller learns when to retry, and the connection is not dead.
    let id = connected.granted(&app, "expired", -60).await;
    connected.provider.behave(|behaviour| {
        behaviour.steady = Step::Throttle { retry_after: credvault_simulator::RetryAfter::Seconds(7) };
    });
    // What the provider wished before is over.
    connected.vault.clock.advance(Duration::from_secs(60));
    let throttled = app.fetch(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&throttled), "ResourceExhausted PROVIDER_RATE_LIMITED");
    assert_eq!(throttled.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(7)));
    let waiting = app.fetch(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&waiting), "ResourceExhausted PROVIDER_RATE_LIMITED", "not asked before then");
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.vault.clock.advance(Duration::from_secs(8));
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    // Another app than the one that the tokens were got with is not tried: it would look like death.
    let known = app.fetch(by_id(&id)).await.unwrap();
    let operator = connected.vault.client("operator").await;
    let other = v1::PutOAuthAppRequest { client_id: "another-app".into(), ..app_request() };
    operator.admin().put_o_auth_app(other).await.unwrap();
    let asked = connected.provider.counts().refreshes;
    let request = v1::RefreshConnectionRequest { connection_id: id.clone() };
    let refused = app.connections().refresh_connection(request).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
    assert_eq!(connected.provider.counts().refreshes, asked);
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected);
    operator.admin().put_o_auth_app(app_request()).await.unwrap();
    assert!(connected.accepts(&known).await);
    // The user has removed the app at the provider: that is death.
    connected.provider.revoke_account("expired");
    let request = v1::RefreshConnectionRequest { connection_id: id.clone() };
    let dead = app.connections().refresh_connection(request).await.unwrap_err();
    assert_eq!(refusal(&dead), "FailedPrecondition REAUTHORIZATION_REQUIRED");
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_renewed_ahead_of_need() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut ids = Vec::new();
    for i in 0..20 {
        ids.push(connected.granted(&app, &format!("shop-{i}"), 600).await);
    }
    // The search that finds the first of these looks at all others, too. A refresh that it begins for one of them reaches
    // the provider before a later search has refreshed the second.
    for (refreshed, account) in [(1, "due-at-once"), (2, "due-next")] {
        connected.granted(&app, account, 600).await;
        let id = format!("(SELECT id FROM connections WHERE account_name = '{account}')");
        connected.vault.sql(&format!("UPDATE refreshes SET due_time = 1 WHERE connection_id = {id}")).await;
        let granted = || async { connected.provider.counts().refreshes_granted >= refreshed };
        eventually("a search", granted).await;
        assert_eq!(connected.provider.counts().refreshes, refreshed, "the others are not due yet");
    }
    connected.vault.clock.advance(Duration::from_secs(450));
    eventually("all are refreshed", || async { connected.provider.counts().refreshes_granted >= 22 }).await;
    for id in &ids {
        let credential = app.fetch(by_id(id)).await.unwrap();
        assert_eq!(credential.version, 1);
        assert!(connected.accepts(&credential).await);
    }
    assert_eq!(connected.provider.counts().refreshes, 22);
    assert_eq!(connected.provider.counts().reuses_detected, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_token_is_exchanged_at_once_where_the_provider_has_one_that_lives_longer() {
    let refresh_section = format!("{STRICT}\nrefresh_immediately = true");
    let connected = VaultBuilder::sqlite().start_with_provider(&refresh_section).await;
    let refreshed = || connected.provider.counts().refreshes_granted;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "allow").await;
    complete(&app, &parameters, "").await.unwrap();
    eventually("the refresh after the exchange", || async { refreshed() == 1 }).await;
    connected.granted(&app, "by-hand", 3000).await;
    eventually("the refresh of the stored token", || async { refreshed() == 2 }).await;
    // The token that came is no first one.
    connected.chain_lives(&app, &id).await;
    assert_eq!(refreshed(), 3, "one more, which chain_lives has forced");
}

/// Several connections whose tokens are about to end, and so are due.
async fn due(connected: &Connected, app: &Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for i in 0..count {
        ids.push(connected.granted(app, &format!("shop-{i}"), 3000).await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_refreshes_of_two_replicas_stay_within_the_apps_budget() {
    let builder = VaultBuilder::postgres().settings(|settings, _| settings.broker.refreshes_per_second = 40);
    let mut connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    due(&connected, &app, 100).await;
    let first = connected.vault.instance.take().unwrap();
    connected.vault.start().await;
    // All of them end in the same minute.
    connected.vault.clock.advance(Duration::from_secs(2900));
    eventually("100 refreshes", || async { connected.provider.counts().refreshes_granted >= 100 }).await;
    let counts = connected.provider.counts();
    assert_eq!(counts.refreshes, 100);
    assert_eq!(counts.reuses_detected, 0);
    assert!(counts.refreshes_in_a_second_max <= 40, "{counts:?}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_answer_is_left_alone_and_asked_again_by_one() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let ids = due(&connected, &app, 60).await;
    connected.provider.behave(|behaviour| {
        behaviour.script = vec![Step::Fail { status: 503, after_effect: false }; 200];
    });
    connected.vault.clock.advance(Duration::from_secs(3001));
    for id in &ids {
        assert_eq!(refusal(&app.fetch(by_id(id)).await.unwrap_err()), "Unavailable PROVIDER_UNAVAILABLE");
    }
    let asked = connected.provider.counts().refreshes;
    // Five in a row, and those that were under way at that moment: 32 at once.
    assert!((5..45).contains(&asked), "{asked}");
    connected.provider.behave(|behaviour| behaviour.script = Vec::new());
    connected.vault.clock.advance(Duration::from_secs(400));
    for id in &ids {
        assert!(connected.accepts(&app.fetch(by_id(id)).await.unwrap()).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_asks_for_fewer_calls_gets_none_of_that_app_until_then() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let ids = due(&connected, &app, 3).await;
    let retry_after = credvault_simulator::RetryAfter::Seconds(90);
    connected.provider.behave(|behaviour| behaviour.script = vec![Step::Throttle { retry_after }; 2]);
    let fetches = async |ids: &[String]| {
        let mut outcomes = Vec::new();
        for id in ids {
            outcomes.push(app.fetch(by_id(id)).await.map_err(|error| refusal(&error)).err());
        }
        outcomes
    };
    connected.vault.clock.advance(Duration::from_secs(3001));
    let outcomes = fetches(&ids).await;
    assert!(outcomes.iter().all(Option::is_some), "{outcomes:?}");
    // The answer about one account may hold for it alone.
    assert_eq!(connected.provider.counts().refreshes, 2);
    connected.vault.clock.advance(Duration::from_secs(80));
    fetches(&ids).await;
    assert_eq!(connected.provider.counts().refreshes, 2, "the 90 seconds are not over");
    connected.vault.clock.advance(Duration::from_secs(300));
    assert_eq!(fetches(&ids).await, [None, None, None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_read_may_have_renewed() {
    for step in
        [Step::Fail { status: 502, after_effect: true }, Step::Fail { status: 504, after_effect: true }]
    {
        let connected = VaultBuilder::sqlite().start_with_provider(GRACE).await;
        connected.provider.behave(|behaviour| {
            behaviour.rotation =
                Rotation::Rotating { grace: Duration::from_secs(1800), same_answer_within_grace: true };
            behaviour.script = vec![step.clone()];
        });
        let app = connected.vault.app("acme").await;
        let id = connected.granted(&app, "shop-1", -60).await;
        app.fetch(by_id(&id)).await.unwrap_err();
        assert_eq!(state(&app, &id).await, (v1::ConnectionState::Error, "PROVIDER_UNAVAILABLE".into()));
        connected.vault.clock.advance(Duration::from_secs(400));
        assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    }
}
