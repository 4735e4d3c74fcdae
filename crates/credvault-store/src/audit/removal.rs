//! Retention: removing the oldest records of a tenant's log once they are old enough. Whole bundles go, from the oldest on, with
//! the hashes that no proof needs any more. What is kept is proved as before, and proofs that others have still verify.
//!
//! Before, the newest state of the log is signed, so that nothing is missing to continue it; and what goes is written to the
//! archive, if there is one. Only a later transaction deletes, so a crash repeats a file and loses nothing.

use std::ops::Range;
use std::time::{Duration, Instant};

use credvault_domain::{LimitKind, Reach, TenantId, TenantScope, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};
use uuid::Uuid;

use super::archive::Archive;
use super::days::day_of;
use super::journal::lowest_id;
use super::pieces::first_place;
use super::whole::BUNDLE_RECORDS;
use super::wholes::SLACK;
use crate::database::pieces::execute;
use crate::database::transaction::{Access, begin, lock_log};
use crate::tenants::rules::row;
use crate::{Audit, Error, Store};

/// How many bundles go at a time at most: as many as have a tile above them.
const BUNDLES_AT_ONCE: i64 = 256;
/// The level below which all tiles of any tree are.
const LEVELS: i64 = 6;

impl Audit<'_> {
    /// The index of the first record that is kept of a tenant's log: the older ones were removed. 0 if none was.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn first_kept(&self, scope: &TenantScope) -> Result<u64, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        let first = first_place(&tx, scope.tenant()).await?;
        tx.rollback().await?;
        Ok(first.unwrap_or(0).unsigned_abs())
    }
}

impl Store {
    /// Removes a tenant's records that are older than its retention, until `end` at the latest.
    ///
    /// # Errors
    /// The log does not continue what was signed of it, the archive cannot be written, or the database fails. What was not done
    /// is done the next time.
    pub(super) async fn remove_old_records(&self, tenant: &TenantId, end: Instant) -> Result<(), Error> {
        while Instant::now() < end {
            let tx = begin(&self.reader(), self.database(), Access::Read, tenant).await?;
            let Some(time) = self.removed_before(&tx, tenant).await? else { return Ok(()) };
            let part = old_part(&tx, tenant, time).await?;
            tx.rollback().await?;
            let Some(part) = part else { return Ok(()) };
            self.archive_part(tenant, &part).await?;
            self.remove_part(tenant, &part).await?;
        }
        Ok(())
    }

    /// The time before which records of a tenant are removed; none if they are kept for ever.
    async fn removed_before(
        &self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
    ) -> Result<Option<Timestamp>, Error> {
        // Asked for anew: what a process remembers may be out of date, and what is removed does not come back.
        let own = row::read(tx, tenant).await?.limits.of(LimitKind::AuditDays);
        let days = own.unwrap_or_else(|| self.settings().limit(LimitKind::AuditDays));
        Ok((days > 0).then(|| self.now().before(Duration::from_secs(days.saturating_mul(24 * 3600)))))
    }

    /// Signs the newest state of the log, and writes what goes to the archive, if there is one.
    async fn archive_part(&self, tenant: &TenantId, part: &Range<i64>) -> Result<(), Error> {
        let signed = match self.audit().checkpoint(&scope(tenant)).await {
            Ok(signed) => signed,
            // It was erased: nothing of its records can be read, and its log goes on to be proved.
            Err(Error::TenantNotFound(_)) => return self.advance_any(tenant).await.map(drop),
            Err(error) => return Err(error),
        };
        let Some(folder) = self.settings().audit_archive.clone() else { return Ok(()) };
        Archive { store: self, tenant, folder }.write(signed.newest.signed, part.clone()).await
    }

    /// Removes a part, if it is still the oldest one and old enough.
    async fn remove_part(&self, tenant: &TenantId, part: &Range<i64>) -> Result<(), Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        lock_log(&tx, self.database(), tenant).await?;
        let Some(time) = self.removed_before(&tx, tenant).await? else { return Err(Error::Conflict) };
        let now = old_part(&tx, tenant, time).await?;
        if now.is_none_or(|now| now.start != part.start || now.end < part.end) {
            return Err(Error::Conflict);
        }
        let bundles = "DELETE FROM audit_bundles WHERE tenant_id = $1 AND start >= $2 AND start < $3";
        let values = [tenant.as_str().into(), part.start.into(), part.end.into()];
        let removed = execute(&tx, bundles, values).await?.saturating_mul(BUNDLE_RECORDS.unsigned_abs());
        if removed != (part.end - part.start).unsigned_abs() {
            return Err(Error::Conflict);
        }
        remove_tiles(&tx, tenant, part.end).await?;
        // Days of which a part is gone are counted no more.
        let days = "DELETE FROM audit_days WHERE tenant_id = $1 AND day <= $2";
        execute(&tx, days, [tenant.as_str().into(), day_of(time.micros()).into()]).await?;
        tx.commit().await?;
        metrics::counter!("credvault_audit_removed_records_total").increment(removed);
        tracing::info!(%tenant, removed, first = part.end, "old audit records were removed");
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the vault's own work has no caller whose tenant could be verified"
)]
fn scope(tenant: &TenantId) -> TenantScope {
    TenantScope::assume_verified(tenant.clone(), Reach::AllUsers)
}

/// The places of the oldest whole bundles that have no record of this time or later. The newest row of a log stays whatever its
/// age: the log goes on from it.
async fn old_part(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    time: Timestamp,
) -> Result<Option<Range<i64>>, Error> {
    let sql =
        "SELECT start, records, last_id FROM audit_bundles WHERE tenant_id = $1 ORDER BY start LIMIT $2";
    let values = [tenant.as_str().into(), (BUNDLES_AT_ONCE + 1).into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let rows = tx.query_all_raw(asked).await?;
    let before = lowest_id(time.before(SLACK));
    let mut part: Option<Range<i64>> = None;
    // The last one of them may be the newest of the log.
    for row in rows.iter().take(rows.len().saturating_sub(1)) {
        let (start, records): (i64, i64) = (row.try_get("", "start")?, row.try_get("", "records")?);
        let last: Option<Uuid> = row.try_get("", "last_id")?;
        if records != BUNDLE_RECORDS || last.is_none_or(|last| last >= before) {
            break;
        }
        part = Some(part.map_or(start, |part| part.start)..start + BUNDLE_RECORDS);
    }
    Ok(part)
}

/// Removes the full tiles that end before the first place that is kept. A tile stays while the one above it is not stored,
/// for that one is made of its root; and the newest of a level tells how many there are.
async fn remove_tiles(tx: &DatabaseTransaction, tenant: &TenantId, first: i64) -> Result<(), Error> {
    for level in 0..LEVELS {
        let ended = first >> (8 * (level + 1));
        if ended == 0 {
            break;
        }
        let sql = "DELETE FROM audit_tiles WHERE tenant_id = $1 AND level = $2 AND number < $3
            AND number < (SELECT max(n.number) FROM audit_tiles n WHERE n.tenant_id = $1 AND n.level = $2)
            AND EXISTS (SELECT 1 FROM audit_tiles a
                WHERE a.tenant_id = $1 AND a.level = $4 AND a.number = audit_tiles.number / 256)";
        let values = [tenant.as_str().into(), level.into(), ended.into(), (level + 1).into()];
        execute(tx, sql, values).await?;
    }
    Ok(())
}
