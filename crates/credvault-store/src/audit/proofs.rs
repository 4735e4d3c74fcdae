//! Proofs about a tenant's log: that a record is in it, and that it continues what it was. Each is checked here before it leaves,
//! so that one which does not verify raises the alarm in the vault and not at the auditor.

use credvault_audit::{
    Entry, Hash, Plan, Record, RecordProof, TILE_WIDTH, TileId, Tiles, TilesMissing, verify_consistency,
    verify_inclusion,
};
use credvault_domain::{TenantId, TenantScope, Violations};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::checkpoints::{AuditCheckpoint, SignedHead, checkpoint_of};
use super::cosignatures::cosigned;
use super::filter::{AuditFilter, Wanted};
use super::pieces::column;
use super::record::{AuditRecord, of_log};
use super::signers::Signers;
use super::tree::{LogHead, read_tiles};
use crate::entity::audit_bundle::{Column, Entity};
use crate::integrity::alarm;
use crate::{Audit, Error, Unproved};

/// Which record is to be proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProvedRecord {
    /// The record with this id.
    Id(Uuid),
    /// The record at this index of the log.
    Index(u64),
}

/// The proof that a record is in the log.
#[derive(Clone, PartialEq, Debug)]
pub struct InclusionProof {
    /// The place of the record in the log.
    pub index: u64,
    /// The number of records of the tree that it is proved to be in.
    pub tree_size: u64,
    /// The root of that tree.
    pub root: Hash,
    /// The hash of the record's leaf.
    pub leaf: Hash,
    /// The inclusion proof, from the leaf to the root.
    pub hashes: Vec<Hash>,
    /// The record with its blinding; none if its content is gone.
    pub entry: Option<Entry>,
    /// The record as lists show it.
    pub record: Option<AuditRecord>,
    /// The checkpoint of that tree; none if it was neither the newest nor the one with cosignatures.
    pub checkpoint: Option<AuditCheckpoint>,
}

impl InclusionProof {
    /// The proof in a text of its own, in the form of C2SP tlog-proof: with the record and the checkpoint, if both are there.
    pub fn text(&self) -> Option<String> {
        let (entry, checkpoint) = (self.entry.clone()?, self.checkpoint.as_ref()?.signed.clone());
        let proof = RecordProof { entry, index: self.index, proof: self.hashes.clone(), checkpoint };
        Some(proof.to_string())
    }
}

/// The proof that an earlier state of the log is the beginning of a later one.
#[derive(Clone, PartialEq, Debug)]
pub struct ConsistencyProof {
    /// The number of records of the earlier tree.
    pub earlier_size: u64,
    /// The root of the earlier tree.
    pub earlier_root: Hash,
    /// The number of records of the later tree.
    pub tree_size: u64,
    /// The root of the later tree.
    pub root: Hash,
    /// The consistency proof (RFC 6962, section 2.1.2).
    pub hashes: Vec<Hash>,
    /// The checkpoint of the later tree; none if it was neither the newest nor the one with cosignatures.
    pub checkpoint: Option<AuditCheckpoint>,
}

