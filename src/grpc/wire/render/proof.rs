//! Checkpoints and proofs of the audit log, as responses.

use credvault_store::{AuditCheckpoint, AuditCheckpoints, AuditSigner, ConsistencyProof, InclusionProof};

use super::audit::audit_event;
use super::timestamp;
use credvault_proto::v1;

pub(crate) fn checkpoints(checkpoints: AuditCheckpoints) -> v1::GetCheckpointResponse {
    let AuditCheckpoints { newest, cosigned, keys } = checkpoints;
    v1::GetCheckpointResponse {
        checkpoint: Some(checkpoint(newest)),
        cosigned_checkpoint: cosigned.map(checkpoint),
        verifier_keys: keys.iter().map(ToString::to_string).collect(),
    }
}

fn checkpoint(checkpoint: AuditCheckpoint) -> v1::AuditCheckpoint {
    let AuditCheckpoint { signed, time } = checkpoint;
    let said = signed.unverified();
    v1::AuditCheckpoint {
        note: signed.to_string(),
        origin: said.origin.to_string(),
        size: number(said.size),
        root: said.root.to_bytes().to_vec(),
        time: Some(timestamp(time)),
    }
}

pub(crate) fn inclusion_proof(proof: InclusionProof) -> v1::ProveInclusionResponse {
    let tlog_proof = proof.text().unwrap_or_default();
    let InclusionProof { index, tree_size, root, leaf, hashes, entry, record, checkpoint: of_tree } = proof;
    v1::ProveInclusionResponse {
        index: number(index),
        tree_size: number(tree_size),
        root: root.to_bytes().to_vec(),
        leaf_hash: leaf.to_bytes().to_vec(),
        hashes: hashes.into_iter().map(|hash| hash.to_bytes().to_vec()).collect(),
        entry: entry.map(|entry| v1::AuditEntry {
            blinding: entry.blinding.to_bytes().to_vec(),
            record: entry.record.as_slice().to_vec(),
            event: record.map(audit_event),
        }),
        checkpoint: of_tree.map(checkpoint),
        tlog_proof,
    }
}

pub(crate) fn consistency_proof(proof: ConsistencyProof) -> v1::ProveConsistencyResponse {
    let ConsistencyProof { earlier_size, earlier_root, tree_size, root, hashes, checkpoint: of_tree } = proof;
    v1::ProveConsistencyResponse {
        earlier_size: number(earlier_size),
        earlier_root: earlier_root.to_bytes().to_vec(),
        tree_size: number(tree_size),
        root: root.to_bytes().to_vec(),
        hashes: hashes.into_iter().map(|hash| hash.to_bytes().to_vec()).collect(),
        checkpoint: of_tree.map(checkpoint),
    }
}

pub(crate) fn audit_signer(signer: AuditSigner) -> v1::AuditSigner {
    let AuditSigner { number, vault, public_key, create_time, retire_time: _ } = signer;
    v1::AuditSigner {
        number,
        vault,
        public_key: public_key.to_vec(),
        create_time: Some(timestamp(create_time)),
    }
}

/// A size or an index: a tree has fewer than 2^48 records.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
