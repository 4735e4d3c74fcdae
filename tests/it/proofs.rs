//! The provable log over the API: checkpoints that witnesses cosign, proofs that another implementation verifies, and a log that
//! was set back.

mod rolled_back;
mod witness;

use std::io::Write as _;
use std::process::{Command, Stdio};

use credvault::settings::WitnessSection;
use credvault_audit::{RecordProof, SignedCheckpoint, Trust, VerifierKey};
use credvault_proto::v1;
use credvault_proto::v1::prove_inclusion_request::Record;
use serde_json::json;
use tonic::Status;

use crate::harness::{Client, TestVault, VaultBuilder, by_id, eventually, generic, refusal};
use crate::on_both;
use witness::Witness;

on_both![
    a_log_is_cosigned_and_proved_and_a_log_that_was_set_back_is_refused,
    proofs_are_for_those_who_reach_the_record
];

async fn checkpoint(client: &Client) -> Result<v1::GetCheckpointResponse, Status> {
    Ok(client.audit().get_checkpoint(v1::GetCheckpointRequest {}).await?.into_inner())
}

async fn prove(
    client: &Client,
    record: Record,
    tree_size: i64,
) -> Result<v1::ProveInclusionResponse, Status> {
    let request = v1::ProveInclusionRequest { record: Some(record), tree_size };
    Ok(client.audit().prove_inclusion(request).await?.into_inner())
}

async fn consistency(
    client: &Client,
    earlier_size: i64,
    tree_size: i64,
) -> Result<v1::ProveConsistencyResponse, Status> {
    let request = v1::ProveConsistencyRequest { earlier_size, tree_size };
    Ok(client.audit().prove_consistency(request).await?.into_inner())
}

/// The checkpoint that the witness has cosigned, once it is larger than this.
async fn cosigned(app: &Client, size: i64) -> v1::AuditCheckpoint {
    let found = async || checkpoint(app).await.unwrap().cosigned_checkpoint.filter(|found| found.size > size);
    eventually("the witness cosigns", || async { found().await.is_some() }).await;
    found().await.unwrap()
}

async fn with_witness(builder: VaultBuilder, witness: &Witness) -> TestVault {
    let section = WitnessSection { url: witness.url.clone(), key: witness.key().to_string() };
    let configured = builder.allow_loopback().settings(move |settings, _| {
        settings.audit.name = Some("test-vault".to_owned());
        settings.audit.checkpoint_seconds = 1;
        settings.audit.witnesses.push(section);
    });
    configured.start().await
}

async fn a_log_is_cosigned_and_proved_and_a_log_that_was_set_back_is_refused(builder: VaultBuilder) {
    let witness = Witness::start().await;
    let vault = with_witness(builder, &witness).await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    app.token(by_id(&id)).await.unwrap();
    // A witness that does not know the log refuses, and nothing waits for it.
    let first = checkpoint(&app).await.unwrap();
    let newest = first.checkpoint.unwrap();
    assert_eq!(newest.origin, "credvault/test-vault/tenants/acme");
    assert!(newest.size >= 3, "creation, connection and fetch: {}", newest.size);
    assert_eq!(first.cosigned_checkpoint, None);

    witness.trust(&first.verifier_keys);
    let earlier = cosigned(&app, 0).await;
    let log_key: VerifierKey = first.verifier_keys[0].parse().unwrap();
    let trust = Trust::new(vec![log_key.clone(), witness.key()], 1);
    let verified = trust.verify(&SignedCheckpoint::parse(&earlier.note).unwrap()).unwrap();
    assert_eq!(verified.cosigners().len(), 1);
    assert_eq!(i64::try_from(verified.checkpoint().size).unwrap(), earlier.size);

    // The vault has lost what the witness knows: it learns that from the witness, and proves the log from there.
    let forgets = async || {
        vault.sql("DELETE FROM audit_cosignatures").await;
        app.token(by_id(&id)).await.unwrap();
        witness.conflicts() > 0
    };
    eventually("the witness names its size", || async { forgets().await }).await;
    let (later, proof) = loop {
        let later = cosigned(&app, earlier.size).await;
        let proof = prove(&app, Record::Index(1), later.size).await.unwrap();
        // Unless the witness has cosigned another state meanwhile.
        if !proof.tlog_proof.is_empty() {
            break (later, proof);
        }
    };
    let record = RecordProof::parse(&proof.tlog_proof).unwrap().verify(&trust).unwrap();
    let entry = proof.entry.unwrap();
    assert_eq!((record.index, record.record.as_slice()), (1, entry.record.as_slice()));
    let event = entry.event.unwrap();
    assert!(app.events().await.contains(&event), "it is the record that lists show");
    let grown = consistency(&app, earlier.size, later.size).await.unwrap();
    assert_eq!((&grown.earlier_root, &grown.root), (&earlier.root, &later.root));
    verified_by_python(&json!({
        "log": first.verifier_keys[0],
        "witness": witness.key().to_string(),
        "earlier": earlier.note,
        "later": later.note,
        "hashes": grown.hashes,
        "record": proof.tlog_proof,
    }));
    another_signer_signs_too(&vault, &app, log_key).await;
    a_log_that_was_set_back_is_refused(&vault, &app, &id).await;
}

