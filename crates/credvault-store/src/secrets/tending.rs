//! Looking at the payloads of connections: what is in the wrong store is moved to the right one, and what no record refers
//! to any more is removed.
//!
//! A secret moves in three steps: it is read and put into the right store without an open transaction; then the record is
//! replaced if it still is what was read; later the payload before is removed. Killed at any of them, the vault has the
//! secret where the record says.

use credvault_domain::{Timestamp, chain};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::Secrets;
use super::content::SecretContent;
use super::pass::{Pass, REST, is_away};
use super::payloads::{look_at, refer};
use super::records::{RecordId, all};
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::connections::lock::locked_at;
use crate::credentials::binding;
use crate::entity::external_payload;
use crate::sealed::Sealed;
use crate::{ConnectionKey, Error, Recorded};

/// What became of a connection's payloads.
#[derive(Default)]
pub(crate) struct Tended {
    /// How many secrets do not open, or are refused by a store, and stay where they are.
    pub(crate) failed: i64,
    /// The first thing that was in the way; a store that does not answer comes before others.
    pub(crate) trouble: Option<Error>,
    /// When the connection is to be looked at again.
    next: Option<Timestamp>,
}

impl Secrets<'_> {
    /// Looks at the connections that are due, and tells how many there were.
    ///
    /// # Errors
    /// The database fails.
    pub async fn work(&self) -> Result<usize, Error> {
        if !self.store.has_secret_stores() {
            self.look_at_others().await?;
            return Ok(0);
        }
        // What a store has removed does not come back, so a clock that is wrong removes nothing.
        if !self.store.clock().is_trusted() {
            return Ok(0);
        }
        let (due, mut pass) = (self.due().await?, Pass::default());
        let (mut hindered, mut first) = (0_usize, None);
        for key in &due {
            let Some(turn) = self.claim(key).await? else { continue };
            let (next, trouble) = match self.tend(key, &mut pass).await {
                Ok(tended) => (tended.next, tended.trouble),
                // Another transaction was in the way.
                Err(Error::Conflict) => (Some(self.store.now()), None),
                Err(error) => (Some(self.store.now().after(REST)), Some(error)),
            };
            self.release(key, turn, next).await?;
            if let Some(error) = trouble {
                hindered += 1;
                first.get_or_insert((key, error));
            }
        }
        // One line for all of them: while a store is away, there may be many.
        if let Some((key, error)) = first {
            tracing::warn!(
                error = chain(&error), connections = hindered, tenant = %key.tenant, connection = %key.connection,
                "secrets are not all where they belong; that is tried again"
            );
        }
        Ok(due.len())
    }

    /// Looks at a connection now, for a move of all secrets of its tenant.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another process is at it. A store does not answer, or the database fails.
    pub(crate) async fn tend_now(&self, key: &ConnectionKey, pass: &mut Pass) -> Result<Tended, Error> {
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        look_at(&tx, &key.tenant, key.connection, self.store.now()).await?;
        tx.commit().await?;
        let turn = self.claim(key).await?.ok_or(Error::Conflict)?;
        match self.tend(key, pass).await {
            Ok(mut tended) => {
                self.release(key, turn, tended.next).await?;
                match tended.trouble.take_if(|error| is_away(error)) {
                    Some(error) => Err(error),
                    None => Ok(tended),
                }
            }
            Err(error) => {
                self.release(key, turn, Some(self.store.now().after(REST))).await?;
                Err(error)
            }
        }
    }

    /// Moves the secrets of a connection to where they belong, and removes what no record refers to. What is wrong with one
    /// secret, or with its store, does not keep the others.
    ///
    /// # Errors
    /// The database fails, or a record has changed meanwhile.
    async fn tend(&self, key: &ConnectionKey, pass: &mut Pass) -> Result<Tended, Error> {
        let target = self.store.secret_store_of(&key.tenant).await?;
        let mut tended = Tended::default();
        for record in self.misplaced(key, target.as_deref()).await? {
            let Err(error) = self.move_record(key, record, target.as_deref(), pass).await else { continue };
            let Some(rest) = pass.rest(&error) else { return Err(error) };
            let next = self.store.now().after(rest);
            tended.next = Some(tended.next.map_or(next, |earlier| earlier.min(next)));
            if is_away(&error) {
                tended.trouble = Some(error);
            } else {
                tended.failed += 1;
                tended.trouble.get_or_insert(error);
            }
        }
        let swept = self.sweep(key, pass).await?;
        // What was refused is not tried again for a removal, which can wait.
        tended.next = tended.next.or(swept.next);
        // A store that does not answer to a removal is not in the way of a move.
        let trouble = swept.trouble.filter(|error| !is_away(error));
        tended.trouble = tended.trouble.or(trouble);
        Ok(tended)
    }

    /// The records of a connection whose secrets are in another place than `target`. Adopted ones are where they belong.
    async fn misplaced(&self, key: &ConnectionKey, target: Option<&str>) -> Result<Vec<RecordId>, Error> {
        let reading = self.store.read_any(&key.tenant).await?;
        let stored = external_payload::Entity::find()
            .filter(external_payload::Column::TenantId.eq(key.tenant.as_str()))
            .filter(external_payload::Column::ConnectionId.eq(key.connection.as_uuid()))
            .all(&reading.tx)
            .await?;
        let store_of = |payload: Option<Uuid>| {
            stored.iter().find(|row| Some(row.id) == payload).map(|row| row.store.as_str())
        };
        let records = all(&reading.tx, key).await?;
        let misplaced =
            records.iter().filter(|record| !record.is_adopted() && store_of(record.payload()) != target);
        Ok(misplaced.map(|record| record.id()).collect())
    }

    /// Moves the secret of a record to `target`, if it is elsewhere.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the record has changed meanwhile, so that it is looked at again. It does not open, or a store
    /// or the database fails.
    async fn move_record(
        &self,
        key: &ConnectionKey,
        id: RecordId,
        target: Option<&str>,
        pass: &Pass,
    ) -> Result<(), Error> {
        // One transaction under the connection's lock: settings that change, or a key that is destroyed, are no tampering.
        let (change, _) = self.store.own_sealing_change(&key.tenant).await?;
        let Some(model) = locked_at(&change.tx, key).await? else { return Ok(()) };
        let Some(record) = id.read(&change.tx, key).await? else { return Ok(()) };
        let content = record.open(key, change.keys()?, &model)?;
        change.tx.rollback().await?;
        if matches!(content, SecretContent::Adopted(_)) {
            return Ok(());
        }
        for name in content.store().into_iter().chain(target) {
            pass.may_ask(name)?;
        }
        let fields = self.store.fields_of(&key.tenant, key.connection, content).await?;
        let content = match target {
            Some(name) => SecretContent::Placed(self.store.put_payload(key, &fields, name, false).await?),
            None => SecretContent::Fields(fields),
        };
        let (mut change, _) = self.store.own_sealing_change(&key.tenant).await?;
        let Some(now) = locked_at(&change.tx, key).await? else { return Ok(()) };
        if binding::of_row(&now) != binding::of_row(&model) {
            return Err(Error::Conflict);
        }
        refer(&change.tx, &key.tenant, &content).await?;
        let random = self.store.keyring().random();
        let sealed = Sealed::seal_content(&content, change.key()?, random, |schema| {
            record.place(key, &model, schema)
        })?;
        if !record.replace(&change.tx, key, sealed, &content).await? {
            return Err(Error::Conflict);
        }
        change.record_change(ChangeSubject::Connection(key.connection), ChangeKind::Updated, None);
        change.commit(()).await.map(Recorded::into_inner)
    }
}
