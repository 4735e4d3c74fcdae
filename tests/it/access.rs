//! Who may read a connection, and who did: the report says what calls meet and what the log has, to administrators alone, and nothing
//! about connections of other tenants.

use std::time::Duration;

use credvault_proto::v1;
use tonic::Status;

use crate::harness::{Client, VaultBuilder, by_id, generic, owned_by, refusal};
use crate::isolation::UNKNOWN;
use crate::on_both;

on_both![
    a_report_says_who_may_and_who_did,
    uses_have_pages_and_a_period,
    a_report_knows_the_connections_of_its_tenant_alone,
    a_service_is_reported_with_what_it_may_reach_and_did,
];

const DAY: i64 = 24 * 3600;

fn of(tenant: &str, connection: &str) -> v1::GetAccessReportRequest {
    v1::GetAccessReportRequest {
        tenant_id: tenant.into(),
        connection_id: connection.into(),
        ..Default::default()
    }
}

async fn report(
    client: &Client,
    request: v1::GetAccessReportRequest,
) -> Result<v1::GetAccessReportResponse, Status> {
    Ok(client.admin().get_access_report(request).await?.into_inner())
}

/// The name of a service, or of what stands for all others.
fn name(access: &v1::ServiceAccess) -> &str {
    match access.any_service_of.as_str() {
        "" => access.service.trim_start_matches("spiffe://test.local/"),
        _ => "any other",
    }
}

/// The action of a service, which the report must have.
fn action<'a>(
    report: &'a v1::GetAccessReportResponse,
    service: &str,
    action: &str,
) -> Option<&'a v1::ActionAccess> {
    let services = &report.may.as_ref().unwrap().services;
    let found = services.iter().find(|access| name(access) == service)?;
    found.actions.iter().find(|access| access.action == action)
}

/// Each use as service, user, purpose, and how many calls were answered and refused.
fn uses(report: &v1::GetAccessReportResponse) -> Vec<(&str, &str, &str, i64, i64)> {
    let mut found = Vec::new();
    for one in &report.uses {
        assert!(one.first_time.is_some() && one.connection_id.len() == UNKNOWN.len(), "{one:?}");
        let service = one.service.trim_start_matches("spiffe://test.local/");
        found.push((
            service,
            one.user_id.as_str(),
            one.purpose.as_str(),
            one.answered_count,
            one.denied_count,
        ));
    }
    found
}

async fn a_report_says_who_may_and_who_did(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY main")).await.unwrap().id;
    let mine = app.create(owned_by("u1", generic("mine", "CANARY mine"))).await.unwrap().id;
    app.token(by_id(&id)).await.unwrap();
    app.token(by_id(&id)).await.unwrap();
    let booked = v1::FetchCredentialRequest { purpose: "bookkeeping".into(), ..by_id(&id) };
    vault.client("portal").await.acting_for("acme", Some("u1")).fetch(booked).await.unwrap();
    let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id)] };
    app.vault().batch_fetch_credentials(batch).await.unwrap();
    let sync = vault.client("sync").await.acting_for("acme", None);
    assert_eq!(refusal(&sync.fetch(by_id(&id)).await.unwrap_err()), "PermissionDenied POLICY_DENIED");

    let operator = vault.client("operator").await;
    let found = report(&operator, of("acme", &id)).await.unwrap();
    let expected = [("app", "", "", 3, 0), ("portal", "u1", "bookkeeping", 1, 0), ("sync", "", "", 0, 1)];
    assert_eq!(uses(&found), expected);
    assert_eq!(
        (found.provider.as_str(), found.owner.as_ref().unwrap().kind()),
        ("generic", v1::OwnerKind::Tenant)
    );
    let may = found.may.as_ref().unwrap();
    let names: Vec<_> = may.services.iter().map(name).collect();
    // First those that have called about it; then those that may: no service that the policies do not name.
    assert_eq!(names, ["app", "portal", "sync", "gateway", "operator"]);
    let used: Vec<_> = may.services.iter().filter(|access| access.used).map(name).collect();
    assert_eq!(used, ["app", "portal", "sync"]);
    assert!(may.policies_by_attributes.is_empty() && !may.more_services);
    let fetch = action(&found, "app", "FetchCredential").unwrap();
    assert!(fetch.permitted && fetch.policies[0].id == "app", "{fetch:?}");
    assert_eq!(fetch.purpose_rule(), v1::PurposeRule::NotNeeded);
    assert_eq!(fetch.tenant_sources, ["token", "assertion", "header"]);
    assert!(!action(&found, "app", "FetchRefreshToken").unwrap().permitted);
    let gateway = action(&found, "gateway", "FetchCredential").unwrap();
    assert_eq!(gateway.tenant_sources, ["token", "assertion"]);
    let denied = action(&found, "sync", "FetchCredential").unwrap();
    assert!(!denied.permitted && denied.policies.is_empty(), "{denied:?}");
    assert!(action(&found, "sync", "FetchRefreshToken").is_none());

    let found = report(&operator, of("acme", &mine)).await.unwrap();
    assert!(uses(&found).is_empty());
    assert!(action(&found, "app", "FetchCredential").unwrap().other_users);
    assert!(!action(&found, "portal", "FetchCredential").unwrap().other_users);
    let records = vault.client("app").await.acting_for("acme", None).events().await;
    let asked: Vec<_> = records.iter().filter(|record| record.action == "GetAccessReport").collect();
    assert_eq!((asked.len(), asked[0].connection_id.as_str()), (2, mine.as_str()));
    assert_eq!((asked[0].owner_user_id.as_str(), asked[0].provider.as_str()), ("u1", "generic"));
}

