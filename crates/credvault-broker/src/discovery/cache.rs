//! What issuers have said about themselves, for a few minutes. It holds nothing that a tenant has given: an entry is what
//! the vault itself has read at the issuer's own address, and serves all tenants.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::Timestamp;
use serde_json::Value;

/// How long a document is used before it is read again.
const LIFETIME: Duration = Duration::from_secs(600);
/// The most documents that are remembered.
const MAX_DOCUMENTS: usize = 128;
/// The most bytes that the documents have together, as text.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The metadata of issuers, by issuer.
#[derive(Default)]
pub(crate) struct MetadataCache(Mutex<Documents>);

#[derive(Default)]
struct Documents {
    by_issuer: HashMap<String, Document>,
    bytes: usize,
}

struct Document {
    metadata: Value,
    bytes: usize,
    read: Timestamp,
}

impl Document {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now >= self.read && now < self.read.after(LIFETIME)
    }
}

impl MetadataCache {
    /// A document that was read a moment ago.
    pub(super) fn get(&self, issuer: &str, now: Timestamp) -> Option<Value> {
        let documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = documents.by_issuer.get(issuer).filter(|document| document.is_fresh(now));
        known.map(|document| document.metadata.clone())
    }

    /// Remembers a document, unless it is known: being used makes it no younger. When there is no room, all are forgotten:
    /// they can be read again.
    pub(super) fn set(&self, issuer: &str, metadata: Value, now: Timestamp) {
        let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if documents.by_issuer.get(issuer).is_some_and(|known| known.is_fresh(now)) {
            return;
        }
        if let Some(old) = documents.by_issuer.remove(issuer) {
            documents.bytes -= old.bytes;
        }
        let bytes = issuer.len() + metadata.to_string().len();
        if documents.by_issuer.len() >= MAX_DOCUMENTS || documents.bytes + bytes > MAX_BYTES {
            *documents = Documents::default();
        }
        if bytes <= MAX_BYTES {
            documents.bytes += bytes;
            documents.by_issuer.insert(issuer.to_owned(), Document { metadata, bytes, read: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_forgotten_in_time_and_when_there_are_too_many() {
        let (cache, start) = (MetadataCache::default(), Timestamp::from_micros(1_000_000));
        cache.set("a", json!({"issuer": "a"}), start);
        assert_eq!(cache.get("a", start), Some(json!({"issuer": "a"})));
        cache.set("a", json!({"issuer": "other"}), start.after(LIFETIME / 2));
        assert_eq!(cache.get("a", start.after(LIFETIME / 2)), Some(json!({"issuer": "a"})));
        assert_eq!(cache.get("a", start.after(LIFETIME)), None, "use makes it no younger");
        for number in 0..MAX_DOCUMENTS {
            cache.set(&number.to_string(), json!({}), start);
        }
        assert_eq!(cache.get("a", start), None, "there was no room for all");
        cache.set("b", json!("x".repeat(MAX_BYTES)), start);
        assert_eq!(cache.get("b", start), None, "one document must not take all room");
    }
}
