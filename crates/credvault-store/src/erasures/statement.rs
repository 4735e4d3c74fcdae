//! The statement about a finished erasure: what was destroyed, when, and when copies in backups are dead, too. It is JSON on
//! one line, with its members always in the order of the types below, so that the same facts give the same bytes.

use std::time::Duration;

use credvault_domain::Timestamp;
use serde::Serialize;

use crate::Error;
use crate::change::outbox::rfc3339;
use crate::erasures::content::ErasureContent;
use crate::erasures::record::{ErasedKey, ErasedStore, Erasure};

/// The purpose that statements about erasures are signed for.
pub const ERASURE_STATEMENT: &str = "erasure statement";

/// The first member of every statement of this kind.
const FORMAT: &str = "credvault-erasure-1";
/// What backups hold that are older than the erasure.
const OLDER: &str = "A backup of the database or of its keys that was made before `confirmed` holds the tenant's wrapped \
                     keys. So do archived write-ahead logs, snapshots and copies that lag. Together with the root key that \
                     wrapped them when it was made, it opens the tenant's secrets. `keys` names the root keys at \
                     `confirmed`; older backups may be under root keys from before.";
/// What backups hold that are younger than the erasure.
const YOUNGER: &str = "A backup that credvault or a dump of the database made after `finished` holds no key of the tenant and \
                       opens nothing of it. A copy of the database's files may hold what they have not overwritten yet.";
/// How the older backups lose what they hold.
const ENDS: &str = "Delete all older backups until `dead_after`. To end it at once, rotate to another root key, and destroy \
                    every root key that was in use since the oldest backup that is kept; of a key in a key manager that \
                    stays in use, every version but the newest.";

#[derive(Serialize)]
struct Statement<'a> {
    format: &'static str,
    signing_key: &'a str,
    tenant: &'a str,
    service: &'a str,
    requested: String,
    confirmed: String,
    finished: String,
    keys: &'a [ErasedKey],
    destroyed: &'a ErasureContent,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stores: &'a [ErasedStore],
    backups: Backups,
}

#[derive(Serialize)]
struct Backups {
    retention_days: u32,
    dead_after: String,
    older: &'static str,
    younger: &'static str,
    ends: &'static str,
}

/// The statement about an erasure that is finished at `finish`. Backups are kept for `retention_days`.
///
/// # Errors
/// A stored time is none.
pub(super) fn statement(
    erasure: &Erasure,
    finish: Timestamp,
    signing_key: &str,
    retention_days: u32,
) -> Result<String, Error> {
    let retention = Duration::from_secs(u64::from(retention_days) * 24 * 3600);
    let statement = Statement {
        format: FORMAT,
        signing_key,
        tenant: erasure.tenant.as_str(),
        service: erasure.service.as_str(),
        requested: rfc3339(erasure.request_time)?,
        confirmed: rfc3339(erasure.confirm_time)?,
        finished: rfc3339(finish)?,
        keys: &erasure.keys,
        destroyed: &erasure.content,
        stores: &erasure.stores,
        backups: Backups {
            retention_days,
            dead_after: rfc3339(finish.after(retention))?,
            older: OLDER,
            younger: YOUNGER,
            ends: ENDS,
        },
    };
    serde_json::to_string(&statement).map_err(|_| Error::Integrity)
}

#[cfg(test)]
mod tests {
    use credvault_domain::{ServiceId, TenantId};

    use super::*;
    use crate::erasures::record::ErasureState;

    /// Programs read these members, and the bytes are signed: nothing of this changes without another format.
    #[test]
    fn a_statement_is_one_line_with_its_members_in_order() {
        let mut erasure = Erasure {
            tenant: TenantId::parse("acme").expect("an id"),
            state: ErasureState::Erasing,
            service: ServiceId::parse("spiffe://test.local/operator").expect("an id"),
            request_time: Timestamp::from_micros(1_800_000_000_000_000),
            confirm_time: Timestamp::from_micros(1_800_000_060_500_000),
            finish_time: None,
            content: ErasureContent {
                connections: 3,
                credential_versions: 5,
                users: 2,
                ..Default::default()
            },
            keys: vec![ErasedKey { version: 1, root_key: "01ab23cd".to_owned() }],
            stores: Vec::new(),
            waits_for: Vec::new(),
            statement: None,
        };
        let finish = Timestamp::from_micros(1_800_000_061_000_000);
        let text = statement(&erasure, finish, "56475aa75463474c", 35).expect("a statement");
        let begin = concat!(
            r#"{"format":"credvault-erasure-1","signing_key":"56475aa75463474c","tenant":"acme","#,
            r#""service":"spiffe://test.local/operator","requested":"2027-01-15T08:00:00Z","#,
            r#""confirmed":"2027-01-15T08:01:00.5Z","finished":"2027-01-15T08:01:01Z","#,
            r#""keys":[{"version":1,"root_key":"01ab23cd"}],"destroyed":{"connections":3,"credential_versions":5,"#,
            r#""users":2,"apps":0,"event_endpoints":0,"key_versions":0,"pending_revocations":0},"#,
            r#""backups":{"retention_days":35,"dead_after":"2027-02-19T08:01:01Z","older":""#,
        );
        assert!(text.starts_with(begin), "{text}");
        assert!(!text.contains('\n'), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["backups"].as_object().map(serde_json::Map::len), Some(5));
        // A tenant that had payloads in external stores: one member more.
        erasure.stores = vec![ErasedStore { store: "eu".to_owned(), removed: 3, written_off: 1 }];
        let longer = statement(&erasure, finish, "56475aa75463474c", 35).expect("a statement");
        let stores = r#""stores":[{"store":"eu","removed":3,"written_off":1}],"backups":"#;
        assert_eq!(longer, text.replacen(r#""backups":"#, stores, 1));
    }
}
