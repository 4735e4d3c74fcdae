//! Tokens with forged algorithms, signatures and headers, and the error that each gets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use credvault_domain::{Clock as _, Present, TenantSource};
use credvault_identity::{Error, IssuerKind, Presented, TokenError};
use credvault_testkit::{Algorithm, TokenIssuer};
use serde_json::json;

use crate::fixture::{fixture, fixture_with, settings, source};

/// Two clocks disagree, and either may be the wrong one.
#[tokio::test]
async fn a_token_counts_only_if_it_is_valid_by_both_clocks() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k");
    let fixture = fixture(&issuer);
    let authorization = format!("Bearer {}", issuer.token(&fixture.claims()));
    let now = fixture.clock.now();
    let twenty = Duration::from_secs(20 * 60);
    let at = async |earliest, latest| {
        let presented = Presented { authorization: Some(&authorization), ..Presented::default() };
        fixture.present_at(presented, Present { earliest, now, latest }).await
    };
    assert!(at(now, now).await.is_ok());
    let ended = at(now, now.after(twenty)).await;
    assert!(matches!(ended, Err(Error::Token(TokenError::Expired))), "ended by the later: {ended:?}");
    let early = at(now.before(twenty), now).await;
    assert!(
        matches!(early, Err(Error::Token(TokenError::NotYetValid))),
        "not begun by the earlier: {early:?}"
    );
}

#[tokio::test]
async fn tokens_of_each_algorithm_name_tenant_and_user() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let issuer = TokenIssuer::new(algorithm, "k1");
        let fixture = fixture(&issuer);
        let tenant = fixture.token(&issuer.token(&fixture.claims())).await.unwrap().tenant.unwrap();
        assert_eq!(tenant.tenant.as_str(), "acme");
        assert_eq!(tenant.source, TenantSource::Token);
        assert_eq!(tenant.user.unwrap().as_str(), "user_1");
    }
}

#[tokio::test]
async fn algorithms_come_from_the_key_and_never_from_the_token() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let issuer = TokenIssuer::new(algorithm, "k1");
        let fixture = fixture(&issuer);
        let claims = fixture.claims();
        assert_eq!(fixture.refused(&TokenIssuer::unsigned(&claims)).await, TokenError::Algorithm, "none");
        assert_eq!(
            fixture.refused(&issuer.confused(&claims)).await,
            TokenError::Algorithm,
            "HS256 with the public key"
        );
        for name in
            ["RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA", "HS512", "none", "None", "nOnE", ""]
        {
            let forged = issuer.token_with_header(&json!({ "alg": name, "kid": "k1" }), &claims);
            let own = matches!(
                (algorithm, name),
                (Algorithm::Rs256, "RS256") | (Algorithm::Es256, "ES256") | (Algorithm::EdDsa, "EdDSA")
            );
            assert_eq!(fixture.token(&forged).await.is_ok(), own, "{algorithm:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_signature_with_another_key_or_over_something_else_is_refused() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let other = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let fixture = fixture(&issuer);
    assert_eq!(fixture.refused(&other.token(&fixture.claims())).await, TokenError::Signature);
    let token = issuer.token(&fixture.claims());
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let foreign = issuer.token(&fixture.claims_with("org_id", json!("other")));
    let payload = foreign.split('.').nth(1).unwrap();
    assert_eq!(fixture.refused(&format!("{header}.{payload}.{signature}")).await, TokenError::Signature);
    assert_eq!(fixture.refused(&format!("{input}.")).await, TokenError::Signature);
    for garbage in ["", "a", "a.b", "a.b.c", "a.b.c.d", &"x".repeat(9000)] {
        assert!(fixture.token(garbage).await.is_err(), "{garbage}");
    }
}

#[tokio::test]
async fn headers_that_point_elsewhere_change_nothing() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let attacker = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let (fetch, asked) = source(vec![Ok(issuer.jwks())]);
    let fixture = fixture_with(settings(IssuerKind::User), fetch);
    let header = json!({ "alg": "EdDSA", "kid": "k1", "jku": "https://evil.test/jwks", "jwk": attacker.jwk(), "x5u": "https://evil.test" });
    let forged = attacker.token_with_header(&header, &fixture.claims());
    assert_eq!(fixture.refused(&forged).await, TokenError::Signature);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "only the configured URL was asked");
    let critical = json!({ "alg": "EdDSA", "kid": "k1", "crit": ["exp"] });
    assert_eq!(
        fixture.refused(&issuer.token_with_header(&critical, &fixture.claims())).await,
        TokenError::Critical
    );
}

#[tokio::test]
async fn a_bare_header_counts_for_a_delegate_only() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let fixture = fixture(&issuer);
    let caller = fixture
        .present(Presented { tenant: Some("acme"), user: Some("u1"), ..Presented::default() })
        .await
        .unwrap();
    assert_eq!(caller.tenant_source(), TenantSource::Header);
    assert_eq!(caller.user().unwrap().as_str(), "u1");
    let foreign = fixture.present(Presented { tenant: Some("other"), ..Presented::default() }).await;
    assert!(matches!(foreign, Err(Error::Denied(_))), "{foreign:?}");
    let malformed = fixture.present(Presented { tenant: Some("a/b"), ..Presented::default() }).await;
    assert!(matches!(malformed, Err(Error::Header { header: "x-tenant-id", .. })), "{malformed:?}");
    let user_alone = fixture.present(Presented { user: Some("u1"), ..Presented::default() }).await;
    assert!(matches!(user_alone, Err(Error::TenantMissing)), "{user_alone:?}");
}

#[tokio::test]
async fn token_and_headers_must_agree() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let fixture = fixture(&issuer);
    let authorization = format!("Bearer {}", issuer.token(&fixture.claims()));
    let present = async |tenant, user| {
        fixture.present(Presented { authorization: Some(&authorization), tenant, user }).await
    };
    assert!(present(Some("acme"), Some("user_1")).await.is_ok());
    assert!(matches!(present(Some("other"), None).await, Err(Error::Mismatch("x-tenant-id"))));
    assert!(matches!(present(Some("acme"), Some("user_2")).await, Err(Error::Mismatch("x-user-id"))));
    for header in ["Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer a,b", "token"] {
        let refused =
            fixture.present(Presented { authorization: Some(header), ..Presented::default() }).await;
        assert!(
            matches!(refused, Err(Error::Token(TokenError::Scheme | TokenError::Malformed))),
            "{header}: {refused:?}"
        );
    }
}
