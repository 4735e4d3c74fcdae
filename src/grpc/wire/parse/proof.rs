//! Which record is to be proved, and in which tree, into domain types.

use credvault_domain::{NameError, Violations};
use credvault_store::ProvedRecord;
use uuid::Uuid;

use super::required;
use credvault_proto::v1;

/// The largest size or index that a request may have: a tree has fewer than 2^48 records.
const MAX_SIZE: i64 = (1 << 48) - 1;

/// The record that is to be proved, and the size of the tree.
pub(crate) fn proved_record(request: v1::ProveInclusionRequest) -> Result<(ProvedRecord, u64), Violations> {
    use v1::prove_inclusion_request::Record;
    let v1::ProveInclusionRequest { record, tree_size } = request;
    let id = |text: &str| text.parse::<Uuid>().map_err(|_| NameError("must be the id of a record, a UUID"));
    let mut violations = Violations::default();
    let record = violations.collect(match record {
        Some(Record::EventId(text)) => required("event_id", &text, id).map(ProvedRecord::Id),
        Some(Record::Index(index)) => size("index", index).map(ProvedRecord::Index),
        None => Err(Violations::of("event_id", "must be given, or index")),
    });
    let tree_size = violations.collect(size("tree_size", tree_size));
    match (record, tree_size) {
        (Some(record), Some(tree_size)) => Ok((record, tree_size)),
        _ => Err(violations),
    }
}

/// The sizes of two trees, the earlier first.
pub(crate) fn tree_sizes(request: v1::ProveConsistencyRequest) -> Result<(u64, u64), Violations> {
    let v1::ProveConsistencyRequest { earlier_size, tree_size } = request;
    let mut violations = Violations::default();
    let earlier = violations.collect(size("earlier_size", earlier_size));
    let later = violations.collect(size("tree_size", tree_size));
    match (earlier, later) {
        (Some(earlier), Some(later)) => Ok((earlier, later)),
        _ => Err(violations),
    }
}

/// A size of a tree, or an index in a log.
pub(in crate::grpc::wire) fn size(field: &str, number: i64) -> Result<u64, Violations> {
    let valid = u64::try_from(number).ok().filter(|_| number <= MAX_SIZE);
    valid.ok_or_else(|| Violations::of(field, format!("must be between 0 and {MAX_SIZE}")))
}
