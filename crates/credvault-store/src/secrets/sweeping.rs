//! Removing from external stores what no record refers to any more. A removal does not come back, so the sealed records are
//! asked first: columns that were altered past the vault have nothing removed that a record names.

use std::time::Duration;

use credvault_crypto::SecretStoreError;
use credvault_domain::Timestamp;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
};
use uuid::Uuid;

use super::pass::Pass;
use super::payloads::{PUT_TIME, REMOVED, Unreferred, forget, note_dropped, note_removed, unreferred};
use super::records::{Named, named};
use super::{Secrets, failed};
use crate::entity::external_payload::{Column, Entity, Model};
use crate::entity::{connection, token};
use crate::integrity::alarm;
use crate::{ConnectionKey, Error};

/// How many payloads are kept for backups of a connection whose tokens are refreshed: each refresh leaves one, and stores
/// take few, or have each paid for.
const KEPT_WITH_TOKENS: usize = 4;
/// How many payloads of a connection are removed at a time: others wait for their turn, too.
const REMOVALS: usize = 48;
/// How long a removal rests that has failed, at least: nothing waits for it.
const REMOVAL_REST: Duration = Duration::from_secs(600);
/// How long removals rest in a database that was restored.
const HELD_REST: Duration = Duration::from_secs(3600);
/// What an alarm calls a row that names a payload of another record.
const MISMATCH: &str = "external_payload";

/// What a sweep has left.
#[derive(Default)]
pub(super) struct Swept {
    /// When there is something to remove next.
    pub(super) next: Option<Timestamp>,
    /// The first thing that was in the way.
    pub(super) trouble: Option<Error>,
}

impl Swept {
    fn look_again(&mut self, time: Timestamp) {
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
    }

    /// Notes what was in the way of a removal.
    ///
    /// # Errors
    /// The error itself, if it is not about a store or a secret.
    fn hinder(&mut self, pass: &mut Pass, error: Error, now: Timestamp) -> Result<(), Error> {
        let Some(rest) = pass.rest(&error) else { return Err(error) };
        self.look_again(now.after(rest.max(REMOVAL_REST)));
        self.trouble.get_or_insert(error);
        Ok(())
    }
}

