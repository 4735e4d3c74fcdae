//! Giving up what a lost store had, so that removals and erasures need not wait for it. Records still say where their secrets
//! were, and the rows of the payloads stay until their tenant is erased: if the store comes back after all, what is in use is
//! served again, and a check does not take it for unknown.

use credvault_domain::{TenantId, TenantScope};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, Value};

use super::Secrets;
use crate::change::retrying;
use crate::database::pieces::{execute, piece};
use crate::entity::external_payload::{Column, Entity};
use crate::{Error, Recorded, Write};

impl Secrets<'_> {
    /// Gives up all that a store has, and tells how many payloads those are. `platform` is the platform's own scope.
    ///
    /// # Errors
    /// The vault never had anything in such a store. This process is configured with it, and that is not `confirmed`. The
    /// database fails; what was given up by then stays so.
    pub async fn write_off(
        &self,
        platform: &TenantScope,
        name: &str,
        confirmed: bool,
        write: &Write,
    ) -> Result<Recorded<u64>, Error> {
        if self.store.settings().secrets.by_name.contains_key(name) && !confirmed {
            return Err(Error::State(
                "this vault is configured with the store: if it is lost, take it out of secrets.stores on every replica, or \
                 confirm that all it has is given up nevertheless",
            ));
        }
        let mut given_up = 0;
        for tenant in self.tenants_in(name).await? {
            given_up += self.write_off_of(&tenant, name).await?;
        }
        retrying(write, || async move {
            let (change, _) = self.store.change_any(platform, write).await?;
            change.commit(given_up).await
        })
        .await
    }

    /// The tenants that have, or had, something in a store.
    async fn tenants_in(&self, name: &str) -> Result<Vec<TenantId>, Error> {
        let tx = self.store.read_background().await?;
        let tenants: Vec<String> = Entity::find()
            .select_only()
            .column(Column::TenantId)
            .distinct()
            .filter(Column::Store.eq(name))
            .into_tuple()
            .all(&tx)
            .await?;
        tx.rollback().await?;
        if tenants.is_empty() {
            return Err(Error::SecretStoreUnknown);
        }
        Ok(tenants.into_iter().map(TenantId::from_stored).collect())
    }

    async fn write_off_of(&self, tenant: &TenantId, name: &str) -> Result<u64, Error> {
        let piece = |these| piece(self.store.database(), "external_payloads", these);
        // There is nothing to give up where only an empty secret may be left.
        let removed = piece("tenant_id = $1 AND store = $2 AND reference = ''");
        let forget = format!("DELETE FROM external_payloads WHERE {removed}");
        let values = || -> Vec<Value> { vec![tenant.as_str().into(), name.into()] };
        while self.write_off_piece(tenant, &forget, values()).await? > 0 {}
        let these = piece("tenant_id = $1 AND store = $2 AND write_off_time IS NULL");
        let give_up = format!("UPDATE external_payloads SET write_off_time = $3 WHERE {these}");
        let mut given_up = 0;
        loop {
            let mut values = values();
            values.push(self.store.now().micros().into());
            let rows = self.write_off_piece(tenant, &give_up, values).await?;
            given_up += rows;
            if rows == 0 {
                return Ok(given_up);
            }
        }
    }

    async fn write_off_piece(&self, tenant: &TenantId, sql: &str, values: Vec<Value>) -> Result<u64, Error> {
        let tx = self.store.begin_bookkeeping(tenant).await?;
        let rows = execute(&tx, sql, values).await?;
        tx.commit().await?;
        Ok(rows)
    }
}
