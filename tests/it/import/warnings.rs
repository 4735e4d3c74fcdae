//! What `credvault import` warns of: rows that move in, and will not work for long.

use credvault_proto::v1;
use serde_json::json;

use super::{import, started};
use crate::harness::VaultBuilder;
use crate::on_both;

on_both![a_provider_without_an_app_is_warned_of_once];

async fn a_provider_without_an_app_is_warned_of_once(builder: VaultBuilder) {
    let vault = started(builder).await;
    vault.tenant("acme").await;
    let kustomer = ["kustomer", "--from", "kustomer.jsonl", "--tenant", "acme", "--plain"];
    // One row in a request: the warning comes with each, and is shown once.
    let run =
        async |mode: &str| import(&vault, "app", &[&kustomer[..], &["--batch", "1", mode]].concat()).await;
    for mode in ["--dry-run", "--update", "--update"] {
        let run = run(mode).await;
        assert_eq!(run.code, 0, "a warning refuses nothing: {}", run.shown);
        assert_eq!(run.counts["providers_without_app"], json!(["kustomer"]), "{}", run.shown);
        assert_eq!(run.shown.matches("warning: kustomer: ").count(), 1, "{}", run.shown);
        let report = std::fs::read_to_string(vault.folder.path().join("report.jsonl")).unwrap();
        assert_eq!(report.matches(r#""outcome":"warning""#).count(), 1, "{report}");
        assert!(
            report.contains("credvault apps put") && report.contains(r#""source":"kustomer""#),
            "{report}"
        );
    }
    // Keys that the seller has need no app of the platform's.
    let pixelpim = ["pixelpim", "--from", "pixelpim.jsonl", "--tenant", "acme"];
    assert_eq!(import(&vault, "app", &pixelpim).await.counts["providers_without_app"], json!([]));

    let app = v1::PutOAuthAppRequest {
        provider: "kustomer".to_owned(),
        client_id: "client".to_owned(),
        client_secret: "CANARY".to_owned(),
        ..Default::default()
    };
    vault.client("operator").await.admin().put_o_auth_app(app).await.unwrap();
    let run = run("--dry-run").await;
    assert_eq!(run.counts["providers_without_app"], json!([]), "{}", run.shown);
    assert!(!run.shown.contains("warning"), "{}", run.shown);
}
