//! "Issues Found": the findings that the module's team has mended, one test for each. None of them applies here.

use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::CLIENT_SECRET;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{Ads, CALLBACK, SESSION, account, delete, disconnect, for_an_hour, listed};
use crate::browser::{ORIGIN, begin, complete};
use crate::harness::provider::{STRICT, connection_request, state};
use crate::harness::{Client, VaultBuilder, by_id, input, owned_by, refusal};
use crate::on_both;

on_both![
    security_credentials_stored_in_plaintext,
    security_oauth_state_comparison_vulnerable_to_timing_attacks,
    security_csp_header_override_in_oauth_callback,
    no_audit_logging_for_credential_changes,
    no_credential_validation,
    required_integrations_not_validated,
    no_rate_limiting_on_token_exchange,
];

/// A global integration of the organisation.
fn slack(token: &str) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        credential: Some(input(&[("access_token", token)])),
        ..account("slack", "bot_token", "", &[])
    }
}

// "Issues Found": "SECURITY: Credentials stored in plaintext".
async fn security_credentials_stored_in_plaintext(builder: VaultBuilder) {
    let mut ads = Ads::start(builder).await;
    let id = ads.consented("Main").await;
    ads.app.create(slack("xoxb-1-CANARY")).await.unwrap();
    let access = ads.app.fetch(by_id(&id)).await.unwrap().fields["access_token"].clone();
    let refresh = ads.connected.provider.families()[0].current_refresh_token.clone();
    let vault = &ads.connected.vault;
    assert!(vault.found_in("acme").await.is_some(), "the search finds what is there");
    // Neither a token of a consent, nor a credential that was handed in, nor the secret of the app, in any table; and no
    // list shows one.
    let shown = format!("{:?}", listed(&ads.app).await);
    for secret in [access.as_str(), refresh.as_str(), "xoxb-1-CANARY", CLIENT_SECRET] {
        assert_eq!(vault.found_in(secret).await, None);
        assert!(!shown.contains(secret), "{shown}");
    }
}

