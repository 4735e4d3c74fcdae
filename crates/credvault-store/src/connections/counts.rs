//! How many connections there are in each state and health: of one tenant, or of each tenant at once, in one query. And how many
//! of a tenant have the same provider and kind of owner.

use credvault_domain::{ConnectionState, HealthState, Owner, ProviderId, TenantId, TenantScope, Timestamp};
use sea_orm::{ConnectionTrait as _, QueryResult, Statement, Value};

use super::row::owner;
use crate::database::session::Reading;
use crate::database::transaction::across_tenants;
use crate::health::state::{health_number, numbered_health};
use crate::{Connections, Error};

/// How many connections of a tenant are alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionCount {
    /// The tenant that has them, or the platform.
    pub tenant: TenantId,
    /// The state that they are in.
    pub state: ConnectionState,
    /// The health that they have.
    pub health: HealthState,
    /// How many there are.
    pub count: i64,
}

/// The connections of a tenant that policies look at alike, if they do not look at who the owning user is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionKind {
    /// The provider of all of them.
    pub provider: ProviderId,
    /// The owner: the tenant or platform, or one of the users who own some.
    pub owner: Owner,
    /// How many there are.
    pub count: i64,
}

impl Connections<'_> {
    /// The kinds of a tenant's connections that are not deleted, whether it is served or not; at most `most` of them.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn kinds(&self, scope: &TenantScope, most: u32) -> Result<Vec<ConnectionKind>, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let sql = "SELECT provider, min(owner_user) AS owner, count(*) AS count
            FROM connections
            WHERE tenant_id = $1 AND delete_time IS NULL
            GROUP BY provider, CASE WHEN owner_user = '' THEN 0 ELSE 1 END
            ORDER BY provider, owner
            LIMIT $2";
        let values: [Value; 2] = [scope.tenant().as_str().into(), i64::from(most).into()];
        let query = Statement::from_sql_and_values(reading.tx.get_database_backend(), sql, values);
        let kind = |row: &QueryResult| {
            let owner_user: String = row.try_get("", "owner")?;
            Ok(ConnectionKind {
                provider: ProviderId::from_stored(row.try_get("", "provider")?),
                owner: owner(scope.tenant().as_str(), &owner_user),
                count: row.try_get("", "count")?,
            })
        };
        reading.tx.query_all_raw(query).await?.iter().map(kind).collect()
    }

    /// Counts the connections of a tenant that are not deleted, whether it is served or not. `incidents` are the providers
    /// that have an incident at the moment.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn counts(
        &self,
        scope: &TenantScope,
        incidents: &[ProviderId],
    ) -> Result<Vec<ConnectionCount>, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let mut values: Vec<Value> = vec![scope.tenant().as_str().into()];
        let sql = counting("c.tenant_id = $1", self.store.now(), incidents, &mut values);
        counted(&reading, sql, values).await
    }

    /// The same of each tenant and of the platform; erased tenants have none. `platform` is the platform's own scope.
    ///
    /// # Errors
    /// The database fails.
    pub async fn counts_everywhere(
        &self,
        platform: &TenantScope,
        incidents: &[ProviderId],
    ) -> Result<Vec<ConnectionCount>, Error> {
        let reading = self.store.query(platform).await?;
        across_tenants(&reading.tx, self.store.database()).await?;
        let mut values = Vec::new();
        let living = "c.tenant_id NOT IN (SELECT tenant_id FROM erasures)";
        let sql = counting(living, self.store.now(), incidents, &mut values);
        counted(&reading, sql, values).await
    }
}

/// The query that counts the connections of which `whose` holds.
fn counting(whose: &str, now: Timestamp, incidents: &[ProviderId], values: &mut Vec<Value>) -> String {
    let health = numbered_health(now, incidents, values);
    format!(
        "SELECT c.tenant_id, c.state, CAST({health} AS bigint) AS health, count(*) AS count
         FROM connections c
         LEFT JOIN connection_health h ON h.tenant_id = c.tenant_id AND h.connection_id = c.id
         WHERE c.delete_time IS NULL AND {whose}
         GROUP BY 1, 2, 3"
    )
}

async fn counted(reading: &Reading, sql: String, values: Vec<Value>) -> Result<Vec<ConnectionCount>, Error> {
    let query = Statement::from_sql_and_values(reading.tx.get_database_backend(), sql, values);
    reading.tx.query_all_raw(query).await?.iter().map(count).collect()
}

fn count(row: &QueryResult) -> Result<ConnectionCount, Error> {
    let state: String = row.try_get("", "state")?;
    Ok(ConnectionCount {
        tenant: TenantId::from_stored(row.try_get("", "tenant_id")?),
        state: ConnectionState::from_stored(&state).ok_or(Error::Integrity)?,
        health: health_number(row.try_get("", "health")?).ok_or(Error::Integrity)?,
        count: row.try_get("", "count")?,
    })
}
