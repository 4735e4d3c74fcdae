//! How a process comes to know the rules of tenants, and what it does where it does not.

use std::sync::Arc;

use credvault_domain::{LimitKind, TenantId};
use sea_orm::{ConnectionTrait as _, QueryResult, Statement};

use super::known::AllRules;
use super::row::{self, TenantRules};
use crate::database::transaction::{begin_plain, set_tenant};
use crate::{Database, Error, Store};

impl Store {
    /// The rules of a tenant, as they were not longer than a second ago. `None` if it has none.
    ///
    /// # Errors
    /// The database fails, and so has the last question for rules.
    pub async fn rules_of(&self, tenant: &TenantId) -> Result<Option<Arc<TenantRules>>, Error> {
        if self.known_rules().are_fresh() {
            return Ok(self.last_rules_of(tenant));
        }
        let tx = begin_plain(&self.reader()).await?;
        set_tenant(&tx, self.database(), tenant).await?;
        let rules = row::read(&tx, tenant).await?;
        tx.rollback().await?;
        Ok(Some(Arc::new(rules)).filter(|rules| **rules != TenantRules::default()))
    }

    /// The rules of a tenant as this process knows them, however old: for quotas.
    fn last_rules_of(&self, tenant: &TenantId) -> Option<Arc<TenantRules>> {
        self.known_rules().of(tenant)
    }

    /// A limit of a tenant that the store keeps: its own, or the deployment's default.
    pub(crate) fn limit_of(&self, tenant: &TenantId, kind: LimitKind) -> u64 {
        let own = self.last_rules_of(tenant).and_then(|rules| rules.limits.of(kind));
        own.unwrap_or_else(|| self.settings().limit(kind))
    }

    /// Asks for rules that have changed. Call it twice a second.
    ///
    /// # Errors
    /// The database fails. Then the next question is for everything.
    pub async fn refresh_rules(&self) -> Result<(), Error> {
        let known = self.known_rules();
        let mut position = known.position.lock().await;
        let from = std::mem::take(&mut *position);
        let asked = known.millis();
        let (mut horizon, mut rules) = self.rules_since(from).await?;
        let mut all = from == 0;
        if horizon < from {
            // Another database, such as one that was restored: its transactions are others.
            (horizon, rules) = self.rules_since(0).await?;
            all = true;
        }
        for tenant in known.learn(rules, all) {
            self.quotas().forget(&tenant);
        }
        *position = horizon;
        known.are_known_at(asked);
        Ok(())
    }

    async fn rules_since(&self, position: i64) -> Result<(i64, AllRules), Error> {
        let sql = match self.database() {
            Database::Postgres => "SELECT * FROM tenant_rules_since($1)",
            Database::Sqlite => {
                "SELECT (SELECT COALESCE(max(txid), 0) FROM tenant_rules) AS horizon, r.tenant_id, r.limits,
                    r.limits_time, r.sources, r.sources_time
                 FROM (SELECT 1) one LEFT JOIN tenant_rules r ON r.txid >= $1"
            }
        };
        let db = self.reader();
        let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [position.into()]);
        let rows = db.query_all_raw(asked).await?;
        let horizon = rows.first().ok_or(Error::Integrity)?.try_get("", "horizon")?;
        let rules = rows.iter().map(of_tenant).filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok((horizon, rules))
    }
}

/// The rules of a row; `None` for the row without a tenant.
fn of_tenant(row: &QueryResult) -> Result<Option<(TenantId, Arc<TenantRules>)>, Error> {
    let tenant: Option<String> = row.try_get("", "tenant_id")?;
    let Some(tenant) = tenant else { return Ok(None) };
    Ok(Some((TenantId::from_stored(tenant), Arc::new(row::rules(row)?))))
}
