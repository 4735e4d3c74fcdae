//! What tools require: registered by the platform, checked against what a fetch would find.

use credvault_proto::v1;
use credvault_simulator::Step;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::provider::STRICT;
use crate::harness::{Client, TestVault, VaultBuilder, by_provider, generic, owned_by, refusal};
use crate::on_both;

on_both![
    a_check_finds_what_a_fetch_finds,
    what_is_broken_says_why_and_what_to_do,
    a_check_says_what_is_known_and_only_a_fetch_asks_the_provider,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_registered_by_the_platform_with_what_the_catalog_has() {
    let vault = VaultBuilder::sqlite().start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let tool = put("price-watch", vec![requires("generic"), requires("slack")]);
    assert_eq!(
        refusal(&app.admin().put_tool(tool.clone()).await.unwrap_err()),
        "PermissionDenied POLICY_DENIED"
    );
    let stored = operator.admin().put_tool(tool.clone()).await.unwrap().into_inner().tool.unwrap();
    assert_eq!((stored.requirements.clone(), stored.etag.is_empty()), (tool.requirements.clone(), false));
    let wrong_mode = v1::Requirement { auth_modes: vec!["cookie".into()], ..requires("generic") };
    let unknown = put("price-watch", vec![requires("xero"), requires("shopfy"), wrong_mode]);
    let refused = operator.admin().put_tool(unknown.clone()).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument REQUIREMENT_UNKNOWN");
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["providers"], "shopfy");
    let fields = &details.bad_request().unwrap().field_violations;
    assert_eq!(fields[0].field, "requirements[1].provider");
    assert!(fields[0].description.contains("such as shopify"), "{fields:?}");
    assert_eq!(fields[1].field, "requirements[2].auth_modes[0]");
    assert!(fields[1].description.contains("bearer"), "{fields:?}");
    let check = v1::CheckRequirementsRequest { requirements: unknown.requirements, ..Default::default() };
    assert_eq!(refusal(&app.check(check).await.unwrap_err()), "InvalidArgument REQUIREMENT_UNKNOWN");

    // It is replaced as a whole, under its etag.
    let again = v1::PutToolRequest { etag: stored.etag, ..put("price-watch", vec![requires("generic")]) };
    operator.admin().put_tool(again.clone()).await.unwrap();
    assert_eq!(refusal(&operator.admin().put_tool(again).await.unwrap_err()), "Aborted ETAG_MISMATCH");
    operator.admin().put_tool(put("audit", vec![])).await.unwrap();
    let listed = operator.admin().list_tools(v1::ListToolsRequest::default()).await.unwrap().into_inner();
    let names: Vec<_> =
        listed.tools.iter().map(|tool| (tool.name.as_str(), tool.requirements.len())).collect();
    assert_eq!(names, [("audit", 0), ("price-watch", 1)]);
    let delete = v1::DeleteToolRequest { name: "audit".into(), ..Default::default() };
    operator.admin().delete_tool(delete.clone()).await.unwrap();
    let gone = operator.admin().delete_tool(delete).await.unwrap_err();
    assert_eq!(refusal(&gone), "NotFound TOOL_NOT_FOUND");
    assert_eq!(refusal(&app.check(of_tool("audit")).await.unwrap_err()), "NotFound TOOL_NOT_FOUND");

    // A hundred in one call, and not one more.
    let many = |count| v1::CheckRequirementsRequest {
        requirements: vec![requires("shopify"); count],
        tools: vec!["price-watch".into()],
        ..Default::default()
    };
    assert_eq!(app.check(many(99)).await.unwrap().checks.len(), 100);
    assert_eq!(refusal(&app.check(many(100)).await.unwrap_err()), "InvalidArgument FIELDS_INVALID");
    let nothing = app.check(v1::CheckRequirementsRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&nothing), "InvalidArgument FIELDS_INVALID");
}

fn requires(provider: &str) -> v1::Requirement {
    v1::Requirement { provider: provider.to_owned(), ..Default::default() }
}

fn put(name: &str, requirements: Vec<v1::Requirement>) -> v1::PutToolRequest {
    v1::PutToolRequest { name: name.to_owned(), requirements, ..Default::default() }
}

fn of_tool(name: &str) -> v1::CheckRequirementsRequest {
    v1::CheckRequirementsRequest { tools: vec![name.to_owned()], ..Default::default() }
}

impl Client {
    async fn check(
        &self,
        request: v1::CheckRequirementsRequest,
    ) -> Result<v1::CheckRequirementsResponse, Status> {
        Ok(self.connections().check_requirements(request).await?.into_inner())
    }

    /// The answer about one requirement.
    async fn check_one(&self, requirement: v1::Requirement) -> v1::RequirementCheck {
        let request = v1::CheckRequirementsRequest { requirements: vec![requirement], ..Default::default() };
        self.check(request).await.unwrap().checks.remove(0)
    }
}

