//! What administrators meet when a change of many connections does not go smoothly: services that break, an answer that is
//! lost, a limit, a suspended tenant; and how they find the connections that fare badly.

use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_proto::v1;
use v1::{ConnectionChangeKind as Kind, ConnectionChangeOutcome as Outcome};

use super::{change, listing, names};
use crate::harness::provider::{Connected, STRICT};
use crate::harness::{Client, VaultBuilder, generic, input, refusal};
use crate::on_both;

on_both![
    a_change_continues_after_a_lost_answer_a_limit_and_a_suspension,
    connections_are_selected_by_how_they_fare,
];

/// A page of two of the tenant's connections at the provider.
fn page(kind: Kind, dry_run: bool, page_token: &str) -> v1::ChangeTenantConnectionsRequest {
    let provider = "simulator".to_owned();
    v1::ChangeTenantConnectionsRequest {
        tenant_id: "acme".into(),
        kind: kind.into(),
        selection: Some(v1::ConnectionSelection { provider, ..Default::default() }),
        dry_run,
        page_size: 2,
        page_token: page_token.into(),
    }
}

async fn changed(
    operator: &Client,
    request: v1::ChangeTenantConnectionsRequest,
) -> v1::ChangeTenantConnectionsResponse {
    operator.admin().change_tenant_connections(request).await.unwrap().into_inner()
}

fn outcomes(page: &v1::ChangeTenantConnectionsResponse) -> Vec<Outcome> {
    page.changes.iter().map(v1::ConnectionChange::outcome).collect()
}

async fn a_change_continues_after_a_lost_answer_a_limit_and_a_suspension(builder: VaultBuilder) {
    let denied = r#"forbid (principal == Service::"spiffe://test.local/operator", action == Action::"ListServiceConfigs",
        resource) when { context has owner && context.owner == "user" };"#;
    let connected = builder.policies(denied).start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut ids = Vec::new();
    for account in ["shop-1", "shop-2", "shop-3"] {
        ids.push(connected.granted(&app, account, 3600).await);
    }
    let operator = connected.vault.client("operator").await;
    services_that_break_are_named_or_counted(&connected, &operator, &ids[0]).await;
    an_answer_is_lost(&connected, &operator).await;
    the_tenants_own_limit_counts(&connected, &operator).await;

    // The third is still connected. A dry run says what a suspended tenant's connections would be answered.
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    for dry_run in [true, false] {
        let all = change(&operator, Kind::Disconnect, dry_run, "simulator").await.unwrap();
        let done = |name: &str| (name.to_owned(), Outcome::Unchanged, String::new());
        let refused = ("shop-3".to_owned(), Outcome::Refused, "TENANT_SUSPENDED".to_owned());
        assert_eq!(all, [done("shop-1"), done("shop-2"), refused]);
    }
}

/// A dry run and the change itself name the services that break; those that the administrator may not list are counted.
async fn services_that_break_are_named_or_counted(connected: &Connected, operator: &Client, id: &str) {
    let portal = connected.vault.client("portal").await;
    for user in [None, Some("u1")] {
        let mapping = v1::ServiceMapping { connection_id: id.into(), ..Default::default() };
        let set = v1::SetServiceConfigRequest {
            service: "report".into(),
            mappings: vec![mapping],
            ..Default::default()
        };
        portal.acting_for("acme", user).connections().set_service_config(set).await.unwrap();
    }
    for (kind, dry_run, breaks) in [
        (Kind::Disconnect, true, true),
        (Kind::Refresh, true, false),
        (Kind::Disable, true, true),
        (Kind::Disable, false, true),
        (Kind::Enable, false, false),
    ] {
        let page = changed(operator, page(kind, dry_run, "")).await;
        let [first, second] = <[v1::ConnectionChange; 2]>::try_from(page.changes).unwrap();
        let named: Vec<_> = first.affected_services.iter().map(|one| one.owner.clone().unwrap()).collect();
        let tenant = v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() };
        let expected = if breaks { (vec![tenant], 1) } else { (vec![], 0) };
        assert_eq!((named, first.hidden_affected_services), expected, "{kind:?}, dry run: {dry_run}");
        assert_eq!((second.affected_services.len(), second.hidden_affected_services), (0, 0));
    }
}

/// The administrator repeats a call with the token that it had: nothing is done twice, and the work continues from there.
async fn an_answer_is_lost(connected: &Connected, operator: &Client) {
    let first = changed(operator, page(Kind::Disable, false, "")).await;
    assert_eq!((outcomes(&first), first.total), (vec![Outcome::Changed; 2], Some(3)), "more than a page");
    let again = changed(operator, page(Kind::Disable, false, "")).await;
    assert_eq!((outcomes(&again), again.total), (vec![Outcome::Unchanged; 2], Some(3)));
    for outcome in [Outcome::Changed, Outcome::Unchanged] {
        let last = changed(operator, page(Kind::Disable, false, &again.next_page_token)).await;
        assert_eq!((outcomes(&last), last.total, last.next_page_token.as_str()), (vec![outcome], None, ""));
    }
    let enabled = changed(operator, page(Kind::Enable, false, "")).await;
    let last = changed(operator, page(Kind::Enable, false, &enabled.next_page_token)).await;
    assert_eq!((outcomes(&enabled).len(), outcomes(&last)), (2, vec![Outcome::Changed]));

    let first = changed(operator, page(Kind::Disconnect, false, "")).await;
    assert_eq!(outcomes(&first), [Outcome::Changed; 2]);
    assert_eq!((first.changes[0].affected_services.len(), first.changes[0].hidden_affected_services), (1, 1));
    let revocations = connected.provider.counts().revocations;
    let again = changed(operator, page(Kind::Disconnect, false, "")).await;
    assert_eq!(outcomes(&again), [Outcome::Unchanged; 2]);
    assert_eq!(connected.provider.counts().revocations, revocations);
    // A token is good for its change only.
    let foreign = page(Kind::Test, false, &again.next_page_token);
    let refused = operator.admin().change_tenant_connections(foreign).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument PAGE_TOKEN_INVALID");
}

