//! "Data Models", "Endpoints" and "Tool Required Integrations": an organisation's accounts and global integrations, from
//! their creation to their deletion.

use credvault_domain::Clock as _;
use credvault_proto::v1;

use super::{account, delete, disconnect, for_an_hour, get, listed};
use crate::harness::{Client, TestVault, VaultBuilder, by_id, by_provider, input, refusal};
use crate::on_both;

on_both![accounts_and_global_integrations_of_an_organisation];

const LWA_CLIENT: &str = "amzn1.application-oa2-client.0123456789abcdef0123456789abcdef";

/// "IntegrationAccount": what `marketplace` and `integration_type` are together, with what `region` is.
type Kind = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
const KINDS: [Kind; 4] = [
    // AMAZON, SP_API_SC
    ("amazon_sp_seller", "self_authorized", &[("region", "na"), ("lwa_client_id", LWA_CLIENT)]),
    // AMAZON, SP_API_VC
    ("amazon_sp_vendor", "oauth2_code", &[("region", "eu")]),
    // AMAZON, ADS_API
    ("amazon_ads", "oauth2_code", &[("region", "fe")]),
    // WALMART
    ("walmart_marketplace", "oauth2_client_credentials", &[("market", "us"), ("client_id", "of-the-seller")]),
];

async fn accounts_and_global_integrations_of_an_organisation(builder: VaultBuilder) {
    let vault = builder.start().await;
    let acme = vault.app("acme").await;
    let seller = accounts_are_created_once_for_each_type(&vault, &acme).await;
    an_account_is_connected_disconnected_and_deleted(&vault, &acme, &seller).await;
    let slack = tools_guide_through_what_they_require(&vault, &acme).await;
    a_global_integration_is_everybodys(&vault, &acme, &slack).await;
}

