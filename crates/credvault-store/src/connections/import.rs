//! Connections that another system had: many in one transaction, each with its own outcome. What a batch inserts goes to
//! the database in one statement for each table, for one statement for each row would be slower than the network.
//!
//! An item is recognised by its source, which its connection carries as a label. So it may be repeated at any time: an
//! import that was cut off, or that is run again while the other system is still in use.

pub(crate) mod item;
mod known;

use credvault_crypto::encode_fields;
use credvault_domain::{
    AuditEvent, ConnectionId, ConnectionState, EventType, Labels, StateChange, TenantScope, Timestamp,
    Version,
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, TryIntoModel as _};
use serde_json::json;

use crate::change::outbox::NewEvent;
use crate::change::{Change, retrying};
use crate::connections::due_tests::first_test_time;
use crate::connections::import::item::{IMPORTED_FROM, ImportItem};
use crate::connections::import::known::Known;
use crate::connections::writer::insert_all;
use crate::connections::{Connections, new_row};
use crate::credentials::open_version;
use crate::credentials::stored::{granted, require_whole, sealed_version, served_until, store_version};
use crate::entity::{connection::Model, connection_health, credential_version, refresh};
use crate::health::grant;
use crate::refreshes::schedule::first_refresh;
use crate::{Error, NewCredential, Recorded, Write};

/// What became of an item.
#[derive(Debug)]
pub enum Imported {
    /// The connection was created.
    Created(ConnectionId),
    /// It was there, from the same source, and stays as it is.
    Unchanged(ConnectionId),
    /// It was there, from the same source, and has the item's credential now.
    Replaced(ConnectionId),
    /// It was refused; the others are not affected.
    Refused(Error),
}

impl Connections<'_> {
    /// Imports items. `replace`: whether a connection of the same source gets a credential that it never had. `refused`
    /// are the records of what was refused before.
    ///
    /// # Errors
    /// The batch as a whole fails, and has changed nothing.
    pub async fn import(
        &self,
        scope: &TenantScope,
        items: &[ImportItem],
        replace: bool,
        refused: &[AuditEvent],
        write: &Write,
    ) -> Result<Recorded<Vec<Imported>>, Error> {
        retrying(write, || async move {
            let mut batch = Batch::begin(self, scope, items, write).await?;
            let outcomes = batch.take_all(items, replace).await?;
            let mut change = batch.inserted().await?;
            for record in refused {
                change.record(self.store.own(record.clone())?);
            }
            change.commit(outcomes).await
        })
        .await
    }

    /// The outcomes that [`Connections::import`] would have. Changes nothing.
    ///
    /// # Errors
    /// As for [`Connections::import`].
    pub async fn check_import(
        &self,
        scope: &TenantScope,
        items: &[ImportItem],
        replace: bool,
        write: &Write,
    ) -> Result<Vec<Imported>, Error> {
        retrying(write, || async move {
            let mut batch = Batch::begin(self, scope, items, write).await?;
            let outcomes = batch.take_all(items, replace).await?;
            let change = batch.inserted().await?;
            change.tx.rollback().await?;
            Ok(outcomes)
        })
        .await
    }
}

/// A batch in progress: what it will insert, and what it knows of the connections that are there.
struct Batch<'a> {
    change: Change<'a>,
    known: Known,
    rows: Vec<Model>,
    versions: Vec<credential_version::ActiveModel>,
    refreshes: Vec<refresh::ActiveModel>,
    grants: Vec<connection_health::ActiveModel>,
}

impl<'a> Batch<'a> {
    async fn begin(
        connections: &Connections<'a>,
        scope: &TenantScope,
        items: &[ImportItem],
        write: &'a Write,
    ) -> Result<Self, Error> {
        let change = connections.store.change(scope, write).await?;
        let known = Known::read(&change, items).await?;
        Ok(Self {
            change,
            known,
            rows: Vec::new(),
            versions: Vec::new(),
            refreshes: Vec::new(),
            grants: Vec::new(),
        })
    }

