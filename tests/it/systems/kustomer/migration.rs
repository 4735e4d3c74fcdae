//! "Migration from API Key Integration", "API Reference" and "Ready for Production!": what was stored moves in, keys and
//! grants stand side by side, and no user has to change at once.

use credvault_domain::Clock as _;
use credvault_proto::v1;
use serde_json::json;

use super::{
    REDIRECTS, accounts, connect, disconnected, get, import, organisation, refreshed, register, service,
    started, switched, tested, user,
};
use crate::harness::provider::Connected;
use crate::harness::{Client, VaultBuilder, by_id, by_provider, input, refusal};
use crate::on_both;

on_both![keys_and_grants_move_in_and_stand_side_by_side];

/// "Migration from API Key Integration": "If you have existing API key users".
async fn keys_and_grants_move_in_and_stand_side_by_side(builder: VaultBuilder) {
    let connected = started(builder).await;
    register(&connected, REDIRECTS[0]).await;
    the_table_moves_in(&connected).await;
    existing_connections_continue(&connected).await;
    let (u1, u3) = (user(&connected, "u1").await, user(&connected, "u3").await);
    a_key_remains_an_option(&connected, &u3).await;
    a_user_migrates_when_they_want(&u1).await;
    the_service_methods_have_their_calls(&connected, &u1).await;
    everything_is_there_after_a_restart(connected).await;
}

/// The rows of `user_kustomer_connections`: tokens under the document's ENCRYPTION_KEY, a key, and tokens in the clear,
/// because that key was "Optional".
fn rows(connected: &Connected) -> String {
    let stored = include_str!("../../../../crates/credvault-import/tests/vectors/kustomer.jsonl");
    let stored = stored.replace("2026-11-26T18:00:00Z", "2099-01-01T00:00:00Z");
    let tokens = connected.provider.issue("Gamma", &["customers:read"]);
    let expires = connected.vault.clock.now().seconds() + 3600;
    let live = json!({
        "id": "k3", "user_id": "u2", "organization_name": "Gamma", "subdomain": "gamma", "is_current": true,
        "access_token": tokens.access_token, "refresh_token": tokens.refresh_token, "token_expires_at": expires,
    });
    format!("{}\n{live}\n", stored.trim_end())
}

async fn the_table_moves_in(connected: &Connected) {
    let vault = &connected.vault;
    vault.write("connections.jsonl", &rows(connected));
    let arguments = ["kustomer", "--from", "connections.jsonl", "--tenant", "acme", "--plain"];
    // Tried first, then done, and harmless a second time.
    let counts = import(vault, "app", &[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!((&counts["created"], vault.count("connections").await), (&json!(3), 0), "{counts}");
    for outcome in ["created", "unchanged"] {
        let counts = import(vault, "app", &arguments).await;
        assert_eq!((&counts[outcome], &counts["refused"]), (&json!(3), &json!(0)), "{counts}");
    }
    // What stood in the clear there, or under a key beside it, is sealed here.
    for secret in ["CANARY access", "CANARY refresh", "eyJCANARY", "sim_access_", "sim_refresh_"] {
        assert_eq!(vault.found_in(secret).await, None, "{secret}");
    }
}

/// "Data preservation": "Existing connections continue working".
async fn existing_connections_continue(connected: &Connected) {
    let (u1, u2) = (service(connected, "u1").await, service(connected, "u2").await);
    let key = u1.fetch(by_provider("kustomer")).await.unwrap();
    assert_eq!((key.account_name.as_str(), key.auth_mode.as_str()), ("Beta", "api_key"), "the current one");
    assert_eq!(key.request_auth.unwrap().headers["Authorization"], "Bearer eyJCANARY");
    let named = v1::FetchCredentialRequest { account_name: "Acme".into(), ..by_provider("kustomer") };
    let sealed = u1.fetch(named).await.unwrap();
    assert_eq!(sealed.fields["access_token"], "CANARY access");
    assert!(!sealed.fields.contains_key("refresh_token"));
    // A grant that moved in is the vault's to renew, with the same app.
    let gamma = u2.fetch(by_provider("kustomer")).await.unwrap();
    assert!(connected.accepts(&gamma).await);
    refreshed(&u2, &gamma.connection_id).await.unwrap();
    let renewed = u2.fetch(by_provider("kustomer")).await.unwrap();
    assert_ne!(renewed.fields["access_token"], gamma.fields["access_token"]);
    assert!(connected.accepts(&renewed).await);
}

/// "Keep API key option", and what `/api/kustomer/test-connection.js` did with a key.
async fn a_key_remains_an_option(connected: &Connected, u3: &Client) {
    let key = connected.provider.issue("Delta", &[]).access_token;
    let request = v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(input(&[("api_key", &key)])),
        ..organisation("Delta")
    };
    let id = u3.create(request).await.unwrap().id;
    let test = tested(u3, &id).await;
    assert_eq!((test.outcome(), test.external_account_id.as_str()), (v1::TestOutcome::Works, "Delta"));
    // A key that Kustomer does not know replaces none.
    let wrong = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&[("api_key", "eyJCANARY-wrong")])),
        verify: true,
        ..Default::default()
    };
    let refused = u3.vault().put_credential(wrong).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
    assert_eq!(u3.fetch(by_id(&id)).await.unwrap().fields["api_key"], key);
}

