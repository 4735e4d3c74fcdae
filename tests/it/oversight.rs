//! What administrators see of a tenant's connections, of all its users, and how they change many of them.

mod counts;
mod troubles;

use std::time::Duration;

use credvault_proto::v1;
use v1::{ConnectionChangeKind as Kind, ConnectionChangeOutcome as Outcome};

use crate::harness::provider::{STRICT, begin, complete, connection_request, decide};
use crate::harness::{Client, VaultBuilder, by_id, eventually, generic, owned_by, refusal};
use crate::isolation::UNKNOWN;
use crate::on_both;

on_both![
    connections_of_all_users_are_listed_by_what_they_are,
    many_connections_are_changed_a_page_at_a_time,
    a_change_of_many_needs_the_permission_of_each,
];

fn listing(selection: v1::ConnectionSelection) -> v1::ListTenantConnectionsRequest {
    v1::ListTenantConnectionsRequest {
        tenant_id: "acme".into(),
        selection: Some(selection),
        ..Default::default()
    }
}

async fn names(operator: &Client, selection: v1::ConnectionSelection) -> Vec<String> {
    let listed = operator.admin().list_tenant_connections(listing(selection)).await.unwrap().into_inner();
    assert_eq!(listed.total, Some(listed.connections.len() as i64));
    listed.connections.into_iter().map(|connection| connection.account_name).collect()
}

async fn connections_of_all_users_are_listed_by_what_they_are(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let (vault, provider) = (&connected.vault, &connected.provider);
    let app = vault.app("acme").await;
    vault.app("other").await.create(generic("foreign", "CANARY")).await.unwrap();
    let old = app.create(generic("old", "CANARY")).await.unwrap();
    app.create(owned_by("u1", generic("mine", "CANARY"))).await.unwrap();
    vault.clock.advance(Duration::from_secs(600));
    let granted = connected.granted(&app, "shop-1", 3600).await;
    let get = v1::GetConnectionRequest { connection_id: granted.clone() };
    let key = app.connections().get_connection(get).await.unwrap().into_inner().connection.unwrap();
    let minutes_ago = v1_time(&key.create_time, -300);
    let operator = vault.client("operator").await;
    let all = v1::ConnectionSelection::default();
    assert_eq!(names(&operator, all.clone()).await, ["old", "mine", "shop-1"]);
    for (selection, expected) in [
        (v1::ConnectionSelection { provider: "simulator".into(), ..all.clone() }, vec!["shop-1"]),
        (v1::ConnectionSelection { auth_mode: "fields".into(), ..all.clone() }, vec!["old", "mine"]),
        (v1::ConnectionSelection { created_before: minutes_ago, ..all.clone() }, vec!["old", "mine"]),
        (v1::ConnectionSelection { created_since: minutes_ago, ..all.clone() }, vec!["shop-1"]),
        (v1::ConnectionSelection { ids: vec![old.id.clone()], ..all.clone() }, vec!["old"]),
        (v1::ConnectionSelection { enabled: Some(false), ..all.clone() }, vec![]),
        (v1::ConnectionSelection { owner: Some(user("u1")), ..all.clone() }, vec!["mine"]),
        (v1::ConnectionSelection { state: v1::ConnectionState::Error.into(), ..all.clone() }, vec![]),
    ] {
        assert_eq!(names(&operator, selection.clone()).await, expected, "{selection:?}");
    }
    // What is fetched is in use, however old it is.
    app.token(by_id(&old.id)).await.unwrap();
    let unused = v1::ConnectionSelection { unused_since: minutes_ago, ..all.clone() };
    let get = v1::GetConnectionRequest { connection_id: old.id.clone() };
    eventually("the last use is written", || async {
        let found = app.connections().get_connection(get.clone()).await.unwrap().into_inner();
        found.connection.unwrap().last_used_time.is_some()
    })
    .await;
    assert_eq!(names(&operator, unused).await, ["mine"]);
    provider.revoke_account("shop-1");
    let request = v1::TestConnectionRequest { connection_id: key.id };
    app.connections().test_connection(request).await.unwrap();
    let broken = v1::ConnectionSelection { state: v1::ConnectionState::Error.into(), ..all };
    assert_eq!(names(&operator, broken).await, ["shop-1"]);
    // A suspended tenant is still overseen.
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    let mut request = listing(v1::ConnectionSelection::default());
    request.page_size = 2;
    let page = operator.admin().list_tenant_connections(request.clone()).await.unwrap().into_inner();
    assert_eq!((page.connections.len(), page.total), (2, Some(3)));
    request.page_token = page.next_page_token;
    let page = operator.admin().list_tenant_connections(request).await.unwrap().into_inner();
    assert_eq!((page.connections.len(), page.total, page.next_page_token.as_str()), (1, None, ""));
}