impl Audit<'_> {
    /// Proves that a record in a scope's reach is in its tenant's log: in the tree of the newest checkpoint, or of another size
    /// if `tree_size` is not 0. One that is not covered by a checkpoint gets a new one.
    ///
    /// # Errors
    /// There is no such record in reach, or not yet; [`Unproved::Sizes`] if the tree of that size does not have it or does not
    /// exist; [`Error::Integrity`] if the log was altered; the database fails.
    pub async fn prove_inclusion(
        &self,
        scope: &TenantScope,
        which: ProvedRecord,
        tree_size: u64,
    ) -> Result<InclusionProof, Error> {
        let (index, entry) = match which {
            ProvedRecord::Id(id) => self.find(scope, id).await.map(|(index, entry)| (index, Some(entry)))?,
            ProvedRecord::Index(index) => (index, self.entry(scope, index).await?),
        };
        let record = entry.as_ref().map(|entry| in_reach(scope, entry, index)).transpose()?;
        let signed = self.covering(scope, tree_size.max(index.saturating_add(1))).await?;
        if index >= signed.head.size {
            return Err(Error::Unproved(Unproved::NotFound));
        }
        let size = tree_of(tree_size, signed.head)?;
        let plan = Plan::inclusion(index, size).ok_or_else(|| {
            let rule = format!("must be above the record's index, {index}, or 0 for the newest checkpoint");
            Error::Unproved(Unproved::Sizes(Violations::of("tree_size", rule)))
        })?;
        let tree = ProvedTree { tenant: scope.tenant(), signed: signed.head, size };
        let signers = self.store.audit_signers().await?;
        let tx = self.store.look(scope.tenant()).await?;
        let plans = [std::slice::from_ref(&plan), tree.plans().as_slice()].concat();
        let bottom = TileId { level: 0, index: index / TILE_WIDTH as u64 };
        let tiles = read_tiles(&tx, scope.tenant(), &plans, &[bottom]).await?;
        let (Ok(hashes), Some(root), Ok(leaf)) =
            (plan.hashes(&tiles), tree.root(&tiles), leaf(&tiles, bottom, index))
        else {
            return Err(tree.missing(&tx, index, Error::Unproved(Unproved::NotFound)).await?);
        };
        let is_entry = entry.as_ref().is_none_or(|entry| entry.leaf() == leaf);
        if !is_entry || verify_inclusion(leaf, index, size, &hashes, root).is_err() {
            return Err(tree.altered());
        }
        let checkpoint = self.checkpoint_at(&tx, (scope.tenant(), &signers), signed, size).await?;
        tx.rollback().await?;
        Ok(InclusionProof { index, tree_size: size, root, leaf, hashes, entry, record, checkpoint })
    }

    /// Proves that the log's first `earlier` records are the beginning of the log as the newest checkpoint has it, or of its first
    /// `tree_size` records if that is not 0.
    ///
    /// # Errors
    /// [`Unproved::Sizes`] if the log has not so many records, or the earlier size is 0 or larger than the later one;
    /// [`Error::Integrity`] if the log was altered; the database fails.
    pub async fn prove_consistency(
        &self,
        scope: &TenantScope,
        earlier: u64,
        tree_size: u64,
    ) -> Result<ConsistencyProof, Error> {
        let signed = self.covering(scope, tree_size.max(earlier)).await?;
        let refused =
            |field: &str, rule: String| Error::Unproved(Unproved::Sizes(Violations::of(field, rule)));
        if earlier == 0 {
            return Err(refused("earlier_size", "must be at least 1".to_owned()));
        }
        if earlier > signed.head.size {
            let rule = format!("must be at most {}, the number of records in the log", signed.head.size);
            return Err(refused("earlier_size", rule));
        }
        let size = tree_of(tree_size, signed.head)?;
        let plan = Plan::consistency(earlier, size).ok_or_else(|| {
            refused("tree_size", "must be at least earlier_size, or 0 for the newest checkpoint".to_owned())
        })?;
        let tree = ProvedTree { tenant: scope.tenant(), signed: signed.head, size };
        let before = ProvedTree { size: earlier, ..tree };
        let signers = self.store.audit_signers().await?;
        let tx = self.store.look(scope.tenant()).await?;
        let plans =
            [std::slice::from_ref(&plan), tree.plans().as_slice(), before.plans().as_slice()].concat();
        let tiles = read_tiles(&tx, scope.tenant(), &plans, &[]).await?;
        let (Ok(hashes), Some(root), Some(earlier_root)) =
            (plan.hashes(&tiles), tree.root(&tiles), before.root(&tiles))
        else {
            let rule = "must not be before the oldest record that is kept".to_owned();
            return Err(tree.missing(&tx, earlier, refused("earlier_size", rule)).await?);
        };
        if verify_consistency((earlier, earlier_root), (size, root), &hashes).is_err() {
            return Err(tree.altered());
        }
        let checkpoint = self.checkpoint_at(&tx, (scope.tenant(), &signers), signed, size).await?;
        tx.rollback().await?;
        Ok(ConsistencyProof {
            earlier_size: earlier,
            earlier_root,
            tree_size: size,
            root,
            hashes,
            checkpoint,
        })
    }

    /// The checkpoint of a size, if it is the newest one or the one with cosignatures.
    async fn checkpoint_at(
        &self,
        tx: &DatabaseTransaction,
        (tenant, signers): (&TenantId, &Signers),
        signed: SignedHead,
        size: u64,
    ) -> Result<Option<AuditCheckpoint>, Error> {
        if size == signed.head.size {
            return checkpoint_of(tx, self.store, (tenant, signers), signed).await.map(Some);
        }
        let witnesses = &self.store.settings().witnesses;
        let cosigned = cosigned(tx, tenant, &signers.origin(tenant)?, witnesses).await?;
        let of_size = cosigned.filter(|(signed, _)| signed.unverified().size == size);
        Ok(of_size.map(|(signed, time)| AuditCheckpoint { signed, time }))
    }
}

