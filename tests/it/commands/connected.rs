//! The commands that have a provider do something: tests, refreshes, revocations, consents and webhooks.

use credvault_domain::Clock as _;
use credvault_proto::v1;

use super::Shell;
use crate::harness::provider::{STRICT, connection_request, decide};
use crate::harness::{VaultBuilder, input};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_tested_refreshed_disconnected_and_brought_back() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let shell = Shell::of(&connected.vault).await;
    let app = connected.vault.app("acme").await;
    connected.granted(&app, "shop-1", 3600).await;
    let second = connected.granted(&app, "shop-2", 3600).await;
    let tested = shell.app(0, &["connections", "test", "simulator/shop-1"]);
    assert!(
        tested.contains("outcome: works") && tested.contains("account at the provider: shop-1"),
        "{tested}"
    );
    let refreshed = shell.json("app", &["connections", "refresh", "simulator/shop-1"]);
    assert!(refreshed["lastRefreshedTime"].is_string(), "{refreshed}");
    let default = shell.json("app", &["connections", "set-default", "simulator/shop-2"]);
    assert_eq!(default["default"], true);
    shell.app(5, &["connections", "set-default", "simulator/shop-1", "--etag", "\"stale\""]);

    connected.provider.revoke_account("shop-1");
    let refused = shell.app(5, &["connections", "test", "simulator/shop-1"]);
    assert!(refused.contains("outcome: refused") && refused.contains("connections put"), "{refused}");
    let ended = shell.app(0, &["connections", "disconnect", "simulator/shop-2", "--yes"]);
    assert!(ended.contains("disconnected") && ended.contains("revoked"), "{ended}");

    let delete = v1::DeleteConnectionRequest { connection_id: second.clone(), ..Default::default() };
    app.connections().delete_connection(delete).await.unwrap();
    let restored = shell.json("app", &["connections", "undelete", "simulator/shop-2"]);
    assert_eq!(restored["id"], second);
    assert!(restored.get("deleteTime").is_none(), "{restored}");
    let live = shell.app(5, &["connections", "undelete", &second]);
    assert!(live.contains("STATE_INVALID"), "{live}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_is_completed_with_the_address_that_the_browser_came_back_to() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let shell = Shell::of(&connected.vault).await;
    connected.vault.app("acme").await.create(connection_request("main")).await.unwrap();
    let begun = shell.json("app", &["consents", "begin", "simulator/main", "--session", "5f1c"]);
    let parameters = decide(begun["authorizationUrl"].as_str().unwrap(), "shop-1", "allow").await;
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    connected.vault.write("callback.txt", &format!("http://127.0.0.1:9/back?{query}\n"));
    let complete = ["consents", "complete", "--callback", "callback.txt", "--session"];
    let connection = shell.json("app", &[&complete[..], &["5f1c"]].concat());
    assert_eq!(connection["state"], "CONNECTION_STATE_CONNECTED");
    let again = shell.app(5, &[&complete[..], &["5f1c"]].concat());
    assert!(again.contains("STATE_INVALID"), "{again}");
    shell.app(2, &["consents", "complete"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_verified_from_files() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let shell = Shell::of(&connected.vault).await;
    let secrets = input(&[("key", "sim_key_shop-1"), ("webhook_secret", "CANARY webhook secret")]);
    let request = v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(secrets),
        ..connection_request("key")
    };
    connected.vault.app("acme").await.create(request).await.unwrap();
    let (time, body) = (connected.vault.clock.now().seconds(), r#"{"order": "CANARY 17"}"#);
    let signed =
        credvault_testkit::hmac_sha256(b"CANARY webhook secret", format!("{time}.{body}").as_bytes());
    connected.vault.write("body.json", body);
    connected.vault.write("headers.txt", &format!("X-Signature: {signed}\n\nX-Time: {time}\n"));
    connected.vault.write("forged.txt", &format!("X-Signature: 00{signed}\nX-Time: {time}\n"));
    connected.vault.write("broken.txt", "CANARY\n");
    let verify = |code: i32, headers: &str| {
        let files = ["--headers", headers, "--body", "body.json"];
        shell.app(code, &[&["webhook", "verify", "simulator/key"], &files[..]].concat())
    };
    assert!(verify(5, "forged.txt").contains("invalid"));
    assert!(verify(0, "headers.txt").contains("valid"));
    assert!(verify(0, "headers.txt").contains("repeated"));
    assert!(verify(2, "broken.txt").contains("line 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_the_connect_page_is_made_for_one_user() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let shell = Shell::of(&connected.vault).await;
    let page = ["connections", "connect-page", "--user", "u1", "--provider", "simulator", "--action", "add"];
    let printed = shell.app(0, &[&page[..], &["--minutes", "5"]].concat());
    assert!(printed.contains("http://localhost:7480/connect/open/"), "{printed}");
    let made = shell.json("app", &page);
    assert!(made["url"].is_string() && made["sessionId"].is_string(), "{made}");
    assert_eq!(connected.vault.count("connect_sessions WHERE user_id = 'u1'").await, 2);
    // The page is some user's, so one has to be named; and it is over after half an hour.
    let without = shell.app(5, &["connections", "connect-page"]);
    assert!(without.contains("x-user-id"), "{without}");
    shell.app(2, &[&page[..], &["--minutes", "31"]].concat());
}
