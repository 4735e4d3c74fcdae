//! "API Request Flow" to "For End Users", and the "Monitoring Dashboard": a chat needs Kustomer, gets a fresh token, is
//! counted and synchronised; a user has several organisations and chooses what they may be used for.

use std::time::Duration;

use credvault_proto::v1;

use super::{
    REDIRECTS, SCOPES, SESSION, accounts, connect, disconnected, get, organisation, register, report,
    service, started, switched, usage, user,
};
use crate::harness::provider::{Connected, complete, decide};
use crate::harness::{Client, VaultBuilder, by_id, by_provider, refusal};
use crate::on_both;

on_both![a_chat_gets_fresh_tokens_and_is_counted, a_user_has_several_organisations_of_which_one_is_current];

/// The section "API Request Flow", step by step.
async fn a_chat_gets_fresh_tokens_and_is_counted(builder: VaultBuilder) {
    let connected = started(builder).await;
    register(&connected, REDIRECTS[0]).await;
    let ann = user(&connected, "ann").await;
    connected.provider.behave(|behaviour| behaviour.access_token_seconds = 600);
    let id = connect(&ann, "Acme").await.id;
    connected.provider.behave(|behaviour| behaviour.access_token_seconds = 3600);
    let service = service(&connected, "ann").await;
    many_chats_share_one_refresh(&connected, &service).await;
    usage_is_tracked(&ann, &service, &id).await;
    chats_are_synchronised(&ann, &service, &id).await;
}

async fn many_chats_share_one_refresh(connected: &Connected, service: &Client) {
    // "Chat interaction occurs"; "Service loads user connection": by user and provider, in one call.
    connected.vault.clock.advance(Duration::from_secs(601));
    let fetches = (0..20).map(|_| service.fetch(by_provider("kustomer")));
    let fetched: Vec<_> = futures::future::join_all(fetches).await.into_iter().map(Result::unwrap).collect();
    // "Token validation", "Auto-refresh if needed", "Automatic token refresh": exactly once for all of them.
    assert_eq!(connected.provider.counts().refreshes, 1);
    assert!(fetched.iter().all(|one| one.tag == fetched[0].tag));
    // "API request made": "Uses fresh token". The service never gets the refresh token.
    assert!(connected.accepts(&fetched[0]).await);
    assert!(!fetched[0].fields.contains_key("refresh_token"));
    // Kustomer says 401 to it nevertheless: the token is renewed, and the late ones get what is newer.
    let rejected =
        v1::FetchCredentialRequest { rejected_tag: fetched[0].tag.clone(), ..by_provider("kustomer") };
    for expected in [v1::RejectionOutcome::Renewed, v1::RejectionOutcome::Superseded] {
        let renewed = service.fetch(rejected.clone()).await.unwrap();
        assert_eq!(renewed.rejection.as_ref().unwrap().outcome(), expected);
        assert!(connected.accepts(&renewed).await);
    }
    assert_eq!((connected.provider.counts().refreshes, connected.provider.counts().reuses_detected), (2, 0));
}

/// "Usage tracked", "Usage analytics", and `user_kustomer_api_usage`.
async fn usage_is_tracked(ann: &Client, service: &Client, id: &str) {
    let items = [("customers", [400, 4, 1]), ("conversations", [850, 8, 2])];
    // A batch that is sent again counts once.
    assert!(!report(service, 1, id, &items).await);
    assert!(report(service, 1, id, &items).await);
    // "Monitoring Dashboard": the document's own numbers, for the user who asks.
    let stats = usage(ann, v1::UsageGroup::Endpoint).await;
    let total = stats.total.unwrap();
    assert_eq!((total.calls, total.errors, total.rate_limit_hits), (1250, 12, 3));
    let rows = stats.rows.iter().filter(|row| !row.endpoint.is_empty());
    let by_endpoint: Vec<_> = rows.map(|row| (row.endpoint.as_str(), row.counts.unwrap().calls)).collect();
    assert_eq!(by_endpoint, [("conversations", 850), ("customers", 400)]);
    // "Integration Features", "Feature Usage": what is done with Kustomer shows by its endpoints. "Customer Lookup",
    // "Conversation Sync", "Ticket Creation", "Auto Assignment".
    let features = [("messages", [7, 0, 0]), ("notes", [3, 0, 0]), ("teams", [2, 0, 0])];
    assert!(!report(service, 2, id, &features).await);
    assert_eq!(usage(ann, v1::UsageGroup::Endpoint).await.total.unwrap().calls, 1262);
}