async fn change(
    operator: &Client,
    kind: Kind,
    dry_run: bool,
    provider: &str,
) -> Result<Vec<(String, Outcome, String)>, tonic::Status> {
    let selection = v1::ConnectionSelection { provider: provider.into(), ..Default::default() };
    let mut request = v1::ChangeTenantConnectionsRequest {
        tenant_id: "acme".into(),
        kind: kind.into(),
        selection: Some(selection),
        dry_run,
        page_size: 2,
        ..Default::default()
    };
    let mut changes = Vec::new();
    loop {
        let page = operator.admin().change_tenant_connections(request.clone()).await?.into_inner();
        assert!(page.changes.len() <= 2);
        changes.extend(page.changes.into_iter().map(|change| {
            let outcome = change.outcome();
            let reason = change.error.map(|error| error.reason).unwrap_or_default();
            (change.connection.unwrap().account_name, outcome, reason)
        }));
        if page.next_page_token.is_empty() {
            return Ok(changes);
        }
        request.page_token = page.next_page_token;
    }
}

async fn many_connections_are_changed_a_page_at_a_time(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut ids = Vec::new();
    for account in ["shop-1", "shop-2", "shop-3"] {
        ids.push(connected.granted(&app, account, 3600).await);
    }
    let empty = app.create(connection_request("empty")).await.unwrap();
    let operator = connected.vault.client("operator").await;
    let all = |kind, dry_run| change(&operator, kind, dry_run, "simulator");
    let account = |(name, outcome, _): (String, Outcome, String)| (name, outcome);
    let expected = |outcome: Outcome, last: Outcome| {
        ["shop-1", "shop-2", "shop-3"]
            .map(|name| (name.to_owned(), outcome))
            .into_iter()
            .chain([("empty".into(), last)])
    };
    let outcomes =
        |changes: Vec<(String, Outcome, String)>| changes.into_iter().map(account).collect::<Vec<_>>();
    let same =
        |changes, outcome, last| assert_eq!(outcomes(changes), expected(outcome, last).collect::<Vec<_>>());

    // A dry run changes nothing, at the provider neither.
    let (before, asked) = (connected.vault.count("changes").await, connected.provider.counts());
    same(all(Kind::Test, true).await.unwrap(), Outcome::WouldChange, Outcome::Inapplicable);
    same(all(Kind::Refresh, true).await.unwrap(), Outcome::WouldChange, Outcome::Inapplicable);
    same(all(Kind::Disconnect, true).await.unwrap(), Outcome::WouldChange, Outcome::Unchanged);
    assert_eq!((connected.vault.count("changes").await, connected.provider.counts()), (before, asked));

    same(all(Kind::Refresh, false).await.unwrap(), Outcome::Changed, Outcome::Inapplicable);
    same(all(Kind::Test, false).await.unwrap(), Outcome::Changed, Outcome::Inapplicable);
    same(all(Kind::Disable, false).await.unwrap(), Outcome::Changed, Outcome::Changed);
    same(all(Kind::Disable, false).await.unwrap(), Outcome::Unchanged, Outcome::Unchanged);
    let refused = app.fetch(by_id(&ids[0])).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition CONNECTION_DISABLED");
    same(all(Kind::Enable, false).await.unwrap(), Outcome::Changed, Outcome::Changed);
    app.fetch(by_id(&ids[0])).await.unwrap();
    same(all(Kind::Disconnect, false).await.unwrap(), Outcome::Changed, Outcome::Unchanged);
    let refused = app.fetch(by_id(&ids[0])).await.unwrap_err();
    assert_eq!(refusal(&refused), "NotFound CREDENTIAL_NOT_CONFIGURED");

    // Each change is on record in the tenant's log, with the administrator's service.
    let records = app.events().await;
    let by_operator = |event: &&v1::AuditEvent| event.service.ends_with("/operator");
    let of = |action: &str| {
        records.iter().filter(by_operator).filter(|event| event.action == action).collect::<Vec<_>>()
    };
    assert_eq!(of("DisconnectConnection").len(), 3);
    assert_eq!(of("RefreshConnection").len(), 3);
    assert!(of("UpdateConnection").iter().any(|event| event.connection_id == empty.id));
    assert_eq!(of("ChangeTenantConnections").len(), 18);
}

