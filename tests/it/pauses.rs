//! Why nothing is sent for a while: one connection's refusal stops no other tenant's, every caller learns the reason, and
//! what ends the reason ends the pause.

use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::{Refusal, RetryAfter, Step};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::provider::{Connected, STRICT, app_request, connection_request};
use crate::harness::{Client, VaultBuilder, by_id, eventually, input, refusal};
use crate::on_both;

async fn refresh(client: &Client, id: &str) -> Result<(), Status> {
    let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
    client.connections().refresh_connection(request).await.map(|_| ())
}

fn retry(status: &Status) -> Duration {
    status.get_error_details().retry_info().unwrap().retry_delay.unwrap()
}

async fn put_app(connected: &Connected) {
    connected.vault.client("operator").await.admin().put_o_auth_app(app_request()).await.unwrap();
}

async fn delete_app(connected: &Connected) {
    let request = v1::DeleteOAuthAppRequest { provider: "simulator".into(), ..Default::default() };
    connected.vault.client("operator").await.admin().delete_o_auth_app(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_tenants_connections_are_told_stops_no_other_tenant() {
    let steps = [
        Step::Refuse(Refusal::UnauthorizedClient),
        Step::Throttle { retry_after: RetryAfter::Seconds(900) },
        Step::Fail { status: 503, after_effect: false },
        Step::HangUp,
    ];
    for step in steps {
        let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
        let mallory = connected.vault.app("mallory").await;
        let acme = connected.vault.app("acme").await;
        let healthy = connected.granted(&acme, "healthy", 3600).await;
        let mut ids = Vec::new();
        for number in 0..6 {
            ids.push(connected.granted(&mallory, &format!("bad-{number}"), 3600).await);
        }
        connected.provider.behave(|behaviour| behaviour.steady = step.clone());
        for _ in 0..2 {
            for id in &ids {
                refresh(&mallory, id).await.unwrap_err();
            }
        }
        connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
        refresh(&acme, &healthy).await.unwrap_or_else(|error| panic!("{step:?}: {error:?}"));
        assert!(connected.accepts(&acme.fetch(by_id(&healthy)).await.unwrap()).await);
    }
}

on_both![
    a_refused_app_is_named_to_every_caller_and_the_next_one_ends_the_pause,
    without_an_app_nothing_is_sent_and_the_answer_says_so,
];

async fn a_refused_app_is_named_to_every_caller_and_the_next_one_ends_the_pause(builder: VaultBuilder) {
    let mut connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    connected.provider.behave(|behaviour| behaviour.steady = Step::Refuse(Refusal::InvalidClient));
    let ids = [connected.granted(&app, "one", -60).await, connected.granted(&app, "two", -60).await];
    for id in &ids {
        for _ in 0..2 {
            let refused = app.fetch(by_id(id)).await.unwrap_err();
            assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
            assert!(refused.message().contains("does not accept the platform's app"), "{refused:?}");
            assert!(retry(&refused) > Duration::from_secs(20), "{refused:?}");
        }
    }
    connected.vault.clock.advance(Duration::from_secs(100));
    let later = app.fetch(by_id(&ids[0])).await.unwrap_err();
    assert!(later.message().contains("does not accept the platform's app"), "{later:?}");
    assert!(retry(&later) <= Duration::from_secs(200), "{later:?}");
    let refused = refresh(&app, &ids[0]).await.unwrap_err();
    assert!(refused.message().contains("does not accept the platform's app"), "{refused:?}");
    // The mended app: at once, on a replica that did not see it stored, and without anybody asking.
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    let other = if connected.vault.database.is_some() {
        let first = connected.vault.instance.take().unwrap();
        connected.vault.start().await;
        Some(first)
    } else {
        None
    };
    put_app(&connected).await;
    assert!(connected.accepts(&app.fetch(by_id(&ids[0])).await.unwrap()).await);
    eventually("the other is refreshed", || async { connected.provider.counts().refreshes_granted >= 2 })
        .await;
    if let Some(other) = other {
        other.stop().await;
    }
}

async fn without_an_app_nothing_is_sent_and_the_answer_says_so(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "one", 3600).await;
    let secretless =
        v1::PutOAuthAppRequest { client_id: "another".into(), client_secret: String::new(), ..app_request() };
    delete_app(&connected).await;
    for without in [true, false] {
        if !without {
            // A confidential app without its secret proves nothing either.
            connected
                .vault
                .client("operator")
                .await
                .admin()
                .put_o_auth_app(secretless.clone())
                .await
                .unwrap();
        }
        let refused = refresh(&app, &id).await.unwrap_err();
        assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
        assert!(refused.message().contains("is missing"), "{refused:?}");
        assert_eq!(connected.provider.counts().refreshes, 0);
    }
    delete_app(&connected).await;
    put_app(&connected).await;
    refresh(&app, &id).await.unwrap();
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_fewer_calls_is_obeyed_and_named_by_all() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "one", -60).await;
    eventually("it is refreshed", || async { app.fetch(by_id(&id)).await.is_ok() }).await;
    assert_eq!(connected.provider.counts().refreshes_granted, 1);
    let retry_after = RetryAfter::Seconds(600);
    connected.provider.behave(|behaviour| behaviour.steady = Step::Throttle { retry_after });
    for (pause, rest) in [(0, 600), (100, 500)] {
        connected.vault.clock.advance(Duration::from_secs(pause));
        for _ in 0..2 {
            let refused = refresh(&app, &id).await.unwrap_err();
            assert_eq!(refusal(&refused), "ResourceExhausted PROVIDER_RATE_LIMITED");
            assert_eq!(retry(&refused), Duration::from_secs(rest));
        }
    }
    assert_eq!(connected.provider.counts().refreshes, 2, "who insists waits, too");
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.vault.clock.advance(Duration::from_secs(500));
    refresh(&app, &id).await.unwrap();
}

