//! Joining the pieces of a log, in the tenant's own transaction: a complete bundle becomes one row with its tile, and many
//! pieces of one that is not complete become one piece. What a reader, or a verifier, finds is the same before and after.

use std::collections::BTreeSet;
use std::sync::Arc;

use credvault_audit::{Bundle, Frontier, Hash, Record};
use credvault_crypto::AuditKey;
use credvault_domain::TenantId;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use uuid::Uuid;

use super::keys::{AuditKeys, audit_keys};
use super::pieces::{BUNDLE_RECORDS, insert_one, opened, pieces, sealed};
use super::words::{values, words};
use crate::database::transaction::{Access, begin_write};
use crate::entity::audit_bundle::{Column, Entity, Model};
use crate::entity::audit_tile;
use crate::integrity::alarm;
use crate::{Error, Store};

/// From how many pieces on they are worth joining, although their bundle is not complete.
const MIN_PIECES: usize = 16;
/// The level above which no tree has a full tile.
const LEVELS: i64 = 6;

/// Joins the oldest pieces of a tenant's log. Gives whether there may be more to join.
///
/// # Errors
/// [`Error::Conflict`] if another process is at it; [`Error::Integrity`] if a row does not open or fit; the tenant's key does
/// not unwrap, or the database fails.
pub(super) async fn fold(store: &Store, tenant: &TenantId) -> Result<bool, Error> {
    let (tx, keys) = begin(store, tenant).await?;
    let mut all = pieces(&tx, tenant).await?;
    // Another process has joined some at this moment.
    all.retain(|row| row.leaves.is_some());
    let Some(first) = all.first() else { return Ok(false) };
    let number = first.start / BUNDLE_RECORDS;
    let rows: Vec<_> = all.iter().take_while(|row| row.start / BUNDLE_RECORDS == number).cloned().collect();
    let records: i64 = rows.iter().map(|row| row.records).sum();
    let is_complete = records == BUNDLE_RECORDS;
    if !follow_each_other(&rows, number * BUNDLE_RECORDS) || (!is_complete && rows.len() < all.len()) {
        alarm(tenant, "audit_log", [0; 16]);
        return Err(Error::Integrity);
    }
    if !is_complete && rows.len() < MIN_PIECES {
        return Ok(false);
    }
    let joined = join(store, tenant, &rows, &keys)?;
    take_away(&tx, tenant, &rows).await?;
    let leaves = joined.leaves.clone().unwrap_or_default();
    let whole = Model { leaves: joined.leaves.filter(|_| !is_complete), ..joined };
    insert_one(&tx, whole).await?;
    if is_complete {
        grow(&tx, tenant, number, leaves).await?;
    }
    tx.commit().await?;
    Ok(is_complete && rows.len() < all.len())
}

/// Begins the transaction. An erased tenant has no keys.
async fn begin(store: &Store, tenant: &TenantId) -> Result<(DatabaseTransaction, AuditKeys), Error> {
    match store.begin_with_keys(&store.writer(), Access::Write, tenant).await {
        Ok((tx, keys, _)) => {
            let keys = audit_keys(&tx, tenant, &keys).await?;
            Ok((tx, keys))
        }
        Err(Error::TenantNotFound(_)) => {
            let tx = begin_write(&store.writer(), store.database(), tenant).await?;
            Ok((tx, AuditKeys::new()))
        }
        Err(error) => Err(error),
    }
}

/// Whether rows begin where their bundle does, and each where the one before ends.
fn follow_each_other(rows: &[Model], start: i64) -> bool {
    let mut next = start;
    rows.iter().all(|row| {
        let fits = row.start == next;
        next = row.start.saturating_add(row.records);
        fits
    })
}

/// The row that stands for all of them, with the hashes of its leaves.
fn join(store: &Store, tenant: &TenantId, rows: &[Model], keys: &AuditKeys) -> Result<Model, Error> {
    let start = rows.first().map_or(0, |row| row.start);
    let mut joined = Model {
        tenant_id: tenant.as_str().to_owned(),
        start,
        records: rows.iter().map(|row| row.records).sum(),
        key_number: None,
        sealed: None,
        leaves: Some(rows.iter().flat_map(|row| row.leaves.clone().unwrap_or_default()).collect()),
        frontier: rows.last().and_then(|row| row.frontier.clone()),
        first_id: None,
        last_id: None,
        words: None,
    };
    let newest = keys.iter().rev().find_map(|(number, key)| Some((*number, key.clone()?)));
    // What an erased tenant had, or has lost a part of, is not there to be read.
    let Some((number, key)) = newest.filter(|_| rows.iter().all(|row| row.sealed.is_some())) else {
        return Ok(joined);
    };
    let bundle = bundle(tenant, rows, keys)?;
    joined.key_number = Some(number);
    joined.sealed = Some(sealed(tenant, start, &key, &bundle, store.keyring().random())?);
    if joined.records == BUNDLE_RECORDS {
        describe(&mut joined, &bundle, &key);
    }
    Ok(joined)
}

