//! The main job over the wire: stored, fetched, versions, lookup order, request auth, batches.

use std::time::Duration;

use credvault::proto::v1;
use tonic::Code;

use crate::harness::{TestVault, by_id, by_provider, generic, input, owned_by, refusal};
use crate::on_both;

on_both! {
    async fn a_credential_goes_in_and_comes_out_ready_for_use(vault: TestVault) {
        let app = vault.app("acme").await;
        let config = [("shop".to_owned(), prost_types::Value::from("acme.myshopify.com"))];
        let shop = app.create(v1::CreateConnectionRequest {
            provider: "shopify".into(),
            account_name: "eu".into(),
            auth_mode: "access_token".into(),
            config: Some(prost_types::Struct { fields: config.into() }),
            credential: Some(input(&[("access_token", "shpat_CANARY0123456789"), ("webhook_secret", "CANARYhook")])),
            labels: [("team".to_owned(), "orders".to_owned())].into(),
            ..Default::default()
        }).await.unwrap();
        assert_eq!((shop.state(), shop.current_version, shop.default), (v1::ConnectionState::Connected, 1, true));
        assert_eq!(shop.hints["access_token"], "shpa…6789");

        let fetched = app.fetch(by_id(&shop.id)).await.unwrap();
        assert_eq!(fetched.fields["access_token"], "shpat_CANARY0123456789");
        assert!(!fetched.fields.contains_key("webhook_secret"), "a webhook secret stays inside");
        let auth = fetched.request_auth.unwrap();
        assert_eq!(auth.base_url, "https://acme.myshopify.com/admin/api/2026-10");
        assert_eq!(auth.headers["X-Shopify-Access-Token"], "shpat_CANARY0123456789");
        assert_eq!(fetched.cache_duration.unwrap().seconds, 60);

        // A service with FetchRefreshToken gets everything, and needs the purpose that its policy asks for.
        let sync = vault.client("sync").await.acting_for("acme", None);
        let denied = sync.fetch(by_id(&shop.id)).await.unwrap_err();
        assert_eq!(refusal(&denied), "PermissionDenied POLICY_DENIED");
        let request = v1::FetchCredentialRequest { purpose: "order sync".into(), ..by_id(&shop.id) };
        assert_eq!(sync.fetch(request).await.unwrap().fields["webhook_secret"], "CANARYhook");
        let events = app.events().await;
        let event = events.iter().find(|event| event.purpose == "order sync").unwrap();
        assert_eq!((event.action.as_str(), event.version, event.policies.as_slice()), ("FetchCredential", 1, ["sync-fetches-shopify".to_owned(), "sync".to_owned()].as_slice()));
    }

    async fn a_lookup_goes_from_user_to_tenant_to_platform(vault: TestVault) {
        let app = vault.app("acme").await;
        let operator = vault.client("operator").await;
        let missing = app.fetch(by_provider("generic")).await.unwrap_err();
        assert_eq!(refusal(&missing), "NotFound CREDENTIAL_NOT_CONFIGURED");

        let mut platform = generic("shared", "CANARY platform");
        platform.owner = None;
        let shared = operator.create(platform).await.unwrap();
        assert_eq!(shared.owner.unwrap().kind(), v1::OwnerKind::Platform);
        assert_eq!(app.token(by_provider("generic")).await.unwrap(), "CANARY platform");

        app.create(generic("main", "CANARY tenant")).await.unwrap();
        assert_eq!(app.token(by_provider("generic")).await.unwrap(), "CANARY tenant");

        app.create(owned_by("u1", generic("mine", "CANARY user"))).await.unwrap();
        assert_eq!(app.token(by_provider("generic")).await.unwrap(), "CANARY tenant");
        let of_user = v1::FetchCredentialRequest { user_id: "u1".into(), ..by_provider("generic") };
        let fetched = app.fetch(of_user).await.unwrap();
        assert_eq!((fetched.fields["token"].as_str(), fetched.owner.unwrap().user_id.as_str()), ("CANARY user", "u1"));
        // The verified user of the call counts, too.
        let user = app.acting_for("acme", Some("u1"));
        assert_eq!(user.token(by_provider("generic")).await.unwrap(), "CANARY user");

        // A user whom policy keeps to himself does not reach the others.
        let portal = vault.client("portal").await.acting_for("acme", Some("u2"));
        assert_eq!(portal.token(by_provider("generic")).await.unwrap(), "CANARY tenant");
        let other = v1::FetchCredentialRequest { user_id: "u1".into(), ..by_provider("generic") };
        assert_eq!(refusal(&portal.fetch(other).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
        // Without an owner in the request, what a user creates is the user's.
        let mut own = generic("own", "CANARY own");
        own.owner = None;
        assert_eq!(portal.create(own).await.unwrap().owner.unwrap().user_id, "u2");
    }

    async fn versions_are_listed_rolled_back_to_and_destroyed(vault: TestVault) {
        let app = vault.app("acme").await;
        let id = app.create(generic("main", "CANARY one")).await.unwrap().id;
        app.put(&id, "CANARY two").await.unwrap();
        let stale = v1::PutCredentialRequest {
            connection_id: id.clone(),
            credential: Some(input(&[("token", "CANARY stale")])),
            expected_version: Some(1),
            ..Default::default()
        };
        assert_eq!(refusal(&app.vault().put_credential(stale).await.unwrap_err()), "Aborted VERSION_MISMATCH");
        let rollback = v1::RollbackCredentialRequest { connection_id: id.clone(), version: 1, ..Default::default() };
        let version = app.vault().rollback_credential(rollback).await.unwrap().into_inner().version.unwrap();
        assert_eq!((version.version, version.rolled_back_from, version.current), (3, 1, true));
        assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY one");
        let second = v1::FetchCredentialRequest { version: 2, ..by_id(&id) };
        assert_eq!(app.token(second.clone()).await.unwrap(), "CANARY two");

        let destroy = v1::DestroyCredentialVersionRequest { connection_id: id.clone(), version: 2, ..Default::default() };
        let destroyed = app.vault().destroy_credential_version(destroy).await.unwrap().into_inner().version.unwrap();
        assert_eq!(destroyed.state(), v1::CredentialVersionState::Destroyed);
        assert_eq!(refusal(&app.fetch(second).await.unwrap_err()), "NotFound VERSION_NOT_FOUND");
        let mut list = v1::ListCredentialVersionsRequest { connection_id: id.clone(), page_size: 2, ..Default::default() };
        let mut versions = Vec::new();
        loop {
            let page = app.vault().list_credential_versions(list.clone()).await.unwrap().into_inner();
            versions.extend(page.versions.iter().map(|version| (version.version, version.current)));
            if page.next_page_token.is_empty() {
                break;
            }
            list.page_token = page.next_page_token;
        }
        assert_eq!(versions, [(3, true), (2, false), (1, false)]);
    }

    async fn a_credential_with_a_ttl_is_served_until_then(vault: TestVault) {
        let app = vault.app("acme").await;
        let mut request = generic("main", "unused");
        let ttl = prost_types::Duration { seconds: 30, nanos: 0 };
        request.credential = Some(v1::CredentialInput {
            expiry: Some(v1::credential_input::Expiry::Ttl(ttl)),
            ..input(&[("token", "CANARY short")])
        });
        let id = app.create(request).await.unwrap().id;
        let fetched = app.fetch(by_id(&id)).await.unwrap();
        assert_eq!(fetched.cache_duration.unwrap().seconds, 30, "not longer than it lives");
        vault.clock.advance(Duration::from_secs(30));
        let expired = app.fetch(by_id(&id)).await.unwrap_err();
        assert_eq!(refusal(&expired), "FailedPrecondition CREDENTIAL_EXPIRED");
    }

    async fn a_batch_has_an_outcome_for_each(vault: TestVault) {
        let app = vault.app("acme").await;
        let mut requests = Vec::new();
        for i in 0..20 {
            let id = app.create(generic(&format!("a{i}"), &format!("CANARY {i}"))).await.unwrap().id;
            requests.push(by_id(&id));
        }
        requests.insert(3, by_id("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e"));
        requests.insert(7, by_provider("nobody"));
        requests.insert(9, v1::FetchCredentialRequest::default());
        let batch = v1::BatchFetchCredentialsRequest { requests: requests.clone() };
        let results = app.vault().batch_fetch_credentials(batch).await.unwrap().into_inner().results;
        assert_eq!(results.len(), requests.len());
        let (mut values, mut reasons) = (Vec::new(), Vec::new());
        for result in results {
            match result.outcome.unwrap() {
                v1::batch_fetch_credentials_result::Outcome::Credential(credential) => values.push(credential.fields["token"].clone()),
                v1::batch_fetch_credentials_result::Outcome::Error(error) => reasons.push((error.code, error.reason)),
            }
        }
        assert_eq!(values, (0..20).map(|i| format!("CANARY {i}")).collect::<Vec<_>>());
        let expected = [(Code::NotFound, "CONNECTION_NOT_FOUND"), (Code::NotFound, "PROVIDER_UNKNOWN"), (Code::InvalidArgument, "FIELDS_INVALID")];
        assert_eq!(reasons, expected.map(|(code, reason)| (i32::from(code), reason.to_owned())));
        // Each refusal of it is counted, as if it had been a call.
        let counted = r#"credvault_refusals_total{action="FetchCredential",reason="CONNECTION_NOT_FOUND"} 1"#;
        assert!(vault.metrics().await.contains(counted), "{}", vault.metrics().await);
        // Each fetch of it is on record by itself.
        let events = app.events().await;
        assert_eq!(events.iter().filter(|event| event.action == "FetchCredential").count(), requests.len());
    }

    async fn a_disabled_connection_and_a_suspended_tenant_are_not_served(vault: TestVault) {
        let app = vault.app("acme").await;
        let connection = app.create(generic("main", "CANARY")).await.unwrap();
        let update = |enabled: bool, etag: &str| v1::UpdateConnectionRequest {
            connection: Some(v1::Connection { id: connection.id.clone(), enabled, etag: etag.to_owned(), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
            request_id: String::new(),
        };
        let updated = app.connections().update_connection(update(false, &connection.etag)).await.unwrap().into_inner();
        assert_ne!(updated.connection.unwrap().etag, connection.etag);
        assert_eq!(refusal(&app.fetch(by_id(&connection.id)).await.unwrap_err()), "FailedPrecondition CONNECTION_DISABLED");
        let stale = app.connections().update_connection(update(true, &connection.etag)).await.unwrap_err();
        assert_eq!(refusal(&stale), "Aborted ETAG_MISMATCH");
        app.connections().update_connection(update(true, "")).await.unwrap();

        let operator = vault.client("operator").await;
        let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() };
        operator.admin().suspend_tenant(suspend).await.unwrap();
        let refused = app.fetch(by_id(&connection.id)).await.unwrap_err();
        assert_eq!(refusal(&refused), "FailedPrecondition TENANT_SUSPENDED");
        let listed = app.connections().list_connections(v1::ListConnectionsRequest::default()).await.unwrap_err();
        assert_eq!(refusal(&listed), "FailedPrecondition TENANT_SUSPENDED");
        let resume = v1::ResumeTenantRequest { tenant_id: "acme".into(), ..Default::default() };
        operator.admin().resume_tenant(resume).await.unwrap();
        assert_eq!(app.token(by_id(&connection.id)).await.unwrap(), "CANARY");
    }

    async fn a_connection_is_deleted_undeleted_and_purged(vault: TestVault) {
        let app = vault.app("acme").await;
        let id = app.create(generic("main", "CANARY")).await.unwrap().id;
        let delete = v1::DeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
        let deleted = app.connections().delete_connection(delete.clone()).await.unwrap().into_inner().connection.unwrap();
        let (gone, purge) = (deleted.delete_time.unwrap(), deleted.purge_time.unwrap());
        assert_eq!(purge.seconds - gone.seconds, 30 * 24 * 3600);
        assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
        assert_eq!(refusal(&app.connections().delete_connection(delete.clone()).await.unwrap_err()), "FailedPrecondition STATE_INVALID");
        let undelete = v1::UndeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
        app.connections().undelete_connection(undelete).await.unwrap();
        assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");
        app.connections().delete_connection(delete).await.unwrap();
        let purge = v1::PurgeConnectionRequest { connection_id: id.clone(), ..Default::default() };
        app.connections().purge_connection(purge).await.unwrap();
        let get = v1::GetConnectionRequest { connection_id: id };
        assert_eq!(refusal(&app.connections().get_connection(get).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    }

    async fn users_tenants_and_keys_are_administered(vault: TestVault) {
        let app = vault.app("acme").await;
        vault.tenant("zeta").await;
        for user in ["u1", "u1", "u2"] {
            let account = format!("{user}-{}", app.events().await.len());
            app.create(owned_by(user, generic(&account, "CANARY"))).await.unwrap();
        }
        let operator = vault.client("operator").await;
        let list = v1::ListUsersRequest { tenant_id: "acme".into(), ..Default::default() };
        let users = operator.admin().list_users(list).await.unwrap().into_inner().users;
        assert_eq!(users.iter().map(|user| (user.id.as_str(), user.connection_count)).collect::<Vec<_>>(), [("u1", 2), ("u2", 1)]);
        let delete = v1::DeleteUserRequest { tenant_id: "acme".into(), user_id: "u1".into(), ..Default::default() };
        assert_eq!(operator.admin().delete_user(delete).await.unwrap().into_inner().removed_connections, 2);
        let list = v1::ListTenantsRequest { page_size: 1, ..Default::default() };
        let page = operator.admin().list_tenants(list.clone()).await.unwrap().into_inner();
        assert_eq!(page.tenants[0].id, "acme");
        let next = v1::ListTenantsRequest { page_token: page.next_page_token, ..list };
        assert_eq!(operator.admin().list_tenants(next).await.unwrap().into_inner().tenants[0].id, "zeta");
        let keys = operator.admin().get_key_status(v1::GetKeyStatusRequest { tenant_id: "acme".into() }).await.unwrap().into_inner();
        assert_eq!((keys.tenant_keys.len(), keys.tenant_keys[0].sealed_credentials), (1, 1));
        assert_eq!(keys.root_key.unwrap().source, "file");
        // Only the operator's policy reaches there.
        let refused = app.admin().get_tenant(v1::GetTenantRequest { tenant_id: "acme".into() }).await.unwrap_err();
        assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
        let unknown = operator.admin().get_tenant(v1::GetTenantRequest { tenant_id: "nobody".into() }).await.unwrap_err();
        assert_eq!(refusal(&unknown), "NotFound TENANT_NOT_FOUND");
    }

    async fn the_log_tells_who_did_what(vault: TestVault) {
        let app = vault.app("acme").await.with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let id = app.create(generic("main", "CANARY")).await.unwrap().id;
        app.fetch(by_id(&id)).await.unwrap();
        let reader = vault.client("reader").await.acting_for("acme", None);
        reader.fetch(by_id(&id)).await.unwrap_err();
        let events = app.events().await;
        let told: Vec<_> = events.iter().rev().map(|event| (event.service.rsplit('/').next().unwrap(), event.action.as_str(), event.outcome(), event.reason.as_str())).collect();
        use v1::AuditOutcome::{Denied, Ok};
        assert_eq!(told, [
            ("operator", "CreateTenant", Ok, ""),
            ("app", "CreateConnection", Ok, ""),
            ("app", "FetchCredential", Ok, ""),
            ("reader", "FetchCredential", Denied, "POLICY_DENIED"),
        ]);
        let fetch = &events[1];
        assert_eq!((fetch.connection_id.as_str(), fetch.provider.as_str(), fetch.tenant_source.as_str()), (id.as_str(), "generic", "header"));
        assert_eq!((fetch.trace_id.as_str(), fetch.source_address.as_str()), ("0af7651916cd43dd8448eb211c80319c", "127.0.0.1"));
        let summary = v1::SummarizeAuditEventsRequest {
            group_by: vec![v1::AuditGroup::Action.into(), v1::AuditGroup::Outcome.into()],
            filter: Some(v1::AuditFilter { connection_id: id, ..Default::default() }),
        };
        let rows = app.audit().summarize_audit_events(summary).await.unwrap().into_inner().summaries;
        let mut rows: Vec<_> = rows.iter().map(|row| (row.keys.join(" "), row.count)).collect();
        rows.sort();
        assert_eq!(rows, [("CreateConnection OK".to_owned(), 1), ("FetchCredential OK".to_owned(), 1)]);
    }

    async fn the_catalog_is_listed_with_schemas(vault: TestVault) {
        let app = vault.client("app").await.acting_for("acme", None);
        let mut request = v1::ListProvidersRequest { page_size: 5, ..Default::default() };
        let mut ids = Vec::new();
        loop {
            let page = app.connections().list_providers(request.clone()).await.unwrap().into_inner();
            ids.extend(page.providers.into_iter().map(|provider| provider.id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert!(ids.is_sorted() && ids.len() == 29, "{ids:?}");
        let request = v1::GetProviderRequest { provider: "woocommerce".into() };
        let provider = app.connections().get_provider(request).await.unwrap().into_inner().provider.unwrap();
        let schema = format!("{:?}", provider.auth_modes[0].credential_schema);
        let consents: Vec<_> = provider.auth_modes.iter().filter(|mode| mode.consent).map(|mode| mode.name.as_str()).collect();
        assert_eq!(consents, ["key_pair"]);
        assert!(schema.contains("writeOnly") && schema.contains("consumer_secret"), "{schema}");
    }
}