async fn a_check_finds_what_a_fetch_finds(builder: VaultBuilder) {
    use v1::RequirementState as S;
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let user = vault.client("portal").await.acting_for("acme", Some("u1"));
    let operator = vault.client("operator").await;
    let optional = v1::Requirement { works_without: true, ..requires("slack") };
    operator.admin().put_tool(put("watch", vec![requires("generic"), optional])).await.unwrap();
    let first = user.check(of_tool("watch")).await.unwrap();
    assert!(!first.satisfied);
    assert_eq!(first.unsatisfied_tools, ["watch"]);
    assert_eq!(first.checks[0].state(), S::Missing);
    assert_eq!(first.checks[0].reason, "CREDENTIAL_NOT_CONFIGURED");
    assert_eq!(first.checks[0].next_step(), v1::RequirementStep::Connect);

    // The platform's, then the tenant's, then the user's: each comes before the last, as in a fetch.
    let shared = v1::CreateConnectionRequest { owner: None, ..generic("p", "CANARY platform") };
    let of_platform = operator.create(shared).await.unwrap().id;
    let no_credential = app.create(v1::CreateConnectionRequest { credential: None, ..generic("t", "") });
    let of_tenant = no_credential.await.unwrap().id;
    assert_finds(&user, &of_platform, v1::OwnerKind::Platform).await;
    app.put(&of_tenant, "CANARY tenant").await.unwrap();
    assert_finds(&user, &of_tenant, v1::OwnerKind::Tenant).await;
    let of_user = app.create(owned_by("u1", generic("u", "CANARY user"))).await.unwrap().id;
    assert_finds(&user, &of_user, v1::OwnerKind::User).await;
    assert_finds(&vault.client("portal").await.acting_for("acme", None), &of_tenant, v1::OwnerKind::Tenant)
        .await;
    let named = v1::Requirement { account_name: "t".into(), ..requires("generic") };
    assert_eq!(user.check_one(named).await.connection_id, of_tenant);
    let for_user = v1::CheckRequirementsRequest { user_id: "u1".into(), ..of_tool("watch") };
    assert_eq!(app.check(for_user).await.unwrap().checks[0].connection_id, of_user);

    let met = user.check(of_tool("watch")).await.unwrap();
    assert!(met.satisfied, "the other one is optional: {met:?}");
    assert_eq!((met.checks[1].state(), met.unsatisfied_tools.len()), (S::Missing, 0));
}

/// A check and a fetch by provider find this connection.
async fn assert_finds(client: &Client, id: &str, owner: v1::OwnerKind) {
    let check = client.check_one(requires("generic")).await;
    assert_eq!((check.state(), check.connection_id.as_str()), (v1::RequirementState::Connected, id));
    assert_eq!(check.owner.unwrap().kind(), owner);
    assert_eq!(client.fetch(by_provider("generic")).await.unwrap().connection_id, id);
}

