//! Certificates, authorities, policies and keys change under a running vault; what is broken changes nothing.

use credvault_proto::v1;
use credvault_testkit::{Authority, LeafSpec};

use crate::harness::{
    Client, POLICIES, Process, TestVault, VaultBuilder, by_id, by_provider, eventually, generic, get, refusal,
};

async fn reloads(vault: &TestVault, what: &str, outcome: &str) -> bool {
    counts_reload(&vault.metrics().await, what, outcome)
}

fn counts_reload(metrics: &str, what: &str, outcome: &str) -> bool {
    let line = format!("credvault_reloads_total{{what=\"{what}\",outcome=\"{outcome}\"}}");
    metrics.lines().any(|text| text.starts_with(&line))
}

/// The metrics belong to the process, so everything that is counted is in one test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_and_good_is_used_and_what_is_broken_is_not() {
    let vault = VaultBuilder::sqlite().start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;

    // A broken policy file keeps the old one, and is counted.
    vault.write("policies.cedar", "permit (principal, action, resource) when { context.nothing == 1 };");
    eventually("a refused policy", || reloads(&vault, "policies", "refused")).await;
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");
    // A good one is used by open connections, and what it denies is denied from then on.
    let without_app = POLICIES.replace("spiffe://test.local/app", "spiffe://test.local/nobody");
    vault.write("policies.cedar", &without_app);
    eventually("a new policy", || async {
        app.fetch(by_id(&id)).await.is_err_and(|status| refusal(&status) == "PermissionDenied POLICY_DENIED")
    })
    .await;
    vault.write("policies.cedar", POLICIES);
    eventually("the old policy", || async { app.fetch(by_id(&id)).await.is_ok() }).await;

    // A certificate without its key is a broken pair; with it, the next handshake has it. The open connection goes on.
    let server = LeafSpec {
        names: vec!["localhost".into(), "refreshed.test".into()],
        ..LeafSpec::service("spiffe://test.local/credvault")
    };
    let refreshed = vault.authority.issue(&server);
    vault.write("server.pem", &refreshed.certificate);
    eventually("a refused certificate", || reloads(&vault, "certificate", "refused")).await;
    assert!(
        vault.client("app").await.acting_for("acme", None).fetch(by_id(&id)).await.is_ok(),
        "the old pair serves"
    );
    vault.write_leaf("server", &refreshed);
    eventually("a new certificate", || reloads(&vault, "certificate", "used")).await;
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");

    // A broken bundle changes nothing; a new authority beside the old is trusted; without the old one, its
    // certificates stop to count, also on open connections.
    vault.write("ca.pem", "not a certificate");
    eventually("a refused bundle", || reloads(&vault, "bundles", "refused")).await;
    assert!(app.fetch(by_id(&id)).await.is_ok());
    let next = Authority::new("next authority");
    let leaf = next.service("spiffe://test.local/app");
    vault.write("ca.pem", &format!("{}{}", vault.authority.pem(), next.pem()));
    let connect = || async {
        let client = Client::connect(vault.address(), vault.authority.pem(), Some(&leaf)).await.ok()?;
        client.acting_for("acme", None).fetch(by_id(&id)).await.ok()
    };
    eventually("trust in the new authority", || async { connect().await.is_some() }).await;
    assert!(app.fetch(by_id(&id)).await.is_ok(), "the old one is still trusted");
    vault.write("ca.pem", next.pem());
    eventually("distrust of the old authority", || async {
        app.fetch(by_id(&id))
            .await
            .is_err_and(|status| refusal(&status) == "Unauthenticated CLIENT_CERTIFICATE_INVALID")
    })
    .await;
    assert!(connect().await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_root_key_in_the_file_is_noticed_and_not_used() {
    let mut vault = VaultBuilder::sqlite().start().await;
    vault.tenant("acme").await;
    vault.stop().await;
    // A process of its own counts its own reloads: those of this one miss the files of tests that have ended.
    let process = Process::serve(vault.folder.path(), &[]).unwrap();
    let leaf = vault.authority.service("spiffe://test.local/app");
    let app = Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap();
    let app = app.acting_for("acme", None);
    let counts = async |outcome: &str| {
        counts_reload(&get(process.admin_address, "/metrics").await.1, "root key", outcome)
    };
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    vault.write("root.key", &format!("{}00", "a5".repeat(31)));
    eventually("a refused root key", || counts("refused")).await;
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");
    app.create(generic("other", "CANARY")).await.unwrap();
    assert!(!counts("used").await);
    vault.write("root.key", &format!("{}00", "5a".repeat(31)));
    eventually("the key in use", || counts("used")).await;

    // Without the file the vault serves and says so, for a restart would not come back.
    let answers = async |status: u16, part: &str| {
        let (found, body) = get(process.admin_address, "/readyz").await;
        found == status && body.contains(part)
    };
    let all_is_well = async || get(process.admin_address, "/readyz").await == (200, "ready\n".to_owned());
    eventually("all is well", &all_is_well).await;
    std::fs::remove_file(vault.folder.path().join("root.key")).unwrap();
    eventually("the missing file is named", || answers(200, "ready, but these files are gone or broken"))
        .await;
    assert!(answers(200, "root key (").await);
    let broken = "credvault_broken_files{what=\"root key\"} 1";
    assert!(get(process.admin_address, "/metrics").await.1.contains(broken));
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");
    vault.write("root.key", &format!("{}00", "5a".repeat(31)));
    eventually("all is well again", all_is_well).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_progress_are_not_disturbed() {
    let vault = VaultBuilder::sqlite().start().await;
    let app = vault.app("acme").await;
    app.create(generic("main", "CANARY")).await.unwrap();
    let done = tokio_util::sync::CancellationToken::new();
    let calling = {
        let app = app.clone();
        let done = done.clone();
        tokio::spawn(async move {
            let mut served = 0;
            while !done.is_cancelled() {
                app.fetch(by_provider("generic")).await.unwrap();
                served += 1;
            }
            served
        })
    };
    let server =
        LeafSpec { names: vec!["localhost".into()], ..LeafSpec::service("spiffe://test.local/credvault") };
    for round in 0..3 {
        vault.write_leaf("server", &vault.authority.issue(&server));
        vault.write("ca.pem", &vault.authority.pem().repeat(2 + round));
        let name = format!("spiffe://test.local/new{round}");
        vault.write("policies.cedar", &POLICIES.replace("spiffe://test.local/reader", &name));
        let newcomer = vault.client(&format!("new{round}")).await.acting_for("acme", None);
        let list = v1::ListConnectionsRequest::default();
        eventually("the new policy", || async {
            newcomer.connections().list_connections(list.clone()).await.is_ok()
        })
        .await;
    }
    done.cancel();
    assert!(calling.await.unwrap() > 0);
}
