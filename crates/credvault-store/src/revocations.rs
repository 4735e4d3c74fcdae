//! Disconnecting destroys a connection's secrets, except for a sealed copy until the provider has revoked the grant.

pub(crate) mod release;

use std::time::Duration;

use credvault_crypto::Context;
use credvault_domain::{
    Action, AuditEvent, AuditOutcome, Connection, ConnectionId, Etag, ProviderId, Reason, Revocation,
    SecretFields, TenantId, TenantScope, chain,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use crate::change::feed::ChangeKind;
use crate::change::outbox::NewEvent;
use crate::change::retrying;
use crate::connections::lock::{find, locked_at, locked_live};
use crate::connections::row::{connection, owner};
use crate::connections::writer::ConnectionRow;
use crate::credentials::binding;
use crate::entity::connection as connection_table;
use crate::entity::revocation::Entity;
use crate::sealed::SealedRecord;
use crate::secrets::payloads::tend_later;
use crate::{ConnectionKey, Error, Recorded, Store, Write};
use release::{FIRST_PAUSE, end_credential};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3 * 3600);
/// After how many attempts it is given up: about a day.
const ATTEMPTS: i64 = 16;

/// A grant that a provider still has to revoke.
#[derive(Debug)]
pub struct ToRevoke {
    /// The key of the connection.
    pub key: ConnectionKey,
    /// The connection as it is now.
    pub connection: Connection,
    /// The secret fields that it had; `None` if they cannot be had now.
    pub fields: Option<SecretFields>,
    /// Whether they do not open, so that no later attempt has them either.
    pub is_lost: bool,
    /// Which of the connection's grants it is. An attempt settles this one and no later one.
    pub generation: i64,
}

/// The repository of revocations.
#[derive(Clone, Copy, Debug)]
pub struct Revocations<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of revocations.
    pub fn revocations(&self) -> Revocations<'_> {
        Revocations { store: self }
    }
}

