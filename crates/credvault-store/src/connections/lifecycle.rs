//! Deleting connections, taking that back, and purging them for good; each with the revocation of the grant, if the caller
//! wants that. A purge that revokes waits for the provider: the row stays, for the revocation needs it, and can no longer
//! be undeleted.

use credvault_domain::{Connection, ConnectionId, ConnectionState, Etag, EventType, TenantScope};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use super::{Connections, replay};
use crate::change::feed::ChangeKind;
use crate::change::outbox::NewEvent;
use crate::change::{Change, retrying};
use crate::connections::lock::{find, locked_deleted, locked_live, siblings};
use crate::connections::purge::awaits_answer;
use crate::connections::row::connection;
use crate::connections::writer::{ConnectionRow, pass_default_on, purge};
use crate::credential_rotations::left::leave_all;
use crate::credential_rotations::row::replan;
use crate::database::pieces::PIECE;
use crate::entity::connection::{Column, Entity, Model};
use crate::refreshes::schedule::schedule_now;
use crate::revocations::release::{FIRST_PAUSE, end_credential};
use crate::webhook_replays::forget_webhooks;
use crate::{Error, Recorded, Write};

/// What a purge has left of a connection.
#[derive(Clone, Debug)]
pub struct Purged {
    /// The connection as it was last; `None` if a repetition of the request finds nothing of it.
    pub connection: Option<Connection>,
    /// Whether the row stays until the revocation of the grant is settled, and a refresh or rotation in progress has ended.
    pub waits: bool,
}

impl Connections<'_> {
    /// Deletes a connection: it is not served from now on, can be undeleted for a while, and is purged after that. If it
    /// was the default one, the oldest that remains takes its place.
    ///
    /// # Errors
    /// It is not there, is deleted already, or has another etag.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || self.try_delete(scope, (id, etag), None, write)).await
    }

    /// The same, and destroys the secret in the same transaction: the grant is to be revoked if the provider can do that
    /// (`revocable`).
    ///
    /// # Errors
    /// As for [`Connections::delete`].
    pub async fn delete_and_revoke(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        revocable: bool,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || self.try_delete(scope, (id, etag), Some(revocable), write)).await
    }

    async fn try_delete(
        &self,
        scope: &TenantScope,
        (id, etag): (ConnectionId, Option<Etag>),
        revoke: Option<bool>,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        let mut change = self.store.change(scope, write).await?;
        if let Some(prior) = change.prior() {
            return replay(change, scope, prior).await;
        }
        let model = locked_live(&mut change, scope, id, etag).await?;
        let version = model.current_version;
        let model = mark_deleted(&mut change, scope, model).await?;
        let model = revoked(&mut change, model, revoke).await?;
        if model.current_version != version {
            change.emit(NewEvent::credential(&model, version, false));
        }
        change.commit(connection(model)?).await
    }

    /// Takes a deletion back. The connection is the default one where its owner has no other.
    ///
    /// # Errors
    /// It is not there, is not deleted, has another etag, or its name was taken meanwhile.
    pub async fn undelete(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if let Some(prior) = change.prior() {
                return replay(change, scope, prior).await;
            }
            let model = locked_deleted(&mut change, scope, id, etag).await?;
            if model.purge_time.is_some_and(|time| time <= change.now.micros()) {
                return Err(Error::State("the time to undelete the connection is over; create another one"));
            }
            let defaults = siblings(scope, &model).add(Column::IsDefault.eq(true));
            let other_default = Entity::find().filter(defaults).count(&change.tx).await? > 0;
            let mut row = ConnectionRow::new(model);
            row.columns.delete_time = Set(None);
            row.columns.purge_time = Set(None);
            row.columns.is_default = Set(!other_default);
            let model = row.save(&mut change, ChangeKind::Undeleted, None).await?;
            schedule_now(&change, &model).await?;
            replan(&change, &model, false).await?;
            if model.state == ConnectionState::Connected.as_str() {
                change.emit(NewEvent::of(EventType::Connected, &model));
            }
            change.commit(connection(model)?).await
        })
        .await
    }

    /// Removes a deleted connection and its credentials for good. If its grant is being revoked, it waits for that.
    ///
    /// # Errors
    /// It is not there, is not deleted, or has another etag.
    pub async fn purge(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<Purged>, Error> {
        retrying(write, || self.try_purge(scope, (id, etag), None, write)).await
    }

    /// The same, once the grant has been revoked, if the provider can do that (`revocable`). The secret is destroyed at
    /// once.
    ///
    /// # Errors
    /// As for [`Connections::purge`].
    pub async fn purge_and_revoke(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        revocable: bool,
        write: &Write,
    ) -> Result<Recorded<Purged>, Error> {
        retrying(write, || self.try_purge(scope, (id, etag), Some(revocable), write)).await
    }

    async fn try_purge(
        &self,
        scope: &TenantScope,
        (id, etag): (ConnectionId, Option<Etag>),
        revoke: Option<bool>,
        write: &Write,
    ) -> Result<Recorded<Purged>, Error> {
        loop {
            let mut change = self.store.change(scope, write).await?;
            if change.prior().is_some() {
                return repeated_purge(change, scope, id).await;
            }
            let model = locked_deleted(&mut change, scope, id, etag).await?;
            if forget_webhooks(self.store.database(), &change.tx, scope.tenant(), &[model.id]).await? == PIECE
            {
                change.commit_preparation().await?;
                continue;
            }
            let model = revoked(&mut change, model, revoke).await?;
            let purged = purge_or_wait(&mut change, model).await?;
            let purged = change.commit(purged).await?;
            if !purged.get().waits {
                self.store.known_connections().forget(id);
            }
            return Ok(purged);
        }
    }

    /// Answers a request that has purged a connection before.
    ///
    /// # Errors
    /// [`Error::ConnectionNotFound`] if it has not.
    pub async fn purged_before(&self, scope: &TenantScope, write: &Write) -> Result<Recorded<Purged>, Error> {
        let change = self.store.change(scope, write).await?;
        match change.prior() {
            Some(_) => change.commit(Purged { connection: None, waits: false }).await,
            None => Err(Error::ConnectionNotFound),
        }
    }
}