async fn what_is_broken_says_why_and_what_to_do(builder: VaultBuilder) {
    use v1::{RequirementProblem as P, RequirementStep as N};
    let builder = builder.policies(
        r#"forbid (principal == Service::"spiffe://test.local/portal", action == Action::"CheckRequirements", resource)
        when { context has owner && context.owner == "platform" };"#,
    );
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let brief = v1::CredentialInput {
        expiry: Some(v1::credential_input::Expiry::Ttl(prost_types::Duration { seconds: 60, nanos: 0 })),
        ..crate::harness::input(&[("token", "CANARY")])
    };
    let create = v1::CreateConnectionRequest { credential: Some(brief), ..generic("a", "") };
    let id = app.create(create).await.unwrap().id;
    let wrong = v1::Requirement { auth_modes: vec!["bearer".into()], ..requires("generic") };
    assert_verdict(&app, wrong, (P::AuthMode, N::Connect, "STATE_INVALID")).await;
    fetch_serves(&app, "").await;
    vault.sql(r#"UPDATE connections SET scopes_granted = '["write_orders", "read_users"]'"#).await;
    let scopes = |scopes: &[&str]| v1::Requirement {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..requires("generic")
    };
    assert_eq!(app.check_one(scopes(&["read_orders", "read_users"])).await.problem(), P::Unspecified);
    let lacking = scopes(&["write_users", "read_orders"]);
    let check = assert_verdict(&app, lacking, (P::Scopes, N::Reauthorize, "REAUTHORIZATION_REQUIRED")).await;
    assert_eq!(check.missing_scopes, ["write_users"]);
    fetch_serves(&app, "").await;

    // What a fetch is refused with, too.
    vault.clock.advance(std::time::Duration::from_secs(61));
    let expired = (P::Credential, N::Reauthorize, "CREDENTIAL_EXPIRED");
    let check = assert_verdict(&app, requires("generic"), expired).await;
    assert!(check.problem_time.is_some() && check.next_step_text.contains("PutCredential"), "{check:?}");
    fetch_says(&app, "FailedPrecondition CREDENTIAL_EXPIRED").await;
    let disable = v1::UpdateConnectionRequest {
        connection: Some(v1::Connection { id: id.clone(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    app.connections().update_connection(disable).await.unwrap();
    assert_verdict(&app, requires("generic"), (P::Disabled, N::Enable, "CONNECTION_DISABLED")).await;
    fetch_says(&app, "FailedPrecondition CONNECTION_DISABLED").await;
    // What only the provider decides is served, and shows the error.
    app.put(&id, "CANARY again").await.unwrap();
    for (reason, step) in [
        ("PROVIDER_UNAVAILABLE", N::WaitForProvider),
        ("REAUTHORIZATION_REQUIRED", N::Reauthorize),
        ("INTEGRITY_FAILURE", N::AskAdministrator),
    ] {
        let fail = format!(
            "UPDATE connections SET enabled = TRUE, state = 'ERROR', error_reason = '{reason}', error_time = 7"
        );
        vault.sql(&fail).await;
        let check = assert_verdict(&app, requires("generic"), (P::Credential, step, reason)).await;
        assert_eq!(check.problem_time.unwrap().nanos, 7_000);
        fetch_serves(&app, reason).await;
    }
    only_an_administrator_helps(&vault, &app, &id).await;
}

/// The platform's own connection, a provider without an app, and what policy denies.
async fn only_an_administrator_helps(vault: &TestVault, app: &Client, id: &str) {
    use v1::{RequirementProblem as P, RequirementStep as N};
    let delete = v1::DeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    app.connections().delete_connection(delete).await.unwrap();
    let operator = vault.client("operator").await;
    let shared = v1::CreateConnectionRequest { owner: None, disabled: true, ..generic("p", "CANARY") };
    operator.create(shared).await.unwrap();
    let disabled = (P::Disabled, N::AskAdministrator, "CONNECTION_DISABLED");
    assert_verdict(app, requires("generic"), disabled).await;
    fetch_says(app, "FailedPrecondition CONNECTION_DISABLED").await;
    let portal = vault.client("portal").await.acting_for("acme", None);
    let denied = (P::Denied, N::AskAdministrator, "POLICY_DENIED");
    let check = assert_verdict(&portal, requires("generic"), denied).await;
    assert!(check.connection_id.is_empty() && check.owner.is_none(), "{check:?}");

    let books = || requires("quickbooks");
    let check = app.check_one(books()).await;
    assert_eq!((check.state(), check.problem()), (v1::RequirementState::Missing, P::App));
    assert_eq!(check.next_step(), N::AskAdministrator);
    let refused = app.fetch(by_provider("quickbooks")).await.unwrap_err();
    assert_eq!(refusal(&refused), format!("NotFound {}", check.reason));
    let put = v1::PutOAuthAppRequest {
        provider: "quickbooks".into(),
        client_id: "id".into(),
        redirect_uri: "https://app.example.com/back".into(),
        ..Default::default()
    };
    operator.admin().put_o_auth_app(put).await.unwrap();
    let check = app.check_one(books()).await;
    assert_eq!((check.problem(), check.next_step()), (P::Unspecified, N::Connect));
    assert!(check.next_step_text.contains("BeginAuthorization"), "{check:?}");
}

async fn a_check_says_what_is_known_and_only_a_fetch_asks_the_provider(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    connected.provider.behave(|behaviour| behaviour.steady = Step::Fail { status: 503, after_effect: false });
    let id = connected.granted(&app, "shop-1", 60).await;
    let check = app.check_one(requires("simulator")).await;
    assert_eq!((check.state(), check.connection_id.as_str()), (v1::RequirementState::Connected, id.as_str()));
    connected.vault.clock.advance(std::time::Duration::from_secs(61));
    let refused = app.fetch(by_provider("simulator")).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
    // What a fetch has found is known from then on.
    use {v1::RequirementProblem as P, v1::RequirementStep as S};
    let known = (P::Credential, S::WaitForProvider, "PROVIDER_UNAVAILABLE");
    assert_verdict(&app, requires("simulator"), known).await;
}

async fn assert_verdict(
    client: &Client,
    requirement: v1::Requirement,
    (problem, step, reason): (v1::RequirementProblem, v1::RequirementStep, &str),
) -> v1::RequirementCheck {
    let check = client.check_one(requirement).await;
    assert_eq!(check.state(), v1::RequirementState::Broken, "{check:?}");
    assert_eq!((check.problem(), check.next_step(), check.reason.as_str()), (problem, step, reason));
    check
}

/// A fetch is served, and tells the error that the connection shows, if it shows one.
async fn fetch_serves(client: &Client, error: &str) {
    use v1::ConnectionState as S;
    let found = client.fetch(by_provider("generic")).await.unwrap();
    let state = if error.is_empty() { S::Connected } else { S::Error };
    let shown = found.connection_error.as_ref().map_or("", |error| error.reason.as_str());
    assert_eq!((found.connection_state(), shown), (state, error));
}

async fn fetch_says(client: &Client, refused: &str) {
    assert_eq!(refusal(&client.fetch(by_provider("generic")).await.unwrap_err()), refused);
}
