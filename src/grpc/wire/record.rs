//! The audit record of a call, named in its answer.

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use uuid::Uuid;

/// The id of the record in an answer, which clients know by this name.
const RECORD_ID: &str = "credvault-audit-event-id";

/// Names the record in the metadata of an answer or of a refusal, so that a service can ask for the proof of it later.
pub(crate) fn name_record(record: Option<Uuid>, metadata: &mut MetadataMap) {
    let value = record.map(|id| MetadataValue::<Ascii>::try_from(id.to_string()));
    if let Some(Ok(value)) = value {
        metadata.insert(RECORD_ID, value);
    }
}
