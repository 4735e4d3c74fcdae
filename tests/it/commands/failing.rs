//! What the commands say of a connection that does not work: why, since when, and when the vault tries again.

use credvault_simulator::Step;

use super::Shell;
use crate::harness::provider::STRICT;
use crate::harness::{VaultBuilder, by_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_fails_has_its_reason_and_its_times() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let shell = Shell::of(&connected.vault).await;
    let app = connected.vault.app("acme").await;
    connected.provider.behave(|behaviour| behaviour.steady = Step::Fail { status: 503, after_effect: false });
    let id = connected.granted(&app, "shop-1", -60).await;
    app.fetch(by_id(&id)).await.unwrap_err();
    for list in [
        &["connections", "list", "--health", "uncertain"][..],
        &["tenants", "connections", "acme", "--health", "uncertain"],
    ] {
        let table = if list[0] == "tenants" { shell.operator(0, list) } else { shell.app(0, list) };
        assert!(table.contains(&id) && table.contains("PROVIDER_UNAVAILABLE"), "{table}");
        assert!(table.contains("SINCE (UTC)") && !table.contains("STATE"), "{table}");
    }
    let shown = shell.app(0, &["connections", "get", &id]);
    assert!(shown.contains("uncertain since 20"), "{shown}");
    assert!(shown.contains("the provider answers with status 503"), "{shown}");
    assert!(shown.contains("last error: PROVIDER_UNAVAILABLE at 20"), "{shown}");
    assert!(shown.contains("; the vault tries again at 20"), "{shown}");
    let refused = shell.app(6, &["connections", "refresh", &id]);
    assert!(refused.contains("answers with status 503") && refused.contains("retry delay: "), "{refused}");
    // The provider ends the grant: it does not renew itself any more.
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.provider.revoke_account("shop-1");
    let refused = shell.app(5, &["connections", "refresh", &id]);
    assert!(refused.contains("REAUTHORIZATION_REQUIRED"), "{refused}");
    let table = shell.app(0, &["connections", "list"]);
    assert!(table.contains("has ended") && table.contains("REAUTHORIZATION_REQUIRED"), "{table}");
    // What is stored of the version is when its first access token ended, which is no end of its own.
    let versions = shell.json("app", &["connections", "versions", &id]);
    let version = &versions["items"][0];
    assert_eq!((version["version"].as_i64(), version.get("expireTime")), (Some(1), None), "{version}");
}
