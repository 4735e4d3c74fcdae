//! Rules of tenants: the limits and the source rules that administrators have set for one. Every process knows all of them
//! ([`known`], [`reading`]); here they are read and changed.

pub(crate) mod known;
mod reading;
pub(crate) mod row;

use credvault_domain::{LimitKind, SourceRules, TenantId, TenantScope, Timestamp};
use sea_orm::{EntityTrait as _, QuerySelect as _};

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::{Change, retrying};
use crate::database::erased::is_erased;
use crate::database::pieces::execute;
use crate::entity::tenant;
use crate::tenants::rules::row::TenantRules;
use crate::{Database, Error, Recorded, Store, Write};

/// The repository of tenants' rules.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of tenants' rules.
    pub fn rules(&self) -> Rules<'_> {
        Rules { store: self }
    }
}

impl Rules<'_> {
    /// The rules of the tenant of `scope`.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], or the database fails.
    pub async fn get(&self, scope: &TenantScope) -> Result<TenantRules, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        row::read(&tx, scope.tenant()).await
    }

    /// Sets limits of the tenant of `scope`, and takes those away that have no number. Others stay as they are.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], or the database fails.
    pub async fn set_limits(
        &self,
        scope: &TenantScope,
        limits: &[(LimitKind, Option<u64>)],
        write: &Write,
    ) -> Result<Recorded<TenantRules>, Error> {
        self.set(scope, write, |rules, now| {
            limits.iter().for_each(|(kind, value)| rules.limits.set(*kind, *value));
            rules.limits_time = Some(now);
        })
        .await
    }

    /// Sets the source rules of the tenant of `scope`, in place of those that it has.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], or the database fails.
    pub async fn set_sources(
        &self,
        scope: &TenantScope,
        sources: &SourceRules,
        write: &Write,
    ) -> Result<Recorded<TenantRules>, Error> {
        self.set(scope, write, |rules, now| {
            rules.sources = sources.clone();
            rules.sources_time = Some(now);
        })
        .await
    }

    async fn set(
        &self,
        scope: &TenantScope,
        write: &Write,
        change_rules: impl Fn(&mut TenantRules, Timestamp),
    ) -> Result<Recorded<TenantRules>, Error> {
        let change_rules = &change_rules;
        let changed = retrying(write, || async move {
            let mut change = self.store.keyless_change(scope, write).await?;
            // The rules of a tenant change one after the other, also before it has any.
            tenant::Entity::find_by_id(scope.tenant().as_str()).lock_exclusive().one(&change.tx).await?;
            // It may have been erased while this waited for the lock.
            if is_erased(&change.tx, scope.tenant()).await? {
                return Err(Error::TenantNotFound(scope.tenant().clone()));
            }
            let mut rules = row::read(&change.tx, scope.tenant()).await?;
            if change.prior().is_none() {
                change_rules(&mut rules, change.now);
                write_row(&change, scope.tenant(), &rules).await?;
                change.record_change(ChangeSubject::Tenant, ChangeKind::Updated, None);
            }
            change.commit(rules).await
        })
        .await?;
        // They count here at once. Other processes ask for them, and so does this one if that fails.
        if let Err(error) = self.store.refresh_rules().await {
            tracing::warn!(%error, "the rules of tenants could not be read; they are read again");
        }
        Ok(changed)
    }
}

/// Writes the rules of a tenant, in place of those that it has.
pub(crate) async fn write_row(
    change: &Change<'_>,
    tenant: &TenantId,
    rules: &TenantRules,
) -> Result<(), Error> {
    let transaction = match change.store.database() {
        Database::Postgres => "pg_current_xact_id()::text::bigint",
        Database::Sqlite => "(SELECT COALESCE(max(txid), 0) + 1 FROM tenant_rules)",
    };
    let sql = format!(
        "INSERT INTO tenant_rules (tenant_id, limits, limits_time, sources, sources_time, txid)
         VALUES ($1, $2, $3, $4, $5, {transaction})
         ON CONFLICT (tenant_id) DO UPDATE SET limits = excluded.limits, limits_time = excluded.limits_time,
            sources = excluded.sources, sources_time = excluded.sources_time, txid = excluded.txid"
    );
    let TenantRules { limits, limits_time, sources, sources_time } = rules;
    let values = [
        tenant.as_str().into(),
        row::limits_json(limits).into(),
        limits_time.map(Timestamp::micros).into(),
        row::sources_json(sources).into(),
        sources_time.map(Timestamp::micros).into(),
    ];
    execute(&change.tx, &sql, values).await?;
    Ok(())
}
