//! The keys of issuers: when they are fetched again, how long they stay good, and which sets are refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_identity::{Error, FetchError, Issuer, IssuerKind, IssuerSettings, KeySource, TokenError};
use credvault_testkit::{Algorithm, TokenIssuer};
use serde_json::json;

use crate::fixture::{fixture_of, fixture_with, settings, source};

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_a_minute_and_a_new_key_is_found() {
    let old = TokenIssuer::new(Algorithm::EdDsa, "old");
    let new = TokenIssuer::new(Algorithm::EdDsa, "new");
    let (fetch, asked) = source(vec![Ok(old.jwks()), Ok(old.jwks()), Ok(new.jwks())]);
    let fixture = fixture_with(settings(IssuerKind::User), fetch);
    assert!(fixture.token(&old.token(&fixture.claims())).await.is_ok());
    for _ in 0..50 {
        assert_eq!(fixture.refused(&new.token(&fixture.claims())).await, TokenError::UnknownKey);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the first fetch was a moment ago");
    fixture.clock.advance(Duration::from_secs(61));
    assert_eq!(fixture.refused(&new.token(&fixture.claims())).await, TokenError::UnknownKey);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    fixture.clock.advance(Duration::from_secs(61));
    assert!(fixture.token(&new.token(&fixture.claims())).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_again_stay_good_for_a_day() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let (fetch, _) = source(vec![Ok(issuer.jwks()), Err(FetchError("down".into()))]);
    let fixture = fixture_with(settings(IssuerKind::User), fetch);
    let refresh = async || {
        let now = fixture.clock.now();
        fixture.identity.issuers().iter().next().unwrap().refresh(now).await;
    };
    refresh().await;
    fixture.clock.advance(Duration::from_secs(23 * 3600));
    refresh().await;
    assert!(fixture.token(&issuer.token(&fixture.claims())).await.is_ok());
    fixture.clock.advance(Duration::from_secs(2 * 3600));
    refresh().await;
    let refused = fixture.token(&issuer.token(&fixture.claims())).await;
    assert!(matches!(refused, Err(Error::KeysUnavailable { .. })), "{refused:?}");
}

/// The vault asks an issuer that was down at the start again soon, with growing pauses, and tells callers when.
#[tokio::test]
async fn without_any_keys_they_are_asked_for_again_soon() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let mut answers: Vec<_> = (0..9).map(|_| Err(FetchError("down".into()))).collect();
    answers.push(Ok(issuer.jwks()));
    let (fetch, asked) = source(answers);
    let fixture = fixture_with(settings(IssuerKind::User), fetch);
    let subject = fixture.identity.issuers();
    for (count, pause) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        // The first call asks the issuer; calls during the pause learn how long it lasts.
        for past in [0, pause / 2] {
            fixture.clock.advance(Duration::from_secs(past));
            let refused = fixture.token(&issuer.token(&fixture.claims())).await;
            let left = Duration::from_secs(pause - past);
            assert!(
                matches!(&refused, Err(Error::KeysUnavailable { retry, .. }) if *retry == left),
                "{count} {past}: {refused:?}"
            );
            subject.iter().next().unwrap().refresh(fixture.clock.now()).await;
            assert_eq!(asked.load(Ordering::SeqCst), count);
        }
        assert_eq!(subject.without_keys().count(), 1);
        fixture.clock.advance(Duration::from_secs(pause - pause / 2));
    }
    assert!(fixture.token(&issuer.token(&fixture.claims())).await.is_ok());
    assert_eq!(subject.without_keys().count(), 0);
}

#[tokio::test]
async fn the_files_of_several_issuers_are_used_together_or_not_at_all() {
    let [first, second, next] =
        ["first", "second", "next"].map(|kid| TokenIssuer::new(Algorithm::EdDsa, kid));
    let (fetch, _) = source(vec![Err(FetchError("unused".into()))]);
    let issuer = |name: &str| {
        let keys = KeySource::File("jwks.json".into());
        Issuer::new(
            IssuerSettings { name: name.into(), keys, ..settings(IssuerKind::User) },
            Arc::clone(&fetch),
        )
    };
    let fixture = fixture_of(vec![issuer("one"), issuer("two")]);
    let use_documents =
        |documents: [String; 2]| fixture.identity.issuers().use_documents(&documents.map(String::into_bytes));
    use_documents([first.jwks(), second.jwks()]).unwrap();
    let broken = use_documents([next.jwks(), "CANARY".into()]).unwrap_err();
    assert!(broken.starts_with("two: ") && !broken.contains("CANARY"), "{broken}");
    assert!(fixture.token(&first.token(&fixture.claims())).await.is_ok(), "the first keeps its keys");
    use_documents([next.jwks(), second.jwks()]).unwrap();
    assert!(fixture.token(&next.token(&fixture.claims())).await.is_ok());
}

#[tokio::test]
async fn ambiguous_and_useless_key_sets_are_refused() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let rsa = TokenIssuer::new(Algorithm::Rs256, "r");
    let mut weak = rsa.jwk();
    weak["n"] = json!("AQAB".repeat(40));
    let mut encryption = issuer.jwk();
    encryption["use"] = json!("enc");
    let mut other_algorithm = rsa.jwk();
    other_algorithm["alg"] = json!("RS512");
    let many: Vec<_> = (0..65).map(|_| issuer.jwk()).collect();
    for (keys, sound) in [
        (json!([issuer.jwk()]), true),
        (json!([issuer.jwk(), { "kty": "unheard-of" }, encryption]), true),
        (json!([issuer.jwk(), issuer.jwk()]), false),
        (json!([]), false),
        (json!([weak]), false),
        (json!([encryption]), false),
        (json!([other_algorithm]), false),
        (json!([{ "kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256" }]), false),
        (json!(many), false),
        (json!("keys"), false),
    ] {
        let (fetch, _) = source(vec![Err(FetchError("unused".into()))]);
        let subject = Issuer::new(settings(IssuerKind::User), fetch);
        let document = json!({ "keys": keys }).to_string();
        assert_eq!(subject.use_document(document.as_bytes()).is_ok(), sound, "{document}");
    }
}
