//! What a page shows and does: the user's own and shared connections only, within its session, and on record as the user's.

use credvault_domain::{ConnectAction, ConnectionId, Revocation};
use credvault_operations::Refusal;
use credvault_operations::connect::{Entry, Visit};
use credvault_proto::v1;
use secrecy::SecretString;

use super::{Page, acting, entry, opened, reason, request};
use crate::harness::provider::STRICT;
use crate::harness::{Client, VaultBuilder, by_id, generic, owned_by};
use crate::on_both;

on_both![
    a_page_shows_its_users_and_shared_connections_only,
    a_page_does_what_its_session_permits_and_no_more,
    a_key_is_added_if_the_provider_accepts_it,
    what_a_page_does_is_on_record_as_the_users,
    policy_is_asked_about_each_request_of_a_page,
];

async fn id_of(client: &Client, request: v1::CreateConnectionRequest) -> ConnectionId {
    client.create(request).await.unwrap().id.parse().unwrap()
}

fn permitting(actions: &[v1::ConnectAction]) -> v1::CreateConnectSessionRequest {
    v1::CreateConnectSessionRequest {
        actions: actions.iter().map(|action| (*action).into()).collect(),
        ..request()
    }
}

/// The answer to a look at a connection, without what differs.
async fn looked(visit: &Visit, id: ConnectionId) -> String {
    let looked = visit.consequences(id, ConnectAction::Disconnect).await;
    format!("{:?}", looked.map(drop).map_err(|refusal| refusal.to_string())).replace(&id.to_string(), "ID")
}

async fn a_page_shows_its_users_and_shared_connections_only(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let vault = &connected.vault;
    // The app may reach the connections of all users; its page may not.
    let app = acting(vault, "u1").await;
    let mine = id_of(&app, owned_by("u1", generic("mine", "CANARY"))).await;
    let theirs = id_of(&app, owned_by("u2", generic("theirs", "CANARY"))).await;
    let shared = id_of(&app, generic("shared", "CANARY")).await;
    let elsewhere = id_of(&vault.app("other").await, generic("elsewhere", "CANARY")).await;
    let page = opened(vault, "u1", request()).await;
    let accounts = page.accounts().await;
    assert_eq!(accounts.keys().collect::<Vec<_>>(), ["mine", "shared"]);
    // No form has fields for secrets that the provider's file does not name.
    assert_eq!(accounts["mine"], ["rename", "disconnect", "remove"]);
    assert!(accounts["shared"].is_empty(), "{accounts:?}");
    let visit = page.visit().await.unwrap();
    let unknown = looked(&visit, "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".parse().unwrap()).await;
    assert!(unknown.contains("no such connection"), "{unknown}");
    for foreign in [theirs, elsewhere] {
        assert_eq!(looked(&visit, foreign).await, unknown);
        let changes = page.changes().await;
        for outcome in [
            changes.rename(foreign, "x").await,
            changes.set_default(foreign).await,
            changes.test(foreign).await.map(drop),
            changes.disconnect(foreign).await.map(drop),
            changes.remove(foreign).await.map(drop),
            changes.reconnect(foreign, Default::default()).await.map(drop),
            visit.reconnect_form(foreign).await.map(drop),
        ] {
            assert_eq!(reason(outcome), "CONNECTION_NOT_FOUND");
        }
    }
    // What all users share is not one user's to change, unless the application says so.
    assert_eq!(reason(page.changes().await.disconnect(shared).await), "SESSION_LIMITED");
    let managing = v1::CreateConnectSessionRequest { manage_shared: true, ..request() };
    let page = opened(vault, "u1", managing).await;
    page.changes().await.rename(shared, "ours").await.unwrap();
    assert_eq!(page.accounts().await["ours"], ["rename", "disconnect", "remove"]);
    let consequences = page.visit().await.unwrap().consequences(mine, ConnectAction::Remove).await.unwrap();
    assert!(consequences.has_credential && !consequences.revokes && !consequences.shared);
    page.changes().await.remove(mine).await.unwrap();
    assert_eq!(page.accounts().await.keys().collect::<Vec<_>>(), ["ours"]);
    assert_eq!(app.token(by_id(&theirs.to_string())).await.unwrap(), "CANARY");
}

