//! When each user was first and last seen as the verified user of a call. A process collects what it sees and writes it
//! every few seconds; what it had not written when it was killed is lost.

pub(crate) mod seen;

use credvault_domain::{TenantId, UserId};
use sea_orm::Value;

use crate::database::pieces::execute;
use crate::tenants::sightings::seen::Seen;
use crate::{Error, Store};

/// How many rows one statement writes at most.
const ROWS_AT_ONCE: usize = 100;

impl Store {
    /// Notes that a user was the verified user of a call.
    pub fn note_user(&self, tenant: &TenantId, user: &UserId) {
        self.sightings().note(tenant, user, self.now().micros());
    }

    /// Writes when users were seen. What cannot be written is kept for the next time.
    ///
    /// # Errors
    /// The database fails.
    pub async fn write_sightings(&self) -> Result<(), Error> {
        let mut written = Ok(());
        for (tenant, rows) in self.sightings().due(self.now().micros()) {
            match self.write_sightings_of(&tenant, &rows).await {
                Ok(()) => self.sightings().written(&tenant, &rows),
                Err(error) => written = Err(error),
            }
        }
        written
    }

    async fn write_sightings_of(&self, tenant: &TenantId, rows: &[(UserId, Seen)]) -> Result<(), Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let places: Vec<String> = (0..rows.len())
                .map(|row| {
                    let [user, first, last] = [row * 3 + 2, row * 3 + 3, row * 3 + 4];
                    format!("(CAST(${user} AS text), CAST(${first} AS bigint), CAST(${last} AS bigint))")
                })
                .collect();
            // A user who is being deleted was seen before, and a tenant that does not exist, or was erased, has no users.
            let sql = format!(
                "INSERT INTO user_sightings (tenant_id, user_id, first_time, last_time)
                 SELECT t.tenant_id, v.column1, v.column2, v.column3
                 FROM (VALUES {}) v, tenants t
                 WHERE t.tenant_id = $1 AND NOT EXISTS (SELECT 1 FROM erasures e WHERE e.tenant_id = $1)
                 AND NOT EXISTS (
                    SELECT 1 FROM user_deletions d
                    WHERE d.tenant_id = $1 AND d.user_id = v.column1 AND d.create_time >= v.column3
                 )
                 ON CONFLICT (tenant_id, user_id) DO UPDATE SET last_time = excluded.last_time
                 WHERE user_sightings.last_time < excluded.last_time",
                places.join(", ")
            );
            let mut values: Vec<Value> = vec![tenant.as_str().into()];
            for (user, seen) in rows {
                values.extend([user.as_str().into(), seen.first.into(), seen.last.into()]);
            }
            execute(&tx, &sql, values).await?;
        }
        Ok(tx.commit().await?)
    }
}
