//! A tenant's tree as proofs need it: its size and root, its tiles, and the entries of its leaves. Full tiles are stored; partial
//! ones are made of the roots of the tiles below, and at the bottom of the leaves of pieces.

use std::collections::BTreeMap;
use std::pin::Pin;

use credvault_audit::{Entry, Frontier, Hash, Plan, TILE_WIDTH, TileId, Tiles};
use credvault_domain::TenantScope;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::keys::audit_keys;
use super::pieces::{column, newest, opened, pieces, size};
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
        let row = newest(&tx, scope.tenant()).await?;
        tx.rollback().await?;
        let frontier = match row {
            None => Frontier::default(),
            Some(row) => row.frontier.and_then(|bytes| Frontier::decode(&bytes).ok()).ok_or_else(|| {
                alarm(scope.tenant(), "audit_log", [0; 16]);
                Error::Integrity
            })?,
        };
        Ok(LogHead { size: frontier.size(), root: frontier.root() })
    }

    /// The tiles that proofs by these plans need, as wide as they are now.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails. Tiles that are not there are left out.
    pub async fn tiles(&self, scope: &TenantScope, plans: &[Plan]) -> Result<Tiles, Error> {
        let needed: Vec<_> = plans.iter().flat_map(Plan::tiles).collect();
        self.stored_tiles(scope, &needed).await
    }

    /// These tiles, as wide as they are now. Those that are not there are left out.
    pub(super) async fn stored_tiles(&self, scope: &TenantScope, needed: &[TileId]) -> Result<Tiles, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        let tree = Tree::begin(&tx, scope).await?;
        let mut tiles = Tiles::default();
        for tile in needed.iter().copied() {
            let hashes = tree.hashes(tile).await?;
            if !hashes.is_empty() {
                tiles.insert(tile, &hashes).map_err(|_| Error::Integrity)?;
            }
        }
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

/// A tree in a transaction of its tenant.
struct Tree<'a> {
    tx: &'a DatabaseTransaction,
    tenant: &'a str,
    /// The leaves of bundles that are in pieces.
    leaves: BTreeMap<u64, Vec<u8>>,
}

/// An answer of a method that calls itself.
type Hashes<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>> + Send + 'a>>;

impl<'a> Tree<'a> {
    async fn begin(tx: &'a DatabaseTransaction, scope: &'a TenantScope) -> Result<Self, Error> {
        let mut leaves: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        if let Some((_, settled)) = size(tx, scope.tenant()).await? {
            for row in pieces(tx, scope.tenant(), settled).await? {
                let bundle = (row.start / BUNDLE_RECORDS).unsigned_abs();
                leaves.entry(bundle).or_default().extend(row.leaves.unwrap_or_default());
            }
        }
        Ok(Self { tx, tenant: scope.tenant().as_str(), leaves })
    }

    /// The hashes of a tile, as many as there are.
    fn hashes(&self, tile: TileId) -> Hashes<'_> {
        Box::pin(async move {
            let key = (self.tenant.to_owned(), i64::from(tile.level), column(tile.index));
            if let Some(full) = audit_tile::Entity::find_by_id(key).one(self.tx).await? {
                return Ok(full.hashes);
            }
            match tile.level.checked_sub(1) {
                None => Ok(self.leaves.get(&tile.index).cloned().unwrap_or_default()),
                Some(level) => self.roots(level, tile.index * TILE_WIDTH as u64).await,
            }
        })
    }

    /// The roots of the full tiles of a level from a place on, up to 256.
    async fn roots(&self, level: u8, first: u64) -> Result<Vec<u8>, Error> {
        let stored: Vec<(i64, Vec<u8>)> = audit_tile::Entity::find()
            .select_only()
            .column(audit_tile::Column::Number)
            .column(audit_tile::Column::Root)
            .filter(audit_tile::Column::TenantId.eq(self.tenant))
            .filter(audit_tile::Column::Level.eq(i64::from(level)))
            .filter(audit_tile::Column::Number.between(column(first), column(first) + BUNDLE_RECORDS - 1))
            .into_tuple()
            .all(self.tx)
            .await?;
        let stored: BTreeMap<i64, Vec<u8>> = stored.into_iter().collect();
        let mut roots = Vec::new();
        for index in first..first + TILE_WIDTH as u64 {
            match stored.get(&column(index)) {
                Some(root) => roots.extend(root),
                // It may be full and not be stored yet.
                None => match root(&self.hashes(TileId { level, index }).await?) {
                    Some(root) => roots.extend(root.to_bytes()),
                    None => break,
                },
            }
        }
        Ok(roots)
    }
}
