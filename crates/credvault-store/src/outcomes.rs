//! How the vault's work at providers ends: consents, refreshes and tests, by provider and day. A process collects its
//! counts and adds them to the database every few seconds, so that no call writes a row that others write; what a process
//! had not added when it was killed is lost.

pub(crate) mod pending;

use std::collections::HashMap;

use credvault_domain::{ProviderId, TenantId, TenantScope};
use sea_orm::{ConnectionTrait as _, Statement, Value};

use crate::database::pieces::execute;
use crate::outcomes::pending::{OutcomeKey, ProviderOutcome};
use crate::{Error, Store};

/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;
/// How many days counts are kept for.
pub(crate) const OUTCOME_MEMORY_DAYS: i64 = 400;
/// How many rows one statement adds to at most.
const ROWS_AT_ONCE: usize = 100;

/// Which outcomes are summed.
#[derive(Clone, Default, Debug)]
pub struct OutcomeFilter {
    /// Only at this provider.
    pub provider: Option<ProviderId>,
    /// How many days, today included.
    pub days: u32,
    /// Whether each day is summed by itself.
    pub by_day: bool,
}

/// One sum of outcomes at a provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutcomeCount {
    /// The provider at which it was.
    pub provider: ProviderId,
    /// The day, in days since 1970 in UTC, if each day is summed by itself.
    pub day: Option<i64>,
    /// What came of the work.
    pub outcome: ProviderOutcome,
    /// How often the work ended so.
    pub count: i64,
}

impl Store {
    /// Counts an outcome, in the metrics, for the tenant and in the platform's sum over all tenants.
    pub fn count_outcome(&self, tenant: &TenantId, provider: &ProviderId, outcome: ProviderOutcome) {
        let (label, name) = (provider.as_str().to_owned(), outcome.as_str());
        metrics::counter!("credvault_provider_outcomes_total", "provider" => label, "outcome" => name)
            .increment(1);
        let day = self.now().micros().div_euclid(DAY_MICROS);
        let of = |tenant| ((tenant, day, provider.clone(), outcome), 1);
        let tenants =
            [Some(TenantId::platform()), Some(tenant.clone()).filter(|tenant| !tenant.is_platform())];
        self.pending_outcomes().add(tenants.into_iter().flatten().map(of));
    }

    /// Adds the collected counts to the database. What cannot be added is kept for the next time.
    ///
    /// # Errors
    /// The database fails.
    pub async fn write_outcomes(&self) -> Result<(), Error> {
        let mut by_tenant: HashMap<TenantId, Vec<_>> = HashMap::new();
        for (key, count) in self.pending_outcomes().take() {
            by_tenant.entry(key.0.clone()).or_default().push((key, count));
        }
        let mut written = Ok(());
        for (tenant, mut rows) in by_tenant {
            // One order for all replicas, so that none waits for another in a circle.
            rows.sort_by(|(a, _), (b, _)| (a.1, a.2.as_str(), a.3).cmp(&(b.1, b.2.as_str(), b.3)));
            if let Err(error) = self.add_outcomes(&tenant, &rows).await {
                self.pending_outcomes().add(rows);
                written = Err(error);
            }
        }
        written
    }

    async fn add_outcomes(&self, tenant: &TenantId, rows: &[(OutcomeKey, i64)]) -> Result<(), Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let places: Vec<String> = (0..rows.len())
                .map(|row| {
                    format!("($1, ${}, ${}, ${}, ${})", row * 4 + 2, row * 4 + 3, row * 4 + 4, row * 4 + 5)
                })
                .collect();
            let sql = format!(
                "INSERT INTO provider_outcomes (tenant_id, day, provider, outcome, count) VALUES {}
                 ON CONFLICT (tenant_id, day, provider, outcome)
                 DO UPDATE SET count = provider_outcomes.count + excluded.count",
                places.join(", ")
            );
            let mut values: Vec<Value> = vec![tenant.as_str().into()];
            for ((_, day, provider, outcome), count) in rows {
                values.extend([
                    (*day).into(),
                    provider.as_str().into(),
                    outcome.as_str().into(),
                    (*count).into(),
                ]);
            }
            execute(&tx, &sql, values).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Sums outcomes of one tenant, or of all if the scope is the platform's, ordered by provider and day. What each replica
    /// has counted within the last seconds may be missing.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn outcomes(
        &self,
        scope: &TenantScope,
        filter: &OutcomeFilter,
    ) -> Result<Vec<OutcomeCount>, Error> {
        self.write_outcomes().await?;
        let reading = self.query_any(scope.tenant()).await?;
        let first = self.now().micros().div_euclid(DAY_MICROS) - i64::from(filter.days) + 1;
        let day = if filter.by_day { "day" } else { "NULL" };
        let sql = format!(
            "SELECT provider, CAST({day} AS bigint) AS day, outcome, CAST(sum(count) AS bigint) AS count
             FROM provider_outcomes
             WHERE tenant_id = $1 AND day >= $2 AND ($3 = '' OR provider = $3)
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        );
        let provider = filter.provider.as_ref().map_or("", ProviderId::as_str);
        let values = [scope.tenant().as_str().into(), first.into(), provider.into()];
        let asked = Statement::from_sql_and_values(reading.tx.get_database_backend(), sql, values);
        let rows = reading.tx.query_all_raw(asked).await?;
        let mut counts = Vec::with_capacity(rows.len());
        for row in rows {
            let outcome: String = row.try_get("", "outcome")?;
            // A newer release may count more.
            let Some(outcome) = ProviderOutcome::from_stored(&outcome) else { continue };
            counts.push(OutcomeCount {
                provider: ProviderId::from_stored(row.try_get("", "provider")?),
                day: row.try_get("", "day")?,
                outcome,
                count: row.try_get("", "count")?,
            });
        }
        Ok(counts)
    }
}
