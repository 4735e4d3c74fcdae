//! Signed checkpoints of tenants' logs. The newest state that was signed is stored, and no other is signed that does not
//! continue it: a log that lost records, or has others in their place, gets no checkpoint any more, and an alarm.

use credvault_audit::{Hash, Plan, SignedCheckpoint, VerifierKey, verify_consistency};
use credvault_domain::{TenantId, TenantScope, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};

use super::cosignatures::{cosigned, with_cosignatures};
use super::pieces::column;
use super::signers::Signers;
use super::tree::{LogHead, head, read_tiles};
use crate::database::pieces::execute;
use crate::database::transaction::{Access, begin};
use crate::integrity::alarm;
use crate::{Audit, Database, Error, Store};

/// How often a state is signed anew that another replica has signed meanwhile.
const ATTEMPTS: u32 = 8;

/// A checkpoint of a tenant's log, with its signatures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditCheckpoint {
    /// The checkpoint as a signed note, with the cosignatures that are known.
    pub signed: SignedCheckpoint,
    /// When the vault first signed this state of the log, or the last witness cosigned it.
    pub time: Timestamp,
}

/// What is signed of a tenant's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditCheckpoints {
    /// The newest checkpoint of the log.
    pub newest: AuditCheckpoint,
    /// The checkpoint that most of the configured witnesses have cosigned, of several the newest; none if no witness has.
    pub cosigned: Option<AuditCheckpoint>,
    /// The keys that checkpoints of this log verify with, the newest first.
    pub keys: Vec<VerifierKey>,
}

/// The newest state of a log that was signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SignedHead {
    pub(super) head: LogHead,
    pub(super) time: Timestamp,
}

impl Audit<'_> {
    /// Signs the newest state of a tenant's log. Waits for up to a second until records that are durable now are in it.
    ///
    /// # Errors
    /// The tenant does not exist; [`Error::Integrity`] if the log does not continue what was signed of it before, or the signer
    /// does not open; the database fails.
    pub async fn checkpoint(&self, scope: &TenantScope) -> Result<AuditCheckpoints, Error> {
        self.store.await_journal().await?;
        let (store, tenant) = (self.store, scope.tenant());
        let tx = store.look(tenant).await?;
        let head = store.advance(tenant, tx).await?;
        let signers = store.audit_signers().await?;
        let tx = store.look(tenant).await?;
        let newest = checkpoint_of(&tx, store, (tenant, &signers), head).await?;
        let cosigned = cosigned(&tx, tenant, &signers.origin(tenant)?, &store.settings().witnesses).await?;
        tx.rollback().await?;
        let cosigned = cosigned.map(|(signed, time)| AuditCheckpoint { signed, time });
        Ok(AuditCheckpoints { newest, cosigned, keys: signers.verifier_keys(tenant)? })
    }

    /// The newest state that was signed, if it has `size` records, or else the one that is signed now.
    pub(super) async fn covering(&self, scope: &TenantScope, size: u64) -> Result<SignedHead, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        match last(&tx, scope.tenant(), None).await? {
            Some(last) if last.head.size >= size => {
                tx.rollback().await?;
                Ok(last)
            }
            _ => self.store.advance(scope.tenant(), tx).await,
        }
    }
}

/// The checkpoint of a state that was signed.
pub(super) async fn checkpoint_of(
    tx: &DatabaseTransaction,
    store: &Store,
    (tenant, signers): (&TenantId, &Signers),
    SignedHead { head, time }: SignedHead,
) -> Result<AuditCheckpoint, Error> {
    let signed = signers.sign(tenant, head, store.now())?;
    let signed = with_cosignatures(tx, tenant, signed, &store.settings().witnesses).await?;
    Ok(AuditCheckpoint { signed, time })
}

