//! "For Administrators", "Security Features", "Analytics & Monitoring" and "Success Metrics": what administrators see and
//! do, and what no caller can.

use std::collections::BTreeMap;

use credvault_proto::v1;
use v1::{ConnectionChangeKind as Kind, ConnectionChangeOutcome as Outcome};

use super::{
    REDIRECTS, SESSION, connect, get, organisation, refreshed, register, report, service, started, tested,
    usage, user,
};
use crate::harness::provider::{Connected, begin, complete, decide};
use crate::harness::receiver::Receiver;
use crate::harness::{Client, VaultBuilder, by_id, by_provider, eventually, refusal};
use crate::on_both;

on_both![administrators_see_all_users_and_how_they_fare, what_is_stored_is_out_of_reach];

/// "Enterprise Features" and "For Administrators".
async fn administrators_see_all_users_and_how_they_fare(builder: VaultBuilder) {
    let connected = started(builder).await;
    register(&connected, REDIRECTS[0]).await;
    let operator = connected.vault.client("operator").await;
    let (ann, ben) = (user(&connected, "ann").await, user(&connected, "ben").await);
    let acme = connect(&ann, "Acme").await.id;
    let beta = connect(&ben, "Beta").await.id;
    one_user_declines(&user(&connected, "cat").await).await;
    users_are_managed(&operator).await;
    many_connections_are_tested(&operator).await;
    usage_is_monitored(&connected, [&acme, &beta]).await;
    errors_are_monitored(&connected, &operator, &ben, &beta).await;
    refreshed(&ann, &acme).await.unwrap();
    what_was_done_is_on_record(&connected).await;
    rates_tell_how_it_goes(connected).await;
}

async fn one_user_declines(cat: &Client) {
    let id = cat.create(organisation("Gamma")).await.unwrap().id;
    let back = decide(&begin(cat, &id, SESSION).await.authorization_url, "Gamma", "deny").await;
    let declined = complete(cat, &back, SESSION).await.unwrap_err();
    assert_eq!(refusal(&declined), "FailedPrecondition REAUTHORIZATION_REQUIRED");
}

/// The names of the tenant's connections in this state, of all users.
async fn in_state(operator: &Client, state: v1::ConnectionState) -> Vec<String> {
    let selection =
        v1::ConnectionSelection { provider: "kustomer".into(), state: state.into(), ..Default::default() };
    let request = v1::ListTenantConnectionsRequest {
        tenant_id: "acme".into(),
        selection: Some(selection),
        ..Default::default()
    };
    let listed = operator.admin().list_tenant_connections(request).await.unwrap().into_inner().connections;
    listed.into_iter().map(|connection| connection.account_name).collect()
}

/// "User Management", "Multi-tenant support".
async fn users_are_managed(operator: &Client) {
    let request = v1::ListUsersRequest { tenant_id: "acme".into(), ..Default::default() };
    let users = operator.admin().list_users(request).await.unwrap().into_inner().users;
    let owning: Vec<_> = users.iter().map(|user| (user.id.as_str(), user.connection_count)).collect();
    assert_eq!(owning, [("ann", 1), ("ben", 1), ("cat", 1)]);
    assert_eq!(in_state(operator, v1::ConnectionState::Connected).await, ["Acme", "Beta"]);
    assert_eq!(in_state(operator, v1::ConnectionState::Disconnected).await, ["Gamma"]);
}

/// The section "Bulk Operations", with a dry run first.
async fn many_connections_are_tested(operator: &Client) {
    for (dry_run, changed) in [(true, Outcome::WouldChange), (false, Outcome::Changed)] {
        let request = v1::ChangeTenantConnectionsRequest {
            tenant_id: "acme".into(),
            kind: Kind::Test.into(),
            selection: Some(v1::ConnectionSelection::default()),
            dry_run,
            ..Default::default()
        };
        let done = operator.admin().change_tenant_connections(request).await.unwrap().into_inner();
        let outcomes: Vec<_> = done.changes.iter().map(v1::ConnectionChange::outcome).collect();
        assert_eq!(outcomes, [changed, changed, Outcome::Inapplicable]);
    }
}

