//! Joining the pieces of a log, in the tenant's own transaction: a complete bundle becomes one row with its tile, and many
//! pieces of one that is not complete become one piece. What a reader, or a verifier, finds is the same before and after.

use credvault_audit::Bundle;
use credvault_domain::TenantId;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::keys::{AuditKeys, audit_keys};
use super::pieces::{insert_one, opened, pieces, sealed, size};
use super::whole::{BUNDLE_RECORDS, active, describe, tile};
use crate::database::transaction::{Access, begin_write};
use crate::entity::audit_bundle::{Column, Entity, Model};
use crate::entity::audit_tile;
use crate::integrity::alarm;
use crate::{Error, Store};

/// From how many pieces on they are worth joining, although their bundle is not complete.
const MIN_PIECES: usize = 16;
/// The level below which all full tiles of any tree are.
const LEVELS: i64 = 6;

/// Joins the oldest pieces of a tenant's log. Gives whether there may be more to join.
///
/// # Errors
/// [`Error::Conflict`] if another process is at it; [`Error::Integrity`] if a row does not open or fit; the tenant's key does
/// not unwrap, or the database fails.
pub(super) async fn fold(store: &Store, tenant: &TenantId) -> Result<bool, Error> {
    let (tx, keys) = begin(store, tenant).await?;
    let Some((size, settled)) = size(&tx, tenant).await? else { return Ok(false) };
    let all = pieces(&tx, tenant, settled).await?;
    let number = all.first().map_or(0, |first| first.start / BUNDLE_RECORDS);
    let rows: Vec<_> = all.iter().take_while(|row| row.start / BUNDLE_RECORDS == number).cloned().collect();
    let records: i64 = rows.iter().map(|row| row.records).sum();
    let is_complete = records == BUNDLE_RECORDS;
    if !follow_each_other(&rows, number * BUNDLE_RECORDS) || (!is_complete && rows.len() < all.len()) {
        alarm(tenant, "audit_log", [0; 16]);
        return Err(Error::Integrity);
    }
    if is_complete || rows.len() >= MIN_PIECES {
        join_rows(store, &tx, tenant, (number, &rows, &keys)).await?;
    }
    grow(&tx, tenant, size).await?;
    tx.commit().await?;
    Ok(is_complete && rows.len() < all.len())
}

/// Puts one row in place of pieces, with its tile if they are a whole bundle.
async fn join_rows(
    store: &Store,
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    (number, rows, keys): (i64, &[Model], &AuditKeys),
) -> Result<(), Error> {
    let mut joined = join(store, tenant, rows, keys)?;
    take_away(tx, tenant, rows).await?;
    if joined.records == BUNDLE_RECORDS {
        let leaves = joined.leaves.take().unwrap_or_default();
        audit_tile::Entity::insert(active(tile(tenant, 0, number, leaves)?))
            .exec_without_returning(tx)
            .await?;
        joined.settled = joined.start + BUNDLE_RECORDS;
    }
    Ok(insert_one(tx, joined).await?)
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
        // What follows in the bundle, if anything does, is not whole either.
        settled: start,
        frontier: rows.last().and_then(|row| row.frontier.clone()),
        first_id: None,
        last_id: None,
        first_time: None,
        words: None,
    };
    let newest = keys.iter().rev().find_map(|(number, key)| Some((*number, key.clone()?)));
    let Some((number, key)) = newest else {
        // What an erased tenant had is not there to be read.
        return if keys.is_empty() { Ok(joined) } else { Err(Error::Integrity) };
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

/// Adds the tiles that are full now above those of whole bundles.
async fn grow(tx: &DatabaseTransaction, tenant: &TenantId, size: i64) -> Result<(), Error> {
    for level in 1..LEVELS {
        let before = full_tiles(tx, tenant, level, size).await?;
        let mut number = before;
        // The tree is large enough for the tile, and what is below is there.
        while size >> (8 * (level + 1)) > number {
            let hashes = roots(tx, tenant, level - 1, number).await?;
            let Ok(full) = tile(tenant, level, number, hashes) else { break };
            audit_tile::Entity::insert(active(full)).exec_without_returning(tx).await?;
            number += 1;
        }
        if number == before {
            break;
        }
    }
    Ok(())
}

/// How many full tiles of a level there are; those of a level come in their order.
async fn full_tiles(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    level: i64,
    size: i64,
) -> Result<i64, Error> {
    if size >> (8 * (level + 1)) == 0 {
        return Ok(0);
    }
    let newest = audit_tile::Entity::find()
        .filter(audit_tile::Column::TenantId.eq(tenant.as_str()))
        .filter(audit_tile::Column::Level.eq(level))
        .order_by_desc(audit_tile::Column::Number)
        .one(tx)
        .await?;
    Ok(newest.map_or(0, |tile| tile.number + 1))
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