// "Issues Found": "SECURITY: OAuth state comparison vulnerable to timing attacks".
async fn security_oauth_state_comparison_vulnerable_to_timing_attacks(builder: VaultBuilder) {
    let mut ads = Ads::start(builder).await;
    let id = ads.account("Main").await;
    let begun = begin(&ads.app, &id, ORIGIN, SESSION).await;
    let back = ads.browser.allow(&begun).await;
    // No text is compared: what is stored, and looked up, is a hash of 256 random bits.
    assert_eq!(begun.state.len(), 43);
    assert_eq!(ads.connected.vault.found_in(&begun.state).await, None);
    // So a state that is right but for one character is as wrong as any, and is answered the same.
    let other = |character: &str| if character == "A" { "B" } else { "A" };
    let (first, rest) = begun.state.split_at(1);
    let (start, last) = begun.state.split_at(42);
    let guesses = [format!("{}{rest}", other(first)), format!("{start}{}", other(last)), "A".repeat(43)];
    let mut bodies = Vec::new();
    for guess in guesses {
        let mut guessed = back.clone();
        guessed.insert("state".to_owned(), guess);
        let page = ads.browser.get(CALLBACK, &guessed).await;
        assert_eq!((page.status, page.reason()), (400, "STATE_INVALID".to_owned()));
        bodies.push(page.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(ads.exchanges(), 0);
    // The right one works, once.
    let page = ads.browser.get(CALLBACK, &back).await;
    complete(&ads.app, &page.data("result"), SESSION).await.unwrap();
    assert_eq!(ads.browser.get(CALLBACK, &back).await.reason(), "STATE_REPLAYED");
}

// "Issues Found": "SECURITY: CSP header override in OAuth callback".
async fn security_csp_header_override_in_oauth_callback(builder: VaultBuilder) {
    const EVIL: &str = "<script>alert('CANARY')</script>";
    let mut ads = Ads::start(builder).await;
    // A page that shows what a user has written: it is escaped.
    let id = ads.account(EVIL).await;
    let back = ads.browser.allow(&begin(&ads.app, &id, "", "").await).await;
    let asked = ads.browser.get(CALLBACK, &back).await;
    assert!(asked.body.contains("&lt;script&gt;alert("), "{}", asked.body);
    // Pages after a success and after a failure: what Amazon's redirect brings is not shown at all.
    let id = ads.account("Second").await;
    let returned = ads.returned(&id).await;
    let id = ads.account("Third").await;
    let mut back = ads.browser.allow(&begin(&ads.app, &id, ORIGIN, "").await).await;
    back.remove("code");
    for name in ["error", "error_description"] {
        back.insert(name.to_owned(), EVIL.to_owned());
    }
    let failed = ads.browser.get(CALLBACK, &back).await;
    assert_eq!((returned.data("origin").as_str(), failed.data("origin").as_str()), (ORIGIN, ORIGIN));
    assert!(!failed.body.contains("CANARY"), "{}", failed.body);
    for page in [&asked, &returned, &failed] {
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        // The only script is a file: nothing stands in the page that such a policy would have to allow.
        assert_eq!(page.body.matches("<script").count(), 1, "{}", page.body);
        assert!(page.body.contains(&format!("<script src=\"{}\"", page.file("page", "js"))), "{}", page.body);
    }
}

// "Issues Found": "No audit logging for credential changes".
async fn no_audit_logging_for_credential_changes(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let user = vault.client("portal").await.acting_for("acme", Some("u1"));
    let id = user.create(account("slack", "bot_token", "Main", &[])).await.unwrap().id;
    put_slack(&user, &id, "xoxb-1-CANARY").await.unwrap();
    let update = v1::UpdateConnectionRequest {
        connection: Some(v1::Connection {
            id: id.clone(),
            account_name: "Alerts".into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["account_name".into()] }),
        ..Default::default()
    };
    user.connections().update_connection(update).await.unwrap();
    user.fetch(by_id(&id)).await.unwrap();
    put_slack(&user, &id, "CANARY no token").await.unwrap_err();
    disconnect(&user, &id).await;
    delete(&user, &id).await;
    let shared = vault.client("portal").await.acting_for("acme", None);
    shared.create(owned_by("u2", slack("xoxb-2-CANARY"))).await.unwrap_err();

    // Who did what to which account, what failed, and what was refused; and no secret.
    let events = app.events().await;
    let by_portal = |event: &&v1::AuditEvent| event.service == "spiffe://test.local/portal";
    let of_account = events.iter().rev().filter(|event| event.connection_id == id).filter(by_portal);
    let of_account: Vec<_> = of_account.collect();
    let actions: Vec<_> = of_account.iter().map(|event| event.action.as_str()).collect();
    let expected = [
        "CreateConnection",
        "PutCredential",
        "UpdateConnection",
        "FetchCredential",
        "PutCredential",
        "DisconnectConnection",
        "DeleteConnection",
    ];
    assert_eq!(actions, expected);
    assert!(of_account.iter().all(|event| event.user_id == "u1"), "{of_account:?}");
    assert_eq!(of_account[2].changed_fields, ["account_name"]);
    let failed = of_account[4];
    let refused = events.iter().find(|event| event.owner_user_id == "u2").unwrap();
    assert_eq!((failed.outcome(), failed.reason.as_str()), (v1::AuditOutcome::Failed, "FIELDS_INVALID"));
    assert_eq!((refused.outcome(), refused.reason.as_str()), (v1::AuditOutcome::Denied, "POLICY_DENIED"));
    assert!(!format!("{events:?}").contains("CANARY"));
}

async fn put_slack(app: &Client, id: &str, token: &str) -> Result<(), Status> {
    let request = v1::PutCredentialRequest {
        connection_id: id.to_owned(),
        credential: Some(input(&[("access_token", token)])),
        ..Default::default()
    };
    app.vault().put_credential(request).await.map(drop)
}

/// The fields that a refusal names, in order. It never repeats what was sent.
fn faults(status: &Status) -> Vec<String> {
    assert_eq!(refusal(status), "InvalidArgument FIELDS_INVALID");
    assert!(!format!("{status:?} {}", status.message()).contains("CANARY"), "{status:?}");
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    let mut fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
    fields.sort();
    fields
}

/// Pairs of names and values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

// "Issues Found": "No credential validation".
async fn no_credential_validation(builder: VaultBuilder) {
    const TOKENS: [(&str, &str); 2] = [("access_token", "Atza|CANARY"), ("refresh_token", "Atzr|CANARY")];
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let wrong_tokens = [("access_token", "CANARY"), ("refresh_token", "CANARY")];
    let token_fields = &["credential.fields[access_token]", "credential.fields[refresh_token]"][..];
    // Whatever the structure lacks or has too much is named, all at once, and nothing is stored.
    let cases: [(Pairs<'_>, Pairs<'_>, &[&str]); 3] = [
        (&[], &TOKENS, &["config.region"]),
        (&[("region", "CANARY")], &TOKENS, &["config.region"]),
        (&[("region", "na")], &wrong_tokens, token_fields),
    ];
    for (config, tokens, expected) in cases {
        let request = v1::CreateConnectionRequest {
            credential: Some(for_an_hour(tokens)),
            ..account("amazon_ads", "oauth2_code", "Main", config)
        };
        assert_eq!(faults(&app.create(request).await.unwrap_err()), expected);
    }
    for tokens in [&[("access_token", "Atza|CANARY")][..], &[TOKENS[0], TOKENS[1], ("password", "CANARY")]] {
        let request = v1::CreateConnectionRequest {
            credential: Some(for_an_hour(tokens)),
            ..account("amazon_ads", "oauth2_code", "Main", &[("region", "na")])
        };
        assert!(!faults(&app.create(request).await.unwrap_err()).is_empty());
    }
    let unknown = app.create(account("amazon_adz", "oauth2_code", "Main", &[])).await.unwrap_err();
    assert_eq!(refusal(&unknown), "NotFound PROVIDER_UNKNOWN");
    assert_eq!(connected.vault.count("connections").await, 0);
    // What replaces a credential is checked in the same way, and the one before stays.
    let id = app.create(slack("xoxb-1-CANARY")).await.unwrap().id;
    let refused = put_slack(&app, &id, "CANARY no token").await.unwrap_err();
    assert_eq!(faults(&refused), ["credential.fields[access_token]"]);
    assert_eq!(app.fetch(by_id(&id)).await.unwrap().fields["access_token"], "xoxb-1-CANARY");
    the_provider_is_asked_where_that_is_wanted(&app).await;
}

/// A credential of the right form that the provider does not accept is not stored.
async fn the_provider_is_asked_where_that_is_wanted(app: &Client) {
    let create = v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(input(&[("key", "sim_key_shop-1")])),
        ..connection_request("key")
    };
    let id = app.create(create).await.unwrap().id;
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&[("key", "CANARY revoked")])),
        verify: true,
        ..Default::default()
    };
    let refused = app.vault().put_credential(put).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert_eq!(app.fetch(by_id(&id)).await.unwrap().fields["key"], "sim_key_shop-1");
    assert_eq!(state(app, &id).await, (v1::ConnectionState::Connected, String::new()));
}