/// Gives the id of the account at Seller Central.
async fn accounts_are_created_once_for_each_type(vault: &TestVault, acme: &Client) -> String {
    let mut ids = Vec::new();
    for (provider, mode, config) in KINDS {
        // "Integration Accounts": POST /integrations/accounts. "IntegrationAccount": `id`, `organization_id` (the tenant),
        // `account_name`, `region`, and the status DISCONNECTED.
        let created = acme.create(account(provider, mode, "Main", config)).await.unwrap();
        assert_eq!(created.state(), v1::ConnectionState::Disconnected);
        assert_eq!((created.account_name.as_str(), created.current_version), ("Main", 0));
        assert_eq!(created.owner.unwrap().kind(), v1::OwnerKind::Tenant);
        // "Data Models", the unique constraint: one of this type and name in the organisation.
        let twice = acme.create(account(provider, mode, "Main", config)).await.unwrap_err();
        assert_eq!(refusal(&twice), "AlreadyExists CONNECTION_EXISTS");
        acme.create(account(provider, mode, "Second", config)).await.unwrap();
        ids.push(created.id);
    }
    // "Integration Accounts": GET /integrations/accounts, those of the current organisation.
    let names: Vec<_> = listed(acme).await.into_iter().map(|one| (one.provider, one.account_name)).collect();
    assert_eq!(names.len(), 8);
    assert!(names.contains(&("walmart_marketplace".to_owned(), "Main".to_owned())), "{names:?}");
    let beta = vault.app("beta").await;
    assert!(listed(&beta).await.is_empty());
    assert_eq!(refusal(&get(&beta, &ids[0]).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    let (provider, mode, config) = KINDS[0];
    beta.create(account(provider, mode, "Main", config)).await.unwrap();
    // "Endpoints", the column Auth: a service that no policy knows is refused, whatever organisation it names.
    let nobody = vault.client("nobody").await.acting_for("acme", None);
    let refused = nobody.connections().list_connections(v1::ListConnectionsRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::PermissionDenied);
    ids.remove(0)
}

async fn an_account_is_connected_disconnected_and_deleted(vault: &TestVault, acme: &Client, id: &str) {
    // "Integration Accounts": POST /integrations/accounts/:id/connect. The status is CONNECTED, and `connected_at` is when
    // the current version was stored.
    let secrets = [
        ("lwa_client_secret", "CANARY-secret"),
        ("refresh_token", "Atzr|CANARY-refresh"),
        ("access_token", "Atza|CANARY-access"),
    ];
    let connect = v1::PutCredentialRequest {
        connection_id: id.to_owned(),
        credential: Some(for_an_hour(&secrets)),
        ..Default::default()
    };
    let version = acme.vault().put_credential(connect).await.unwrap().into_inner().version.unwrap();
    assert_eq!(version.create_time.unwrap().seconds, vault.clock.now().seconds());
    assert_eq!(get(acme, id).await.unwrap().state(), v1::ConnectionState::Connected);
    let credential = acme.fetch(by_id(id)).await.unwrap();
    let auth = credential.request_auth.unwrap();
    assert_eq!(auth.base_url, "https://sellingpartnerapi-na.amazon.com");
    assert_eq!(auth.headers["x-amz-access-token"], "Atza|CANARY-access");
    assert!(!credential.fields.contains_key("refresh_token"), "it stays in the vault");

    // "Integration Accounts": POST /integrations/accounts/:id/disconnect. The credential is cleared for good.
    let gone = disconnect(acme, id).await;
    assert_eq!((gone.state(), gone.current_version), (v1::ConnectionState::Disconnected, 0));
    assert_eq!(refusal(&acme.fetch(by_id(id)).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
    let versions = v1::ListCredentialVersionsRequest { connection_id: id.to_owned(), ..Default::default() };
    let versions = acme.vault().list_credential_versions(versions).await.unwrap().into_inner().versions;
    assert!(versions.iter().all(|version| version.destroy_time.is_some()), "{versions:?}");

    // "Integration Accounts": DELETE /integrations/accounts/:id. A mistake can be undone for thirty days.
    assert!(delete(acme, id).await.purge_time.is_some());
    assert!(listed(acme).await.iter().all(|one| one.id != id));
    assert_eq!(refusal(&acme.fetch(by_id(id)).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
}

/// "Tool Required Integrations": a tool names what it requires, and the answer leads through the onboarding. Gives the
/// global integration that this ends with.
async fn tools_guide_through_what_they_require(vault: &TestVault, acme: &Client) -> v1::Connection {
    let requires = |provider: &str| v1::Requirement { provider: provider.to_owned(), ..Default::default() };
    let optional = v1::Requirement { works_without: true, ..requires("walmart_marketplace") };
    let tool = v1::PutToolRequest {
        name: "repricer".into(),
        requirements: vec![requires("slack"), optional],
        ..Default::default()
    };
    vault.client("operator").await.admin().put_tool(tool).await.unwrap();
    let user = vault.client("portal").await.acting_for("acme", Some("u1"));
    let check = async || {
        let request = v1::CheckRequirementsRequest { tools: vec!["repricer".into()], ..Default::default() };
        user.connections().check_requirements(request).await.unwrap().into_inner()
    };
    let missing = check().await;
    assert_eq!((missing.satisfied, missing.unsatisfied_tools), (false, vec!["repricer".to_owned()]));
    let states: Vec<_> = missing.checks.iter().map(v1::RequirementCheck::state).collect();
    assert_eq!(states, [v1::RequirementState::Missing; 2]);
    assert_eq!(missing.checks[0].next_step(), v1::RequirementStep::Connect);
    assert!(!missing.checks[0].next_step_text.is_empty());

    // "Global Integrations": POST /integrations/global, created and CONNECTED in one call.
    let created = acme.create(slack("xoxb-1-CANARY")).await.unwrap();
    assert_eq!(created.state(), v1::ConnectionState::Connected);
    let met = check().await;
    assert!(met.satisfied && met.unsatisfied_tools.is_empty(), "{met:?}");
    assert_eq!(met.checks[0].state(), v1::RequirementState::Connected);
    assert_eq!(met.checks[0].connection_id, created.id);
    created
}

/// "GlobalIntegration": a service, with its `config` and its `credentials`.
fn slack(token: &str) -> v1::CreateConnectionRequest {
    let config = [("team_id", "T012"), ("default_channel", "#alerts")];
    v1::CreateConnectionRequest {
        credential: Some(input(&[("access_token", token)])),
        ..account("slack", "bot_token", "", &config)
    }
}

async fn a_global_integration_is_everybodys(vault: &TestVault, acme: &Client, created: &v1::Connection) {
    // "GlobalIntegration", the unique constraint: `service_name` once in the organisation, unless a name tells two apart.
    assert_eq!(created.account_name, "default");
    let twice = acme.create(slack("xoxb-2-CANARY")).await.unwrap_err();
    assert_eq!(refusal(&twice), "AlreadyExists CONNECTION_EXISTS");
    // "Global Integrations": GET /integrations/global, by service; `config` comes along, `credentials` do not.
    let request = v1::ListConnectionsRequest { provider: "slack".into(), ..Default::default() };
    let found = acme.connections().list_connections(request).await.unwrap().into_inner().connections;
    assert_eq!(found.len(), 1);
    let config = found[0].config.as_ref().unwrap();
    assert_eq!(config.fields["default_channel"], prost_types::Value::from("#alerts"));
    assert!(!format!("{found:?}").contains("CANARY"));
    // Each user of the organisation is served it.
    let user = vault.client("portal").await.acting_for("acme", Some("u1"));
    let credential = user.fetch(by_provider("slack")).await.unwrap();
    assert_eq!(credential.fields["access_token"], "xoxb-1-CANARY");
    assert_eq!(credential.owner.unwrap().kind(), v1::OwnerKind::Tenant);
    // "GlobalIntegration": `status` DISCONNECTED. "Global Integrations": DELETE /integrations/global/:id.
    assert_eq!(disconnect(acme, &created.id).await.state(), v1::ConnectionState::Disconnected);
    delete(acme, &created.id).await;
    let refused = user.fetch(by_provider("slack")).await.unwrap_err();
    assert_eq!(refusal(&refused), "NotFound CREDENTIAL_NOT_CONFIGURED");
}