async fn a_page_does_what_its_session_permits_and_no_more(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let vault = &connected.vault;
    let app = acting(vault, "u1").await;
    let key = id_of(&app, owned_by("u1", key_request("main", "sim_key_shop-1"))).await;
    let other = id_of(&app, owned_by("u1", generic("other", "CANARY"))).await;
    let narrow = v1::CreateConnectSessionRequest {
        providers: vec!["simulator".into()],
        ..permitting(&[v1::ConnectAction::Test, v1::ConnectAction::Rename])
    };
    let page = opened(vault, "u1", narrow).await;
    assert_eq!(page.accounts().await, [("main".to_owned(), vec!["test", "rename"])].into());
    let changes = page.changes().await;
    assert_eq!(changes.test(key).await.unwrap().account.as_deref(), Some("shop-1"));
    changes.rename(key, "renamed").await.unwrap();
    assert_eq!(reason(changes.rename(key, "").await), "FIELDS_INVALID");
    for outcome in [
        changes.set_default(key).await,
        changes.disconnect(key).await.map(drop),
        changes.remove(key).await.map(drop),
        changes.reconnect(key, Default::default()).await.map(drop),
        changes.add(entry("simulator", "api_key", "x", &[("key", "sim_key_x")])).await.map(drop),
        page.visit().await.unwrap().providers().await.map(drop),
        page.visit().await.unwrap().form("simulator", "api_key").await.map(drop),
    ] {
        assert_eq!(reason(outcome), "SESSION_LIMITED");
    }
    assert_eq!(reason(changes.rename(other, "x").await), "CONNECTION_NOT_FOUND", "it is at another provider");
    // A page for one provider offers that one, with its form.
    let adding = v1::CreateConnectSessionRequest {
        providers: vec!["simulator".into()],
        ..permitting(&[v1::ConnectAction::Add])
    };
    let page = opened(vault, "u1", adding).await;
    let visit = page.visit().await.unwrap();
    let cards = visit.providers().await.unwrap();
    assert_eq!(cards.iter().map(|card| card.name.as_str()).collect::<Vec<_>>(), ["Simulator"]);
    let form = visit.form("simulator", "api_key").await.unwrap();
    let fields: Vec<_> = form.secrets.iter().map(|field| (field.title.as_str(), field.required)).collect();
    assert_eq!(fields, [("Key", true), ("Webhook secret", false)]);
    assert!(form.by_values && !form.by_consent && form.secrets.iter().all(|field| field.secret));
    let shop = form.settings.iter().find(|field| field.name.as_str() == "shop").unwrap();
    assert_eq!(shop.pattern_text.as_deref(), Some("a name"));
    assert_eq!(reason(visit.form("generic", "fields").await), "SESSION_LIMITED");
    let changes = page.changes().await;
    assert_eq!(reason(changes.add(entry("generic", "fields", "x", &[])).await), "SESSION_LIMITED");
    let shared = Entry { shared: true, ..entry("simulator", "api_key", "x", &[("key", "sim_key_x")]) };
    assert_eq!(reason(changes.add(shared).await), "SESSION_LIMITED");
}

fn key_request(account: &str, key: &str) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        provider: "simulator".into(),
        account_name: account.into(),
        auth_mode: "api_key".into(),
        credential: Some(crate::harness::input(&[("key", key)])),
        ..Default::default()
    }
}

async fn a_key_is_added_if_the_provider_accepts_it(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let vault = &connected.vault;
    let page = opened(vault, "u1", request()).await;
    let changes = page.changes().await;
    let refused = changes.add(entry("simulator", "api_key", "main", &[("key", "CANARY wrong")])).await;
    let refusal = refused.expect_err("no such key");
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("nothing was stored") && !refusal.to_string().contains("CANARY"));
    let incomplete = changes.add(entry("simulator", "api_key", "main", &[("shop", "NO GOOD")])).await;
    let refusal = incomplete.expect_err("no key");
    let places: Vec<_> = refusal.violations().iter().map(|violation| violation.field.clone()).collect();
    let fields: Vec<_> =
        places.iter().filter_map(|place| credvault_operations::connect::input_of(place)).collect();
    assert_eq!(fields, ["shop"], "{places:?}");
    assert_eq!(vault.count("connections").await, 0);
    // Blanks that came with a copy are no part of the key.
    let added = changes.add(entry("simulator", "api_key", "main", &[("key", " sim_key_shop-1\n")])).await;
    let id = added.unwrap().connection;
    let app = acting(vault, "u1").await;
    assert_eq!(app.fetch(by_id(&id.to_string())).await.unwrap().fields["key"], "sim_key_shop-1");
    let again = changes.add(entry("simulator", "api_key", "main", &[("key", "sim_key_shop-1")])).await;
    assert_eq!(reason(again), "CONNECTION_EXISTS");
    // A new key replaces the old one if the provider accepts it.
    let filled = |key: &str| [("key".to_owned(), SecretString::from(key))].into();
    assert_eq!(reason(changes.reconnect(id, filled("CANARY wrong")).await), "FIELDS_INVALID");
    assert_eq!(app.fetch(by_id(&id.to_string())).await.unwrap().fields["key"], "sim_key_shop-1");
    // Nor is a key of another account one of this connection.
    assert_eq!(reason(changes.reconnect(id, filled("sim_key_shop-2")).await), "STATE_INVALID");
    assert_eq!(app.fetch(by_id(&id.to_string())).await.unwrap().fields["key"], "sim_key_shop-1");
    assert_eq!(changes.reconnect(id, filled(" sim_key_shop-1")).await.unwrap().version, 2);
    let ended = changes.disconnect(id).await.unwrap();
    assert_eq!(ended.revocation, Some(Revocation::Unsupported));
    let left = page.accounts().await["main"].clone();
    assert!(
        left.contains(&"reconnect") && !left.contains(&"test") && !left.contains(&"disconnect"),
        "{left:?}"
    );
    assert!(app.fetch(by_id(&id.to_string())).await.is_err());
}

