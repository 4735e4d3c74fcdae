//! Looking at the payloads of connections: what is in the wrong store is moved to the right one, and what no record refers
//! to any more is removed.
//!
//! A secret moves in three steps: it is read and put into the right store without an open transaction; then the record is
//! replaced if it still is what was read; later the payload before is removed. Killed at any of them, the vault has the
//! secret where the record says.

use credvault_crypto::{Context, SecretStoreError};
use credvault_domain::{ConnectionId, TenantId, Timestamp, chain};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _,
};
use uuid::Uuid;

use super::content::SecretContent;
use super::payloads::{PUT_TIME, Unreferred, look_at, note_dropped, refer, unreferred};
use super::{Secrets, failed, payloads};
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::connections::lock::locked_at;
use crate::credentials::binding;
use crate::entity::{connection, credential_version, external_payload, revocation, token};
use crate::sealed::{Sealed, SealedRecord};
use crate::{ConnectionKey, Error, Recorded, Store};

/// How long a connection rests whose payloads could not be tended.
const REST: std::time::Duration = std::time::Duration::from_secs(30);
/// How long removals rest in a database that was restored.
const HELD_REST: std::time::Duration = std::time::Duration::from_secs(3600);

/// A record whose secret is in the wrong place.
enum Misplaced {
    Version(credential_version::Model),
    Tokens(token::Model),
    Revocation(revocation::Model),
}

/// What became of a connection's payloads.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tended {
    /// How many secrets were moved.
    pub(crate) moved: i64,
    /// How many do not open or are too large for the store, and stay where they are.
    pub(crate) failed: i64,
    /// When there is something to remove next.
    pub(crate) next: Option<Timestamp>,
}

