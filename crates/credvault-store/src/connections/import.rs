//! Connections that another system had: many in one transaction, each with its own outcome. What a batch inserts goes to
//! the database in one statement for each table, for one statement for each row would be slower than the network.
//!
//! An item is recognised by its source: `memory` has what became of each. So it may be repeated at any time: an import that
//! was cut off, or that is run again while the other system is still in use.

pub(crate) mod item;
mod known;
mod lookup;
mod memory;

use credvault_domain::{
    AuditEvent, ConnectionId, ConnectionState, EventType, StateChange, TenantScope, Timestamp, Version,
};
use sea_orm::{ActiveValue::Set, EntityTrait as _, TryIntoModel as _};
use serde_json::json;

use crate::change::feed::ChangeKind;
use crate::change::outbox::NewEvent;
use crate::change::{Change, retrying};
use crate::connections::due_tests::first_test_time;
use crate::connections::import::item::{ImportItem, source};
use crate::connections::import::known::Known;
use crate::connections::import::memory::Memory;
use crate::connections::row::owner_column;
use crate::connections::writer::{ConnectionRow, insert_all};
use crate::connections::{Connections, new_row};
use crate::credentials::stored::{
    NewVersion, granted, require_whole, sealed_version, served_until, set_settings, store_version,
};
use crate::entity::{connection::Model, connection_health, credential_version, refresh};
use crate::health::grant;
use crate::refreshes::schedule::first_refresh;
use crate::secrets::payloads::tend_all_later;
use crate::{Error, NewCredential, NewSettings, Recorded, Write};

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
    /// Imports items. `replace`: whether a connection of the same source gets what its row holds by now. `refused`
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
    /// What is to be remembered of rows that are new, and of rows that have changed.
    memories: Vec<Memory>,
    renewed: Vec<Memory>,
    /// Whether the item in progress has changed the settings of its connection.
    has_new_settings: bool,
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
            memories: Vec::new(),
            renewed: Vec::new(),
            has_new_settings: false,
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
        let source = source(&item.new.labels).ok_or(Error::State("the item has no source"))?;
        let Some(remembered) = self.known.imported(source)? else {
            if self.known.is_taken(&item.new) {
                return Err(Error::ConnectionExists);
            }
            let (id, version) = self.create(item)?;
            self.memories.push(Memory::of(&self.change, source, (id.as_uuid(), version), item)?);
            return Ok(Imported::Created(id));
        };
        let model = remembered.connection.clone();
        let id = ConnectionId::from_uuid(model.id);
        if (model.owner_user.as_str(), model.provider.as_str())
            != (owner_column(&item.new.owner), item.new.provider.as_str())
        {
            return Err(Error::State(
                "the row has another owner or provider than when it was imported, and a connection cannot change these; \
                 purge the connection first",
            ));
        }
        // What was deleted here stays so, whatever the row says.
        if !replace || model.delete_time.is_some() {
            return Ok(Imported::Unchanged(id));
        }
        let changed = match &item.credential {
            Some(credential) => remembered.has_changed(&self.change, item, credential)?,
            None => false,
        };
        if changed && remembered.has_moved_on() {
            return Err(Error::State(
                "the row has changed since it was imported, and the connection's credential was changed here, too; the \
                 vault's stays: give it the row's with PutCredential if that is the right one",
            ));
        }
        if item.credential.is_some()
            && !changed
            && let Some(version) = remembered.version_under_older_key(&self.change)?
        {
            self.renewed.push(Memory::of(&self.change, source, (id.as_uuid(), version), item)?);
        }
        self.again(model, item, source, changed).await
    }

    /// A connection that was imported before. A row that has changed since gives it a new version. One that is switched off
    /// switches it off; that a row is on says nothing, for the connection may have been switched off here.
    async fn again(
        &mut self,
        model: Model,
        item: &ImportItem,
        source: &str,
        changed: bool,
    ) -> Result<Imported, Error> {
        let id = ConnectionId::from_uuid(model.id);
        let goes_off = model.enabled && !item.new.enabled;
        let model = match item.credential.as_ref().filter(|_| changed) {
            Some(credential) => self.renew(model, item, credential).await?,
            None => model,
        };
        let version = model.current_version;
        if goes_off {
            let mut row = ConnectionRow::new(model);
            row.columns.enabled = Set(false);
            row.save(&mut self.change, ChangeKind::Updated, None).await?;
        }
        if changed {
            self.renewed.push(Memory::of(&self.change, source, (id.as_uuid(), version), item)?);
        }
        Ok(if changed || goes_off { Imported::Replaced(id) } else { Imported::Unchanged(id) })
    }

    /// Stores the credential that a row has now, with its settings if they are others: both are of one row.
    async fn renew(
        &mut self,
        model: Model,
        item: &ImportItem,
        credential: &NewCredential,
    ) -> Result<Model, Error> {
        let credential = &NewVersion::from(credential);
        served_until(&self.change, credential)?;
        if model.auth_mode != item.new.auth_mode.as_str() {
            return Err(Error::State(
                "the row has another auth mode than the connection, and a connection cannot change that; purge the \
                 connection first",
            ));
        }
        require_whole(&self.change, &model).await?;
        let model = if model.config.as_object() == Some(item.new.config.as_object()) {
            model
        } else {
            let Some(destinations) = item.destinations.clone() else {
                return Err(Error::State(
                    "the row has other settings than the connection, which has some of its issuer's metadata; \
                     PutCredential with config changes both together",
                ));
            };
            self.has_new_settings = true;
            let settings = NewSettings { config: item.new.config.clone(), destinations };
            set_settings(&mut self.change, model, &settings).await?
        };
        store_version(&mut self.change, model, credential, None).await.map(|(model, _)| model)
    }

    /// Adds a connection, and gives its id and its version.
    fn create(&mut self, item: &ImportItem) -> Result<(ConnectionId, Version), Error> {
        if let Some(credential) = &item.credential {
            served_until(&self.change, &NewVersion::from(credential))?;
        }
        self.known.room(&item.new.owner)?;
        let is_default = self.known.becomes_default(item);
        let row = new_row(&self.change, self.change.store.new_id()?, &item.new, is_default);
        let mut model: Model = row.try_into_model()?;
        if let Some(credential) = &item.credential {
            self.connect(&mut model, credential)?;
        }
        let created = (ConnectionId::from_uuid(model.id), model.current_version);
        self.known.add(&model);
        self.rows.push(model);
        Ok(created)
    }

    /// Gives a new row its first credential.
    fn connect(&mut self, model: &mut Model, credential: &NewCredential) -> Result<(), Error> {
        const FIRST: Version = 1;
        let credential = &NewVersion::from(credential);
        let expires = served_until(&self.change, credential)?;
        let change = &mut self.change;
        self.versions.push(sealed_version(change, model, FIRST, credential, None)?);
        if let Some(schedule) = &credential.schedule {
            self.refreshes.push(first_refresh(model, schedule.due_time, schedule.client_id.clone()));
        }
        self.grants.extend(grant::first(
            change,
            model,
            granted(credential, expires),
            credential.consent_time,
        ));
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
        if std::mem::take(&mut self.has_new_settings) {
            record.changed.push("config".to_owned());
        }
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
            let with_secret = self.rows.iter().filter(|row| row.current_version > 0);
            let ids: Vec<_> = with_secret.map(|row| ConnectionId::from_uuid(row.id)).collect();
            tend_all_later(&self.change, &ids).await?;
        }
        if !self.refreshes.is_empty() {
            refresh::Entity::insert_many(self.refreshes).exec_without_returning(tx).await?;
        }
        if !self.grants.is_empty() {
            connection_health::Entity::insert_many(self.grants).exec_without_returning(tx).await?;
        }
        memory::insert(&self.change, &self.memories).await?;
        memory::update(&self.change, &self.renewed).await?;
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