/// The records of a page, each with its action, outcome and user.
async fn records(client: &Client, page: &Page) -> Vec<(String, String, String)> {
    let name = format!("connect_sessions/{}", page.id);
    let events = client.events().await.into_iter().filter(|event| event.changed_fields.contains(&name));
    let shown = events.map(|event| {
        assert!(event.service == "spiffe://test.local/app" && event.user_id == "u1", "{event:?}");
        if event.tenant_source == "session" {
            assert_eq!(event.source_address, "192.0.2.7", "the browser's, not the service's");
        }
        (event.action, event.reason, event.tenant_source)
    });
    shown.collect()
}

async fn what_a_page_does_is_on_record_as_the_users(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let vault = &connected.vault;
    let app = acting(vault, "u1").await;
    let id = id_of(&app, owned_by("u1", generic("main", "CANARY"))).await;
    let page = opened(vault, "u1", permitting(&[v1::ConnectAction::Rename])).await;
    page.accounts().await;
    let changes = page.changes().await;
    changes.rename(id, "other").await.unwrap();
    assert_eq!(reason(changes.remove(id).await), "SESSION_LIMITED");
    let mut records = records(&app, &page).await;
    records.reverse();
    let expected = [
        ("CreateConnectSession", "", "header"),
        ("ListConnections", "", "session"),
        ("UpdateConnection", "", "session"),
        ("DeleteConnection", "SESSION_LIMITED", "session"),
    ];
    let expected = expected.map(|(action, reason, source)| (action.into(), reason.into(), source.into()));
    assert_eq!(records, expected);
}

async fn policy_is_asked_about_each_request_of_a_page(builder: VaultBuilder) {
    const NARROW: &str = r#"
        @id("narrow") permit (principal == Service::"spiffe://test.local/narrow", action in [
            Action::"AssertTenant", Action::"CreateConnectSession", Action::"ListConnections", Action::"GetConnection",
            Action::"UpdateConnection", Action::"DeleteConnection"
        ], resource);
        @id("narrow-renames-nothing")
        forbid (principal == Service::"spiffe://test.local/narrow", action == Action::"UpdateConnection", resource)
        when { context.provider == "generic" };
    "#;
    let connected = builder.policies(NARROW).start_with_provider(STRICT).await;
    let vault = &connected.vault;
    let app = acting(vault, "u1").await;
    let id = id_of(&app, owned_by("u1", generic("main", "CANARY"))).await;
    let narrow = vault.client("narrow").await.acting_for("acme", Some("u1"));
    let made = super::session(&narrow, request()).await;
    let visits = super::visits(vault);
    visits.open(&super::token(&made), &super::browser("A")).await.unwrap();
    let page = Page { visits, browser: super::browser("A"), id: made.session_id };
    // What policy does not permit is not offered: to remove a connection with a credential takes DisconnectConnection, too.
    assert!(page.accounts().await["main"].is_empty());
    let changes = page.changes().await;
    for outcome in [
        changes.rename(id, "x").await,
        changes.remove(id).await.map(drop),
        changes.disconnect(id).await.map(drop),
        changes.set_default(id).await,
        changes.add(entry("simulator", "api_key", "x", &[("key", "sim_key_x")])).await.map(drop),
        page.visit().await.unwrap().providers().await.map(drop),
    ] {
        assert_eq!(reason(outcome), "POLICY_DENIED");
    }
    assert_eq!(app.token(by_id(&id.to_string())).await.unwrap(), "CANARY");
}