/// "Usage Monitoring", "API Usage by User".
async fn usage_is_monitored(connected: &Connected, [acme, beta]: [&str; 2]) {
    assert!(!report(&service(connected, "ann").await, 1, acme, &[("customers", [200, 1, 1])]).await);
    assert!(!report(&service(connected, "ben").await, 2, beta, &[("customers", [100, 0, 0])]).await);
    let all = connected.vault.client("app").await.acting_for("acme", None);
    let rows = usage(&all, v1::UsageGroup::User).await.rows;
    let of = |user: &str| rows.iter().find(|row| row.user_id == user).unwrap().counts.unwrap();
    assert_eq!((of("ann").calls, of("ann").rate_limit_hits, of("ben").calls), (200, 1, 100));
}

/// "Error Monitoring": administrators learn of an end before its user does.
async fn errors_are_monitored(connected: &Connected, operator: &Client, ben: &Client, beta: &str) {
    let receiver = Receiver::start().await;
    let request = v1::PutEventEndpointRequest {
        tenant_id: "acme".into(),
        url: receiver.url.clone(),
        types: vec!["connection.reauthorization_required".into()],
        ..Default::default()
    };
    operator.admin().put_event_endpoint(request).await.unwrap();
    connected.provider.revoke_account("Beta");
    assert_eq!(tested(ben, beta).await.outcome(), v1::TestOutcome::Refused);
    eventually("the event", || async { receiver.count() >= 1 }).await;
    assert_eq!(receiver.received()[0].json()["data"]["connection_id"], beta);
    assert_eq!(in_state(operator, v1::ConnectionState::Error).await, ["Beta"]);
    let error = get(ben, beta).await.health.unwrap().last_error.unwrap();
    assert!(!error.customer_text.is_empty() && !error.operator_text.is_empty(), "{error:?}");
}

/// "Security Controls", "Audit trails", "Audit logging".
async fn what_was_done_is_on_record(connected: &Connected) {
    let events = connected.vault.client("app").await.acting_for("acme", None).events().await;
    for user in ["ann", "ben"] {
        for action in ["CreateConnection", "BeginAuthorization", "CompleteAuthorization"] {
            let found = events.iter().find(|event| event.user_id == user && event.action == action).unwrap();
            assert_eq!(found.source_address, "127.0.0.1");
            assert!(found.service.ends_with("/portal"));
        }
    }
    let declined = |event: &v1::AuditEvent| event.user_id == "cat" && event.reason == "CONSENT_DENIED";
    assert!(events.iter().any(declined));
    assert!(!format!("{events:?}").contains("sim_access_"));
}

