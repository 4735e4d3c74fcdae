//! When connections were last used: noted in memory and written every few seconds, apart from the audit records, so that no
//! fetch waits for it. A process that is killed loses what it has noted since; the audit log has every use.

pub(crate) mod noted;

use credvault_domain::{ConnectionId, TenantId, Timestamp};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde_json::{Value, json};

use crate::{Database, Error, Store};

/// How many are written by one statement.
const ROWS_AT_ONCE: usize = 1000;

impl Store {
    /// Writes when connections were last used, to the minute. A row that another transaction holds is left out: a popular
    /// connection must not become a place to queue at. What cannot be written is noted again.
    ///
    /// # Errors
    /// The database fails.
    pub async fn write_last_uses(&self) -> Result<(), Error> {
        let mut written = Ok(());
        for uses in self.last_uses().take().chunks(ROWS_AT_ONCE) {
            if let Err(error) = self.write_uses(uses).await {
                for (tenant, id, time) in uses {
                    self.last_uses().note(vec![(tenant.clone(), *id)], *time);
                }
                written = Err(error);
            }
        }
        written
    }

    async fn write_uses(&self, uses: &[(TenantId, ConnectionId, Timestamp)]) -> Result<(), Error> {
        if self.database() == Database::Postgres {
            // A function of the first release, which appends audit records, too; here it gets none.
            let sql = "SELECT append_audit_events('[]'::jsonb, $1)";
            let values = [by_tenant(uses).into()];
            self.writer()
                .execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values))
                .await?;
            return Ok(());
        }
        let tx = self.begin_bookkeeping(&TenantId::platform()).await?;
        for (tenant, id, time) in uses {
            let sql = "UPDATE connections SET last_used_time = $3 WHERE tenant_id = $1 AND id = $2
                AND (last_used_time IS NULL OR last_used_time < $3 - 60000000)";
            let values = [tenant.as_str().into(), id.as_uuid().into(), time.micros().into()];
            tx.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// `[{"tenant": …, "rows": […]}]`: row-level security takes one tenant at a time. `uses` are in the order of tenants.
fn by_tenant(uses: &[(TenantId, ConnectionId, Timestamp)]) -> Value {
    let of_tenant = |uses: &[(TenantId, ConnectionId, Timestamp)]| {
        let row = |(_, id, time): &(TenantId, ConnectionId, Timestamp)| json!({ "id": id.as_uuid().to_string(), "time": time.micros() });
        let tenant = uses.first().map(|(tenant, _, _)| tenant.as_str());
        json!({ "tenant": tenant, "rows": uses.iter().map(row).collect::<Vec<_>>() })
    };
    uses.chunk_by(|one, next| one.0 == next.0).map(of_tenant).collect()
}

#[cfg(test)]
mod tests {
    use super::noted::LastUses;
    use super::*;

    #[test]
    fn the_last_use_counts_and_tenants_stay_together() {
        let uses = LastUses::default();
        let id = |number| ConnectionId::from_uuid(uuid::Uuid::from_u128(number));
        let tenant = |name: &str| TenantId::parse(name).expect("an id");
        uses.note(vec![(tenant("b"), id(1)), (tenant("a"), id(2))], Timestamp::from_micros(1));
        uses.note(vec![(tenant("b"), id(3)), (tenant("b"), id(1))], Timestamp::from_micros(2));
        let rows = by_tenant(&uses.take());
        let id = |number| id(number).to_string();
        assert_eq!(
            rows,
            json!([
                { "tenant": "a", "rows": [{ "id": id(2), "time": 1 }] },
                { "tenant": "b", "rows": [{ "id": id(1), "time": 2 }, { "id": id(3), "time": 2 }] },
            ])
        );
        assert!(uses.take().is_empty());
    }
}