async fn a_change_of_many_needs_the_permission_of_each(builder: VaultBuilder) {
    let policies = r#"
forbid (principal, action == Action::"DisconnectConnection", resource)
when { principal == Service::"spiffe://test.local/operator" };
"#;
    let vault = builder.policies(policies).start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let operator = vault.client("operator").await;
    for dry_run in [true, false] {
        let changes = change(&operator, Kind::Disconnect, dry_run, "").await.unwrap();
        assert_eq!(changes, [("main".to_owned(), Outcome::Refused, "POLICY_DENIED".to_owned())]);
    }
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");
    let refused = change(&app, Kind::Disable, false, "").await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    let request = v1::ChangeTenantConnectionsRequest { tenant_id: "acme".into(), ..Default::default() };
    let refused = operator.admin().change_tenant_connections(request).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(refused.message().contains("kind") && refused.message().contains("selection"));
}

fn user(id: &str) -> v1::Owner {
    v1::Owner { kind: v1::OwnerKind::User.into(), user_id: id.into() }
}

fn v1_time(time: &Option<prost_types::Timestamp>, seconds: i64) -> Option<prost_types::Timestamp> {
    time.map(|time| prost_types::Timestamp { seconds: time.seconds + seconds, ..time })
}

on_both![users_are_listed_with_when_they_were_seen, success_rates_tell_how_work_at_a_provider_ended];

async fn users_are_listed_with_when_they_were_seen(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    app.create(owned_by("owner", generic("mine", "CANARY"))).await.unwrap();
    vault.clock.advance(Duration::from_secs(300));
    let portal = vault.client("portal").await;
    let visitor = portal.acting_for("acme", Some("visitor"));
    visitor.fetch(by_id(UNKNOWN)).await.unwrap_err();
    // A tenant that does not exist has no users, and does not keep those of others from being written.
    portal.acting_for("nowhere", Some("stray")).fetch(by_id(UNKNOWN)).await.unwrap_err();
    let operator = vault.client("operator").await;
    let users = || async {
        let list = v1::ListUsersRequest { tenant_id: "acme".into(), ..Default::default() };
        operator.admin().list_users(list).await.unwrap().into_inner().users
    };
    let [owner, seen] = <[v1::User; 2]>::try_from(users().await).unwrap();
    assert_eq!((owner.id.as_str(), owner.connection_count, owner.last_seen_time), ("owner", 1, None));
    assert_eq!((seen.id.as_str(), seen.connection_count), ("visitor", 0));
    assert_eq!(seen.first_seen_time, seen.last_seen_time);
    assert!(owner.first_seen_time.unwrap().seconds + 300 == seen.first_seen_time.unwrap().seconds);
    // A user who is deleted is seen no longer, until the next call.
    vault.clock.advance(Duration::from_secs(1));
    let delete =
        v1::DeleteUserRequest { tenant_id: "acme".into(), user_id: "visitor".into(), ..Default::default() };
    operator.admin().delete_user(delete).await.unwrap();
    assert_eq!(users().await.len(), 1);
    vault.clock.advance(Duration::from_secs(120));
    visitor.fetch(by_id(UNKNOWN)).await.unwrap_err();
    assert_eq!(users().await.len(), 2);
}

