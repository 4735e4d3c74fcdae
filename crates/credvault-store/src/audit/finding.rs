//! Where a record is in its tenant's log, by its id.

use credvault_audit::{Bundle, Entry, Record, RecordBytes};
use credvault_domain::TenantScope;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Statement, Value};
use uuid::Uuid;

use super::keys::{AuditKeys, audit_keys};
use super::old;
use super::pieces::{opened, pieces, size};
use crate::database::session::Reading;
use crate::entity::audit_bundle::{Entity, Model};
use crate::{Audit, Error, Unproved};

/// How many whole bundles are looked at first. Ids and bundles are in nearly the same order, so one of these has the record,
/// unless it waited for long.
const NEAREST: i64 = 16;

impl Audit<'_> {
    /// The index of a record in its tenant's log, and the record with its blinding. Waits for up to a second for one that is
    /// durable and not in the log yet.
    ///
    /// # Errors
    /// [`Unproved::Waiting`] if it is not in the log by then; [`Unproved::NotFound`] if there is no such record,
    /// or its content is gone; a bundle does not open, or the database fails.
    pub(super) async fn find(&self, scope: &TenantScope, id: Uuid) -> Result<(u64, Entry), Error> {
        if let Some(found) = self.look_for(scope, id).await? {
            return Ok(found);
        }
        self.store.await_journal().await?;
        let is_waiting = self.is_waiting(scope, id).await?;
        match self.look_for(scope, id).await? {
            Some(found) => Ok(found),
            None if is_waiting => Err(Error::Unproved(Unproved::Waiting)),
            None => Err(Error::Unproved(Unproved::NotFound)),
        }
    }

    /// Whether a record is durable and not in the log yet.
    async fn is_waiting(&self, scope: &TenantScope, id: Uuid) -> Result<bool, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        let tail = self.store.journal_tail(&tx, scope.tenant()).await?;
        let waits = tail.iter().any(|bytes| Record::decode(bytes).is_ok_and(|record| record.id == id))
            || old::is_to_move(&tx, scope.tenant(), id).await?;
        tx.rollback().await?;
        Ok(waits)
    }

    async fn look_for(&self, scope: &TenantScope, id: Uuid) -> Result<Option<(u64, Entry)>, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let keys = audit_keys(&reading.tx, scope.tenant(), &reading.keys).await?;
        let search = Search { scope, reading: &reading, keys, id };
        let nearest = format!("ORDER BY last_id, start LIMIT {NEAREST}");
        if let Some(found) = search.in_whole_bundles(&nearest).await? {
            return Ok(Some(found));
        }
        // Pieces before whole bundles: what is joined meanwhile is found again.
        match search.in_pieces().await? {
            Some(found) => Ok(Some(found)),
            None => search.in_whole_bundles("AND first_id <= $2 ORDER BY last_id, start").await,
        }
    }
}

/// A search in a transaction of the tenant.
struct Search<'a> {
    scope: &'a TenantScope,
    reading: &'a Reading,
    keys: AuditKeys,
    id: Uuid,
}

impl Search<'_> {
    async fn in_pieces(&self) -> Result<Option<(u64, Entry)>, Error> {
        let (tx, tenant) = (&self.reading.tx, self.scope.tenant());
        let Some((_, settled)) = size(tx, tenant).await? else { return Ok(None) };
        for row in pieces(tx, tenant, settled).await? {
            if let Some(found) = self.in_row(&row)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn in_whole_bundles(&self, which: &str) -> Result<Option<(u64, Entry)>, Error> {
        let (tx, tenant) = (&self.reading.tx, self.scope.tenant().as_str());
        let sql = format!(
            "SELECT start, first_id FROM audit_bundles
             WHERE tenant_id = $1 AND last_id IS NOT NULL AND last_id >= $2 {which}"
        );
        let values: [Value; 2] = [tenant.into(), self.id.into()];
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        for row in tx.query_all_raw(asked).await? {
            let first: Uuid = row.try_get("", "first_id")?;
            if first > self.id {
                continue;
            }
            let start: i64 = row.try_get("", "start")?;
            if let Some(row) = Entity::find_by_id((tenant.to_owned(), start)).one(tx).await?
                && let Some(found) = self.in_row(&row)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn in_row(&self, row: &Model) -> Result<Option<(u64, Entry)>, Error> {
        // The content is gone.
        if row.sealed.is_none() {
            return Ok(None);
        }
        let bundle = opened(self.scope.tenant(), row, &self.keys)?;
        Ok(place_of(&bundle, self.id).and_then(|place| {
            let index = row.start.unsigned_abs() + (place - bundle.start()) as u64;
            Some((index, bundle.entry(place)?))
        }))
    }
}

/// The place of a record in its bundle.
fn place_of(bundle: &Bundle, id: Uuid) -> Option<usize> {
    let is_it = |bytes: &RecordBytes| Record::decode(bytes).is_ok_and(|record| record.id == id);
    Some(bundle.start() + bundle.records().iter().position(is_it)?)
}
