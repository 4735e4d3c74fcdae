//! Connections to a provider: consent, fresh tokens for every caller, and what its failures mean. The provider is the
//! simulator, over real HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault::proto::v1;
use credvault_domain::Clock as _;
use credvault_simulator::{CLIENT_SECRET, Refusal, Rotation, Step};
use tonic_types::StatusExt as _;

use crate::harness::provider::{
    Connected, GRACE, STRICT, app_request, begin, complete, connection_request, decide, state,
};
use crate::harness::{Client, TestVault, by_id, eventually, input, postgres_database, refusal};
use crate::on_both;

on_both! {
    async fn a_consent_connects_once_and_for_whoever_began_it(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let id = app.create(connection_request("main")).await.unwrap().id;
        let begun = begin(&app, &id, "CANARY session").await;
        assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connecting);
        assert!(begun.authorization_url.contains("code_challenge_method=S256") && begun.authorization_url.contains("scope=read%20offline"));
        let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;

        // By another tenant: the state is used up by the one who may have it.
        let other = connected.vault.app("other").await;
        assert_eq!(refusal(&complete(&other, &parameters, "CANARY session").await.unwrap_err()), "FailedPrecondition STATE_INVALID");
        let done = complete(&app, &parameters, "CANARY session").await.unwrap();
        assert_eq!((done.id.as_str(), done.state(), done.external_account_id.as_str()), (id.as_str(), v1::ConnectionState::Connected, "shop-1"));
        assert_eq!((done.scopes_asked.join(" "), done.scopes_granted.join(" ")), ("read offline".into(), "read offline".into()));
        let again = complete(&app, &parameters, "CANARY session").await.unwrap_err();
        assert!(refusal(&again) == "FailedPrecondition STATE_INVALID" && again.message().contains("used already"), "{again:?}");
        let credential = app.fetch(by_id(&id)).await.unwrap();
        assert!(connected.accepts(&credential).await && !credential.fields.contains_key("refresh_token"));

        // A second consent keeps the id and adds a version; it must be the same account's.
        let begun = begin(&app, &id, "").await;
        assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected, "it goes on working meanwhile");
        let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
        assert_eq!(complete(&app, &parameters, "").await.unwrap().current_version, 2);
        let begun = begin(&app, &id, "").await;
        let parameters = decide(&begun.authorization_url, "another-shop", "allow").await;
        let stranger = complete(&app, &parameters, "").await.unwrap_err();
        assert!(refusal(&stranger) == "FailedPrecondition STATE_INVALID" && stranger.message().contains("another account"));
        assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    }

    async fn a_consent_is_completed_by_the_user_who_began_it_whatever_others_reach(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let portal = connected.vault.client("portal").await;
        let users = [None, Some("alice"), Some("mallory")];
        // The app reaches every user's connections; that does not make it another user.
        for (index, beginner) in users.into_iter().enumerate() {
            let id = app.create(connection_request(&format!("a{index}"))).await.unwrap().id;
            for completer in users {
                let began = app.acting_for("acme", beginner);
                let parameters = decide(&begin(&began, &id, "").await.authorization_url, &format!("shop-{index}"), "allow").await;
                let done = complete(&app.acting_for("acme", completer), &parameters, "").await;
                match done {
                    Ok(connection) => assert_eq!((connection.id, beginner), (id.clone(), completer)),
                    Err(refused) => {
                        assert_ne!(beginner, completer, "{refused:?}");
                        assert!(refusal(&refused) == "FailedPrecondition STATE_INVALID" && refused.message().contains("another user"), "{refused:?}");
                    }
                }
            }
        }
        // A service that policy does not let complete this does not use the state up.
        let id = app.create(connection_request("last")).await.unwrap().id;
        let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-last", "allow").await;
        let beginner = connected.vault.client("beginner").await.acting_for("acme", None);
        assert_eq!(refusal(&complete(&beginner, &parameters, "").await.unwrap_err()), "PermissionDenied POLICY_DENIED");
        assert_eq!(refusal(&complete(&portal.acting_for("acme", Some("alice")), &parameters, "").await.unwrap_err()), "FailedPrecondition STATE_INVALID");
        let completions: Vec<_> = app.events().await.into_iter().filter(|event| event.action == "CompleteAuthorization").collect();
        assert!(completions.iter().any(|event| event.user_id == "alice") && completions.iter().any(|event| event.user_id == "mallory"));
    }

    async fn a_consent_that_is_denied_forged_or_late_connects_nothing(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        connected.provider.behave(|behaviour| behaviour.send_iss = true);
        let app = connected.vault.app("acme").await;
        let id = app.create(connection_request("main")).await.unwrap().id;
        let denied = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "deny").await;
        assert_eq!(refusal(&complete(&app, &denied, "").await.unwrap_err()), "FailedPrecondition REAUTHORIZATION_REQUIRED");
        assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Disconnected);
        // Finished in another session than it was begun in (RFC 9700, 4.7: login CSRF).
        let begun = begin(&app, &id, "mine").await;
        let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
        let foreign = complete(&app, &parameters, "theirs").await.unwrap_err();
        assert!(foreign.message().contains("another session"), "{foreign:?}");
        // From another issuer (RFC 9207: mix-up).
        let begun = begin(&app, &id, "").await;
        let mut parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
        parameters.insert("iss".into(), "https://evil.example".into());
        assert_eq!(refusal(&complete(&app, &parameters, "").await.unwrap_err()), "InvalidArgument FIELDS_INVALID");
        // With a code of another consent, which another challenge binds (RFC 7636).
        let (one, two) = (begin(&app, &id, "").await, begin(&app, &id, "").await);
        let mut first = decide(&one.authorization_url, "shop-1", "allow").await;
        let second = decide(&two.authorization_url, "shop-1", "allow").await;
        first.insert("code".into(), second["code"].clone());
        assert_eq!(refusal(&complete(&app, &first, "").await.unwrap_err()), "FailedPrecondition REAUTHORIZATION_REQUIRED");
        // After ten minutes, without a state, with a made-up one.
        let begun = begin(&app, &id, "").await;
        let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
        connected.vault.clock.advance(Duration::from_secs(601));
        assert!(complete(&app, &parameters, "").await.unwrap_err().message().contains("ten minutes"));
        assert_eq!(refusal(&complete(&app, &BTreeMap::new(), "").await.unwrap_err()), "InvalidArgument FIELDS_INVALID");
        let made_up = BTreeMap::from([("state".to_owned(), "CANARY".to_owned()), ("code".to_owned(), "CANARY".to_owned())]);
        assert_eq!(refusal(&complete(&app, &made_up, "").await.unwrap_err()), "FailedPrecondition STATE_INVALID");
        assert_eq!((connected.vault.count("tokens").await, connected.vault.count("credential_versions").await), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_fetches_on_four_replicas_refresh_an_expired_token_once() {
    let mut vault = TestVault::prepared(Some(postgres_database().await)).await;
    // Four replicas and 256 callers on one small machine, which may have other things to do.
    let patience = Duration::from_secs(60);
    let store = &mut vault.settings.store;
    store.max_connections = 8;
    for timeout in [
        &mut store.acquire_timeout_ms,
        &mut store.statement_timeout_ms,
        &mut store.lock_timeout_ms,
        &mut store.audit_timeout_ms,
    ] {
        *timeout = 60_000;
    }
    let mut connected = Connected::start(vault, STRICT).await;
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
    // Who is in a hurry is told to come again, and stops nothing.
    let impatient = fetch(&clients[1], Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(refusal(&impatient), "Unavailable PROVIDER_UNAVAILABLE");
    assert!(impatient.get_error_details().retry_info().is_some());
    let fetches = futures::future::join_all((0..256).map(|i| fetch(&clients[i % 4], patience)));
    let mut fetches = std::pin::pin!(fetches);
    let early = tokio::time::timeout(Duration::from_secs(3), &mut fetches).await;
    assert!(early.is_err(), "the provider has not answered yet");
    connected.provider.behave(|behaviour| behaviour.hold = false);
    let fetched = fetches.await;
    let tokens: std::collections::BTreeSet<_> =
        fetched.into_iter().map(|credential| credential.unwrap().fields["access_token"].clone()).collect();
    assert_eq!(tokens.len(), 1, "everybody has the same new one");
    let counts = connected.provider.counts();
    assert_eq!((counts.refreshes, counts.reuses_detected), (1, 0));
    assert!(connected.accepts(&clients[3].fetch(by_id(&id)).await.unwrap()).await);
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_told_and_recovered_by_the_providers_rule() {
    // The same token is taken again within the grace time.
    let connected = Connected::sqlite(GRACE).await;
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
    let connected = Connected::sqlite(STRICT).await;
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
    let connected = Connected::sqlite(STRICT).await;
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
    // Expired: the caller is told when to come again, and the connection is not dead.
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
    assert_eq!(
        (connected.provider.counts().refreshes, state(&app, &id).await.0),
        (asked, v1::ConnectionState::Connected)
    );
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
    let connected = Connected::sqlite(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut ids = Vec::new();
    for i in 0..20 {
        ids.push(connected.granted(&app, &format!("shop-{i}"), 600).await);
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(connected.provider.counts().refreshes, 0, "none is due yet");
    connected.vault.clock.advance(Duration::from_secs(450));
    eventually("all are renewed", || async { connected.provider.counts().refreshes_granted == 20 }).await;
    for id in &ids {
        let credential = app.fetch(by_id(id)).await.unwrap();
        assert!(credential.version == 1 && connected.accepts(&credential).await);
    }
    assert_eq!((connected.provider.counts().refreshes, connected.provider.counts().reuses_detected), (20, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_show_no_secret_and_are_the_platforms_or_a_tenants_own() {
    let connected = Connected::sqlite(STRICT).await;
    connected.vault.tenant("acme").await;
    let operator = connected.vault.client("operator").await;
    let own = v1::PutOAuthAppRequest {
        tenant_id: "acme".into(),
        client_secret: "CANARY-secret-of-acme".into(),
        settings: [("application_id".to_owned(), "x1".to_owned())].into(),
        ..app_request()
    };
    let stored = operator.admin().put_o_auth_app(own.clone()).await.unwrap().into_inner();
    assert!(!format!("{stored:?}").contains("secret-of-acme"), "{stored:?}");
    let rotated = v1::PutOAuthAppRequest {
        client_secret: "CANARY-next-secret".into(),
        keep_previous_secret: true,
        ..own.clone()
    };
    let hints = operator.admin().put_o_auth_app(rotated).await.unwrap().into_inner().app.unwrap().hints;
    assert!(hints.contains_key("client_secret") && hints.contains_key("previous_client_secret"), "{hints:?}");
    let list = |tenant: &str| v1::ListOAuthAppsRequest { tenant_id: tenant.into(), ..Default::default() };
    for (tenant, settings) in [("acme", 1), ("", 0)] {
        let apps = operator.admin().list_o_auth_apps(list(tenant)).await.unwrap().into_inner().apps;
        assert!(apps.len() == 1 && apps[0].settings.len() == settings, "{apps:?}");
    }
    let app = connected.vault.client("app").await.acting_for("acme", None);
    assert_eq!(
        refusal(&app.admin().list_o_auth_apps(list("acme")).await.unwrap_err()),
        "PermissionDenied POLICY_DENIED"
    );
    let delete = v1::DeleteOAuthAppRequest {
        tenant_id: "acme".into(),
        provider: "simulator".into(),
        ..Default::default()
    };
    operator.admin().delete_o_auth_app(delete).await.unwrap();
    assert!(operator.admin().list_o_auth_apps(list("acme")).await.unwrap().into_inner().apps.is_empty());
    let wrong = v1::PutOAuthAppRequest { client_id: String::new(), redirect_uri: "a\nb".into(), ..own };
    let wrong = operator.admin().put_o_auth_app(wrong).await.unwrap_err();
    assert!(
        refusal(&wrong) == "InvalidArgument FIELDS_INVALID" && wrong.message().contains("redirect_uri"),
        "{wrong:?}"
    );
}

async fn tested(app: &Client, id: &str) -> Result<v1::TestConnectionResponse, tonic::Status> {
    let request = v1::TestConnectionRequest { connection_id: id.to_owned() };
    Ok(app.connections().test_connection(request).await?.into_inner())
}

on_both! {
    async fn a_test_says_what_the_provider_says_and_is_remembered(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let id = connected.granted(&app, "shop-1", 3600).await;
        let first = tested(&app, &id).await.unwrap();
        assert_eq!((first.outcome(), first.external_account_id.as_str(), first.account_changed), (v1::TestOutcome::Works, "shop-1", false));
        let connection = first.connection.unwrap();
        assert!(connection.last_verified_time.is_some() && connection.external_account_id == "shop-1");
        // The app was removed at the provider; a new consent mends it.
        connected.provider.revoke_account("shop-1");
        assert_eq!(tested(&app, &id).await.unwrap().outcome(), v1::TestOutcome::Refused);
        assert_eq!(state(&app, &id).await, (v1::ConnectionState::Error, "REAUTHORIZATION_REQUIRED".into()));
        let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "allow").await;
        complete(&app, &parameters, "").await.unwrap();
        assert_eq!(tested(&app, &id).await.unwrap().outcome(), v1::TestOutcome::Works);
        let fresh = app.create(v1::CreateConnectionRequest {
            auth_mode: "api_key".into(),
            credential: Some(input(&[("key", "sim_key_shop-9")])),
            ..connection_request("key")
        }).await.unwrap();
        assert_eq!(tested(&app, &fresh.id).await.unwrap().external_account_id, "shop-9");
        let other = v1::PutCredentialRequest { connection_id: fresh.id.clone(), credential: Some(input(&[("key", "sim_key_shop-10")])), ..Default::default() };
        app.vault().put_credential(other).await.unwrap();
        let changed = tested(&app, &fresh.id).await.unwrap();
        assert!(changed.account_changed && changed.connection.unwrap().external_account_id == "shop-9");
        // A provider that does not answer says nothing about the credential.
        let Connected { vault: _vault, provider } = connected;
        provider.stop().await;
        assert_eq!(refusal(&tested(&app, &fresh.id).await.unwrap_err()), "Unavailable PROVIDER_UNAVAILABLE");
        assert_eq!(state(&app, &fresh.id).await, (v1::ConnectionState::Connected, String::new()));
    }

    async fn a_value_that_the_provider_refuses_replaces_nothing(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let created = app.create(v1::CreateConnectionRequest {
            auth_mode: "api_key".into(),
            credential: Some(input(&[("key", "sim_key_shop-1")])),
            ..connection_request("key")
        }).await.unwrap();
        let put = |key: &str| v1::PutCredentialRequest {
            connection_id: created.id.clone(),
            credential: Some(input(&[("key", key)])),
            verify: true,
            ..Default::default()
        };
        let refused = app.vault().put_credential(put("CANARY revoked")).await.unwrap_err();
        assert!(refusal(&refused) == "InvalidArgument FIELDS_INVALID" && !format!("{refused:?}").contains("CANARY"), "{refused:?}");
        assert_eq!(app.fetch(by_id(&created.id)).await.unwrap().fields["key"], "sim_key_shop-1");
        app.vault().put_credential(put("sim_key_shop-2")).await.unwrap();
        assert_eq!(app.fetch(by_id(&created.id)).await.unwrap().fields["key"], "sim_key_shop-2");
    }

    async fn a_webhook_is_checked_once_and_its_secret_stays_inside(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let created = app.create(v1::CreateConnectionRequest {
            auth_mode: "api_key".into(),
            config: Some(prost_types::Struct { fields: [("shop".to_owned(), prost_types::Value::from("s-1"))].into() }),
            credential: Some(input(&[("key", "sim_key_shop-1"), ("webhook_secret", "CANARY webhook secret")])),
            ..connection_request("key")
        }).await.unwrap();
        let time = connected.vault.clock.now().seconds().to_string();
        let signed = |secret: &str, time: &str, body: &str| {
            credvault_testkit::hmac_sha256(secret.as_bytes(), format!("{time}.{body}").as_bytes())
        };
        let check = async |signature: String, time: &str, body: &str| {
            let header = |name: &str, value: &str| v1::WebhookHeader { name: name.into(), value: value.into() };
            let request = v1::VerifyWebhookRequest {
                connection_id: created.id.clone(),
                headers: vec![header("X-SIGNATURE", &signature), header("x-time", time)],
                body: body.as_bytes().to_vec(),
                ..Default::default()
            };
            let answer = app.vault().verify_webhook(request).await.unwrap().into_inner();
            assert!(!format!("{answer:?}").contains("CANARY"));
            (answer.verdict(), answer.problem)
        };
        let body = r#"{"order": "CANARY 17", "shop": "s-1"}"#;
        let good = signed("CANARY webhook secret", &time, body);
        assert_eq!(check(good.clone(), &time, body).await.0, v1::WebhookVerdict::Valid);
        assert_eq!(check(good.clone(), &time, body).await.0, v1::WebhookVerdict::Repeated);
        // The app's secret is one of the provider's, too, and the provider has not said whose key this is.
        let (verdict, problem) = check(signed(CLIENT_SECRET, &time, body), &time, body).await;
        assert!(verdict == v1::WebhookVerdict::Invalid && problem.contains("TestConnection"), "{problem}");
        let foreign = r#"{"order": "CANARY 17", "shop": "s-2"}"#;
        for (signature, time, body) in [
            (good.clone(), time.as_str(), r#"{"order": "CANARY 18"}"#),
            (signed(CLIENT_SECRET, &time, foreign), &time, foreign),
            (good, "1", body),
            (signed("CANARY webhook secret", "1", body), "1", body),
            (signed("another", &time, body), &time, body),
            (String::new(), &time, body),
        ] {
            let (verdict, problem) = check(signature, time, body).await;
            assert!(verdict == v1::WebhookVerdict::Invalid && !problem.is_empty());
        }
    }
}

on_both! {
    async fn letting_go_destroys_at_once_and_tells_the_provider_until_it_listens(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let disconnect = async |id: &str| {
            let request = v1::DisconnectConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
            app.connections().disconnect_connection(request).await.unwrap().into_inner().connection.unwrap()
        };
        let id = connected.granted(&app, "shop-1", 3600).await;
        let gone = disconnect(&id).await;
        assert_eq!((gone.state(), gone.revocation(), gone.current_version), (v1::ConnectionState::Disconnected, v1::Revocation::Done, 0));
        assert!(connected.provider.families().iter().all(|family| family.revoked));
        assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
        assert_eq!((connected.vault.count("tokens").await, connected.vault.count("revocations").await), (0, 0));
        let versions = v1::ListCredentialVersionsRequest { connection_id: id.clone(), ..Default::default() };
        let versions = app.vault().list_credential_versions(versions).await.unwrap().into_inner().versions;
        assert!(versions.iter().all(|version| version.destroy_time.is_some()));
        // A second time changes nothing.
        assert_eq!(disconnect(&id).await.revocation(), v1::Revocation::Done);

        // The provider is away: the secret is gone from what is served, and the provider is told later.
        let id = connected.granted(&app, "shop-2", 3600).await;
        connected.provider.behave(|behaviour| behaviour.revocation = credvault_simulator::Revocation::Unavailable);
        assert_eq!(disconnect(&id).await.revocation(), v1::Revocation::Pending);
        assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
        connected.provider.behave(|behaviour| behaviour.revocation = credvault_simulator::Revocation::Works);
        connected.vault.clock.advance(Duration::from_secs(120));
        eventually("the provider is told", || async {
            let request = v1::GetConnectionRequest { connection_id: id.clone() };
            let connection = app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap();
            connection.revocation() == v1::Revocation::Done
        }).await;
        assert!(connected.provider.families().iter().all(|family| family.revoked));

        // Connected anew before the provider was told: nothing that the new consent may hang on is revoked.
        connected.provider.behave(|behaviour| behaviour.revocation = credvault_simulator::Revocation::Unavailable);
        let id = connected.granted(&app, "shop-3", 3600).await;
        disconnect(&id).await;
        let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-3", "allow").await;
        let connection = complete(&app, &parameters, "").await.unwrap();
        assert_eq!((connection.state(), connection.revocation()), (v1::ConnectionState::Connected, v1::Revocation::Unspecified));
        assert_eq!(connected.vault.count("revocations").await, 0);
        // Two connections of one account: the first to go leaves the grant to the other.
        connected.provider.behave(|behaviour| behaviour.revocation = credvault_simulator::Revocation::Works);
        let mut pair = Vec::new();
        for account in ["one", "two"] {
            let id = app.create(connection_request(account)).await.unwrap().id;
            let back = decide(&begin(&app, &id, "").await.authorization_url, "shop-4", "allow").await;
            pair.push(complete(&app, &back, "").await.unwrap().id);
        }
        let before = connected.provider.counts().revocations;
        assert_eq!(disconnect(&pair[0]).await.revocation(), v1::Revocation::Kept);
        assert_eq!(connected.provider.counts().revocations, before);
        assert!(connected.accepts(&app.fetch(by_id(&pair[1])).await.unwrap()).await);
        assert_eq!(disconnect(&pair[1]).await.revocation(), v1::Revocation::Done);
        // A key that nobody can be told about.
        let key = app.create(v1::CreateConnectionRequest {
            auth_mode: "api_key".into(),
            credential: Some(input(&[("key", "sim_key_shop-1")])),
            ..connection_request("key")
        }).await.unwrap();
        assert_eq!(disconnect(&key.id).await.revocation(), v1::Revocation::Unsupported);
    }
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
    let mut vault = TestVault::prepared(Some(postgres_database().await)).await;
    vault.settings.broker.refreshes_per_second = 40;
    let mut connected = Connected::start(vault, STRICT).await;
    let app = connected.vault.app("acme").await;
    due(&connected, &app, 100).await;
    let first = connected.vault.instance.take().unwrap();
    connected.vault.start().await;
    // All of them end in the same minute.
    connected.vault.clock.advance(Duration::from_secs(2900));
    eventually("100 refreshes", || async { connected.provider.counts().refreshes_granted >= 100 }).await;
    let counts = connected.provider.counts();
    assert_eq!((counts.refreshes, counts.reuses_detected), (100, 0));
    assert!(counts.refreshes_in_a_second_max <= 40, "{counts:?}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_answer_is_left_alone_and_asked_again_by_one() {
    let connected = Connected::sqlite(STRICT).await;
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
    let connected = Connected::sqlite(STRICT).await;
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
    // What one account is told may be meant for it alone.
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
        let connected = Connected::sqlite(GRACE).await;
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

#[tokio::test]
async fn what_tokens_do_not_say_is_asked_after_a_consent() {
    let after = |path: &str, optional: bool| {
        format!(
            "rotates = 'yes'\n\
             [modes.oauth2_code.config.shop_name]\ntitle = 'Shop'\n\
             [modes.oauth2_code.post_exchange]\ncall = {{ url = '{{url}}/{path}' }}\n\
             settings = {{ shop_name = 'name' }}\noptional = {optional}\n"
        )
    };
    let consent = async |renewal: String| {
        let connected = Connected::sqlite(&renewal).await;
        let app = connected.vault.app("acme").await;
        let id = app.create(connection_request("main")).await.unwrap().id;
        let begun = begin(&app, &id, "").await;
        let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
        complete(&app, &parameters, "").await
    };
    let names = |connection: &v1::Connection| {
        let config = connection.config.clone().unwrap_or_default();
        config.fields.get("shop_name").map(|value| format!("{:?}", value.kind))
    };
    let told = consent(after("me", false)).await.unwrap();
    assert!(names(&told).is_some_and(|name| name.contains("The shop shop-1")), "{told:?}");
    let refused = consent(after("nothing", false)).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
    let connected = consent(after("nothing", true)).await.unwrap();
    assert_eq!((connected.state(), names(&connected)), (v1::ConnectionState::Connected, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_whose_refresh_cannot_be_asked_says_nothing_of_the_connection() {
    let connected = Connected::sqlite(STRICT).await;
    let app = connected.vault.app("acme").await;
    let tokens = connected.provider.issue("shop-1", &["read"]);
    let id = app.create(connection_request("main")).await.unwrap().id;
    // The access token was withdrawn alone.
    let fields = [("access_token", "no token of the provider's"), ("refresh_token", &tokens.refresh_token)];
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&fields)),
        ..Default::default()
    };
    app.vault().put_credential(put).await.unwrap();
    for step in [
        Step::Fail { status: 503, after_effect: false },
        Step::Throttle { retry_after: credvault_simulator::RetryAfter::Seconds(1) },
        Step::Refuse(Refusal::InvalidClient),
    ] {
        connected.provider.behave(|behaviour| behaviour.steady = step.clone());
        assert!(tested(&app, &id).await.is_err(), "{step:?}");
        assert_eq!(state(&app, &id).await, (v1::ConnectionState::Connected, String::new()), "{step:?}");
    }
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.vault.clock.advance(Duration::from_secs(60));
    assert_eq!(tested(&app, &id).await.unwrap().outcome(), v1::TestOutcome::Works);
}