    /// Decides about each item. Only the failures of the database end the whole.
    async fn take_all(&mut self, items: &[ImportItem], replace: bool) -> Result<Vec<Imported>, Error> {
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let outcome = match self.take(item, replace).await {
                Ok(outcome) => outcome,
                Err(error) if is_the_items_own(&error) => Imported::Refused(error),
                Err(error) => return Err(error),
            };
            self.record(item, &outcome)?;
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn take(&mut self, item: &ImportItem, replace: bool) -> Result<Imported, Error> {
        match self.known.taken(&item.new)? {
            Some(model)
                if source(&item.new.labels).is_some() && source_of(&model) == source(&item.new.labels) =>
            {
                self.again(model, item, replace).await
            }
            Some(_) => Err(Error::ConnectionExists),
            None => self.create(item).map(Imported::Created),
        }
    }

    /// A connection that was imported before.
    async fn again(&mut self, model: Model, item: &ImportItem, replace: bool) -> Result<Imported, Error> {
        let id = ConnectionId::from_uuid(model.id);
        let Some(credential) = item.credential.as_ref().filter(|_| replace) else {
            return Ok(Imported::Unchanged(id));
        };
        served_until(&self.change, credential)?;
        if self.had(&model, credential).await? {
            return Ok(Imported::Unchanged(id));
        }
        if model.auth_mode != item.new.auth_mode.as_str()
            || model.config.as_object() != Some(item.new.config.as_object())
        {
            return Err(Error::State(
                "the imported connection has another auth mode or other settings now; PutCredential with config \
                 changes both together",
            ));
        }
        require_whole(&self.change, &model).await?;
        store_version(&mut self.change, model, credential, None).await?;
        Ok(Imported::Replaced(id))
    }

    /// Whether one of the connection's versions has this credential. A credential that was replaced in the vault since
    /// must not come back from a source that has not changed.
    async fn had(&self, model: &Model, credential: &NewCredential) -> Result<bool, Error> {
        use credential_version::{Column, Entity};
        let versions = Entity::find()
            .filter(Column::TenantId.eq(model.tenant_id.as_str()))
            .filter(Column::ConnectionId.eq(model.id))
            .filter(Column::Sealed.is_not_null());
        let wanted = encode_fields(&credential.fields)?;
        for row in versions.all(&self.change.tx).await? {
            let stored = encode_fields(&open_version(&self.change, model, &row)?)?;
            if stored[..] == wanted[..] {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn create(&mut self, item: &ImportItem) -> Result<ConnectionId, Error> {
        if let Some(credential) = &item.credential {
            served_until(&self.change, credential)?;
        }
        self.known.room(&self.change, &item.new.owner)?;
        let is_default = self.known.becomes_default(item);
        let row = new_row(&self.change, self.change.store.new_id()?, &item.new, is_default);
        let mut model: Model = row.try_into_model()?;
        if let Some(credential) = &item.credential {
            self.connect(&mut model, credential)?;
        }
        let id = ConnectionId::from_uuid(model.id);
        self.known.add(&model);
        self.rows.push(model);
        Ok(id)
    }

    /// Gives a new row its first credential.
    fn connect(&mut self, model: &mut Model, credential: &NewCredential) -> Result<(), Error> {
        const FIRST: Version = 1;
        let expires = served_until(&self.change, credential)?;
        let change = &mut self.change;
        self.versions.push(sealed_version(change, model, FIRST, credential, None)?);
        if let Some(schedule) = &credential.schedule {
            self.refreshes.push(first_refresh(model, schedule.due_time, schedule.client_id.clone()));
        }
        self.grants.extend(grant::first(change, model, granted(credential, expires)));
        model.state = ConnectionState::Disconnected.after(StateChange::CredentialStored)?.as_str().to_owned();
        model.last_version = FIRST;
        model.current_version = FIRST;
        model.hints = json!(credential.hints);
        model.expire_time = expires.map(Timestamp::micros);
        let test_time = first_test_time(change.now, change.store.keyring().random());
        model.test_time = Some(test_time.micros());
        change.emit(NewEvent::of(EventType::Connected, model));
        change.emit(NewEvent::credential(model, FIRST, true));
        Ok(())
    }

    /// Adds the record of an item that changed something or was refused here.
    fn record(&mut self, item: &ImportItem, outcome: &Imported) -> Result<(), Error> {
        let mut record = item.record.clone();
        match outcome {
            Imported::Created(id) | Imported::Replaced(id) => record.connection = Some(*id),
            Imported::Unchanged(_) | Imported::Refused(_) => return Ok(()),
        }
        self.change.record(self.change.store.own(record)?);
        Ok(())
    }

    /// Inserts what was gathered, and gives the change to be ended.
    async fn inserted(mut self) -> Result<Change<'a>, Error> {
        self.known.check_tenant(&self.change, self.rows.len()).await?;
        self.known.pass_defaults_on(&mut self.change).await?;
        insert_all(&mut self.change, &self.rows).await?;
        let tx = &self.change.tx;
        if !self.versions.is_empty() {
            credential_version::Entity::insert_many(self.versions).exec_without_returning(tx).await?;
        }
        if !self.refreshes.is_empty() {
            refresh::Entity::insert_many(self.refreshes).exec_without_returning(tx).await?;
        }
        if !self.grants.is_empty() {
            connection_health::Entity::insert_many(self.grants).exec_without_returning(tx).await?;
        }
        Ok(self.change)
    }
}

/// Whether an error is about one item alone. Any other one is the database's or the whole batch's.
fn is_the_items_own(error: &Error) -> bool {
    matches!(
        error,
        Error::ConnectionExists
            | Error::UserFull { .. }
            | Error::ExpiredAlready
            | Error::State(_)
            | Error::Integrity
    )
}

/// The source that labels name.
fn source(labels: &Labels) -> Option<&str> {
    labels.iter().find(|(key, _)| *key == IMPORTED_FROM).map(|(_, value)| value)
}

/// The source that a stored connection names.
fn source_of(model: &Model) -> Option<&str> {
    model.labels.get(IMPORTED_FROM)?.as_str()
}