async fn success_rates_tell_how_work_at_a_provider_ended(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let new = |name| app.create(connection_request(name));
    for (name, decision) in [("shop-1", "allow"), ("shop-2", "allow"), ("shop-3", "deny")] {
        let id = new(name).await.unwrap().id;
        let brought = decide(&begin(&app, &id, "").await.authorization_url, name, decision).await;
        let completed = complete(&app, &brought, "").await;
        assert_eq!(completed.is_ok(), decision == "allow");
    }
    begin(&app, &new("shop-4").await.unwrap().id, "").await;
    let refreshed = connected.granted(&app, "shop-5", 3600).await;
    let request = v1::RefreshConnectionRequest { connection_id: refreshed.clone() };
    app.connections().refresh_connection(request).await.unwrap();
    let test = v1::TestConnectionRequest { connection_id: refreshed };
    app.connections().test_connection(test.clone()).await.unwrap();
    connected.provider.revoke_account("shop-5");
    app.connections().test_connection(test).await.unwrap();
    // What is not completed counts as expired an hour after its time.
    let late = "UPDATE authorizations SET expire_time = expire_time - 7200000000 WHERE consume_time IS NULL";
    connected.vault.sql(late).await;
    let mut connected = connected;
    connected.vault.stop().await;
    connected.vault.start().await;
    eventually("the expired consent to be forgotten", || async {
        connected.vault.count("authorizations WHERE expire_time < create_time").await == 0
    })
    .await;
    let operator = connected.vault.client("operator").await;
    for tenant_id in ["acme", ""] {
        let request = v1::GetSuccessRatesRequest { tenant_id: tenant_id.into(), ..Default::default() };
        let rates = operator.admin().get_success_rates(request).await.unwrap().into_inner().rates;
        let [rates] = <[v1::ProviderRates; 1]>::try_from(rates).unwrap();
        let consents = [
            rates.consents_begun,
            rates.consents_completed,
            rates.consents_denied,
            rates.consents_expired,
            rates.consents_failed,
        ];
        assert_eq!(consents, [4, 2, 1, 1, 0]);
        assert_eq!(rates.consent_success_rate, Some(0.5));
        assert_eq!((rates.refreshes_succeeded, rates.refreshes_ended), (1, 1));
        assert_eq!((rates.tests_accepted, rates.tests_rejected, rates.test_success_rate), (1, 1, Some(0.5)));
        assert_eq!(rates.day, "");
    }
    let by_day =
        v1::GetSuccessRatesRequest { by_day: true, provider: "simulator".into(), ..Default::default() };
    let rates = operator.admin().get_success_rates(by_day.clone()).await.unwrap().into_inner().rates;
    assert!(rates.iter().all(|rates| rates.day.len() == 10 && rates.day.starts_with("20")));
    let refused = operator.admin().get_success_rates(v1::GetSuccessRatesRequest { days: 32, ..by_day }).await;
    assert_eq!(refusal(&refused.unwrap_err()), "InvalidArgument FIELDS_INVALID");
    one_tenants_administrator_sees_no_sums(&connected.vault.client("acme-admin").await).await;
}

/// What all tenants have together is not for the administrator of one.
async fn one_tenants_administrator_sees_no_sums(admin: &Client) {
    let of =
        |tenant_id: &str| v1::GetSuccessRatesRequest { tenant_id: tenant_id.into(), ..Default::default() };
    assert_eq!(admin.admin().get_success_rates(of("acme")).await.unwrap().into_inner().rates.len(), 1);
    let refused = admin.admin().get_success_rates(of("")).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    let refused = admin.admin().list_platform_dependants(v1::ListPlatformDependantsRequest::default()).await;
    assert_eq!(refusal(&refused.unwrap_err()), "PermissionDenied POLICY_DENIED");
}
