//! Letting go: a disconnected connection has no secret any more, but for what its provider still has to be told.

use std::time::Duration;

use credvault_crypto::{Context, FIELDS_SCHEMA, encode_fields};
use credvault_domain::{Connection, ConnectionId, Etag, Revocation, SecretFields, TenantId, TenantScope};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use crate::change::outbox::NewEvent;
use crate::change::{ChangeKind, Changing, retrying};
use crate::connections::locked_live;
use crate::connections::row::connection;
use crate::credentials::binding;
use crate::credentials::{destroy_all, disconnect, open_sealed};
use crate::database::session::begin_write;
use crate::entity::revocation::{ActiveModel, Entity};
use crate::entity::{connection as connection_table, tenant_key};
use crate::{Error, Place, Recorded, Store, Write};

/// How long after the first attempt the second is made, and the longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3 * 3600));
/// After how many attempts it is given up: about a day.
const ATTEMPTS: i64 = 16;

/// What a provider has to be told.
#[derive(Debug)]
pub struct ToRevoke {
    /// Where.
    pub place: Place,
    /// The connection as it is now.
    pub connection: Connection,
    /// The secret fields that it had.
    pub fields: SecretFields,
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
    /// Destroys every secret of a connection. If the provider can be told (`revocable`), what that takes is kept sealed
    /// until it was. A connection without a credential stays as it is.
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
            if change.done.is_some() {
                let model = crate::connections::find(&change.tx, scope, id).await?;
                return change.commit(connection(model)?).await;
            }
            let model = locked_live(&mut change, id, etag).await?;
            if model.current_version == 0 {
                return change.commit(connection(model)?).await;
            }
            let place = Place { tenant: scope.tenant().clone(), connection: id };
            // Connections of one account may hang on one grant: the last of them has it revoked.
            let shared = revocable && shares_grant(&change, &model).await?;
            // What does not open cannot be revoked, and goes all the same.
            let fields = match revocable && !shared {
                true => self.store.refreshes().open(&change.tx, &place, &model).await.ok(),
                false => None,
            };
            let (tenant_id, row_id, version) = (model.tenant_id.clone(), model.id, model.current_version);
            destroy_all(&change, &model).await?;
            let outcome = match &fields {
                Some((fields, _)) => {
                    let bound = binding::of_row(&model);
                    let context = Context::revocation(scope.tenant(), id, version, FIELDS_SCHEMA, bound);
                    let random = self.store.keyring().random();
                    let row = ActiveModel {
                        tenant_id: Set(tenant_id.clone()),
                        connection_id: Set(row_id),
                        generation: Set(version),
                        attempts: Set(0),
                        schema: Set(i64::from(FIELDS_SCHEMA)),
                        key_version: Set(i64::from(change.key.version())),
                        sealed: Set(change.key.seal(&context, &encode_fields(fields)?, random)?),
                    };
                    Entity::insert(row).exec_without_returning(&change.tx).await?;
                    Revocation::Pending
                }
                None if shared => Revocation::Kept,
                None if revocable => Revocation::Failed,
                None => Revocation::Unsupported,
            };
            let model = disconnect(&mut change, model).await?;
            change.tell(NewEvent::credential(&model, version, false));
            let mut row = model.into_active_model();
            row.revocation = Set(Some(outcome.as_str().to_owned()));
            // The first attempt is made by whoever disconnects; this is for when it dies over it.
            let again = fields.is_some().then(|| change.now.after(PAUSES.0).micros());
            row.revocation_time = Set(again);
            let disconnected = connection(row.update(&change.tx).await?)?;
            change.about(id, Some(version));
            change.feed(Some(id), ChangeKind::CredentialDestroyed, Some(version));
            change.commit(disconnected).await
        })
        .await
    }

    /// What the provider of a place has to be told, if it has to.
    ///
    /// # Errors
    /// The sealed value does not open, or the database fails.
    pub async fn open(&self, place: &Place) -> Result<Option<ToRevoke>, Error> {
        let (reading, _) = self.store.read_any(&place.tenant).await?;
        let key = (place.tenant.as_str().to_owned(), place.connection.as_uuid());
        let Some(row) = Entity::find_by_id(key.clone()).one(&reading.tx).await? else { return Ok(None) };
        let model =
            connection_table::Entity::find_by_id(key).one(&reading.tx).await?.ok_or(Error::Integrity)?;
        let wrapped = tenant_key::Entity::find_by_id((row.tenant_id.clone(), row.key_version));
        let wrapped = wrapped.one(&reading.tx).await?.ok_or(Error::Integrity)?.wrapped;
        let (tenant, id, binding) = (&place.tenant, place.connection, binding::of_row(&model));
        let key = (row.key_version, wrapped.as_slice());
        let fields = open_sealed(self.store, tenant, row.schema, &row.sealed, key, |schema| {
            Context::revocation(tenant, id, row.generation, schema, binding)
        })?;
        Ok(Some(ToRevoke { place: place.clone(), connection: connection(model)?, fields }))
    }

    /// Notes how an attempt ended. What is settled is destroyed; what is not is tried again, for about a day.
    ///
    /// # Errors
    /// The database fails.
    pub async fn attempted(&self, place: &Place, outcome: Revocation) -> Result<Option<Connection>, Error> {
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        let key = (place.tenant.as_str().to_owned(), place.connection.as_uuid());
        let model = connection_table::Entity::find_by_id(key.clone()).lock_exclusive().one(&tx).await?;
        let row = Entity::find_by_id(key.clone()).one(&tx).await?;
        // Somebody has connected it anew meanwhile, or it is gone.
        let (Some(model), Some(row)) = (model, row) else { return Ok(None) };
        let now = self.store.now();
        let attempts = row.attempts + 1;
        let outcome =
            if outcome == Revocation::Pending && attempts >= ATTEMPTS { Revocation::Failed } else { outcome };
        let again = match outcome {
            Revocation::Pending => {
                let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(16);
                let pause = PAUSES.0.saturating_mul(1 << doublings).min(PAUSES.1);
                let mut row = row.into_active_model();
                row.attempts = Set(attempts);
                row.update(&tx).await?;
                Some(now.after(pause).micros())
            }
            _ => {
                Entity::delete_by_id(key).exec(&tx).await?;
                None
            }
        };
        let revision = model.revision + 1;
        let mut row = model.into_active_model();
        row.revocation = Set(Some(outcome.as_str().to_owned()));
        row.revocation_time = Set(again);
        row.revision = Set(revision);
        row.update_time = Set(now.micros());
        let updated = connection(row.update(&tx).await?)?;
        tx.commit().await?;
        Ok(Some(updated))
    }

    /// Where a provider is to be told now, the longest waiting first, but for the tenants `without`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due(&self, limit: u64, without: &[TenantId]) -> Result<Vec<Place>, Error> {
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
        let place = |(tenant, id)| Place {
            tenant: TenantId::from_stored(tenant),
            connection: ConnectionId::from_uuid(id),
        };
        Ok(rows.into_iter().map(place).collect())
    }
}

/// Whether another connection of the same owner has a credential of the same account at the same provider. Only an
/// account that the provider itself named counts, and only connections that the caller reaches as it reaches this one:
/// what others write about theirs must neither save a grant nor show that they have one.
async fn shares_grant(change: &Changing<'_>, model: &connection_table::Model) -> Result<bool, Error> {
    use connection_table::Column;
    let Some(account) = &model.confirmed_account_id else { return Ok(false) };
    let others = connection_table::Entity::find()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::Provider.eq(model.provider.as_str()))
        .filter(Column::OwnerUser.eq(model.owner_user.as_str()))
        .filter(Column::ConfirmedAccountId.eq(account.as_str()))
        .filter(Column::AuthMode.eq(model.auth_mode.as_str()))
        .filter(Column::CurrentVersion.gt(0))
        .filter(Column::DeleteTime.is_null())
        .filter(Column::Id.ne(model.id));
    Ok(others.count(&change.tx).await? > 0)
}