impl Secrets<'_> {
    /// Looks at the connections that are due, and tells how many there were.
    ///
    /// # Errors
    /// The database fails.
    pub async fn work(&self) -> Result<usize, Error> {
        // What a store has removed does not come back, so a clock that is wrong removes nothing.
        if !self.store.has_secret_stores() || !self.store.clock().is_trusted() {
            return Ok(0);
        }
        let due = self.due().await?;
        let (mut failed, mut first) = (0_usize, None);
        for key in &due {
            let Some(turn) = self.claim(key).await? else { continue };
            match self.tend(&key.tenant, key.connection).await {
                Ok(tended) => self.release(key, turn, tended.next).await?,
                // Another transaction was in the way.
                Err(Error::Conflict) => self.release(key, turn, Some(self.store.now())).await?,
                Err(error) => {
                    self.release(key, turn, Some(self.store.now().after(REST))).await?;
                    failed += 1;
                    first.get_or_insert((key, error));
                }
            }
        }
        // One line for all of them: while a store is away, there may be many.
        if let Some((key, error)) = first {
            tracing::warn!(
                error = chain(&error), connections = failed, tenant = %key.tenant, connection = %key.connection,
                "secrets are not all where they belong; that is tried again"
            );
        }
        Ok(due.len())
    }

    /// Looks at a connection now, for a move of all secrets of its tenant.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another process is at it. A store or the database fails.
    pub(crate) async fn tend_now(&self, key: &ConnectionKey) -> Result<Tended, Error> {
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        look_at(&tx, &key.tenant, key.connection, self.store.now()).await?;
        tx.commit().await?;
        let turn = self.claim(key).await?.ok_or(Error::Conflict)?;
        match self.tend(&key.tenant, key.connection).await {
            Ok(tended) => {
                self.release(key, turn, tended.next).await?;
                Ok(tended)
            }
            Err(error) => {
                self.release(key, turn, Some(self.store.now().after(REST))).await?;
                Err(error)
            }
        }
    }

    /// Moves the secrets of a connection to where they belong, and removes what no record refers to.
    ///
    /// # Errors
    /// A store or the database fails.
    pub(crate) async fn tend(&self, tenant: &TenantId, connection: ConnectionId) -> Result<Tended, Error> {
        let target = self.store.secret_store_of(tenant).await?;
        let mut tended = Tended::default();
        for record in self.misplaced(tenant, connection, target.as_deref()).await? {
            match self.move_record(tenant, connection, &record, target.as_deref()).await {
                Ok(moved) => tended.moved += i64::from(moved),
                // What does not open, or is too large for the store, stays where it is.
                Err(Error::Integrity | Error::SecretStore { problem: SecretStoreError::Full(_), .. }) => {
                    tended.failed += 1;
                }
                Err(error) => return Err(error),
            }
        }
        tended.next = self.sweep(tenant, connection).await?;
        Ok(tended)
    }

    /// The records of a connection whose secrets are in another place than `target`. Adopted ones are where they belong.
    async fn misplaced(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        target: Option<&str>,
    ) -> Result<Vec<Misplaced>, Error> {
        let reading = self.store.read_any(tenant).await?;
        let stored = external_payload::Entity::find()
            .filter(external_payload::Column::TenantId.eq(tenant.as_str()))
            .filter(external_payload::Column::ConnectionId.eq(connection.as_uuid()))
            .all(&reading.tx)
            .await?;
        let store_of = |payload: Option<Uuid>| {
            payload
                .and_then(|payload| stored.iter().find(|row| row.id == payload))
                .map(|row| row.store.as_str())
        };
        let versions = credential_version::Entity::find()
            .filter(credential_version::Column::TenantId.eq(tenant.as_str()))
            .filter(credential_version::Column::ConnectionId.eq(connection.as_uuid()))
            .filter(credential_version::Column::Sealed.is_not_null())
            // An adopted one has a store and no payload.
            .filter(
                Condition::any()
                    .add(credential_version::Column::Payload.is_not_null())
                    .add(credential_version::Column::Store.is_null()),
            )
            .order_by_desc(credential_version::Column::Version)
            .all(&reading.tx)
            .await?;
        let tokens = token::Entity::find_by_id((tenant.as_str().to_owned(), connection.as_uuid()))
            .one(&reading.tx)
            .await?;
        let revocation = revocation::Entity::find_by_id((tenant.as_str().to_owned(), connection.as_uuid()))
            .one(&reading.tx)
            .await?;
        let revocation = revocation.filter(|row| store_of(row.payload) != target).map(Misplaced::Revocation);
        // The tokens first, for they are what is served.
        let tokens = tokens.filter(|row| store_of(row.payload) != target).map(Misplaced::Tokens);
        let versions =
            versions.into_iter().filter(|row| store_of(row.payload) != target).map(Misplaced::Version);
        Ok(tokens.into_iter().chain(versions).chain(revocation).collect())
    }

    /// Moves the secret of a record; `false` if the record has changed meanwhile, so that it is looked at again.
    async fn move_record(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        record: &Misplaced,
        target: Option<&str>,
    ) -> Result<bool, Error> {
        let key = ConnectionKey { tenant: tenant.clone(), connection };
        let reading = self.store.read_any(tenant).await?;
        let model = connection::Entity::find_by_id(key.row_id()).one(&reading.tx).await?;
        let Some(model) = model else { return Ok(false) };
        let content = record.open(&key, &reading.keys, &model)?;
        drop(reading);
        // What a revocation takes may be an adopted secret, which is where it belongs.
        if matches!(content, SecretContent::Adopted(_)) {
            return Ok(false);
        }
        let fields = self.store.fields_of(tenant, connection, content).await?;
        let content = match target {
            Some(name) => {
                SecretContent::Placed(self.store.put_payload(tenant, connection, &fields, name).await?)
            }
            None => SecretContent::Fields(fields),
        };
        let (mut change, _) = self.store.own_sealing_change(tenant).await?;
        let Some(now) = locked_at(&change.tx, &key).await? else { return Ok(false) };
        if binding::of_row(&now) != binding::of_row(&model) {
            return Ok(false);
        }
        refer(&change.tx, tenant, &content).await?;
        let random = self.store.keyring().random();
        let sealed = Sealed::seal_content(&content, change.key()?, random, |schema| {
            record.place(&key, &model, schema)
        })?;
        if !record.replace(&change.tx, sealed, &content).await? {
            return Ok(false);
        }
        change.record_change(ChangeSubject::Connection(connection), ChangeKind::Updated, None);
        change.commit(true).await.map(Recorded::into_inner)
    }

    /// Removes the payloads of a connection that no record refers to, once the time is over in which a backup may need them.
    /// Gives when there is something to remove next.
    async fn sweep(&self, tenant: &TenantId, connection: ConnectionId) -> Result<Option<Timestamp>, Error> {
        let tx = self.store.begin_bookkeeping(tenant).await?;
        let key = (tenant.as_str().to_owned(), connection.as_uuid());
        let gone = connection::Entity::find_by_id(key).one(&tx).await?.is_none();
        let (now, kept) = (self.store.now(), self.store.settings().secrets.keep_removed);
        let (mut due, mut next): (Vec<Unreferred>, Option<Timestamp>) = (Vec::new(), None);
        for payload in unreferred(&tx, tenant, connection).await? {
            let dropped = match payload.drop_time {
                Some(dropped) => dropped,
                // It may be on its way.
                None if payload.reference.is_none() && payload.create_time.after(PUT_TIME) > now => {
                    next = earlier(next, payload.create_time.after(PUT_TIME));
                    continue;
                }
                None => {
                    note_dropped(&tx, tenant, payload.id, now).await?;
                    now
                }
            };
            if dropped.after(kept) <= now {
                due.push(payload);
            } else {
                next = earlier(next, dropped.after(kept));
            }
        }
        tx.commit().await?;
        if !due.is_empty() && self.store.holds_secret_stores().await? {
            return Ok(earlier(next, now.after(HELD_REST)));
        }
        for payload in due {
            self.store.remove_payload(connection, &payload).await?;
            let tx = self.store.begin_bookkeeping(tenant).await?;
            payloads::forget(&tx, tenant, &[payload.id]).await?;
            tx.commit().await?;
            if gone {
                self.store.forget_if_last(tenant, connection, &payload.store).await?;
            }
        }
        Ok(next)
    }
}