fn bundle(tenant: &TenantId, rows: &[Model], keys: &AuditKeys) -> Result<Bundle, Error> {
    let mut bundle: Option<Bundle> = None;
    for row in rows {
        let piece = opened(tenant, row, keys)?;
        match &mut bundle {
            None => bundle = Some(piece),
            Some(bundle) => bundle.join(piece).map_err(|_| {
                alarm(tenant, "audit_bundle", [0; 16]);
                Error::Integrity
            })?,
        }
    }
    bundle.ok_or(Error::Integrity)
}

/// Adds what a reader needs to know whether to open a whole bundle. One with a record of a later version is always opened.
fn describe(row: &mut Model, bundle: &Bundle, key: &Arc<AuditKey>) {
    let mut found = BTreeSet::new();
    let (mut first, mut last, mut is_known) = (Uuid::max(), Uuid::nil(), true);
    for bytes in bundle.records() {
        match Record::decode(bytes) {
            Ok(record) => {
                (first, last) = (first.min(record.id), last.max(record.id));
                found.extend(values(&record));
            }
            Err(_) => is_known = false,
        }
    }
    (row.first_id, row.last_id, row.words) = match is_known {
        true => (Some(first), Some(last), Some(words(key, &found))),
        false => (Some(Uuid::nil()), Some(Uuid::max()), None),
    };
}

/// Deletes the rows that were joined.
async fn take_away(tx: &DatabaseTransaction, tenant: &TenantId, rows: &[Model]) -> Result<(), Error> {
    let last = rows.last().map_or(-1, |row| row.start);
    let first = rows.first().map_or(0, |row| row.start);
    let these = Entity::delete_many()
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Start.between(first, last));
    // Another process has joined them.
    if these.exec(tx).await?.rows_affected == rows.len() as u64 { Ok(()) } else { Err(Error::Conflict) }
}

/// Adds the tile of a complete bundle, and each tile above that is full with it.
async fn grow(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    bundle: i64,
    leaves: Vec<u8>,
) -> Result<(), Error> {
    let (mut number, mut hashes) = (bundle, leaves);
    for level in 0..LEVELS {
        let root = root(&hashes).ok_or(Error::Integrity)?;
        let tile = audit_tile::ActiveModel {
            tenant_id: Set(tenant.as_str().to_owned()),
            level: Set(level),
            number: Set(number),
            hashes: Set(hashes),
            root: Set(root.to_bytes().to_vec()),
        };
        audit_tile::Entity::insert(tile).exec_without_returning(tx).await?;
        if (number + 1) % BUNDLE_RECORDS != 0 {
            break;
        }
        number /= BUNDLE_RECORDS;
        hashes = roots(tx, tenant, level, number).await?;
    }
    Ok(())
}

/// The hashes of a tile: the roots of the full tiles below.
async fn roots(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    level_below: i64,
    number: i64,
) -> Result<Vec<u8>, Error> {
    let first = number * BUNDLE_RECORDS;
    let below = audit_tile::Entity::find()
        .filter(audit_tile::Column::TenantId.eq(tenant.as_str()))
        .filter(audit_tile::Column::Level.eq(level_below))
        .filter(audit_tile::Column::Number.between(first, first + BUNDLE_RECORDS - 1))
        .order_by_asc(audit_tile::Column::Number)
        .all(tx)
        .await?;
    Ok(below.into_iter().flat_map(|tile| tile.root).collect())
}

/// The root of a full tile; `None` if the hashes are not those of one.
fn root(hashes: &[u8]) -> Option<Hash> {
    let (hashes, rest) = hashes.as_chunks::<{ Hash::BYTES }>();
    let mut tree = Frontier::default();
    tree.extend(hashes.iter().map(|bytes| Hash::from_bytes(*bytes)));
    (rest.is_empty() && i64::try_from(hashes.len()) == Ok(BUNDLE_RECORDS)).then(|| tree.root())
}