/// Another implementation, written from the standards' texts, verifies a record's proof and a consistency proof.
fn verified_by_python(files: &serde_json::Value) {
    let program = r#"
import json, sys
import independent as i
files = json.load(sys.stdin)
keys = i.key_of(files["log"], 1), i.key_of(files["witness"], 4)
earlier, later = (i.checkpoint_of(files[name], *keys) for name in ("earlier", "later"))
hashes = [bytes(hash) for hash in files["hashes"]]
assert i.roots_of_consistency(earlier[0], later[0], earlier[1], hashes) == (earlier[1], later[1])
first, extra, rest = files["record"].split("\n", 2)
hashes, note = i.hashes_and_note(rest)
size, root = i.checkpoint_of(note, *keys)
leaf = i.leaf_hash(i.decode(extra.removeprefix("extra ")))
index = int(rest.split("\n", 1)[0].removeprefix("index "))
assert i.root_of_inclusion(index, size, leaf, hashes) == root
print("all right")
"#;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/credvault-audit/tests");
    let mut python = Command::new("python3");
    python.args(["-B", "-c", program]).env("PYTHONPATH", folder);
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = python.spawn().unwrap();
    running.stdin.take().unwrap().write_all(files.to_string().as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "all right\n");
}

async fn another_signer_signs_too(vault: &TestVault, app: &Client, before: VerifierKey) {
    let operator = vault.client("operator").await;
    let rotate = v1::RotateAuditSignerRequest::default();
    let made = operator.admin().rotate_audit_signer(rotate).await.unwrap().into_inner().signer.unwrap();
    assert_eq!((made.number, made.vault.as_str(), made.public_key.len()), (2, "test-vault", 32));
    let found = checkpoint(app).await.unwrap();
    assert_eq!(found.verifier_keys.len(), 2);
    let signed = SignedCheckpoint::parse(&found.checkpoint.unwrap().note).unwrap();
    let newest = Trust::new(vec![found.verifier_keys[0].parse().unwrap()], 0);
    assert!(newest.verify(&signed).is_ok());
    assert_eq!(
        signed.note().signatures().iter().filter(|one| one.name == signed.unverified().origin).count(),
        2
    );
    // Those who have the earlier key only still verify it.
    assert!(Trust::new(vec![before], 0).verify(&signed).is_ok());
    let refused = app.admin().rotate_audit_signer(v1::RotateAuditSignerRequest::default()).await;
    assert_eq!(refusal(&refused.unwrap_err()), "PermissionDenied POLICY_DENIED");
}

async fn a_log_that_was_set_back_is_refused(vault: &TestVault, app: &Client, id: &str) {
    vault.sql("DELETE FROM audit_bundles WHERE tenant_id = 'acme'").await;
    assert_eq!(refusal(&checkpoint(app).await.unwrap_err()), "DataLoss INTEGRITY_FAILURE");
    let metrics = vault.metrics().await;
    assert!(metrics.contains("credvault_integrity_failures_total{what=\"audit_log\"}"), "{metrics}");
    assert!(metrics.contains("credvault_audit_cosignatures_total{outcome=\"cosigned\"}"), "{metrics}");
    assert_eq!(app.token(by_id(id)).await.unwrap(), "CANARY", "calls are recorded and served as before");
}

async fn proofs_are_for_those_who_reach_the_record(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (acme, beta) = (vault.app("acme").await, vault.app("beta").await);
    let id = acme.create(generic("main", "CANARY")).await.unwrap().id;
    acme.acting_for("acme", Some("u1")).token(by_id(&id)).await.unwrap();
    let events = acme.events().await;
    let of_user = events.iter().find(|event| event.user_id == "u1").unwrap().id.clone();
    let record = || Record::EventId(of_user.clone());
    // What was answered a moment ago is in the log, or will be within a second.
    assert_eq!(prove(&acme, record(), 0).await.unwrap().entry.unwrap().event.unwrap().id, of_user);
    let portal = vault.client("portal").await;
    assert!(prove(&portal.acting_for("acme", Some("u1")), record(), 0).await.is_ok());
    for stranger in [&beta, &portal.acting_for("acme", Some("u2")), &portal.acting_for("acme", None)] {
        let refused = prove(stranger, record(), 0).await.unwrap_err();
        assert_eq!(refusal(&refused), "NotFound AUDIT_RECORD_NOT_FOUND");
    }
    for (request, field) in [
        (v1::ProveInclusionRequest::default(), "event_id"),
        (v1::ProveInclusionRequest { record: Some(Record::EventId("x".into())), tree_size: 0 }, "event_id"),
        (v1::ProveInclusionRequest { record: Some(Record::Index(-1)), tree_size: 0 }, "index"),
        (v1::ProveInclusionRequest { record: Some(Record::Index(0)), tree_size: 1 << 40 }, "tree_size"),
    ] {
        let refused = acme.audit().prove_inclusion(request).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
        assert!(refused.message().contains(field), "{}", refused.message());
    }
    for (earlier, later) in [(0, 0), (2, 1), (1 << 40, 0)] {
        let refused = consistency(&acme, earlier, later).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    }
    let sync = vault.client("sync").await.acting_for("acme", None);
    assert_eq!(refusal(&checkpoint(&sync).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
    // The platform has a log of its own.
    let of_platform = checkpoint(&vault.client("operator").await).await.unwrap().checkpoint.unwrap();
    assert!(of_platform.origin.ends_with("/tenants/:platform"), "{}", of_platform.origin);
}