impl Store {
    /// Notes the newest state of a tenant's log as signed, if it continues what was signed before. `looking` is a transaction of
    /// the tenant that reads.
    ///
    /// # Errors
    /// [`Error::Integrity`], with an alarm, if it does not; the database fails.
    pub(super) async fn advance(
        &self,
        tenant: &TenantId,
        looking: DatabaseTransaction,
    ) -> Result<SignedHead, Error> {
        let (before, now) = (last(&looking, tenant, None).await?, head(&looking, tenant).await?);
        looking.rollback().await?;
        if let Some(before) = before.filter(|before| before.head == now) {
            return Ok(before);
        }
        for _ in 1..ATTEMPTS {
            match self.try_to_advance(tenant).await {
                Err(Error::Conflict) => {}
                result => return result,
            }
        }
        self.try_to_advance(tenant).await
    }

    /// The same for the vault's own work, which also concerns tenants that were erased.
    pub(super) async fn advance_any(&self, tenant: &TenantId) -> Result<SignedHead, Error> {
        let tx = begin(&self.reader(), self.database(), Access::Read, tenant).await?;
        self.advance(tenant, tx).await
    }

    async fn try_to_advance(&self, tenant: &TenantId) -> Result<SignedHead, Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        // Another replica that signs waits here, so each compares with what the other has signed.
        let before = last(&tx, tenant, Some(self.database())).await?;
        let (head, time) = (head(&tx, tenant).await?, self.now());
        if let Some(before) = before.filter(|before| before.head == head) {
            return Ok(before);
        }
        check_continues(&tx, tenant, before.map(|before| before.head), head).await?;
        let sql = match before {
            None => {
                "INSERT INTO audit_checkpoints (tenant_id, size, root, time) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant_id) DO NOTHING"
            }
            Some(_) => "UPDATE audit_checkpoints SET size = $2, root = $3, time = $4 WHERE tenant_id = $1",
        };
        let values = [
            tenant.as_str().into(),
            column(head.size).into(),
            head.root.to_bytes().to_vec().into(),
            time.micros().into(),
        ];
        // Another replica has signed the first one.
        if execute(&tx, sql, values).await? != 1 {
            return Err(Error::Conflict);
        }
        tx.commit().await?;
        Ok(SignedHead { head, time })
    }
}

/// The newest state of a log that was signed. With a database, its row stays locked.
pub(super) async fn last(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    locking: Option<Database>,
) -> Result<Option<SignedHead>, Error> {
    let lock = if locking == Some(Database::Postgres) { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT size, root, time FROM audit_checkpoints WHERE tenant_id = $1 {lock}");
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [tenant.as_str().into()]);
    let Some(row) = tx.query_one_raw(asked).await? else { return Ok(None) };
    let (size, root): (i64, Vec<u8>) = (row.try_get("", "size")?, row.try_get("", "root")?);
    let root = Hash::from_bytes(root.try_into().map_err(|_| Error::Integrity)?);
    let time = Timestamp::from_micros(row.try_get("", "time")?);
    Ok(Some(SignedHead { head: LogHead { size: size.unsigned_abs(), root }, time }))
}

/// Checks that a log is what its hashes say, and continues the state that was signed of it.
async fn check_continues(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    before: Option<LogHead>,
    now: LogHead,
) -> Result<(), Error> {
    let empty = || LogHead { size: 0, root: Hash::of_empty_tree() };
    let before = before.unwrap_or_else(empty);
    let is_continued = match Plan::consistency(before.size, now.size) {
        // It has fewer records than were signed.
        None => false,
        Some(plan) => {
            let plans = [plan, Plan::root(now.size)];
            let tiles = read_tiles(tx, tenant, &plans, &[]).await?;
            let [proof, root] = plans.map(|plan| plan.hashes(&tiles));
            let (old, new) = ((before.size, before.root), (now.size, now.root));
            let follows = |proof: Vec<Hash>| verify_consistency(old, new, &proof).is_ok();
            proof.is_ok_and(follows) && root.is_ok_and(|root| root == [now.root])
        }
    };
    if !is_continued {
        alarm(tenant, "audit_log", [0; 16]);
        return Err(Error::Integrity);
    }
    Ok(())
}
