//! A tenant's tree as proofs need it: its size and root, its tiles, and the entries of its leaves. Full tiles are stored; partial
//! ones are made of the roots of the tiles below, and at the bottom of the leaves of pieces. However many tiles a proof needs,
//! they are read by a few statements: one for the stored ones, and one for each level that has others.

use std::collections::{BTreeMap, BTreeSet};

use credvault_audit::{Entry, Frontier, Hash, Plan, TILE_WIDTH, TileId, Tiles};
use credvault_domain::{TenantId, TenantScope};
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::keys::audit_keys;
use super::pieces::{column, newest, opened, size};
use super::whole::{BUNDLE_RECORDS, root};
use crate::entity::audit_bundle::{Column, Entity};
use crate::entity::audit_tile;
use crate::integrity::alarm;
use crate::{Audit, Error};

/// The tree over a tenant's log at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogHead {
    /// The number of records in the log.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl Audit<'_> {
    /// The size and the root of a tenant's log. What waits in the journal is not in it yet.
    ///
    /// # Errors
    /// The tenant does not exist; [`Error::Integrity`] if the log was altered; the database fails.
    pub async fn head(&self, scope: &TenantScope) -> Result<LogHead, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        let found = head(&tx, scope.tenant()).await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// The tiles that proofs by these plans need, as wide as they are now.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails. Tiles that are not there are left out.
    pub async fn tiles(&self, scope: &TenantScope, plans: &[Plan]) -> Result<Tiles, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        let tiles = read_tiles(&tx, scope.tenant(), plans, &[]).await?;
        tx.rollback().await?;
        Ok(tiles)
    }

    /// The record at an index of a tenant's log, with its blinding; `None` if it is not there to be read.
    ///
    /// # Errors
    /// The tenant does not exist, its key does not unwrap, or the record's bundle does not open; the database fails.
    pub async fn entry(&self, scope: &TenantScope, index: u64) -> Result<Option<Entry>, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let keys = audit_keys(&reading.tx, scope.tenant(), &reading.keys).await?;
        // The last row that begins there or before.
        let row = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::Start.lte(column(index)))
            .order_by_desc(Column::Start)
            .one(&reading.tx)
            .await?;
        let Some(row) = row.filter(|row| row.sealed.is_some()) else { return Ok(None) };
        let place = usize::try_from(index % TILE_WIDTH as u64).unwrap_or(TILE_WIDTH);
        let is_there = column(index) < row.start.saturating_add(row.records);
        Ok(if is_there { opened(scope.tenant(), &row, &keys)?.entry(place) } else { None })
    }
}

/// The size and the root of a log, in a transaction of its tenant.
pub(super) async fn head(tx: &DatabaseTransaction, tenant: &TenantId) -> Result<LogHead, Error> {
    let frontier = match newest(tx, tenant).await? {
        None => Frontier::default(),
        Some(row) => row.frontier.and_then(|bytes| Frontier::decode(&bytes).ok()).ok_or_else(|| {
            alarm(tenant, "audit_log", [0; 16]);
            Error::Integrity
        })?,
    };
    Ok(LogHead { size: frontier.size(), root: frontier.root() })
}

/// The tiles that proofs by these plans need, and others, as wide as they are now, in a transaction of the tenant. Tiles that are
/// not there are left out.
pub(super) async fn read_tiles(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    plans: &[Plan],
    others: &[TileId],
) -> Result<Tiles, Error> {
    let wanted: BTreeSet<TileId> = plans.iter().flat_map(Plan::tiles).chain(others.iter().copied()).collect();
    // Pieces first: a bundle that is joined meanwhile is found again as a tile.
    let (size, leaves) = leaves(tx, tenant).await?;
    let mut known =
        Known { size, leaves, full: full_tiles(tx, tenant, &wanted).await?, roots: BTreeMap::new() };
    let mut partial: BTreeSet<TileId> =
        wanted.difference(&known.full.keys().copied().collect()).copied().collect();
    for level in (1..=LEVELS).rev() {
        let above: Vec<_> = partial.iter().filter(|tile| tile.level == level).copied().collect();
        known.roots.extend(roots(tx, tenant, &above).await?);
        partial.extend(above.into_iter().flat_map(|tile| known.unstored_below(tile)));
    }
    // From the bottom up, each is made of those below.
    for tile in partial {
        let hashes = known.made(tile);
        if !hashes.is_empty() {
            known.full.insert(tile, hashes);
        }
    }
    let mut tiles = Tiles::default();
    for tile in wanted {
        if let Some(hashes) = known.full.get(&tile) {
            tiles.insert(tile, hashes).map_err(|_| Error::Integrity)?;
        }
    }
    Ok(tiles)
}

/// The highest level that a tile of any tree has.
const LEVELS: u8 = 5;

