//! Erasing tenants over the wire: tokens, what callers read afterwards, and the id that stays used. The commands, dumps of
//! the database and a killed vault have files of their own; what is left in the database is tested in the store.

mod commands;
pub mod dumps;
mod killed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use credvault_proto::v1;
use tonic::Status;

use crate::harness::{Client, TestVault, VaultBuilder, by_id, by_provider, eventually, generic, refusal};
use crate::on_both;

on_both![
    a_token_confirms_once_for_its_caller_and_refusals_are_on_record,
    an_erased_tenant_is_not_found_by_any_call_and_its_id_stays_used,
    a_load_ends_with_not_found_on_every_replica_and_others_are_served,
];

async fn erase(client: &Client, token: &str) -> Result<v1::EraseTenantResponse, Status> {
    let request = v1::EraseTenantRequest { tenant_id: "acme".into(), confirmation_token: token.to_owned() };
    Ok(client.admin().erase_tenant(request).await?.into_inner())
}

async fn asked(client: &Client) -> String {
    let answer = erase(client, "").await.unwrap();
    assert!(answer.erasure.is_none() && answer.content.is_some());
    answer.confirmation_token
}

async fn erased(client: &Client) -> v1::Erasure {
    let token = asked(client).await;
    erase(client, &token).await.unwrap().erasure.unwrap()
}

async fn get(client: &Client) -> Result<v1::Erasure, Status> {
    let request = v1::GetErasureRequest { tenant_id: "acme".into() };
    Ok(client.admin().get_erasure(request).await?.into_inner().erasure.unwrap())
}

async fn refused(client: &Client, token: &str) -> String {
    refusal(&erase(client, token).await.unwrap_err())
}

async fn a_token_confirms_once_for_its_caller_and_refusals_are_on_record(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let operator = vault.client("operator").await;
    let another = vault.client("acme-admin").await;
    assert_eq!(refused(&app, "").await, "PermissionDenied POLICY_DENIED");
    assert_eq!(refused(&operator, "CANARY").await, "FailedPrecondition CONFIRMATION_INVALID");
    let old = asked(&operator).await;
    let newest = asked(&operator).await;
    assert_eq!(refused(&operator, &old).await, "FailedPrecondition CONFIRMATION_INVALID");
    assert_eq!(refused(&another, &newest).await, "FailedPrecondition CONFIRMATION_INVALID");
    vault.clock.advance(Duration::from_secs(601));
    assert_eq!(refused(&operator, &newest).await, "FailedPrecondition CONFIRMATION_EXPIRED");
    assert_eq!(refusal(&get(&operator).await.unwrap_err()), "NotFound ERASURE_NOT_FOUND");
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY", "nothing was changed");

    let token = asked(&another).await;
    let erasure = erase(&another, &token).await.unwrap().erasure.unwrap();
    assert_eq!(erasure.service, "spiffe://test.local/acme-admin");
    assert_eq!(refused(&another, &token).await, "FailedPrecondition CONFIRMATION_INVALID");
    assert_eq!(refused(&another, "").await, "NotFound TENANT_NOT_FOUND");

    let told: Vec<_> = operator
        .events()
        .await
        .into_iter()
        .rev()
        .filter(|event| event.action == "EraseTenant")
        // What policy refuses is refused before the request is read.
        .inspect(|event| {
            let named = event.changed_fields.first().map(String::as_str);
            assert!(event.reason == "POLICY_DENIED" || named == Some("tenants/acme"), "{event:?}");
        })
        .map(|event| match event.reason.as_str() {
            "" => event.changed_fields[1].clone(),
            reason => reason.to_owned(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "POLICY_DENIED",
            "CONFIRMATION_INVALID",
            "erasure.requested",
            "erasure.requested",
            "CONFIRMATION_INVALID",
            "CONFIRMATION_INVALID",
            "CONFIRMATION_EXPIRED",
            "erasure.requested",
            "erasure.confirmed",
            "erasure.finished",
            "CONFIRMATION_INVALID",
            "TENANT_NOT_FOUND",
        ]
    );
}

async fn an_erased_tenant_is_not_found_by_any_call_and_its_id_stays_used(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let other = vault.app("other").await;
    let of_other = other.create(generic("main", "CANARY other")).await.unwrap().id;
    let operator = vault.client("operator").await;
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "FailedPrecondition TENANT_SUSPENDED");
    // A suspended tenant can be erased, too.
    let erasure = erased(&operator).await;
    assert_eq!(erasure.content.unwrap().connections, 1);

    nothing_is_found(&vault, &id).await;
    vault.stop().await;
    vault.start().await;
    nothing_is_found(&vault, &id).await;
    let other = vault.client("app").await.acting_for("other", None);
    assert_eq!(other.token(by_id(&of_other)).await.unwrap(), "CANARY other");
    let operator = vault.client("operator").await;
    let tenants =
        operator.admin().list_tenants(v1::ListTenantsRequest::default()).await.unwrap().into_inner();
    assert_eq!(tenants.tenants.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>(), ["other"]);
    let listed =
        operator.admin().list_erasures(v1::ListErasuresRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.erasures, [get(&operator).await.unwrap()]);
}