/// A mode whose key mints tokens, as GitHub's Apps and Google's service accounts have one.
const MINTING: &str = "rotates = 'yes'
[modes.minting]
display_name = 'Key'
kind = 'service_account'
secret.private_key = { title = 'Key', required = true, vault_only = true, max_length = 16384, type = 'text' }
secret.access_token = { title = 'Token' }
request = { base_url = '{url}', headers = { Authorization = 'Bearer {secret.access_token}' } }
refresh.rotates = 'no'
refresh.assertion = { key = '{secret.private_key}', claims = { iss = 'me' }, lifetime_seconds = 540 }
refresh.call = { url = '{url}/token', form = { grant_type = 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion = '{flow.assertion}' } }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_nothing_was_minted_from_yet_is_no_empty_credential() {
    let connected = VaultBuilder::sqlite().start_with_provider(MINTING).await;
    let app = connected.vault.app("acme").await;
    let key = include_str!("../../crates/credvault-crypto/tests/keys/rsa_pkcs8.pem");
    let request = v1::CreateConnectionRequest {
        auth_mode: "minting".into(),
        credential: Some(input(&[("private_key", key)])),
        ..connection_request("minting")
    };
    connected.provider.behave(|behaviour| behaviour.steady = Step::Fail { status: 503, after_effect: false });
    let id = app.create(request).await.unwrap().id;
    for _ in 0..2 {
        let refused = app.fetch(by_id(&id)).await.unwrap_err();
        assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
        assert!(retry(&refused) > Duration::ZERO);
    }
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    eventually("the provider is asked again", || async {
        connected.vault.clock.advance(Duration::from_secs(60));
        app.fetch(by_id(&id)).await.is_ok()
    })
    .await;
    let fetched = app.fetch(by_id(&id)).await.unwrap();
    assert!(fetched.request_auth.unwrap().headers.contains_key("Authorization"));
}
