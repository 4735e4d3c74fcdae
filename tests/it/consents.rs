//! Consents through the back end: who may complete one, what refuses it, and what is read from the answer.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_proto::v1;

use crate::harness::provider::{STRICT, begin, complete, connection_request, decide, state};
use crate::harness::{VaultBuilder, by_id, refusal};
use crate::on_both;

on_both![
    a_consent_connects_once_and_for_the_caller_that_began_it,
    only_the_user_who_began_a_consent_completes_it,
    a_consent_that_is_denied_forged_or_late_connects_nothing,
];

async fn a_consent_connects_once_and_for_the_caller_that_began_it(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let begun = begin(&app, &id, "CANARY session").await;
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connecting);
    assert!(begun.authorization_url.contains("code_challenge_method=S256"));
    assert!(begun.authorization_url.contains("scope=read%20offline"));
    let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;

    // By another tenant: the state is used up by the one who may have it.
    let other = connected.vault.app("other").await;
    assert_eq!(
        refusal(&complete(&other, &parameters, "CANARY session").await.unwrap_err()),
        "FailedPrecondition STATE_INVALID"
    );
    let done = complete(&app, &parameters, "CANARY session").await.unwrap();
    assert_eq!(done.id, id);
    assert_eq!(done.state(), v1::ConnectionState::Connected);
    assert_eq!(done.external_account_id, "shop-1");
    assert_eq!(done.scopes_asked.join(" "), "read offline");
    assert_eq!(done.scopes_granted.join(" "), "offline read");
    let again = complete(&app, &parameters, "CANARY session").await.unwrap_err();
    assert_eq!(refusal(&again), "FailedPrecondition STATE_INVALID", "{again:?}");
    assert!(again.message().contains("used already"), "{again:?}");
    let credential = app.fetch(by_id(&id)).await.unwrap();
    assert!(connected.accepts(&credential).await);
    assert!(!credential.fields.contains_key("refresh_token"));

    // A second consent keeps the id and adds a version; it must be the same account's.
    let begun = begin(&app, &id, "").await;
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected, "it goes on working meanwhile");
    let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
    assert_eq!(complete(&app, &parameters, "").await.unwrap().current_version, 2);
    let begun = begin(&app, &id, "").await;
    let parameters = decide(&begun.authorization_url, "another-shop", "allow").await;
    let stranger = complete(&app, &parameters, "").await.unwrap_err();
    assert_eq!(refusal(&stranger), "FailedPrecondition STATE_INVALID");
    assert!(stranger.message().contains("an account other than"));
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
}

async fn only_the_user_who_began_a_consent_completes_it(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let portal = connected.vault.client("portal").await;
    let users = [None, Some("alice"), Some("mallory")];
    // The app reaches every user's connections; that does not make it another user.
    for (index, beginner) in users.into_iter().enumerate() {
        let id = app.create(connection_request(&format!("a{index}"))).await.unwrap().id;
        for completer in users {
            let began = app.acting_for("acme", beginner);
            let parameters =
                decide(&begin(&began, &id, "").await.authorization_url, &format!("shop-{index}"), "allow")
                    .await;
            let done = complete(&app.acting_for("acme", completer), &parameters, "").await;
            match done {
                Ok(connection) => {
                    assert_eq!(connection.id, id.clone());
                    assert_eq!(beginner, completer);
                }
                Err(refused) => {
                    assert_ne!(beginner, completer, "{refused:?}");
                    assert_eq!(refusal(&refused), "FailedPrecondition STATE_INVALID", "{refused:?}");
                    assert!(refused.message().contains("another user"), "{refused:?}");
                }
            }
        }
    }
    // A service that policy does not let complete this does not use the state up.
    let id = app.create(connection_request("last")).await.unwrap().id;
    let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-last", "allow").await;
    let beginner = connected.vault.client("beginner").await.acting_for("acme", None);
    assert_eq!(
        refusal(&complete(&beginner, &parameters, "").await.unwrap_err()),
        "PermissionDenied POLICY_DENIED"
    );
    assert_eq!(
        refusal(&complete(&portal.acting_for("acme", Some("alice")), &parameters, "").await.unwrap_err()),
        "FailedPrecondition STATE_INVALID"
    );
    let completions: Vec<_> =
        app.events().await.into_iter().filter(|event| event.action == "CompleteAuthorization").collect();
    assert!(completions.iter().any(|event| event.user_id == "alice"));
    assert!(completions.iter().any(|event| event.user_id == "mallory"));
}

async fn a_consent_that_is_denied_forged_or_late_connects_nothing(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    connected.provider.behave(|behaviour| behaviour.send_iss = true);
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let denied = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "deny").await;
    assert_eq!(
        refusal(&complete(&app, &denied, "").await.unwrap_err()),
        "FailedPrecondition REAUTHORIZATION_REQUIRED"
    );
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
    assert_eq!(
        refusal(&complete(&app, &parameters, "").await.unwrap_err()),
        "InvalidArgument FIELDS_INVALID"
    );
    // With a code of another consent, which another challenge binds (RFC 7636).
    let one = begin(&app, &id, "").await;
    let two = begin(&app, &id, "").await;
    let mut first = decide(&one.authorization_url, "shop-1", "allow").await;
    let second = decide(&two.authorization_url, "shop-1", "allow").await;
    first.insert("code".into(), second["code"].clone());
    assert_eq!(
        refusal(&complete(&app, &first, "").await.unwrap_err()),
        "FailedPrecondition REAUTHORIZATION_REQUIRED"
    );
    // After ten minutes, without a state, with a made-up one.
    let begun = begin(&app, &id, "").await;
    let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
    connected.vault.clock.advance(Duration::from_secs(601));
    assert!(complete(&app, &parameters, "").await.unwrap_err().message().contains("ten minutes"));
    assert_eq!(
        refusal(&complete(&app, &BTreeMap::new(), "").await.unwrap_err()),
        "InvalidArgument FIELDS_INVALID"
    );
    let made_up =
        BTreeMap::from([("state".to_owned(), "CANARY".to_owned()), ("code".to_owned(), "CANARY".to_owned())]);
    assert_eq!(refusal(&complete(&app, &made_up, "").await.unwrap_err()), "FailedPrecondition STATE_INVALID");
    assert_eq!(connected.vault.count("tokens").await, 0);
    assert_eq!(connected.vault.count("credential_versions").await, 0);
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
    let consent = async |refresh_section: String| {
        let connected = VaultBuilder::sqlite().start_with_provider(&refresh_section).await;
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
    assert_eq!(connected.state(), v1::ConnectionState::Connected);
    assert_eq!(names(&connected), None);
}
