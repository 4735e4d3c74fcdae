//! A whole log as an auditor gets it: exported with proofs, and verified.

use std::collections::BTreeMap;

use credvault_audit::{SignedCheckpoint, Trust, Verifier, VerifierKey};
use credvault_proto::v1;
use serde_json::Value;

use crate::harness::{Client, TestVault, eventually};

/// To how many earlier checkpoints an export leads at most.
const MOST_EARLIER: usize = 16;

/// The newest checkpoint of the client's log, and the keys that it verifies with.
pub async fn checkpoint(client: &Client) -> (SignedCheckpoint, Vec<VerifierKey>) {
    let found = client.audit().get_checkpoint(v1::GetCheckpointRequest {}).await.unwrap().into_inner();
    let keys = found.verifier_keys.iter().map(|key| key.parse().unwrap()).collect();
    (SignedCheckpoint::parse(&found.checkpoint.unwrap().note).unwrap(), keys)
}

/// How often each record is in the log, by its id, once none waits to be sequenced. The log must verify as a whole, and
/// continue the checkpoints that were kept.
pub async fn records(
    vault: &TestVault,
    client: &Client,
    kept: &[SignedCheckpoint],
) -> BTreeMap<String, usize> {
    eventually("all records are sequenced", || async { vault.count("audit_journal").await == 0 }).await;
    let (newest, keys) = checkpoint(client).await;
    let step = kept.len().div_ceil(MOST_EARLIER - 1).max(1);
    let mut given: Vec<SignedCheckpoint> = kept.iter().step_by(step).cloned().collect();
    given.push(newest);
    given.dedup_by_key(|checkpoint| checkpoint.unverified().size);
    let request = v1::ExportAuditEventsRequest {
        format: v1::AuditExportFormat::ProvedJsonLines.into(),
        earlier_sizes: given.iter().map(|one| i64::try_from(one.unverified().size).unwrap()).collect(),
        ..Default::default()
    };
    let mut verifier = Verifier::new(Trust::new(keys, 0), &given).unwrap();
    let mut records: BTreeMap<String, usize> = BTreeMap::new();
    let mut export = client.audit().export_audit_events(request).await.unwrap().into_inner();
    while let Some(part) = export.message().await.unwrap() {
        for line in std::str::from_utf8(&part.lines).unwrap().lines() {
            verifier.line(line).unwrap();
            if let Some(id) = id_of(line) {
                *records.entry(id).or_default() += 1;
            }
        }
    }
    let verified = verifier.finish().unwrap();
    let size = verified.checkpoint.checkpoint().size;
    assert!(verified.is_whole() && verified.continues.len() == given.len(), "{verified:?}");
    let counted: usize = records.values().sum();
    assert_eq!((verified.records, u64::try_from(counted)), (size, Ok(size)));
    records
}

/// The id of the record that a line of an export has.
fn id_of(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).unwrap();
    Some(line["record"]["event"]["id"].as_str()?.to_owned())
}