impl Store {
    async fn remove_payload(&self, connection: ConnectionId, payload: &Unreferred) -> Result<(), Error> {
        let store = self.store_to_remove_from(&payload.store).await?;
        let id = payload.id.to_string();
        let reference = match &payload.reference {
            Some(reference) => Some(reference.clone()),
            // The put was not confirmed, so it may be there or not.
            None => store.find(&connection.to_string(), &id).await.map_err(failed(&payload.store))?,
        };
        // The column is not sealed: an altered one must not have the vault remove what is another connection's.
        let Some(reference) = reference.filter(|reference| reference.contains(&connection.to_string()))
        else {
            return Ok(());
        };
        match store.remove(&reference).await {
            Ok(()) | Err(SecretStoreError::NotFound) => Ok(()),
            Err(problem) => Err(failed(&payload.store)(problem)),
        }
    }

    /// Has a store forget a connection that is gone, when nothing of it is left there.
    async fn forget_if_last(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        name: &str,
    ) -> Result<(), Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        let left = external_payload::Entity::find()
            .filter(external_payload::Column::TenantId.eq(tenant.as_str()))
            .filter(external_payload::Column::ConnectionId.eq(connection.as_uuid()))
            .filter(external_payload::Column::Store.eq(name))
            .one(&tx)
            .await?;
        tx.rollback().await?;
        if left.is_some() {
            return Ok(());
        }
        self.store_to_remove_from(name).await?.forget(&connection.to_string()).await.map_err(failed(name))
    }
}

impl Misplaced {
    fn place<'a>(&self, key: &'a ConnectionKey, model: &connection::Model, schema: u16) -> Context<'a> {
        let (tenant, id, bound) = (&key.tenant, key.connection, binding::of_row(model));
        match self {
            Self::Version(row) => Context::credential(tenant, id, row.version, schema, bound),
            Self::Tokens(row) => Context::tokens(tenant, id, row.generation, schema, bound),
            Self::Revocation(row) => Context::revocation(tenant, id, row.generation, schema, bound),
        }
    }

    fn open(
        &self,
        key: &ConnectionKey,
        keys: &crate::database::tenant_keys::TenantKeys,
        model: &connection::Model,
    ) -> Result<SecretContent, Error> {
        let (schema, key_version, bytes) = match self {
            Self::Version(row) => {
                (row.schema, row.key_version, row.sealed.as_deref().ok_or(Error::Integrity)?)
            }
            Self::Tokens(row) => (row.schema, row.key_version, row.sealed.as_slice()),
            Self::Revocation(row) => (row.schema, row.key_version, row.sealed.as_slice()),
        };
        let record = SealedRecord { schema, key_version, bytes };
        record.open_content(&key.tenant, keys, |schema| self.place(key, model, schema))
    }

    /// Replaces the record if it still has the secret that was read: it may have been destroyed, replaced by a refresh, or
    /// moved by another replica.
    async fn replace(
        &self,
        tx: &sea_orm::DatabaseTransaction,
        sealed: Sealed,
        content: &SecretContent,
    ) -> Result<bool, Error> {
        match self {
            Self::Version(row) => {
                let key = (row.tenant_id.clone(), row.connection_id, row.version);
                let now = credential_version::Entity::find_by_id(key).one(tx).await?;
                let Some(now) = now.filter(|now| now.payload == row.payload && now.sealed.is_some()) else {
                    return Ok(false);
                };
                let mut now = now.into_active_model();
                (now.schema, now.key_version) = (Set(sealed.schema), Set(sealed.key_version));
                now.sealed = Set(Some(sealed.bytes));
                (now.payload, now.store) = (Set(content.payload()), Set(content.store().map(str::to_owned)));
                now.update(tx).await?;
            }
            Self::Tokens(row) => {
                let key = (row.tenant_id.clone(), row.connection_id);
                let now = token::Entity::find_by_id(key).one(tx).await?;
                let Some(now) =
                    now.filter(|now| now.generation == row.generation && now.payload == row.payload)
                else {
                    return Ok(false);
                };
                let mut now = now.into_active_model();
                (now.schema, now.key_version) = (Set(sealed.schema), Set(sealed.key_version));
                now.sealed = Set(sealed.bytes);
                now.payload = Set(content.payload());
                now.update(tx).await?;
            }
            Self::Revocation(row) => {
                let key = (row.tenant_id.clone(), row.connection_id);
                let now = revocation::Entity::find_by_id(key).one(tx).await?;
                let Some(now) =
                    now.filter(|now| now.generation == row.generation && now.payload == row.payload)
                else {
                    return Ok(false);
                };
                let mut now = now.into_active_model();
                (now.schema, now.key_version) = (Set(sealed.schema), Set(sealed.key_version));
                now.sealed = Set(sealed.bytes);
                now.payload = Set(content.payload());
                now.update(tx).await?;
            }
        }
        Ok(true)
    }
}

fn earlier(one: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(one.map_or(other, |one| one.min(other)))
}
