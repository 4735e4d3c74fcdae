//! Deleting connections, taking that back, and purging them for good.

use credvault_domain::{Connection, ConnectionId, ConnectionState, Etag, EventType, TenantScope};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use super::{Connections, replay};
use crate::change::feed::ChangeKind;
use crate::change::outbox::NewEvent;
use crate::change::retrying;
use crate::connections::lock::{locked_deleted, locked_live, siblings};
use crate::connections::row::connection;
use crate::connections::writer::{ConnectionRow, pass_default_on, purge};
use crate::database::pieces::PIECE;
use crate::entity::connection::{Column, Entity};
use crate::refreshes::schedule::schedule_now;
use crate::webhook_replays::forget_webhooks;
use crate::{Error, Recorded, Write};

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
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if let Some(prior) = change.prior() {
                return replay(change, scope, prior).await;
            }
            let model = locked_live(&mut change, scope, id, etag).await?;
            let heirs = model.is_default.then(|| siblings(scope, &model).add(Column::Id.ne(model.id)));
            let mut row = ConnectionRow::new(model);
            row.columns.is_default = Set(false);
            row.columns.delete_time = Set(Some(change.now.micros()));
            let purge_time = change.now.after(self.store.settings().undelete_period);
            row.columns.purge_time = Set(Some(purge_time.micros()));
            let model = row.save(&mut change, ChangeKind::Deleted, None).await?;
            if model.current_version > 0 {
                change.emit(NewEvent::deleted(&model));
            }
            if let Some(heirs) = heirs {
                pass_default_on(&mut change, heirs).await?;
            }
            change.commit(connection(model)?).await
        })
        .await
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
            if model.state == ConnectionState::Connected.as_str() {
                change.emit(NewEvent::of(EventType::Connected, &model));
            }
            change.commit(connection(model)?).await
        })
        .await
    }

    /// Removes a deleted connection and its credentials for good.
    ///
    /// # Errors
    /// It is not there, is not deleted, or has another etag.
    pub async fn purge(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<()>, Error> {
        retrying(write, || async move {
            loop {
                let mut change = self.store.change(scope, write).await?;
                if change.prior().is_some() {
                    return change.commit(()).await;
                }
                let model = locked_deleted(&mut change, scope, id, etag).await?;
                if forget_webhooks(self.store.database(), &change.tx, scope.tenant(), &[model.id]).await?
                    == PIECE
                {
                    change.commit_preparation().await?;
                    continue;
                }
                purge(&mut change, &[id]).await?;
                let purged = change.commit(()).await?;
                self.store.known_connections().forget(id);
                return Ok(purged);
            }
        })
        .await
    }

    /// Answers a request that has purged a connection before.
    ///
    /// # Errors
    /// [`Error::ConnectionNotFound`] if it has not.
    pub async fn purged_before(&self, scope: &TenantScope, write: &Write) -> Result<Recorded<()>, Error> {
        let change = self.store.change(scope, write).await?;
        match change.prior() {
            Some(_) => change.commit(()).await,
            None => Err(Error::ConnectionNotFound),
        }
    }
}