/// Deletes a locked row so that it can be undeleted for a while.
async fn mark_deleted(change: &mut Change<'_>, scope: &TenantScope, model: Model) -> Result<Model, Error> {
    let heirs = model.is_default.then(|| siblings(scope, &model).add(Column::Id.ne(model.id)));
    let mut row = ConnectionRow::new(model);
    row.columns.is_default = Set(false);
    row.columns.delete_time = Set(Some(change.now.micros()));
    let purge_time = change.now.after(change.store.settings().undelete_period);
    row.columns.purge_time = Set(Some(purge_time.micros()));
    let model = row.save(change, ChangeKind::Deleted, None).await?;
    replan(change, &model, false).await?;
    if model.current_version > 0 {
        change.emit(NewEvent::deleted(&model));
    }
    if let Some(heirs) = heirs {
        pass_default_on(change, heirs).await?;
    }
    Ok(model)
}

/// A deleted row without its credential, if that is to be revoked and there is one. The caller makes the first attempt.
async fn revoked(change: &mut Change<'_>, model: Model, revoke: Option<bool>) -> Result<Model, Error> {
    match revoke {
        Some(revocable) if model.current_version > 0 => {
            let second_attempt = change.now.after(FIRST_PAUSE);
            end_credential(change, model, revocable, second_attempt).await
        }
        Some(_) | None => Ok(model),
    }
}

/// Purges a deleted row, or has it purged as soon as its revocation is settled and no answer is awaited any more.
async fn purge_or_wait(change: &mut Change<'_>, model: Model) -> Result<Purged, Error> {
    let awaits = awaits_answer(change.store.database_time(&change.tx).await?, change.now);
    let awaiting = Entity::find()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::Id.eq(model.id))
        .filter(Expr::cust(awaits));
    if model.revocation_time.is_none() && awaiting.count(&change.tx).await? == 0 {
        let id = ConnectionId::from_uuid(model.id);
        leave_all(change, &[id]).await?;
        purge(change, &[id]).await?;
        return Ok(Purged { connection: Some(connection(model)?), waits: false });
    }
    let mut row = ConnectionRow::new(model);
    row.columns.purge_time = Set(Some(change.now.micros()));
    let model = row.save(change, ChangeKind::Updated, None).await?;
    Ok(Purged { connection: Some(connection(model)?), waits: true })
}

/// The answer to a repeated request: what is there of the connection now.
async fn repeated_purge(
    change: Change<'_>,
    scope: &TenantScope,
    id: ConnectionId,
) -> Result<Recorded<Purged>, Error> {
    let connection = match find(&change.tx, scope, id).await {
        Ok(model) => Some(connection(model)?),
        Err(Error::ConnectionNotFound) => None,
        Err(error) => return Err(error),
    };
    let waits = connection.is_some();
    change.commit(Purged { connection, waits }).await
}