// "Issues Found": "`required_integrations` not validated".
async fn required_integrations_not_validated(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let requires = |provider: &str, modes: &[&str]| v1::Requirement {
        provider: provider.to_owned(),
        auth_modes: modes.iter().map(|mode| (*mode).to_owned()).collect(),
        ..Default::default()
    };
    let put = |requirements: Vec<v1::Requirement>| v1::PutToolRequest {
        name: "repricer".into(),
        requirements,
        ..Default::default()
    };
    let unknown =
        put(vec![requires("slack", &[]), requires("amazon_adz", &[]), requires("slack", &["popup"])]);
    let refused = operator.admin().put_tool(unknown.clone()).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument REQUIREMENT_UNKNOWN");
    // By name, with the one that was probably meant.
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["providers"], "amazon_adz");
    let violations = &details.bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "requirements[1].provider");
    assert!(violations[0].description.contains("such as amazon_ads"), "{violations:?}");
    assert_eq!(violations[1].field, "requirements[2].auth_modes[0]");
    let tools =
        operator.admin().list_tools(v1::ListToolsRequest::default()).await.unwrap().into_inner().tools;
    assert!(tools.is_empty(), "{tools:?}");
    let check = v1::CheckRequirementsRequest { requirements: unknown.requirements, ..Default::default() };
    let refused = app.connections().check_requirements(check).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument REQUIREMENT_UNKNOWN");
    let known = put(vec![requires("slack", &["bot_token"]), requires("amazon_ads", &[])]);
    operator.admin().put_tool(known).await.unwrap();
}

// "Issues Found": "No rate limiting on token exchange".
async fn no_rate_limiting_on_token_exchange(builder: VaultBuilder) {
    let builder = builder.settings(|settings, _| {
        settings.limits.exchanges_per_minute = 1;
        settings.limits.service_share_percent = 100;
    });
    let mut ads = Ads::start(builder).await;
    ads.consented("First").await;
    let id = ads.account("Second").await;
    let result = ads.returned(&id).await.data("result");
    let refused = complete(&ads.app, &result, SESSION).await.unwrap_err();
    assert_eq!(refusal(&refused), "ResourceExhausted RATE_LIMITED");
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["limit"], "exchanges_per_minute");
    let retry = details.retry_info().and_then(|info| info.retry_delay).unwrap();
    assert!(retry <= Duration::from_secs(60), "{retry:?}");
    assert_eq!(ads.exchanges(), 1, "Amazon was not asked");
    // Another organisation has an allowance of its own.
    let beta = ads.connected.vault.app("beta").await;
    let acme = std::mem::replace(&mut ads.app, beta);
    ads.consented("First").await;
    // With a higher limit, the refused consent completes: it was not used up.
    let change = v1::LimitChange { kind: v1::LimitKind::ExchangesPerMinute.into(), value: Some(0) };
    let limits =
        v1::SetTenantLimitsRequest { tenant_id: "acme".into(), changes: vec![change], ..Default::default() };
    ads.connected.vault.client("operator").await.admin().set_tenant_limits(limits).await.unwrap();
    complete(&acme, &result, SESSION).await.unwrap();
    assert_eq!(ads.exchanges(), 3);
    consents_begin_ten_times_a_minute(&ads).await;
}

async fn consents_begin_ten_times_a_minute(ads: &Ads) {
    let id = ads.account("Third").await;
    for _ in 0..10 {
        begin(&ads.app, &id, ORIGIN, SESSION).await;
    }
    let request = v1::BeginAuthorizationRequest { connection_id: id, ..Default::default() };
    let refused = ads.app.connections().begin_authorization(request).await.unwrap_err();
    assert_eq!(refusal(&refused), "ResourceExhausted RATE_LIMITED");
    assert!(refused.get_error_details().retry_info().is_some());
}