/// What was read of a tree.
struct Known {
    size: u64,
    /// The leaves of bundles that are in pieces.
    leaves: BTreeMap<u64, Vec<u8>>,
    /// The hashes of tiles: the stored ones, and then those that were made.
    full: BTreeMap<TileId, Vec<u8>>,
    /// The roots of stored tiles that others are made of.
    roots: BTreeMap<TileId, Vec<u8>>,
}

impl Known {
    /// The tiles below another one, in their order.
    fn below(tile: TileId) -> impl Iterator<Item = TileId> {
        let first = tile.index * TILE_WIDTH as u64;
        (first..first + TILE_WIDTH as u64).map(move |index| TileId { level: tile.level - 1, index })
    }

    /// The tiles below another one that are full and not stored: the newest of their level may be.
    fn unstored_below(&self, tile: TileId) -> Vec<TileId> {
        let is_full = |below: &TileId| below.width_in(self.size) == TILE_WIDTH;
        Self::below(tile).take_while(is_full).filter(|below| !self.roots.contains_key(below)).collect()
    }

    /// The hashes of a tile that is not stored, as many as there are.
    fn made(&self, tile: TileId) -> Vec<u8> {
        if tile.level == 0 {
            return self.leaves.get(&tile.index).cloned().unwrap_or_default();
        }
        let root_of = |below: TileId| match self.roots.get(&below) {
            Some(stored) => Some(stored.clone()),
            None => Some(root(self.full.get(&below)?)?.to_bytes().to_vec()),
        };
        Self::below(tile).map_while(root_of).flatten().collect()
    }
}

/// The size of a log, and the leaves of its bundles that are in pieces.
async fn leaves(tx: &DatabaseTransaction, tenant: &TenantId) -> Result<(u64, BTreeMap<u64, Vec<u8>>), Error> {
    let Some((size, settled)) = size(tx, tenant).await? else { return Ok((0, BTreeMap::new())) };
    let pieces: Vec<(i64, Vec<u8>)> = Entity::find()
        .select_only()
        .column(Column::Start)
        .column(Column::Leaves)
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Start.gte(settled))
        .filter(Column::Leaves.is_not_null())
        .order_by_asc(Column::Start)
        .into_tuple()
        .all(tx)
        .await?;
    let mut leaves: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for (start, hashes) in pieces {
        leaves.entry((start / BUNDLE_RECORDS).unsigned_abs()).or_default().extend(hashes);
    }
    Ok((size.unsigned_abs(), leaves))
}

/// Those of some tiles that are stored.
async fn full_tiles(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    wanted: &BTreeSet<TileId>,
) -> Result<BTreeMap<TileId, Vec<u8>>, Error> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let is_one = |tile: &TileId| {
        let level = audit_tile::Column::Level.eq(i64::from(tile.level));
        Condition::all().add(level).add(audit_tile::Column::Number.eq(column(tile.index)))
    };
    let any = wanted.iter().map(is_one).fold(Condition::any(), Condition::add);
    let stored: Vec<(i64, i64, Vec<u8>)> = audit_tile::Entity::find()
        .select_only()
        .column(audit_tile::Column::Level)
        .column(audit_tile::Column::Number)
        .column(audit_tile::Column::Hashes)
        .filter(audit_tile::Column::TenantId.eq(tenant.as_str()))
        .filter(any)
        .into_tuple()
        .all(tx)
        .await?;
    Ok(stored.into_iter().map(|(level, number, hashes)| (id(level, number), hashes)).collect())
}

/// The roots of the stored tiles below some of one level.
async fn roots(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    above: &[TileId],
) -> Result<BTreeMap<TileId, Vec<u8>>, Error> {
    let Some(level) = above.first().and_then(|tile| tile.level.checked_sub(1)) else {
        return Ok(BTreeMap::new());
    };
    let is_below = |tile: &TileId| {
        let first = column(tile.index).saturating_mul(BUNDLE_RECORDS);
        audit_tile::Column::Number.between(first, first.saturating_add(BUNDLE_RECORDS - 1))
    };
    let any = above.iter().map(is_below).fold(Condition::any(), Condition::add);
    let stored: Vec<(i64, Vec<u8>)> = audit_tile::Entity::find()
        .select_only()
        .column(audit_tile::Column::Number)
        .column(audit_tile::Column::Root)
        .filter(audit_tile::Column::TenantId.eq(tenant.as_str()))
        .filter(audit_tile::Column::Level.eq(i64::from(level)))
        .filter(any)
        .into_tuple()
        .all(tx)
        .await?;
    Ok(stored.into_iter().map(|(number, root)| (id(i64::from(level), number), root)).collect())
}

fn id(level: i64, number: i64) -> TileId {
    TileId { level: u8::try_from(level).unwrap_or(u8::MAX), index: number.unsigned_abs() }
}
