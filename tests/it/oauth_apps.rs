//! OAuth apps: no secret is shown, and a tenant's own app replaces the platform's.

use credvault_proto::v1;

use crate::harness::provider::{STRICT, app_request};
use crate::harness::{VaultBuilder, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_show_no_secret_and_are_the_platforms_or_a_tenants_own() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    connected.vault.tenant("acme").await;
    let operator = connected.vault.client("operator").await;
    let own = v1::PutOAuthAppRequest {
        tenant_id: "acme".into(),
        client_secret: "CANARY-secret-of-acme".into(),
        settings: [("application_id".to_owned(), "x1".to_owned())].into(),
        ..app_request()
    };
    let stored = operator.admin().put_o_auth_app(own.clone()).await.unwrap().into_inner();
    assert!(!format!("{stored:?}").contains("secret-of-acme"), "{stored:?}");
    let rotated = v1::PutOAuthAppRequest {
        client_secret: "CANARY-next-secret".into(),
        keep_previous_secret: true,
        ..own.clone()
    };
    let hints = operator.admin().put_o_auth_app(rotated).await.unwrap().into_inner().app.unwrap().hints;
    assert!(hints.contains_key("client_secret"), "{hints:?}");
    assert!(hints.contains_key("previous_client_secret"), "{hints:?}");
    let list = |tenant: &str| v1::ListOAuthAppsRequest { tenant_id: tenant.into(), ..Default::default() };
    for (tenant, settings) in [("acme", 1), ("", 0)] {
        let apps = operator.admin().list_o_auth_apps(list(tenant)).await.unwrap().into_inner().apps;
        assert_eq!(apps.len(), 1, "{apps:?}");
        assert_eq!(apps[0].settings.len(), settings, "{apps:?}");
    }
    let app = connected.vault.client("app").await.acting_for("acme", None);
    assert_eq!(
        refusal(&app.admin().list_o_auth_apps(list("acme")).await.unwrap_err()),
        "PermissionDenied POLICY_DENIED"
    );
    let delete = v1::DeleteOAuthAppRequest {
        tenant_id: "acme".into(),
        provider: "simulator".into(),
        ..Default::default()
    };
    operator.admin().delete_o_auth_app(delete).await.unwrap();
    assert!(operator.admin().list_o_auth_apps(list("acme")).await.unwrap().into_inner().apps.is_empty());
    let wrong = v1::PutOAuthAppRequest { client_id: String::new(), redirect_uri: "a\nb".into(), ..own };
    let wrong = operator.admin().put_o_auth_app(wrong).await.unwrap_err();
    assert_eq!(refusal(&wrong), "InvalidArgument FIELDS_INVALID", "{wrong:?}");
    assert!(wrong.message().contains("redirect_uri"), "{wrong:?}");
}
