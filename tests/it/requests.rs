//! Requests made twice have one effect, also across a restart; pages and their tokens.

use credvault_proto::v1;

use crate::harness::{VaultBuilder, by_id, generic, input, refusal};
use crate::on_both;

const REQUEST: &str = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";
const OTHER: &str = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d70";

on_both![
    a_request_repeated_after_a_restart_has_one_effect,
    a_request_id_is_one_of_its_user,
    a_purge_can_be_repeated,
    page_tokens_fit_their_tenant_and_query_only,
];

async fn a_request_repeated_after_a_restart_has_one_effect(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let app = vault.app("acme").await;
    let create = v1::CreateConnectionRequest { request_id: REQUEST.into(), ..generic("main", "CANARY one") };
    let first = app.create(create.clone()).await.unwrap();
    let put = v1::PutCredentialRequest {
        connection_id: first.id.clone(),
        credential: Some(input(&[
            ("a", "CANARY"),
            ("b", "CANARY"),
            ("c", "CANARY"),
            ("token", "CANARY two"),
        ])),
        request_id: "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6f".into(),
        verify: false,
        config: None,
        reference: None,
        expected_version: Some(1),
    };
    app.vault().put_credential(put.clone()).await.unwrap();
    vault.stop().await;
    vault.start().await;
    let app = vault.app("acme").await;
    assert_eq!(app.create(create.clone()).await.unwrap().id, first.id);
    let again = app.vault().put_credential(put).await.unwrap().into_inner().version.unwrap();
    assert_eq!(again.version, 2);
    assert!(again.current);
    assert_eq!(app.token(by_id(&first.id)).await.unwrap(), "CANARY two");
    let other = v1::CreateConnectionRequest { account_name: "other".into(), ..create };
    assert_eq!(refusal(&app.create(other).await.unwrap_err()), "InvalidArgument FIELDS_INVALID");
    // The id belongs to the service that used it.
    let portal = vault.client("portal").await.acting_for("acme", None);
    let mine = v1::CreateConnectionRequest { request_id: REQUEST.into(), ..generic("portal's", "CANARY") };
    assert!(portal.create(mine).await.is_ok());
}

async fn a_request_id_is_one_of_its_user(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let portal = vault.client("portal").await;
    let mut made = std::collections::BTreeSet::new();
    // Two users of one service, no user, and the same of another service.
    for service in [&app, &portal] {
        for user in [Some("u1"), Some("u2"), None] {
            let client = service.acting_for("acme", user);
            let create = v1::CreateConnectionRequest {
                request_id: REQUEST.into(),
                owner: None,
                ..generic(&format!("a{}", made.len()), "CANARY")
            };
            let first = client.create(create.clone()).await.unwrap();
            assert_eq!(client.create(create).await.unwrap().id, first.id);
            assert_eq!(first.owner.unwrap().user_id, user.unwrap_or_default());
            assert!(made.insert(first.id));
        }
    }
    assert_eq!(vault.count("requests").await, 6);
}

async fn a_purge_can_be_repeated(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    // Policies that look at what is purged have nothing to look at any more.
    let narrow = "permit (principal == Service::\"spiffe://test.local/cleaner\", action == Action::\"AssertTenant\", resource);
            permit (principal == Service::\"spiffe://test.local/cleaner\", action == Action::\"PurgeConnection\", resource)
            when { context.owner == \"tenant\" && context.provider == \"generic\" };";
    vault.write("policies.cedar", &format!("{}\n{narrow}", crate::harness::POLICIES));
    let cleaner = vault.client("cleaner").await.acting_for("acme", None);
    let unknown = v1::PurgeConnectionRequest { connection_id: OTHER.into(), ..Default::default() };
    crate::harness::eventually("the new policies", || async {
        let answer = cleaner.connections().purge_connection(unknown.clone()).await.unwrap_err();
        refusal(&answer) == "NotFound CONNECTION_NOT_FOUND"
    })
    .await;
    for client in [&app, &cleaner] {
        let id = app.create(generic("main", "CANARY")).await.unwrap().id;
        let delete = v1::DeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
        app.connections().delete_connection(delete).await.unwrap();
        let purge = v1::PurgeConnectionRequest {
            connection_id: id.clone(),
            request_id: REQUEST.into(),
            ..Default::default()
        };
        client.connections().purge_connection(purge.clone()).await.unwrap();
        client.connections().purge_connection(purge).await.unwrap();
        let another =
            v1::PurgeConnectionRequest { connection_id: id, request_id: OTHER.into(), ..Default::default() };
        let gone = client.connections().purge_connection(another).await.unwrap_err();
        assert_eq!(refusal(&gone), "NotFound CONNECTION_NOT_FOUND");
    }
}

async fn page_tokens_fit_their_tenant_and_query_only(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let other = vault.app("other").await;
    for i in 0..3 {
        app.create(generic(&format!("a{i}"), "CANARY")).await.unwrap();
        other.create(generic(&format!("a{i}"), "CANARY")).await.unwrap();
    }
    let list = v1::ListConnectionsRequest { page_size: 1, ..Default::default() };
    let first = app.connections().list_connections(list.clone()).await.unwrap().into_inner();
    let next = v1::ListConnectionsRequest { page_token: first.next_page_token.clone(), ..list.clone() };
    let second = app.connections().list_connections(next.clone()).await.unwrap().into_inner();
    assert_eq!(second.connections[0].account_name, "a1");
    // The size may change from page to page; whose list it is, and what is listed, may not.
    let larger = v1::ListConnectionsRequest { page_size: 1_000_000, ..next.clone() };
    assert_eq!(app.connections().list_connections(larger).await.unwrap().into_inner().connections.len(), 2);
    let filtered = v1::ListConnectionsRequest { provider: "generic".into(), ..next.clone() };
    let mut token = next.page_token.clone();
    let last = if token.pop() == Some('A') { 'E' } else { 'A' };
    let altered = v1::ListConnectionsRequest { page_token: format!("{token}{last}"), ..next.clone() };
    for (client, request) in [
        (&other, &next),
        (&app, &filtered),
        (&app, &altered),
        (&app, &v1::ListConnectionsRequest { page_token: "x".into(), ..next.clone() }),
    ] {
        let refused = client.connections().list_connections(request.clone()).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument PAGE_TOKEN_INVALID");
    }
}