/// "Track These Metrics", and "Track These KPIs" of "Success Metrics". "User Satisfaction" is nothing that a vault measures.
async fn rates_tell_how_it_goes(mut connected: Connected) {
    // Other tests of this process count in the same metrics.
    let metrics = connected.vault.metrics().await;
    let at_least =
        [("CONSENT_COMPLETED", 2), ("CONSENT_DENIED", 1), ("REFRESH_SUCCEEDED", 1), ("TEST_WORKS", 2)];
    for (outcome, at_least) in at_least {
        let labels = [r#"provider="kustomer""#.to_owned(), format!(r#"outcome="{outcome}""#)];
        let mut lines = metrics.lines().filter(|line| line.starts_with("credvault_provider_outcomes_total{"));
        let line = lines.find(|line| labels.iter().all(|label| line.contains(label))).unwrap();
        let counted: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(counted >= at_least, "{line}");
    }
    // What is counted is written at an orderly stop; otherwise some seconds later.
    connected.vault.stop().await;
    connected.vault.start().await;
    let operator = connected.vault.client("operator").await;
    let request = v1::GetSuccessRatesRequest {
        tenant_id: "acme".into(),
        provider: "kustomer".into(),
        ..Default::default()
    };
    let rates = operator.admin().get_success_rates(request).await.unwrap().into_inner().rates;
    let [rates] = <[v1::ProviderRates; 1]>::try_from(rates).unwrap();
    // "Connection Success Rate", "OAuth Completion Rate".
    let consents = (rates.consents_begun, rates.consents_completed, rates.consents_denied);
    assert_eq!(consents, (3, 2, 1));
    assert!((rates.consent_success_rate.unwrap() - 2.0 / 3.0).abs() < 1e-9);
    // "Token Refresh Rate", "Token Refresh Success". The one that ended was revoked.
    assert_eq!((rates.refreshes_succeeded, rates.refreshes_failed, rates.refreshes_ended), (1, 0, 1));
    assert!(rates.refresh_success_rate.is_some());
    // "Integration Uptime": what tests find.
    assert_eq!((rates.tests_accepted, rates.tests_rejected), (2, 1));
    // "Error Rates", "API Error Rate", as services report them: here less than one in a hundred.
    let app = connected.vault.client("app").await.acting_for("acme", None);
    let total = usage(&app, v1::UsageGroup::Provider).await.total.unwrap();
    assert!(total.errors * 100 < total.calls, "{total:?}");
}

/// The promises under "Security Features".
async fn what_is_stored_is_out_of_reach(builder: VaultBuilder) {
    let builder = builder.settings(|settings, _| settings.limits.user_share_percent = 25);
    let connected = started(builder).await;
    register(&connected, REDIRECTS[0]).await;
    let vault = &connected.vault;
    let ann = user(&connected, "ann").await;
    let acme = connect(&ann, "Acme").await;
    // "OAuth2 Security". "State parameter validation": made up, it completes nothing; `setup` has the rest.
    let forged = ["state", "code"].map(|name| (name.to_owned(), "CANARY".to_owned()));
    let refused = complete(&ann, &BTreeMap::from(forged), SESSION).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition STATE_INVALID");
    // "Secure token storage", "Data Protection": "Encrypted tokens".
    let token = ann.fetch(by_id(&acme.id)).await.unwrap().fields["access_token"].clone();
    assert_eq!(vault.found_in(&token).await, None);
    // "Row-level security": neither another user nor another tenant learns that there is something.
    for stranger in [user(&connected, "ben").await, vault.app("other").await] {
        let refused = stranger.fetch(by_id(&acme.id)).await.unwrap_err();
        assert_eq!(refusal(&refused), "NotFound CONNECTION_NOT_FOUND");
    }
    // "Scope limitation": a caller cannot have the refresh token, which asks for more than the service needs.
    assert!(!ann.fetch(by_id(&acme.id)).await.unwrap().fields.contains_key("refresh_token"));
    let operator = vault.client("operator").await;
    addresses_are_filtered(&operator, &ann).await;
    abuse_is_limited(&operator, &ann).await;
    // "Automatic token refresh": `requests`. "Revocation support", by an administrator, too: the secret is destroyed, and
    // the connection says that Kustomer has no call that revokes.
    let request = v1::ChangeTenantConnectionsRequest {
        tenant_id: "acme".into(),
        kind: Kind::Disconnect.into(),
        selection: Some(v1::ConnectionSelection::default()),
        ..Default::default()
    };
    operator.admin().change_tenant_connections(request).await.unwrap();
    let gone = get(&ann, &acme.id).await;
    assert_eq!(gone.state(), v1::ConnectionState::Disconnected);
    assert_eq!(gone.revocation(), v1::Revocation::Unsupported);
    let refused = ann.fetch(by_id(&acme.id)).await.unwrap_err();
    assert_eq!(refusal(&refused), "NotFound CREDENTIAL_NOT_CONFIGURED");
    assert!(!connected.provider.families().iter().any(|family| family.revoked), "Kustomer was asked nothing");
}

/// What "IP filtering" promises, by source rules.
async fn addresses_are_filtered(operator: &Client, ann: &Client) {
    let set = async |ranges: &[&str]| {
        let rule = |range: &&str| v1::SourceRule { range: (*range).to_owned(), service: String::new() };
        let request = v1::SetSourceRulesRequest {
            tenant_id: "acme".into(),
            rules: ranges.iter().map(rule).collect(),
            ..Default::default()
        };
        operator.admin().set_source_rules(request).await.unwrap();
    };
    set(&["192.0.2.0/24"]).await;
    let refused = ann.fetch(by_provider("kustomer")).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    set(&["127.0.0.0/8"]).await;
    ann.fetch(by_provider("kustomer")).await.unwrap();
    set(&[]).await;
}

/// "Rate limiting": a user cannot spend what the others need.
async fn abuse_is_limited(operator: &Client, ann: &Client) {
    let set = async |value: Option<i64>| {
        let change = v1::LimitChange { kind: v1::LimitKind::FetchesPerSecond.into(), value };
        let request = v1::SetTenantLimitsRequest {
            tenant_id: "acme".into(),
            changes: vec![change],
            ..Default::default()
        };
        operator.admin().set_tenant_limits(request).await.unwrap();
    };
    set(Some(1)).await;
    let mut refused = None;
    for _ in 0..50 {
        refused = refused.or(ann.fetch(by_provider("kustomer")).await.err());
    }
    assert_eq!(refusal(&refused.unwrap()), "ResourceExhausted RATE_LIMITED");
    set(None).await;
    eventually("the limit is gone", || async { ann.fetch(by_provider("kustomer")).await.is_ok() }).await;
}
