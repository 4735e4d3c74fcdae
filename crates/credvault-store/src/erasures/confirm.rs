//! Confirming an erasure: one transaction after which nothing of the tenant opens.

use std::time::Instant;

use credvault_domain::{ServiceId, TenantId, TenantScope, TenantState, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::{Change, retrying};
use crate::database::pieces::execute;
use crate::entity::{erasure, erasure_request, tenant, tenant_key};
use crate::erasures::Erasures;
use crate::erasures::content::count;
use crate::erasures::record::{self, ErasedKey, Erasure, ErasureState};
use crate::erasures::request::{locked, step_record, token_hash};
use crate::error::ConfirmationError;
use crate::tenants::rules::row::TenantRules;
use crate::tenants::rules::write_row;
use crate::{Database, Error, Recorded, Write};

impl Erasures<'_> {
    /// Erases the tenant of `scope`, if the caller shows the token that it was given for that. Once this returns, nothing of
    /// the tenant opens. Rows that are left at `until` are removed by upkeep.
    ///
    /// # Errors
    /// [`Error::Confirmation`] if the token is not accepted; [`Error::TenantNotFound`], also if the tenant was erased with
    /// another token; or the database fails. Nothing was changed then.
    pub async fn confirm(
        &self,
        scope: &TenantScope,
        token: &SecretString,
        write: &Write,
        until: Instant,
    ) -> Result<Recorded<Erasure>, Error> {
        let (tenant, hash) = (scope.tenant(), token_hash(token.expose_secret()));
        let hash = hash.as_slice();
        let confirmed = retrying(write, || self.try_confirm(tenant, hash, write)).await?;
        self.store.keyring().forget(tenant);
        if let Err(error) = self.store.finish_erasure(tenant, Some(until)).await {
            tracing::warn!(%error, %tenant, "rows of an erased tenant could not be removed yet");
        }
        // It is confirmed, whether the database still answers or not.
        match self.get(scope).await {
            Ok(now) => Ok(confirmed.map(|_| now)),
            Err(_) => Ok(confirmed),
        }
    }

    async fn try_confirm(
        &self,
        tenant: &TenantId,
        hash: &[u8],
        write: &Write,
    ) -> Result<Recorded<Erasure>, Error> {
        let mut change = self.store.own_change(tenant).await?;
        let row = locked(&change).await?;
        if let Some(erased) = erasure::Entity::find_by_id(tenant.as_str()).one(&change.tx).await? {
            let used = erased.token_hash == hash;
            return Err(if used { ConfirmationError::Used.into() } else { not_found(tenant) });
        }
        let request = erasure_request::Entity::find_by_id(tenant.as_str()).one(&change.tx).await?;
        let request = request.ok_or(ConfirmationError::Unknown)?;
        check(&request, hash, row.revision, write, change.now)?;
        let content = count(&change.tx, tenant).await?;
        let keys = destroy_keys(&change).await?;
        close(&change, row).await?;
        let json = |error: serde_json::Error| sea_orm::DbErr::Json(error.to_string());
        let erased = erasure::ActiveModel {
            tenant_id: Set(tenant.as_str().to_owned()),
            state: Set(ErasureState::Erasing.as_str().to_owned()),
            service: Set(request.service),
            token_hash: Set(request.token_hash),
            request_time: Set(request.create_time),
            confirm_time: Set(change.now.micros()),
            finish_time: Set(None),
            content: Set(serde_json::to_string(&content).map_err(json)?),
            keys: Set(serde_json::to_string(&keys).map_err(json)?),
            statement: Set(None),
            signature: Set(None),
            signing_key: Set(None),
            stores: Set(None),
        };
        let erased = record::erasure(erased.insert(&change.tx).await?)?;
        change.record_change(ChangeSubject::Tenant, ChangeKind::Purged, None);
        change.record_elsewhere(step_record(self.store, write.event.clone(), tenant, "erasure.confirmed")?);
        change.commit(erased).await
    }
}

fn not_found(tenant: &TenantId) -> Error {
    Error::TenantNotFound(tenant.clone())
}

/// Refuses a token that is not the newest, of another service, too old, or of a tenant that has changed since.
fn check(
    request: &erasure_request::Model,
    hash: &[u8],
    revision: i64,
    write: &Write,
    now: Timestamp,
) -> Result<(), ConfirmationError> {
    if request.token_hash != hash {
        return Err(ConfirmationError::Unknown);
    }
    if write.event.service.as_ref().map(ServiceId::as_str) != Some(request.service.as_str()) {
        return Err(ConfirmationError::Foreign);
    }
    if request.expire_time <= now.micros() {
        return Err(ConfirmationError::Expired);
    }
    if request.revision != revision {
        return Err(ConfirmationError::Changed);
    }
    Ok(())
}

/// Overwrites the wrapped keys, and tells which those were. Sealed rows still name these keys, however many there are, so
/// the rows of the keys go last. No root key has the id 0: a rotation does not look for keys under it.
async fn destroy_keys(change: &Change<'_>) -> Result<Vec<ErasedKey>, Error> {
    let tenant = change.tenant().as_str();
    let rows = tenant_key::Entity::find()
        .filter(tenant_key::Column::TenantId.eq(tenant))
        .order_by_asc(tenant_key::Column::Version)
        .all(&change.tx)
        .await?;
    let zeros = match change.store.database() {
        Database::Postgres => "decode(repeat('00', octet_length(wrapped)), 'hex')",
        Database::Sqlite => "zeroblob(length(wrapped))",
    };
    let sql = format!("UPDATE tenant_keys SET wrapped = {zeros}, root_id = 0 WHERE tenant_id = $1");
    execute(&change.tx, &sql, [tenant.into()]).await?;
    let key =
        |row: tenant_key::Model| ErasedKey { version: row.version, root_key: format!("{:08x}", row.root_id) };
    Ok(rows.into_iter().map(key).collect())
}

/// Ends the service for the tenant, and forgets its name, its rules, and the request for its erasure.
async fn close(change: &Change<'_>, row: tenant::Model) -> Result<(), Error> {
    let revision = row.revision + 1;
    let mut row = row.into_active_model();
    row.display_name = Set(String::new());
    row.state = Set(TenantState::Suspended.as_str().to_owned());
    row.delivery_grace_time = Set(None);
    row.revision = Set(revision);
    row.update_time = Set(change.now.micros());
    row.update(&change.tx).await?;
    // Emptied, not deleted: the other replicas look for rows that were written.
    write_row(change, change.tenant(), &TenantRules::default()).await?;
    let request = erasure_request::Entity::delete_by_id(change.tenant().as_str());
    request.exec(&change.tx).await?;
    Ok(())
}