/// Administrators spend the tenant's own allowance, with the number that was set for it.
async fn the_tenants_own_limit_counts(connected: &Connected, operator: &Client) {
    let app = connected.vault.client("app").await.acting_for("acme", None);
    for account in ["shop-4", "shop-5"] {
        connected.granted(&app, account, 3600).await;
    }
    let change = v1::LimitChange { kind: v1::LimitKind::RefreshesPerMinute.into(), value: Some(1) };
    let set =
        v1::SetTenantLimitsRequest { tenant_id: "acme".into(), changes: vec![change], ..Default::default() };
    operator.admin().set_tenant_limits(set).await.unwrap();
    let before = connected.provider.counts().refreshes;
    let request = v1::ChangeTenantConnectionsRequest { page_size: 10, ..page(Kind::Refresh, false, "") };
    // Two do not apply. Of the others, the one that is refreshed may be any, and a page ends where the limit is reached.
    let page = changed(operator, request).await;
    assert_eq!(outcomes(&page)[..2], [Outcome::Inapplicable; 2]);
    assert!(page.changes.len() < 5 && !page.next_page_token.is_empty());
    assert_eq!(connected.provider.counts().refreshes, before + 1);
    for account in ["shop-4", "shop-5"] {
        let selection = v1::ConnectionSelection { account_name: account.into(), ..Default::default() };
        let listed = operator.admin().list_tenant_connections(listing(selection)).await.unwrap().into_inner();
        let connection_id = listed.connections[0].id.clone();
        let delete = v1::DeleteConnectionRequest { connection_id, ..Default::default() };
        app.connections().delete_connection(delete).await.unwrap();
    }
}

async fn connections_are_selected_by_how_they_fare(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let operator = vault.client("operator").await;
    let forever = app.create(generic("forever", "CANARY")).await.unwrap().id;
    let ttl = v1::credential_input::Expiry::Ttl(prost_types::Duration { seconds: 1800, nanos: 0 });
    let credential = Some(v1::CredentialInput { expiry: Some(ttl), ..input(&[("token", "CANARY")]) });
    app.create(v1::CreateConnectionRequest { credential, ..generic("soon", "CANARY") }).await.unwrap();

    let with =
        |health: v1::HealthState| v1::ConnectionSelection { health: health.into(), ..Default::default() };
    assert_eq!(names(&operator, with(v1::HealthState::Ending)).await, ["soon"]);
    assert_eq!(names(&operator, with(v1::HealthState::Ok)).await, ["forever"]);
    let now = vault.clock.now().seconds();
    for (seconds, expected) in [(1799, vec![]), (1801, vec!["soon"])] {
        let ends_before = Some(prost_types::Timestamp { seconds: now + seconds, nanos: 0 });
        let ending = v1::ConnectionSelection { ends_before, ..Default::default() };
        assert_eq!(names(&operator, ending).await, expected, "{seconds}");
    }
    vault.clock.advance(Duration::from_secs(1800));
    assert_eq!(names(&operator, with(v1::HealthState::Ended)).await, ["soon"]);
    vault.app("well").await.create(generic("main", "CANARY")).await.unwrap();
    let everywhere = v1::CountConnectionsRequest { all_tenants: true, ..Default::default() };
    let counted = operator.admin().count_connections(everywhere).await.unwrap().into_inner();
    let [troubled] = counted.by_tenant.as_slice() else { panic!("one tenant: {:?}", counted.by_tenant) };
    let healths = troubled.counts.iter().map(|one| (one.health(), one.count)).collect::<Vec<_>>();
    assert_eq!(troubled.tenant_id, "acme");
    assert_eq!(healths, [(v1::HealthState::Ok, 1), (v1::HealthState::Ended, 1)]);
    let one = v1::CountConnectionsRequest { tenant_id: "acme".into(), ..Default::default() };
    let counted = operator.admin().count_connections(one).await.unwrap().into_inner();
    assert!(counted.by_tenant.is_empty() && !counted.counts.is_empty());

    // What ends is disabled, and nothing else.
    let disable = v1::ChangeTenantConnectionsRequest {
        tenant_id: "acme".into(),
        kind: Kind::Disable.into(),
        selection: Some(with(v1::HealthState::Ended)),
        ..Default::default()
    };
    assert_eq!(outcomes(&changed(&operator, disable).await), [Outcome::Changed]);
    let enabled = |enabled| v1::ConnectionSelection { enabled: Some(enabled), ..Default::default() };
    assert_eq!(names(&operator, enabled(false)).await, ["soon"]);
    assert_eq!(names(&operator, enabled(true)).await, ["forever"]);
    let chosen = v1::ConnectionSelection { ids: vec![forever], ..enabled(false) };
    assert!(names(&operator, chosen).await.is_empty(), "everything that is given must hold");
}
