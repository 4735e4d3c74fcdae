//! What administers a vault: deletions, tenants, users, keys, the audit log, the catalog.

use credvault_proto::v1;

use crate::harness::{Client, VaultBuilder, by_id, generic, owned_by, refusal};
use crate::on_both;

on_both![
    a_connection_is_deleted_undeleted_and_purged,
    users_tenants_and_keys_are_administered,
    the_log_tells_who_did_what,
    the_catalog_is_listed_with_schemas,
];

async fn a_connection_is_deleted_undeleted_and_purged(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let delete = v1::DeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    let deleted =
        app.connections().delete_connection(delete.clone()).await.unwrap().into_inner().connection.unwrap();
    let gone = deleted.delete_time.unwrap();
    let purge = deleted.purge_time.unwrap();
    assert_eq!(purge.seconds - gone.seconds, 30 * 24 * 3600);
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    assert_eq!(
        refusal(&app.connections().delete_connection(delete.clone()).await.unwrap_err()),
        "FailedPrecondition STATE_INVALID"
    );
    let undelete = v1::UndeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().undelete_connection(undelete).await.unwrap();
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");
    app.connections().delete_connection(delete).await.unwrap();
    let purge = v1::PurgeConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().purge_connection(purge).await.unwrap();
    let get = v1::GetConnectionRequest { connection_id: id };
    assert_eq!(
        refusal(&app.connections().get_connection(get).await.unwrap_err()),
        "NotFound CONNECTION_NOT_FOUND"
    );
}

async fn users_tenants_and_keys_are_administered(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    vault.tenant("zeta").await;
    for user in ["u1", "u1", "u2"] {
        let account = format!("{user}-{}", app.events().await.len());
        app.create(owned_by(user, generic(&account, "CANARY"))).await.unwrap();
    }
    let operator = vault.client("operator").await;
    let list = v1::ListUsersRequest { tenant_id: "acme".into(), ..Default::default() };
    let users = operator.admin().list_users(list).await.unwrap().into_inner().users;
    assert_eq!(
        users.iter().map(|user| (user.id.as_str(), user.connection_count)).collect::<Vec<_>>(),
        [("u1", 2), ("u2", 1)]
    );
    let delete =
        v1::DeleteUserRequest { tenant_id: "acme".into(), user_id: "u1".into(), ..Default::default() };
    assert_eq!(operator.admin().delete_user(delete).await.unwrap().into_inner().removed_connections, 2);
    let list = v1::ListTenantsRequest { page_size: 1, ..Default::default() };
    let page = operator.admin().list_tenants(list.clone()).await.unwrap().into_inner();
    assert_eq!(page.tenants[0].id, "acme");
    let next = v1::ListTenantsRequest { page_token: page.next_page_token, ..list };
    assert_eq!(operator.admin().list_tenants(next).await.unwrap().into_inner().tenants[0].id, "zeta");
    let keys = operator
        .admin()
        .get_key_status(v1::GetKeyStatusRequest { tenant_id: "acme".into() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(keys.tenant_keys.len(), 1);
    assert_eq!(keys.tenant_keys[0].sealed_credentials, 1);
    assert_eq!(keys.root_key.unwrap().source, "file");
    // Only the operator's policy reaches there.
    let refused =
        app.admin().get_tenant(v1::GetTenantRequest { tenant_id: "acme".into() }).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    let unknown =
        operator.admin().get_tenant(v1::GetTenantRequest { tenant_id: "nobody".into() }).await.unwrap_err();
    assert_eq!(refusal(&unknown), "NotFound TENANT_NOT_FOUND");
}

async fn the_log_tells_who_did_what(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault
        .app("acme")
        .await
        .with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    app.fetch(by_id(&id)).await.unwrap();
    let reader = vault.client("reader").await.acting_for("acme", None);
    reader.fetch(by_id(&id)).await.unwrap_err();
    let events = app.events().await;
    let told: Vec<_> = events
        .iter()
        .rev()
        .map(|event| {
            (
                event.service.rsplit('/').next().unwrap(),
                event.action.as_str(),
                event.outcome(),
                event.reason.as_str(),
            )
        })
        .collect();
    use v1::AuditOutcome::{Denied, Ok};
    assert_eq!(
        told,
        [
            ("operator", "CreateTenant", Ok, ""),
            ("app", "CreateConnection", Ok, ""),
            ("app", "FetchCredential", Ok, ""),
            ("reader", "FetchCredential", Denied, "POLICY_DENIED"),
        ]
    );
    let fetch = &events[1];
    assert_eq!(fetch.connection_id, id);
    assert_eq!(fetch.provider, "generic");
    assert_eq!(fetch.tenant_source, "header");
    assert_eq!(fetch.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(fetch.source_address, "127.0.0.1");
    let summary = v1::SummarizeAuditEventsRequest {
        group_by: vec![v1::AuditGroup::Action.into(), v1::AuditGroup::Outcome.into()],
        filter: Some(v1::AuditFilter { connection_id: id, ..Default::default() }),
    };
    let rows = app.audit().summarize_audit_events(summary).await.unwrap().into_inner().summaries;
    let mut rows: Vec<_> = rows.iter().map(|row| (row.keys.join(" "), row.count)).collect();
    rows.sort();
    assert_eq!(rows, [("CreateConnection OK".to_owned(), 1), ("FetchCredential OK".to_owned(), 1)]);
}

async fn the_catalog_is_listed_with_schemas(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.client("app").await.acting_for("acme", None);
    let mut request = v1::ListProvidersRequest { page_size: 40, ..Default::default() };
    let mut ids = Vec::new();
    loop {
        let page = app.connections().list_providers(request.clone()).await.unwrap().into_inner();
        ids.extend(page.providers.into_iter().map(|provider| provider.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(ids.is_sorted(), "{ids:?}");
    let known = credvault_catalog::Catalog::load(None).unwrap();
    let known: Vec<_> = known.iter().map(|provider| provider.id.as_str().to_owned()).collect();
    assert_eq!(ids, known, "every page");
    assert!(ids.len() > 60, "several pages");
    let request = v1::GetProviderRequest { provider: "woocommerce".into() };
    let provider = app.connections().get_provider(request).await.unwrap().into_inner().provider.unwrap();
    let schema = format!("{:?}", provider.auth_modes[0].credential_schema);
    let consents: Vec<_> =
        provider.auth_modes.iter().filter(|mode| mode.consent).map(|mode| mode.name.as_str()).collect();
    assert_eq!(consents, ["key_pair"]);
    assert!(schema.contains("writeOnly"), "{schema}");
    assert!(schema.contains("consumer_secret"), "{schema}");
    scopes_are_shown(&app).await;
}

/// What a consent asks for, or why it asks for nothing.
async fn scopes_are_shown(app: &Client) {
    let shown = async |provider: &str| {
        let request = v1::GetProviderRequest { provider: provider.into() };
        let provider = app.connections().get_provider(request).await.unwrap().into_inner().provider.unwrap();
        provider.auth_modes.into_iter().find(|mode| mode.name == "oauth2_code").unwrap()
    };
    let calendly = shown("calendly").await;
    assert_eq!(calendly.default_scopes, ["scheduled_events:read", "event_types:read"]);
    assert_eq!(calendly.always_scopes, ["users:read"]);
    assert_eq!(calendly.no_scopes, "");
    let notion = shown("notion").await;
    assert!(notion.default_scopes.is_empty() && notion.no_scopes.contains("capabilities"), "{notion:?}");
}
