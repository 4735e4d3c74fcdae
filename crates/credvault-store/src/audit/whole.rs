//! Whole bundles: what a reader knows of one without opening it, and the tiles that the tree has of it.

use std::collections::BTreeSet;

use credvault_audit::{Bundle, Frontier, Hash, Record};
use credvault_crypto::AuditKey;
use credvault_domain::TenantId;
use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use super::words::{values, words};
use crate::Error;
use crate::entity::{audit_bundle, audit_tile};

/// How many records a whole bundle has, and how many hashes a full tile.
pub(super) const BUNDLE_RECORDS: i64 = 256;
/// The lowest id, of a bundle whose ids are not known: the one below stands for none.
const LOWEST: Uuid = Uuid::from_u128(1);

/// Adds what a reader needs to know whether to open a whole bundle. One with a record of a later version is always opened.
pub(super) fn describe(row: &mut audit_bundle::Model, bundle: &Bundle, key: &AuditKey) {
    let mut found = BTreeSet::new();
    let (mut first, mut last, mut is_known) = (Uuid::max(), LOWEST, true);
    let mut first_time = i64::MAX;
    for bytes in bundle.records() {
        match Record::decode(bytes) {
            Ok(record) => {
                (first, last) = (first.min(record.id), last.max(record.id));
                first_time = first_time.min(record.time);
                found.extend(values(&record));
            }
            Err(_) => is_known = false,
        }
    }
    row.first_time = Some(first_time).filter(|_| is_known);
    (row.first_id, row.last_id, row.words) = if is_known {
        (Some(first.max(LOWEST)), Some(last), Some(words(key, &found)))
    } else {
        (Some(LOWEST), Some(Uuid::max()), None)
    };
}

/// A full tile.
///
/// # Errors
/// [`Error::Integrity`] if the hashes are not those of one.
pub(super) fn tile(
    tenant: &TenantId,
    level: i64,
    number: i64,
    hashes: Vec<u8>,
) -> Result<audit_tile::Model, Error> {
    let root = root(&hashes).ok_or(Error::Integrity)?.to_bytes().to_vec();
    Ok(audit_tile::Model { tenant_id: tenant.as_str().to_owned(), level, number, hashes, root })
}

/// A tile as sea-orm inserts it.
pub(super) fn active(tile: audit_tile::Model) -> audit_tile::ActiveModel {
    let audit_tile::Model { tenant_id, level, number, hashes, root } = tile;
    audit_tile::ActiveModel {
        tenant_id: Set(tenant_id),
        level: Set(level),
        number: Set(number),
        hashes: Set(hashes),
        root: Set(root),
    }
}

/// The root of a full tile; `None` if the hashes are not those of one.
pub(super) fn root(hashes: &[u8]) -> Option<Hash> {
    let (hashes, rest) = hashes.as_chunks::<{ Hash::BYTES }>();
    let mut tree = Frontier::default();
    tree.extend(hashes.iter().map(|bytes| Hash::from_bytes(*bytes)));
    (rest.is_empty() && i64::try_from(hashes.len()) == Ok(BUNDLE_RECORDS)).then(|| tree.root())
}
