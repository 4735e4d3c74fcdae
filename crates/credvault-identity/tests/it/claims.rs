//! Claims that are missing, malformed, doubled or out of time, and the error that each gets.

use std::time::Duration;

use credvault_domain::{Clock as _, TenantSource};
use credvault_identity::{AudienceClaim, Error, IssuerKind, IssuerSettings, TokenError};
use credvault_testkit::{Algorithm, TokenIssuer};
use serde_json::{Value, json};

use crate::fixture::{ISSUER, SERVICE, VAULT, fixture, fixture_with, settings, source};

#[tokio::test]
async fn claims_that_are_missing_wrong_or_out_of_time_are_refused() {
    let issuer = TokenIssuer::new(Algorithm::Es256, "k1");
    let fixture = fixture(&issuer);
    let now = fixture.clock.now().seconds();
    let refused = async |name: &str, value: Value| {
        fixture.refused(&issuer.token(&fixture.claims_with(name, value))).await
    };
    for name in ["exp", "iat", "iss"] {
        assert_eq!(refused(name, Value::Null).await, TokenError::ClaimMissing(name.into()));
        let other_type = refused(name, json!(["x"])).await;
        assert!(matches!(other_type, TokenError::ClaimMissing(_) | TokenError::Malformed), "{other_type:?}");
    }
    assert_eq!(refused("exp", json!(now - 31)).await, TokenError::Expired);
    assert_eq!(refused("iat", json!(now + 31)).await, TokenError::NotYetValid);
    assert_eq!(refused("nbf", json!(now + 31)).await, TokenError::NotYetValid);
    assert_eq!(refused("exp", json!(now + 3601)).await, TokenError::TooLong { seconds: 3601, allowed: 3600 });
    assert!(matches!(refused("exp", json!(i64::MAX)).await, TokenError::TooLong { .. }), "no overflow");
    assert_eq!(refused("aud", json!("somebody else")).await, TokenError::Audience("aud".into()));
    assert_eq!(refused("aud", Value::Null).await, TokenError::Audience("aud".into()));
    assert_eq!(refused("iss", json!("https://evil.test")).await, TokenError::UnknownIssuer);
    assert_eq!(refused("sub", Value::Null).await, TokenError::ClaimMissing("sub".into()));
    assert!(matches!(refused("org_id", json!("not/an/id")).await, TokenError::Claim { .. }));
    let without = fixture.token(&issuer.token(&fixture.claims_with("org_id", Value::Null))).await;
    assert!(matches!(without, Err(Error::TenantMissing)), "{without:?}");
}

#[tokio::test]
async fn what_a_token_is_refused_for_never_repeats_it() {
    let issuer = TokenIssuer::new(Algorithm::Es256, "k1");
    let fixture = fixture(&issuer);
    for (name, value) in [("org_id", json!("CANARY/")), ("sub", json!("CANARY\n")), ("aud", json!("CANARY"))]
    {
        let error = fixture.token(&issuer.token(&fixture.claims_with(name, value))).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    }
}