/// "Data Synchronization", "Real-time sync", and `user_kustomer_synced_conversations`.
async fn chats_are_synchronised(ann: &Client, service: &Client, id: &str) {
    let report = |resource: &str, status: v1::SyncStatus| v1::ReportSyncRequest {
        connection_id: id.to_owned(),
        resource: resource.to_owned(),
        status: status.into(),
        ..Default::default()
    };
    // Each of "Customer lookup", "Conversation creation" and "Team assignment" goes on where it ended.
    for resource in ["customers", "conversations", "teams"] {
        let first =
            v1::ReportSyncRequest { expected_revision: Some(0), ..report(resource, v1::SyncStatus::Running) };
        service.connections().report_sync(first.clone()).await.unwrap();
        let late = service.connections().report_sync(first).await.unwrap_err();
        assert_eq!(refusal(&late), "Aborted VERSION_MISMATCH", "two workers do not sync the same");
        let done = v1::ReportSyncRequest {
            cursor: Some("message-17".into()),
            items_synced: 17,
            ..report(resource, v1::SyncStatus::Ok)
        };
        service.connections().report_sync(done).await.unwrap();
    }
    let shown = get(ann, id).await;
    assert!(shown.last_synced_time.is_some());
    assert_eq!(shown.sync_states.len(), 3);
    assert!(shown.sync_states.iter().all(|state| (state.revision, state.items_synced) == (2, 17)));
}

/// "Configuration Options", and "User Experience" with "For End Users".
async fn a_user_has_several_organisations_of_which_one_is_current(builder: VaultBuilder) {
    let connected = started(builder).await;
    register(&connected, REDIRECTS[0]).await;
    let (ann, ben) = (user(&connected, "ann").await, user(&connected, "ben").await);
    // "Simple Setup", "No API Keys". "OAuth Scopes Available": all of them unless others are named.
    let acme = connect(&ann, "Acme").await;
    for scope in SCOPES {
        assert!(acme.scopes_granted.iter().any(|granted| granted == scope), "{scope}");
    }
    // "Granular permissions": what is not asked for is not granted.
    let beta = with_one_scope(&ann, "Beta").await;
    assert_eq!(beta.scopes_asked, ["customers:read", "offline_access"]);
    assert!(!beta.scopes_granted.iter().any(|scope| scope == "customers:write"), "{beta:?}");
    // "Multiple accounts", "Multiple Accounts", "Multiple Organizations": one is current, and another may be.
    assert!(acme.default && !beta.default);
    assert_eq!(ann.fetch(by_provider("kustomer")).await.unwrap().account_name, "Acme");
    assert_eq!(switched(&ann, &beta.id).await, "Beta");
    let named = v1::FetchCredentialRequest { account_name: "Acme".into(), ..by_provider("kustomer") };
    assert!(connected.accepts(&ann.fetch(named).await.unwrap()).await);
    // "Personal Data".
    assert_eq!((accounts(&ann).await.len(), accounts(&ben).await.len()), (2, 0));
    let foreign = ben.fetch(by_id(&acme.id)).await.unwrap_err();
    assert_eq!(refusal(&foreign), "NotFound CONNECTION_NOT_FOUND");
    // "Easy Management", "Easy disconnect": the token is destroyed here, and the other connection stays. Kustomer has no
    // call that revokes a token, so the caller learns at once, and later, that the owner has to remove the app there.
    let gone = disconnected(&ann, &beta.id).await;
    let unsupported = (v1::ConnectionState::Disconnected, v1::Revocation::Unsupported);
    assert_eq!((gone.state(), gone.revocation()), unsupported);
    let shown = get(&ann, &beta.id).await;
    assert_eq!((shown.state(), shown.revocation()), unsupported);
    assert!(!connected.provider.families().iter().any(|family| family.revoked), "Kustomer was asked nothing");
    let ended = ann.fetch(by_id(&beta.id)).await.unwrap_err();
    assert_eq!(refusal(&ended), "NotFound CREDENTIAL_NOT_CONFIGURED");
    assert_eq!(switched(&ann, &acme.id).await, "Acme");
}

/// A connection that may only read customers.
async fn with_one_scope(user: &Client, name: &str) -> v1::Connection {
    let request = v1::BeginAuthorizationRequest {
        connection_id: user.create(organisation(name)).await.unwrap().id,
        scopes: vec!["customers:read".into()],
        session: SESSION.into(),
        ..Default::default()
    };
    let begun = user.connections().begin_authorization(request).await.unwrap().into_inner();
    let back = decide(&begun.authorization_url, name, "allow").await;
    complete(user, &back, SESSION).await.unwrap()
}