/// Every kind of call for the tenant answers as for one that never was; and the id is not given away again.
async fn nothing_is_found(vault: &TestVault, id: &str) {
    let not_found = "NotFound TENANT_NOT_FOUND";
    let app = vault.client("app").await.acting_for("acme", None);
    let operator = vault.client("operator").await;
    let tenant_id = || "acme".to_owned();
    let get_tenant = v1::GetTenantRequest { tenant_id: tenant_id() };
    let resume = v1::ResumeTenantRequest { tenant_id: tenant_id(), ..Default::default() };
    let keys = v1::GetKeyStatusRequest { tenant_id: tenant_id() };
    let limits = v1::GetTenantLimitsRequest { tenant_id: tenant_id() };
    let users = v1::ListUsersRequest { tenant_id: tenant_id(), ..Default::default() };
    let statuses = [
        app.fetch(by_id(id)).await.unwrap_err(),
        app.fetch(by_provider("generic")).await.unwrap_err(),
        app.create(generic("again", "CANARY")).await.unwrap_err(),
        app.put(id, "CANARY").await.unwrap_err(),
        app.connections().list_connections(v1::ListConnectionsRequest::default()).await.unwrap_err(),
        app.audit().list_audit_events(v1::ListAuditEventsRequest::default()).await.unwrap_err(),
        operator.admin().get_tenant(get_tenant).await.unwrap_err(),
        operator.admin().resume_tenant(resume).await.unwrap_err(),
        operator.admin().get_key_status(keys).await.unwrap_err(),
        operator.admin().get_tenant_limits(limits).await.unwrap_err(),
        operator.admin().list_users(users).await.unwrap_err(),
    ];
    for (index, status) in statuses.iter().enumerate() {
        assert_eq!(refusal(status), not_found, "{index}");
    }
    let create = v1::CreateTenantRequest { tenant_id: tenant_id(), ..Default::default() };
    let created = operator.admin().create_tenant(create).await.unwrap_err();
    assert_eq!(refusal(&created), "AlreadyExists TENANT_ERASED");
}

/// Callers that fetch without a pause.
#[derive(Clone, Default)]
struct Load {
    is_erased: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    not_found: Arc<AtomicU64>,
}

impl Load {
    /// Fetches of the tenant that is erased: served before, not found after, and nothing else in between.
    async fn fetch_erased(self, client: Client, id: String) {
        while !self.stop.load(Ordering::SeqCst) {
            let is_erased = self.is_erased.load(Ordering::SeqCst);
            match client.token(by_id(&id)).await {
                Ok(secret) => {
                    assert_eq!((secret.as_str(), is_erased), ("CANARY", false));
                    self.served.fetch_add(1, Ordering::SeqCst);
                }
                Err(status) => {
                    assert_eq!(refusal(&status), "NotFound TENANT_NOT_FOUND");
                    self.not_found.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    async fn fetch_other(self, client: Client, id: String) {
        while !self.stop.load(Ordering::SeqCst) {
            assert_eq!(client.token(by_id(&id)).await.unwrap(), "CANARY other");
        }
    }
}

async fn a_load_ends_with_not_found_on_every_replica_and_others_are_served(builder: VaultBuilder) {
    let mut vault = builder.store_timeouts(Duration::from_secs(60)).start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let of_other = vault.app("other").await.create(generic("main", "CANARY other")).await.unwrap().id;
    let (mut clients, mut others) = (vec![vault.client("app").await], Vec::new());
    // SQLite serves one process.
    let more = if vault.database.is_some() { 2 } else { 0 };
    for _ in 0..more {
        others.push(vault.instance.take().unwrap());
        vault.start().await;
        clients.push(vault.client("app").await);
    }
    let (load, mut tasks) = (Load::default(), Vec::new());
    for client in &clients {
        let acme = client.acting_for("acme", None);
        tasks.push(tokio::spawn(load.clone().fetch_erased(acme, id.clone())));
        let other = client.acting_for("other", None);
        tasks.push(tokio::spawn(load.clone().fetch_other(other, of_other.clone())));
    }
    let count = |counted: &Arc<AtomicU64>| counted.load(Ordering::SeqCst);
    eventually("fetches", || async { count(&load.served) > 50 }).await;
    let operator = vault.client("operator").await;
    let erasure = erased(&operator).await;
    load.is_erased.store(true, Ordering::SeqCst);
    assert!(erasure.confirm_time.is_some());
    eventually("refusals", || async { count(&load.not_found) > 50 }).await;
    load.stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    for other in others {
        other.stop().await;
    }
}
