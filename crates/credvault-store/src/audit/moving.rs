//! Moving the records of `audit_events`, which earlier releases wrote, into the journal, from where they come into their logs.
//! A page and the position that follows it are one transaction, so each record is moved once, however often this is interrupted.
//!
//! Records of tenants that never were stay there: no call reaches them. A row that was altered so that it is no record stays, too,
//! with those after it, until an administrator of the database has put it right or deleted it: each look at it raises an alarm.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use credvault_audit::{Record, RecordBytes};
use credvault_domain::{TenantId, Timestamp};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Statement,
};
use uuid::Uuid;

use super::journal::{self, Entry, lowest_id};
use crate::database::pieces::execute;
use crate::entity::audit_event::{Column, Entity, Model};
use crate::hex::unhex;
use crate::integrity::alarm;
use crate::{Database, Error, Store};

/// How many records a page has.
const PAGE: u64 = 1000;
/// The pause after a page, so that the sequencer keeps up and calls find the database idle.
const PAUSE: Duration = Duration::from_millis(50);
/// Records of the last minutes are left: an earlier release that still runs may be about to commit older ones.
const SETTLED: Duration = Duration::from_secs(600);
/// How often a tenant's records are looked for.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How long one upkeep moves records: the rest of it must not wait for long.
const TURN: Duration = Duration::from_secs(30);

impl Store {
    /// Moves what an earlier release has recorded, tenant by tenant, for a while. Any number of replicas may do so at a time.
    pub(crate) async fn move_audit_events(&self) -> Result<(), Error> {
        let due =
            "NOT EXISTS (SELECT 1 FROM audit_moves m WHERE m.tenant_id = tenants.tenant_id AND m.time > $1)";
        let lately = self.now().before(INTERVAL).micros();
        let end = Instant::now() + TURN;
        for tenant in self.tenants_with("tenants", due, lately).await? {
            if Instant::now() >= end {
                break;
            }
            // One that fails must not keep the others: it is tried again the next time.
            if let Err(error) = self.move_events_of(&tenant, end).await {
                tracing::warn!(%error, %tenant, "audit records of an earlier release could not be moved yet");
            }
        }
        Ok(())
    }

    async fn move_events_of(&self, tenant: &TenantId, end: Instant) -> Result<(), Error> {
        while self.move_page(tenant).await? == PAGE && Instant::now() < end {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Moves a page, and tells how many records it had.
    async fn move_page(&self, tenant: &TenantId) -> Result<u64, Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        let now = self.now();
        // Rows that are still to be written must not be passed: their ids are of other replicas' clocks, so neither this clock
        // nor the database's alone decides which are old.
        let settled = now.min(Timestamp::from_micros(self.database_time(&tx).await?)).before(SETTLED);
        let position = locked_position(&tx, self.database(), tenant).await?;
        let rows = Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::Id.gt(position))
            .filter(Column::Id.lt(lowest_id(settled)))
            .order_by_asc(Column::Id)
            .limit(PAGE)
            .all(&tx)
            .await?;
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let entries: Vec<_> = rows.into_iter().map_while(|row| entry(tenant, row)).collect();
        let last = ids.iter().take(entries.len()).next_back().copied().unwrap_or(position);
        let moved = entries.len() as u64;
        let rows = self.journal_keys().seal_all(&entries, (now, 0), self.keyring().random())?;
        journal::insert(&tx, rows).await?;
        // A tenant with more is due at once.
        let time = if moved == PAGE { 0 } else { now.micros() };
        let sql = "UPDATE audit_moves SET position = $2, time = $3 WHERE tenant_id = $1";
        execute(&tx, sql, [tenant.as_str().into(), last.into(), time.into()]).await?;
        tx.commit().await?;
        Ok(moved)
    }
}

/// The position of a tenant, locked: another replica waits here, and finds a later one.
async fn locked_position(
    tx: &DatabaseTransaction,
    database: Database,
    tenant: &TenantId,
) -> Result<Uuid, Error> {
    let sql = "INSERT INTO audit_moves (tenant_id, position, time) VALUES ($1, $2, 0) ON CONFLICT (tenant_id) DO NOTHING";
    execute(tx, sql, [tenant.as_str().into(), Uuid::nil().into()]).await?;
    let lock = if database == Database::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT position FROM audit_moves WHERE tenant_id = $1 {lock}");
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [tenant.as_str().into()]);
    Ok(tx.query_one_raw(asked).await?.ok_or(Error::Integrity)?.try_get("", "position")?)
}

/// A row as an entry of the journal; none if it was altered so that it is no record.
fn entry(tenant: &TenantId, row: Model) -> Option<Entry> {
    let id = row.id;
    match record(row) {
        Some(record) => Some(Entry { tenant: tenant.clone(), record }),
        None => {
            alarm(tenant, "audit_event", id.into_bytes());
            None
        }
    }
}

fn record(row: Model) -> Option<RecordBytes> {
    let Model {
        tenant_id,
        id,
        time,
        service,
        user_id,
        tenant_source,
        action,
        connection_id,
        provider,
        version,
        purpose,
        changed,
        outcome,
        reason,
        policies,
        trace_id,
        source_address,
        owner_user,
        released,
    } = row;
    let names = |json| serde_json::from_value::<Vec<String>>(json).ok();
    let names = |json| Some(names(json)?.into_iter().map(Into::into).collect());
    let record = Record {
        id,
        time,
        trace: unhex(&trace_id)?.try_into().ok()?,
        tenant: tenant_id.into(),
        tenant_source: tenant_source.into(),
        action: action.into(),
        outcome: outcome.into(),
        service: service.map(Into::into),
        user: user_id.map(Into::into),
        connection: connection_id,
        owner_user: owner_user.map(Into::into),
        provider: provider.map(Into::into),
        version,
        purpose: purpose.map(Into::into),
        reason: reason.map(Into::into),
        source_address: match source_address {
            Some(text) => Some(text.parse::<IpAddr>().ok()?),
            None => None,
        },
        changed: names(changed)?,
        released: released.map_or_else(|| Some(Vec::new()), names)?,
        policies: names(policies)?,
    };
    record.encode().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_becomes_the_record_that_it_was() {
        let row = Model {
            tenant_id: "acme".to_owned(),
            id: Uuid::from_u128(7),
            time: 5,
            service: Some("spiffe://test/app".to_owned()),
            user_id: None,
            tenant_source: "token".to_owned(),
            action: "PutCredential".to_owned(),
            connection_id: Some(Uuid::from_u128(9)),
            provider: Some("generic".to_owned()),
            version: Some(3),
            purpose: None,
            changed: json!(["a", "b"]),
            outcome: "OK".to_owned(),
            reason: None,
            policies: json!([]),
            trace_id: "0a".repeat(16),
            source_address: Some("2001:db8::1".to_owned()),
            owner_user: None,
            released: None,
        };
        let bytes = record(row.clone()).expect("a record");
        let read = Record::decode(&bytes).expect("canonical");
        assert_eq!((read.id, read.time, read.version, read.trace), (row.id, 5, Some(3), [0x0a; 16]));
        assert_eq!(
            (&*read.tenant, &*read.action, read.changed),
            ("acme", "PutCredential", vec!["a".into(), "b".into()])
        );
        for altered in [
            Model { trace_id: "x".to_owned(), ..row.clone() },
            Model { policies: json!("x"), ..row.clone() },
            Model { source_address: Some("x".to_owned()), ..row.clone() },
        ] {
            assert!(record(altered).is_none());
        }
    }
}