async fn uses_have_pages_and_a_period(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    app.fetch(v1::FetchCredentialRequest { purpose: "earlier".into(), ..by_id(&id) }).await.unwrap();
    vault.clock.advance(Duration::from_secs(2400));
    for purpose in ["a", "b", "c"] {
        let request = v1::FetchCredentialRequest { purpose: purpose.into(), ..by_id(&id) };
        app.fetch(request).await.unwrap();
        vault.clock.advance(Duration::from_secs(60));
    }
    let operator = vault.client("operator").await;
    let usual = report(&operator, of("acme", &id)).await.unwrap();
    assert_eq!(uses(&usual).len(), 4);
    let days = usual.end_time.unwrap().seconds - usual.start_time.unwrap().seconds;
    assert_eq!(days, 30 * DAY);
    let later = |time: Option<prost_types::Timestamp>, seconds: i64| {
        time.map(|time| prost_types::Timestamp { seconds: time.seconds + seconds, ..time })
    };
    let start_time = later(usual.end_time, -600);
    let mut request = v1::GetAccessReportRequest { page_size: 2, start_time, ..of("acme", &id) };
    let first = report(&operator, request.clone()).await.unwrap();
    assert_eq!(uses(&first), [("app", "", "a", 1, 0), ("app", "", "b", 1, 0)]);
    vault.clock.advance(Duration::from_secs(60));
    request.page_token = first.next_page_token.clone();
    let second = report(&operator, request.clone()).await.unwrap();
    assert_eq!(uses(&second), [("app", "", "c", 1, 0)]);
    assert!(second.next_page_token.is_empty() && second.may.is_none());
    assert_eq!((second.start_time, second.end_time), (first.start_time, first.end_time));
    // A token is good for its own request only.
    request.start_time = later(start_time, -60);
    let refused = report(&operator, request).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument PAGE_TOKEN_INVALID");

    let end_time = usual.end_time;
    for wrong in [
        v1::GetAccessReportRequest { start_time: end_time, end_time, ..of("acme", &id) },
        v1::GetAccessReportRequest { start_time: later(end_time, -401 * DAY), end_time, ..of("acme", &id) },
        v1::GetAccessReportRequest { page_size: -1, ..of("acme", &id) },
    ] {
        let refused = report(&operator, wrong).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    }
}

async fn a_report_knows_the_connections_of_its_tenant_alone(builder: VaultBuilder) {
    let builder = builder.policies(
        r#"@id("reports-nothing-about-generic")
        forbid (principal == Service::"spiffe://test.local/acme-admin", action == Action::"GetAccessReport", resource)
        when { context has provider && context.provider == "generic" };"#,
    );
    let vault = builder.start().await;
    let victim = vault.app("victim").await;
    let acme = vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap().id;
    let own = victim.create(generic("main", "CANARY victim")).await.unwrap().id;
    let users = victim.create(owned_by("u1", generic("mine", "CANARY user"))).await.unwrap().id;
    let operator = vault.client("operator").await;
    let platform =
        operator.create(v1::CreateConnectionRequest { owner: None, ..generic("p", "CANARY") }).await;
    let platform = platform.unwrap().id;
    // The intruder's own log may name a foreign connection. It is none of its connections for that.
    let intruder = vault.app("acme").await;
    intruder.fetch(by_id(&own)).await.unwrap_err();
    for (tenant, foreign) in
        [("acme", &own), ("acme", &users), ("acme", &platform), ("", &own), ("victim", &platform)]
    {
        let refused = report(&operator, of(tenant, foreign)).await.unwrap_err();
        let unknown = report(&operator, of(tenant, UNKNOWN)).await.unwrap_err();
        assert_eq!(refusal(&refused), "NotFound CONNECTION_NOT_FOUND", "{tenant}");
        assert_eq!(refused.message(), unknown.message(), "{tenant}");
    }
    assert!(uses(&report(&operator, of("victim", &own)).await.unwrap()).is_empty());
    let of_platform = report(&operator, of("", &platform)).await.unwrap();
    let names: Vec<_> = of_platform.may.as_ref().unwrap().services.iter().map(name).collect();
    assert_eq!(names, ["operator"]);

    // Those who may ask are administrators, and of their tenant only; a policy may deny a report about one connection.
    let admin = vault.client("acme-admin").await;
    for (client, tenant, id) in [
        (&admin, "acme", &acme),
        (&admin, "victim", &own),
        (&admin, "", &platform),
        (&vault.client("app").await, "acme", &acme),
    ] {
        let refused = report(client, of(tenant, id)).await.unwrap_err();
        assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED", "{tenant}");
    }
    let refused = report(&operator, of("acme", "CANARY")).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
    suspended_tenants_are_reported(&operator, &own).await;
}