impl Secrets<'_> {
    /// Removes the payloads of a connection that no record refers to, once the time is over in which a backup may need them.
    /// What a store refuses is tried again later, and does not keep the others.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn sweep(&self, key: &ConnectionKey, pass: &mut Pass) -> Result<Swept, Error> {
        let (now, mut swept) = (self.store.now(), Swept::default());
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        let gone = connection::Entity::find_by_id(key.row_id()).one(&tx).await?.is_none();
        let all = unreferred(&tx, &key.tenant, key.connection).await?;
        let due = self.removable(&tx, key, all, &mut swept).await?;
        tx.commit().await?;
        let empty = if gone { self.empty(key).await? } else { Vec::new() };
        if !(due.is_empty() && empty.is_empty()) && self.store.holds_secret_stores().await? {
            swept.look_again(now.after(HELD_REST));
            return Ok(swept);
        }
        if !due.is_empty() {
            match named(self.store, key).await {
                Ok(named) => {
                    let mut removed = 0;
                    for payload in due {
                        if removed == REMOVALS {
                            swept.look_again(now);
                            break;
                        }
                        match self.remove(key, &payload, &named, pass).await {
                            Ok(()) => removed += 1,
                            Err(error) => swept.hinder(pass, error, now)?,
                        }
                    }
                }
                Err(error) => swept.hinder(pass, error, now)?,
            }
        }
        // What was removed just now may have been the last.
        let empty = if gone { self.empty(key).await? } else { Vec::new() };
        for (row, name) in empty {
            if let Err(error) = self.forget_at(key, (row, &name), pass).await {
                swept.hinder(pass, error, now)?;
            }
        }
        Ok(swept)
    }

    /// Which of the payloads without a record are due to be removed. The others are noted, with the time when they are due.
    async fn removable(
        &self,
        tx: &DatabaseTransaction,
        key: &ConnectionKey,
        all: Vec<Unreferred>,
        swept: &mut Swept,
    ) -> Result<Vec<Unreferred>, Error> {
        let (now, kept) = (self.store.now(), self.store.settings().secrets.keep_removed);
        let (mut due, mut dropped) = (Vec::new(), Vec::new());
        for payload in all.into_iter().filter(|payload| !payload.is_removed()) {
            if payload.may_be_on_its_way(now) {
                swept.look_again(payload.create_time.after(PUT_TIME));
            } else if payload.reference.is_none() {
                // No record has ever referred to it, so no backup does.
                due.push(payload);
            } else if let Some(time) = payload.drop_time {
                dropped.push((time, payload));
            } else {
                note_dropped(tx, &key.tenant, payload.id, now).await?;
                dropped.push((now, payload));
            }
        }
        let refreshes = token::Entity::find_by_id(key.row_id()).one(tx).await?.is_some();
        let most = if refreshes { KEPT_WITH_TOKENS } else { usize::MAX };
        dropped.sort_by_key(|(time, payload)| std::cmp::Reverse((*time, payload.create_time)));
        for (index, (time, payload)) in dropped.into_iter().enumerate() {
            if index >= most || time.after(kept) <= now {
                due.push(payload);
            } else {
                swept.look_again(time.after(kept));
            }
        }
        Ok(due)
    }

    /// Has a full store remove the oldest payload of a connection that no record refers to. Gives whether there is room now.
    /// If the store has fewer than it takes, it is full for another reason, and nothing that a backup may need makes way.
    ///
    /// # Errors
    /// The store or the database fails.
    pub(super) async fn make_room(&self, key: &ConnectionKey, name: &str) -> Result<bool, Error> {
        let (now, most) = (self.store.now(), self.store.secret_store(name)?.most_payloads());
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        let all = unreferred(&tx, &key.tenant, key.connection).await?;
        let there = Entity::find()
            .filter(Column::TenantId.eq(key.tenant.as_str()))
            .filter(Column::ConnectionId.eq(key.connection.as_uuid()))
            .filter(Column::Store.eq(name))
            .filter(Column::Reference.ne(REMOVED))
            .count(&tx)
            .await?;
        tx.rollback().await?;
        let has_all = most.is_some_and(|most| usize::try_from(there).is_ok_and(|there| there >= most));
        let oldest = all
            .into_iter()
            .filter(|payload| payload.store == name)
            .filter(|payload| !payload.is_removed() && !payload.may_be_on_its_way(now))
            .filter(|payload| has_all || payload.reference.is_none())
            .min_by_key(|payload| {
                (payload.reference.is_some(), payload.drop_time.unwrap_or(now), payload.create_time)
            });
        let Some(oldest) = oldest else { return Ok(false) };
        if self.store.holds_secret_stores().await? {
            return Ok(false);
        }
        let removed = match named(self.store, key).await {
            Ok(named) => self.remove(key, &oldest, &named, &mut Pass::default()).await,
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => Ok(true),
            // While a record does not open, nothing is removed; that is not what the put is refused for.
            Err(Error::Integrity) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has a store remove a payload, unless a sealed record needs it.
    async fn remove(
        &self,
        key: &ConnectionKey,
        payload: &Unreferred,
        named: &Named,
        pass: &mut Pass,
    ) -> Result<(), Error> {
        if named.has(payload) {
            alarm(&key.tenant, MISMATCH, payload.id.into_bytes());
            return Err(Error::Integrity);
        }
        let (name, connection) = (payload.store.as_str(), key.connection.to_string());
        pass.may_ask(name)?;
        let store = self.store.store_to_remove_from(name).await?;
        let reference = match &payload.reference {
            Some(reference) => Some(reference.clone()),
            // The put was not confirmed, so it may be there or not.
            None => store.find(&connection, &payload.id.to_string()).await.map_err(failed(name))?,
        };
        // The column is not sealed: an altered one must not have the vault remove what is another connection's.
        match reference {
            Some(reference) if reference.contains(&connection) => match store.remove(&reference).await {
                Ok(()) | Err(SecretStoreError::NotFound) => {}
                Err(problem) => return Err(failed(name)(problem)),
            },
            Some(_) => alarm(&key.tenant, MISMATCH, payload.id.into_bytes()),
            None => {}
        }
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        note_removed(&tx, key, (payload.id, name), self.store.now()).await?;
        Ok(tx.commit().await?)
    }

    /// The rows that only say that a store has an empty secret of a connection, by their stores. Those that were given up with
    /// their store are left alone.
    async fn empty(&self, key: &ConnectionKey) -> Result<Vec<(Uuid, String)>, Error> {
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        let rows = Entity::find()
            .filter(Column::TenantId.eq(key.tenant.as_str()))
            .filter(Column::ConnectionId.eq(key.connection.as_uuid()))
            .filter(Column::WriteOffTime.is_null())
            .all(&tx)
            .await?;
        tx.rollback().await?;
        let is_removed = |row: &Model| row.reference.as_deref() == Some(REMOVED);
        let is_empty = |name: &str| rows.iter().filter(|row| row.store == name).all(is_removed);
        let empty = rows.iter().filter(|row| is_empty(&row.store));
        Ok(empty.map(|row| (row.id, row.store.clone())).collect())
    }

    /// Has a store forget a connection that is gone and of which it has nothing any more, and then the row that says so.
    async fn forget_at(
        &self,
        key: &ConnectionKey,
        (row, name): (Uuid, &str),
        pass: &mut Pass,
    ) -> Result<(), Error> {
        pass.may_ask(name)?;
        let store = self.store.store_to_remove_from(name).await?;
        store.forget(&key.connection.to_string()).await.map_err(failed(name))?;
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        forget(&tx, &key.tenant, &[row]).await?;
        Ok(tx.commit().await?)
    }
}