/// The size of the tree that is meant.
fn tree_of(tree_size: u64, signed: LogHead) -> Result<u64, Error> {
    match tree_size {
        0 => Ok(signed.size),
        size if size <= signed.size => Ok(size),
        _ => {
            let rule = format!("must be at most {}, the number of records in the log", signed.size);
            Err(Error::Unproved(Unproved::Sizes(Violations::of("tree_size", rule))))
        }
    }
}

/// The record of an entry, if the scope reaches it.
fn in_reach(scope: &TenantScope, entry: &Entry, index: u64) -> Result<AuditRecord, Error> {
    // What a later release wrote cannot be judged.
    let record = Record::decode(&entry.record).map_err(|_| Error::Unproved(Unproved::NotFound))?;
    let record = of_log(record, Some(column(index)))?;
    let all = AuditFilter::default();
    if Wanted::new(scope, &all).has(&record) { Ok(record) } else { Err(Error::Unproved(Unproved::NotFound)) }
}

fn leaf(tiles: &Tiles, bottom: TileId, index: u64) -> Result<Hash, TilesMissing> {
    let place = usize::try_from(index % TILE_WIDTH as u64).unwrap_or(TILE_WIDTH);
    let hashes = tiles.hashes(bottom, place + 1)?;
    hashes.last().copied().ok_or(TilesMissing(bottom))
}

/// The tree over the first records of a log, whose root is proved to belong to what was signed.
#[derive(Clone, Copy)]
struct ProvedTree<'a> {
    tenant: &'a TenantId,
    signed: LogHead,
    size: u64,
}

impl ProvedTree<'_> {
    /// What its root is made of, and what ties it to the signed one.
    fn plans(&self) -> Vec<Plan> {
        let continued = Plan::consistency(self.size, self.signed.size);
        std::iter::once(Plan::root(self.size)).chain(continued).collect()
    }

    /// Its root; `None` if tiles are missing, or the root is not that of what was signed.
    fn root(&self, tiles: &Tiles) -> Option<Hash> {
        let root = *Plan::root(self.size).hashes(tiles).ok()?.first()?;
        let proof = Plan::consistency(self.size, self.signed.size)?.hashes(tiles).ok()?;
        let (then, now) = ((self.size, root), (self.signed.size, self.signed.root));
        verify_consistency(then, now, &proof).is_ok().then_some(root)
    }

    /// Why tiles are missing or wrong: `gone` if what was asked for is from before the oldest record that is kept.
    async fn missing(&self, tx: &DatabaseTransaction, from: u64, gone: Error) -> Result<Error, Error> {
        let oldest: Option<i64> = Entity::find()
            .select_only()
            .column(Column::Start)
            .filter(Column::TenantId.eq(self.tenant.as_str()))
            .order_by_asc(Column::Start)
            .into_tuple()
            .one(tx)
            .await?;
        let is_gone = oldest.is_some_and(|oldest| from < oldest.unsigned_abs());
        Ok(if is_gone { gone } else { self.altered() })
    }

    fn altered(&self) -> Error {
        alarm(self.tenant, "audit_log", [0; 16]);
        Error::Integrity
    }
}