async fn suspended_tenants_are_reported(operator: &Client, own: &str) {
    let suspend = v1::SuspendTenantRequest { tenant_id: "victim".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    let found = report(operator, of("victim", own)).await.unwrap();
    assert!(action(&found, "app", "FetchCredential").unwrap().permitted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_is_named_where_policies_name_none() {
    let vault = VaultBuilder::sqlite()
        .policies(
            r#"@id("everyone") permit (principal, action == Action::"FetchCredential", resource)
            when { context has purpose && context.purpose == "nightly" };
            @id("by-path") permit (principal, action == Action::"FetchCredential", resource)
            when { principal.path like "/etl/*" };"#,
        )
        .start()
        .await;
    let id = vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap().id;
    let found = report(&vault.client("operator").await, of("acme", &id)).await.unwrap();
    let any = action(&found, "any other", "FetchCredential").unwrap();
    assert_eq!(
        (any.purpose_rule(), &any.purposes[..]),
        (v1::PurposeRule::OneOf, &["nightly".to_owned()][..])
    );
    assert_eq!(any.policies[0].id, "everyone");
    let may = found.may.unwrap();
    assert_eq!(may.policies_by_attributes[0].id, "by-path");
    assert_eq!(may.services.last().unwrap().any_service_of, "test.local");
}

async fn a_service_is_reported_with_what_it_may_reach_and_did(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    vault.app("other").await.create(generic("foreign", "CANARY foreign")).await.unwrap();
    let id = app.create(generic("main", "CANARY main")).await.unwrap().id;
    for user in ["u1", "u2"] {
        app.create(owned_by(user, generic("mine", "CANARY mine"))).await.unwrap();
    }
    let portal = vault.client("portal").await.acting_for("acme", Some("u1"));
    portal.token(by_id(&id)).await.unwrap();
    portal.token(by_id(UNKNOWN)).await.unwrap_err();
    app.token(by_id(&id)).await.unwrap();
    let operator = vault.client("operator").await;
    let of_service = |service: &str| v1::GetAccessReportRequest {
        service: format!("spiffe://{service}"),
        ..of("acme", "")
    };
    let found = report(&operator, of_service("test.local/portal")).await.unwrap();
    assert!(found.may.is_none() && found.owner.is_none() && found.provider.is_empty());
    let answered = found.uses.iter().map(|one| one.answered_count).sum::<i64>();
    let about: Vec<_> = found.uses.iter().map(|one| one.connection_id.as_str()).collect();
    assert!(answered == 1 && about.contains(&id.as_str()), "{found:?}");
    assert!(found.uses.iter().all(|one| one.service == "spiffe://test.local/portal" && one.user_id == "u1"));
    let reach = found.reach.unwrap().connections;
    let kinds: Vec<_> = reach.iter().map(|kind| (kind.owner_kind(), kind.connection_count)).collect();
    assert_eq!(kinds, [(v1::OwnerKind::Tenant, 1), (v1::OwnerKind::User, 2)]);
    assert!(reach.iter().all(|kind| kind.provider == "generic" && kind.actions[0].permitted), "{reach:?}");
    assert!(!reach[1].actions[0].other_users, "{reach:?}");
    let sync = report(&operator, of_service("test.local/sync")).await.unwrap();
    assert!(sync.uses.is_empty());
    assert!(sync.reach.unwrap().connections.iter().all(|kind| !kind.actions[0].permitted));
    let foreign = report(&operator, of_service("foreign.test/app")).await.unwrap();
    assert!(foreign.reach.unwrap().connections.is_empty());
    for wrong in [of("acme", ""), v1::GetAccessReportRequest { service: "CANARY".into(), ..of("acme", "") }] {
        let refused = report(&operator, wrong).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
        assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
    }
    let admin = vault.client("acme-admin").await;
    assert!(report(&admin, of_service("test.local/app")).await.is_ok());
    let foreign = v1::GetAccessReportRequest { tenant_id: "other".into(), ..of_service("test.local/app") };
    assert_eq!(refusal(&report(&admin, foreign).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
}