/// "Gradual migration": the grant stands beside the key, and the key goes when the user says so.
async fn a_user_migrates_when_they_want(u1: &Client) {
    let key = u1.fetch(by_provider("kustomer")).await.unwrap().connection_id;
    let renamed = v1::UpdateConnectionRequest {
        connection: Some(v1::Connection {
            id: key.clone(),
            account_name: "Beta (key)".into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["account_name".into()] }),
        ..Default::default()
    };
    u1.connections().update_connection(renamed).await.unwrap();
    let grant = connect(u1, "Beta").await;
    assert_eq!(u1.fetch(by_provider("kustomer")).await.unwrap().auth_mode, "api_key");
    assert_eq!(switched(u1, &grant.id).await, "Beta");
    assert_eq!(u1.fetch(by_id(&key)).await.unwrap().fields["api_key"], "eyJCANARY");
    // "User education": what the key lacks shows. It does not renew itself, and the provider cannot be told to end it.
    let renewals = [get(u1, &grant.id).await, get(u1, &key).await].map(|one| one.health.unwrap().renewal());
    assert_eq!(renewals, [v1::Renewal::RenewsItself, v1::Renewal::NeverEnds]);
    assert_eq!(disconnected(u1, &key).await.revocation(), v1::Revocation::Unsupported);
    let gone = u1.fetch(by_id(&key)).await.unwrap_err();
    assert_eq!(refusal(&gone), "NotFound CREDENTIAL_NOT_CONFIGURED");
}

/// "API Reference": "Service Methods".
async fn the_service_methods_have_their_calls(connected: &Connected, u1: &Client) {
    // `initialize(user)`: the verified user of each call. `getUserConnections(userId)`.
    let mut connections = accounts(u1).await;
    connections.sort();
    assert_eq!(connections, ["Acme", "Beta", "Beta (key)"]);
    // `isConnected()`.
    let request = v1::ListConnectionsRequest {
        provider: "kustomer".into(),
        state: v1::ConnectionState::Connected.into(),
        ..Default::default()
    };
    let working = u1.connections().list_connections(request).await.unwrap().into_inner().connections;
    let named = |name: &str| working.iter().find(|one| one.account_name == name).unwrap().id.clone();
    assert_eq!(working.len(), 2);
    // `switchConnection(connectionId)`.
    assert_eq!(switched(u1, &named("Acme")).await, "Acme");
    assert_eq!(switched(u1, &named("Beta")).await, "Beta");
    // `findCustomer(email)`, `createConversation(customerId)`: requests with what the fetch gives, ready to use.
    let credential = u1.fetch(by_provider("kustomer")).await.unwrap();
    assert!(credential.request_auth.as_ref().unwrap().missing.is_empty());
    assert!(connected.accepts(&credential).await);
}

/// "Ready for Production!": nothing of it was in one process's memory. Its list is shown elsewhere: "Enterprise-grade
/// security" and "Multi-tenant architecture" by `oversight`, "User-friendly authentication" by `setup`, "Complete audit
/// trails" by `oversight`, "Real-time synchronization" and "Comprehensive analytics" by `requests`.
async fn everything_is_there_after_a_restart(mut connected: Connected) {
    connected.vault.stop().await;
    connected.vault.start().await;
    for (id, name) in [("u1", "Beta"), ("u2", "Gamma")] {
        let credential = user(&connected, id).await.fetch(by_provider("kustomer")).await.unwrap();
        assert_eq!(credential.account_name, name);
        assert!(connected.accepts(&credential).await);
    }
}