impl Revocations<'_> {
    /// Destroys every secret of a connection. If the provider can revoke the grant (`revocable`), what it needs stays
    /// sealed until it has. A connection without a credential stays as it is.
    ///
    /// # Errors
    /// The connection is not there, is deleted, or has another etag.
    pub async fn disconnect(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        revocable: bool,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.prior().is_some() {
                let model = find(&change.tx, scope, id).await?;
                return change.commit(connection(model)?).await;
            }
            let model = locked_live(&mut change, scope, id, etag).await?;
            if model.current_version == 0 {
                return change.commit(connection(model)?).await;
            }
            let version = model.current_version;
            let first_attempt = change.now.after(FIRST_PAUSE);
            let model = end_credential(&mut change, model, revocable, first_attempt).await?;
            change.emit(NewEvent::credential(&model, version, false));
            change.commit(connection(model)?).await
        })
        .await
    }

    /// The grant of a connection that its provider still has to revoke, if there is one.
    ///
    /// # Errors
    /// The connection's row was altered, or the database fails.
    pub async fn open(&self, key: &ConnectionKey) -> Result<Option<ToRevoke>, Error> {
        // A tenant's key that does not unwrap must not keep the attempt from being settled.
        let change = self.store.own_opening_change(&key.tenant).await?;
        let Some(row) = Entity::find_by_id(key.row_id()).one(&change.tx).await? else { return Ok(None) };
        let model = connection_table::Entity::find_by_id(key.row_id())
            .one(&change.tx)
            .await?
            .ok_or(Error::Integrity)?;
        let (tenant, id, bound) = (&key.tenant, key.connection, binding::of_row(&model));
        let record = SealedRecord { schema: row.schema, key_version: row.key_version, bytes: &row.sealed };
        let opened = change.keys().and_then(|keys| {
            record.open_content(tenant, keys, |schema| {
                Context::revocation(tenant, id, row.generation, schema, bound)
            })
        });
        // No transaction is open while a store is asked.
        drop(change);
        let opened = match opened {
            Ok(content) => self.store.fields_of(tenant, id, content).await,
            Err(error) => Err(error),
        };
        let (fields, is_lost) = match opened {
            Ok(fields) => (Some(fields), false),
            Err(error) if is_lost(&error) => (None, true),
            // It may be there another time; how often that is tried is counted.
            Err(
                error @ (Error::SecretStore { .. }
                | Error::ReferenceDenied { .. }
                | Error::ReferenceBroken { .. }),
            ) => {
                tracing::info!(connection = %id, error = chain(&error), "what a revocation takes cannot be read");
                (None, false)
            }
            Err(error) => return Err(error),
        };
        let (connection, generation) = (connection(model)?, row.generation);
        Ok(Some(ToRevoke { key: key.clone(), connection, fields, is_lost, generation }))
    }

    /// Records how an attempt ended that was made for a grant, or for none if nothing was sealed to try with. A final outcome
    /// destroys the sealed fields and is recorded; others are tried again. `None` if another grant is to be revoked by now,
    /// or none.
    ///
    /// # Errors
    /// The database fails.
    pub async fn attempted(
        &self,
        key: &ConnectionKey,
        generation: Option<i64>,
        outcome: Revocation,
    ) -> Result<Option<Connection>, Error> {
        let mut change = self.store.own_change(&key.tenant).await?;
        let model = locked_at(&change.tx, key).await?;
        // Without a time for the next attempt, it was connected anew meanwhile, or is settled.
        let Some(model) = model.filter(|model| model.revocation_time.is_some()) else { return Ok(None) };
        let row = Entity::find_by_id(key.row_id()).one(&change.tx).await?;
        if row.as_ref().map(|row| row.generation) != generation {
            return Ok(None);
        }
        // A purge waits for this, so a row that is missing must not keep it for ever.
        let attempts = row.as_ref().map_or(ATTEMPTS, |row| row.attempts + 1);
        let outcome =
            if outcome == Revocation::Pending && attempts >= ATTEMPTS { Revocation::Failed } else { outcome };
        let retry_time = match outcome {
            Revocation::Pending => {
                let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(16);
                let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
                if let Some(row) = row {
                    let mut row = row.into_active_model();
                    row.attempts = Set(attempts);
                    row.update(&change.tx).await?;
                }
                Some(change.now.after(pause).micros())
            }
            Revocation::Done | Revocation::Unsupported | Revocation::Failed | Revocation::Kept => {
                Entity::delete_by_id(key.row_id()).exec(&change.tx).await?;
                tend_later(&change, key.connection).await?;
                change.record(self.settled(&model, outcome)?);
                None
            }
        };
        let mut row = ConnectionRow::new(model);
        row.columns.revocation = Set(Some(outcome.as_str().to_owned()));
        row.columns.revocation_time = Set(retry_time);
        let updated = connection(row.save(&mut change, ChangeKind::Updated, None).await?)?;
        Ok(Some(change.commit(updated).await?.into_inner()))
    }

    /// The record that a revocation is settled, which the vault has done by itself.
    fn settled(&self, model: &connection_table::Model, outcome: Revocation) -> Result<AuditEvent, Error> {
        let tenant = TenantId::from_stored(model.tenant_id.clone());
        let mut record = self.store.own_event(&tenant, Action::DisconnectConnection)?;
        record.connection = Some(ConnectionId::from_uuid(model.id));
        record.owner_user = owner(&model.tenant_id, &model.owner_user).user().cloned();
        record.provider = Some(ProviderId::from_stored(model.provider.clone()));
        record.changed.push("revocation".to_owned());
        if outcome == Revocation::Failed {
            record.outcome = AuditOutcome::Failed;
            record.reason = Some(Reason::ProviderUnavailable);
        }
        Ok(record)
    }

    /// The revocations that are due now, the longest waiting first, except those of the tenants `without`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due(&self, limit: u64, without: &[TenantId]) -> Result<Vec<ConnectionKey>, Error> {
        use connection_table::Column;
        let everywhere = self.store.read_background().await?;
        let rows: Vec<(String, Uuid)> = connection_table::Entity::find()
            .filter(Column::RevocationTime.lte(self.store.now().micros()))
            .filter(Column::TenantId.is_not_in(without.iter().map(TenantId::as_str)))
            .order_by_asc(Column::RevocationTime)
            .limit(limit)
            .select_only()
            .columns([Column::TenantId, Column::Id])
            .into_tuple()
            .all(&everywhere)
            .await?;
        Ok(rows.into_iter().map(|(tenant, id)| ConnectionKey::from_stored(tenant, id)).collect())
    }
}

/// Whether what a revocation takes does not open. What a store does not give now, it may give once people have mended it: a
/// version is enabled again, a secret is restored there.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Integrity)
}