/// An absent claim has a meaning (an assertion without a user), so a malformed claim must not count as absent.
#[tokio::test]
async fn a_claim_of_another_type_is_an_error_and_never_absence() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    for kind in [IssuerKind::User, IssuerKind::Assertion] {
        for (tenant_claim, user_claim) in [("org_id", "sub"), ("o.id", "u.id")] {
            let settings = IssuerSettings {
                tenant_claim: tenant_claim.into(),
                user_claim: user_claim.into(),
                ..settings(kind)
            };
            let fixture = fixture_with(settings, source(vec![Ok(issuer.jwks())]).0);
            let mut sound = fixture.claims();
            sound["act"] = json!({ "sub": SERVICE });
            (sound["o"], sound["u"]) = (json!({ "id": "acme" }), json!({ "id": "user_1" }));
            assert!(fixture.token(&issuer.token(&sound)).await.is_ok(), "{kind:?} {tenant_claim}");
            let others =
                [json!(null), json!(42), json!(true), json!(["acme"]), json!({ "id": "acme" }), json!({})];
            for (claim, value) in [tenant_claim, user_claim]
                .iter()
                .flat_map(|claim| others.iter().map(move |value| (*claim, value)))
            {
                let mut claims = sound.clone();
                match claim.split_once('.') {
                    Some((outer, inner)) => claims[outer][inner] = value.clone(),
                    None => claims[claim] = value.clone(),
                }
                let refused = fixture.refused(&issuer.token(&claims)).await;
                assert!(
                    matches!(&refused, TokenError::Claim { claim: named, .. } if named == claim),
                    "{refused:?}"
                );
            }
            // The path leads through a value that is not an object.
            if let Some((outer, _)) = user_claim.split_once('.') {
                let mut claims = sound;
                claims[outer] = json!("user_1");
                assert!(matches!(fixture.refused(&issuer.token(&claims)).await, TokenError::Claim { .. }));
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_says_two_things_is_refused() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let fixture = fixture(&issuer);
    let sound = fixture.claims();
    for (name, value) in sound.as_object().unwrap() {
        // The same value again, and another value, before and after the sound claim.
        for other in [value.clone(), json!("other")] {
            let pair = format!("{}:{other}", json!(name));
            let rest = sound.to_string();
            let inner = rest.trim_start_matches('{').trim_end_matches('}');
            for text in [format!("{{{pair},{inner}}}"), format!("{{{inner},{pair}}}")] {
                assert_eq!(
                    fixture.refused(&issuer.token_of_text(&text)).await,
                    TokenError::Repeated,
                    "{text}"
                );
            }
        }
    }
    let nested = sound.to_string().replace('}', r#","o":{"id":"a","id":"b"}}"#);
    assert_eq!(fixture.refused(&issuer.token_of_text(&nested)).await, TokenError::Repeated);
    assert!(fixture.token(&issuer.token_of_text(&sound.to_string())).await.is_ok());
}

#[tokio::test]
async fn times_are_numbers_in_their_order() {
    let issuer = TokenIssuer::new(Algorithm::Es256, "k1");
    let fixture = fixture(&issuer);
    let now = fixture.clock.now().seconds();
    for name in ["exp", "iat", "nbf"] {
        for value in [json!("1"), json!(now.to_string()), json!([now]), json!({}), json!(true), json!(1e300)]
        {
            let refused = fixture.refused(&issuer.token(&fixture.claims_with(name, value))).await;
            assert_eq!(refused, TokenError::ClaimMissing(name.into()));
        }
    }
    let mut null = fixture.claims();
    null["nbf"] = json!(null);
    assert_eq!(fixture.refused(&issuer.token(&null)).await, TokenError::ClaimMissing("nbf".into()));
    let mut backwards = fixture.claims();
    (backwards["iat"], backwards["exp"]) = (json!(now + 20), json!(now + 10));
    assert_eq!(fixture.refused(&issuer.token(&backwards)).await, TokenError::Backwards);
    let mixed = fixture.refused(&issuer.token(&fixture.claims_with("aud", json!([VAULT, 42])))).await;
    assert_eq!(mixed, TokenError::Audience("aud".into()));
}

#[tokio::test]
async fn clerks_claims_are_configuration() {
    let issuer = TokenIssuer::new(Algorithm::Rs256, "ins_1");
    let clerk = IssuerSettings {
        audience: AudienceClaim { claim: "azp".into(), accepted: vec!["https://app.acme.test".into()] },
        tenant_claim: "o.id".into(),
        ..settings(IssuerKind::User)
    };
    let fixture = fixture_with(clerk, source(vec![Ok(issuer.jwks())]).0);
    let now = fixture.clock.now().seconds();
    let claims = |azp: &str| {
        json!({
            "azp": azp, "exp": now + 60, "iat": now, "nbf": now - 10, "iss": ISSUER, "sid": "sess_1", "sub": "user_1",
            "v": 2, "o": { "id": "org_acme", "rol": "admin", "slg": "acme" },
        })
    };
    let caller = fixture.token(&issuer.token(&claims("https://app.acme.test"))).await.unwrap();
    assert_eq!(caller.tenant.unwrap().tenant.as_str(), "org_acme");
    assert_eq!(
        fixture.refused(&issuer.token(&claims("https://evil.test"))).await,
        TokenError::Audience("azp".into())
    );
}

#[tokio::test]
async fn an_assertion_is_bound_to_the_calling_service_and_to_this_vault_alone() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let assertion =
        IssuerSettings { max_lifetime: Duration::from_secs(300), ..settings(IssuerKind::Assertion) };
    let fixture = fixture_with(assertion, source(vec![Ok(issuer.jwks())]).0);
    let now = fixture.clock.now().seconds();
    let claims = |actor: Value, audience: Value| json!({ "iss": ISSUER, "aud": audience, "iat": now, "exp": now + 300, "org_id": "acme", "act": { "sub": actor } });
    let caller = fixture.token(&issuer.token(&claims(json!(SERVICE), json!(VAULT)))).await.unwrap();
    assert_eq!(caller.tenant_source(), TenantSource::Assertion);
    assert_eq!(caller.user(), None, "a job has no user");
    for actor in [json!("spiffe://one.test/other"), json!(null), json!({}), json!([SERVICE])] {
        assert_eq!(fixture.refused(&issuer.token(&claims(actor, json!(VAULT)))).await, TokenError::Actor);
    }
    let several = fixture.refused(&issuer.token(&claims(json!(SERVICE), json!([VAULT, "other"])))).await;
    assert_eq!(several, TokenError::Audience("aud".into()));
    let mut long = claims(json!(SERVICE), json!(VAULT));
    long["exp"] = json!(now + 301);
    assert!(matches!(fixture.refused(&issuer.token(&long)).await, TokenError::TooLong { .. }));
}
