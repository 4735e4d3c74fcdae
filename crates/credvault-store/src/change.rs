//! The frame of every change: one transaction with the change itself, its audit records, its rows in the change feed, the
//! events that it causes, and the memory of its request id.
//!
//! A change that a caller asks for begins with [`Store::change`], and one that the vault makes by itself with
//! [`Store::own_change`]. Nothing else inserts audit records, feed rows or events in a transaction: [`Change::commit`] does,
//! so none can be forgotten between two of them.

mod described;
pub(crate) mod feed;
mod keyless;
pub(crate) mod outbox;
mod requests;

use std::sync::Arc;

use credvault_crypto::TenantKey;
use credvault_domain::{
    AuditEvent, ConnectionId, Permit, TenantId, TenantScope, TenantState, Timestamp, Version, chain,
};
use sea_orm::{DatabaseTransaction, DbErr};

use crate::audit::journal::{self, Entry};
use crate::database::session::served;
use crate::database::tenant_keys::{TenantKeys, TenantRow};
use crate::database::transaction::{Access, begin_write};
use crate::error::of_the_data;
use crate::{Error, Recorded, Store};
use feed::{ChangeKind, ChangeSubject, FeedRow};
use outbox::NewEvent;
pub use requests::RepeatKey;
use requests::{Memory, keep_noted};
pub(crate) use requests::{PriorResult, REQUEST_MEMORY};

/// What accompanies a change that a caller asks for. It is made of a permission, so there is no such change without one.
#[derive(Clone, Debug)]
pub struct Write {
    /// The audit record of its success. Id, time and what it changed are filled in here.
    pub(crate) event: AuditEvent,
    /// How a repetition of the request is recognised, if the caller gave an id.
    pub(crate) repeat: Option<RepeatKey>,
}

impl Write {
    /// A change that `permit` allows, with the audit record of its success, and how a repetition is recognised if the
    /// caller gave its request an id.
    pub fn new(permit: &Permit, event: AuditEvent, repeat: Option<RepeatKey>) -> Self {
        Self { event: AuditEvent { policies: permit.policies().to_vec(), ..event }, repeat }
    }

    /// The same change, whose record names these fields, too.
    #[must_use]
    pub fn changing(mut self, fields: impl IntoIterator<Item = String>) -> Self {
        self.event.changed.extend(fields);
        self
    }
}

/// A change in progress. Dropped without [`Change::commit`], it has changed nothing.
pub(crate) struct Change<'a> {
    pub(crate) store: &'a Store,
    pub(crate) tx: DatabaseTransaction,
    pub(crate) now: Timestamp,
    tenant: TenantId,
    /// The secret store that the tenant has chosen; none if it has not, or the change was begun without keys.
    pub(crate) chosen_store: Option<String>,
    keys: Keys,
    request: Option<Request<'a>>,
    records: Vec<AuditEvent>,
    /// A record that stands in another tenant's log.
    record_elsewhere: Option<AuditEvent>,
    feed: Vec<FeedRow>,
    events: Vec<NewEvent>,
}

/// What a change has of its tenant's keys.
enum Keys {
    /// It was begun without them, for it seals and opens nothing.
    Unasked,
    /// The newest does not unwrap, so nothing under it opens.
    Broken,
    Open(TenantKeys),
}

/// What a caller's change has beside one of the vault's own.
struct Request<'a> {
    record: AuditEvent,
    repeat: Option<&'a RepeatKey>,
    prior: Option<PriorResult>,
    /// What the change did, for a repetition.
    result: PriorResult,
}

impl<'a> Request<'a> {
    fn new(write: &'a Write, prior: Option<PriorResult>) -> Self {
        let (record, repeat) = (write.event.clone(), write.repeat.as_ref());
        Self { record, repeat, prior, result: PriorResult::default() }
    }
}

impl Store {
    /// Begins a change that a caller asks for, in a tenant that is served.
    pub(crate) async fn change<'a>(
        &'a self,
        scope: &TenantScope,
        write: &'a Write,
    ) -> Result<Change<'a>, Error> {
        let (change, state) = self.change_any(scope, write).await?;
        served(scope.tenant(), state)?;
        Ok(change)
    }

    /// Begins a change that a caller asks for, in a tenant that exists, suspended or not.
    pub(crate) async fn change_any<'a>(
        &'a self,
        scope: &TenantScope,
        write: &'a Write,
    ) -> Result<(Change<'a>, TenantState), Error> {
        let (tx, keys, tenant) = self.begin_change(scope.tenant()).await?;
        let prior = match &write.repeat {
            Some(repeat) => {
                let (tenant, action) = (scope.tenant(), write.event.action);
                Memory { tenant, keys: Some(&keys), action, repeat }.recall(&tx).await?
            }
            None => None,
        };
        let mut change = self.in_transaction(tx, scope.tenant(), Keys::Open(keys));
        change.request = Some(Request::new(write, prior));
        change.chosen_store = tenant.secret_store;
        Ok((change, tenant.state))
    }

    /// Begins the change that creates a tenant, whose first key was made just now.
    pub(crate) async fn change_of_new_tenant<'a>(
        &'a self,
        scope: &TenantScope,
        key: Arc<TenantKey>,
        write: &'a Write,
    ) -> Result<Change<'a>, Error> {
        let tx = begin_write(&self.writer(), self.database(), scope.tenant()).await?;
        let keys = Keys::Open(TenantKeys::of_new_tenant(key));
        let mut change = self.in_transaction(tx, scope.tenant(), keys);
        change.request = Some(Request::new(write, None));
        Ok(change)
    }

    /// Begins a change that the vault makes by itself and that seals nothing.
    pub(crate) async fn own_change(&self, tenant: &TenantId) -> Result<Change<'_>, Error> {
        let tx = begin_write(&self.writer(), self.database(), tenant).await?;
        Ok(self.in_transaction(tx, tenant, Keys::Unasked))
    }

    /// Begins a change that the vault makes by itself, with the tenant's keys and its state.
    pub(crate) async fn own_sealing_change(
        &self,
        tenant: &TenantId,
    ) -> Result<(Change<'_>, TenantState), Error> {
        let (tx, keys, row) = self.begin_change(tenant).await?;
        let mut change = self.in_transaction(tx, tenant, Keys::Open(keys));
        change.chosen_store = row.secret_store;
        Ok((change, row.state))
    }

    /// Begins a change that the vault makes by itself about values that may not open. It also begins if the tenant's own key
    /// does not unwrap; then [`Change::keys`] says so.
    pub(crate) async fn own_opening_change(&self, tenant: &TenantId) -> Result<Change<'_>, Error> {
        match self.own_sealing_change(tenant).await {
            Ok((change, _)) => Ok(change),
            Err(Error::Integrity) => {
                let mut change = self.own_change(tenant).await?;
                change.keys = Keys::Broken;
                Ok(change)
            }
            Err(error) => Err(error),
        }
    }

    async fn begin_change(
        &self,
        tenant: &TenantId,
    ) -> Result<(DatabaseTransaction, TenantKeys, TenantRow), Error> {
        self.begin_with_keys(&self.writer(), Access::Write, tenant).await
    }

    fn in_transaction(&self, tx: DatabaseTransaction, tenant: &TenantId, keys: Keys) -> Change<'_> {
        Change {
            store: self,
            tx,
            now: self.now(),
            tenant: tenant.clone(),
            chosen_store: None,
            keys,
            request: None,
            records: Vec::new(),
            record_elsewhere: None,
            feed: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl Change<'_> {
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The tenant's keys.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the newest does not unwrap. A change that was begun without keys has none.
    pub(crate) fn keys(&self) -> Result<&TenantKeys, Error> {
        match &self.keys {
            Keys::Open(keys) => Ok(keys),
            Keys::Broken => Err(Error::Integrity),
            Keys::Unasked => {
                debug_assert!(false, "this change was begun without keys");
                Err(Error::State("the vault's change was begun without keys"))
            }
        }
    }

    /// The key that new values are sealed under.
    ///
    /// # Errors
    /// As for [`Change::keys`].
    pub(crate) fn key(&self) -> Result<&TenantKey, Error> {
        Ok(self.keys()?.newest())
    }

    /// What the same request did when it was made before; then the change changes nothing.
    pub(crate) fn prior(&self) -> Option<PriorResult> {
        self.request.as_ref()?.prior
    }

    /// Adds a row to the change feed. That something was updated is left out beside a row that says more.
    pub(crate) fn record_change(
        &mut self,
        subject: ChangeSubject,
        kind: ChangeKind,
        version: Option<Version>,
    ) {
        if kind == ChangeKind::Updated && self.feed.iter().any(|row| row.subject == subject) {
            return;
        }
        self.feed.retain(|row| row.subject != subject || row.kind != ChangeKind::Updated);
        self.feed.push(FeedRow { subject, kind, version, time: self.now });
    }

    /// Adds an event for the endpoints that want it.
    pub(crate) fn emit(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Adds an audit record of what the vault does by itself, for the log of this change's tenant.
    pub(crate) fn record(&mut self, record: AuditEvent) {
        self.records.push(record);
    }

    /// Adds an audit record for the log of another tenant than the change's. A webhook that an app's key signs is remembered
    /// where the app lives, and recorded where its connection does; an erasure is recorded in the platform's log.
    pub(crate) fn record_elsewhere(&mut self, record: AuditEvent) {
        self.record_elsewhere = Some(record);
    }

    /// Makes everything durable, in one commit. A repetition leaves its audit record and nothing else.
    pub(crate) async fn commit<T>(mut self, value: T) -> Result<Recorded<T>, Error> {
        if self.prior().is_none() {
            self.remember_request().await?;
            feed::insert(&self.tx, &self.tenant, &self.feed).await?;
            outbox::queue(self.store, &self.tx, &self.tenant, self.now, &self.events).await?;
        }
        if let Some(mut request) = self.request.take() {
            request.record.id = self.store.new_id()?;
            request.record.time = self.now;
            self.records.push(request.record);
        }
        self.journal_records().await?;
        // The caller's own record comes last. A webhook that an app's key signs has its only record elsewhere.
        let record = self.records.last().or(self.record_elsewhere.as_ref()).map(|record| record.id);
        self.tx.commit().await?;
        Ok(Recorded::durable(value, record))
    }

    /// Adds the records to the journal, as one row.
    async fn journal_records(&self) -> Result<(), Error> {
        // Nothing else refuses it: the journal takes records of any tenants.
        if self.records.iter().any(|record| record.tenant != self.tenant) {
            return Err(Error::State("an audit record is of another tenant than its change"));
        }
        let entries = self.records.iter().chain(&self.record_elsewhere).map(Entry::of);
        let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| {
            tracing::error!(error = chain(&error), "an audit record could not be written");
            Error::AuditUnavailable
        })?;
        if entries.is_empty() {
            return Ok(());
        }
        let random = self.store.keyring().random();
        let row = self.store.journal_keys().seal(&entries, (self.now, 0), random)?;
        journal::insert(&self.tx, vec![row]).await.map_err(unrecorded)
    }

    async fn remember_request(&self) -> Result<(), Error> {
        let Some(Request { record, repeat: Some(repeat), result, .. }) = &self.request else { return Ok(()) };
        let keys = match &self.keys {
            Keys::Unasked => None,
            Keys::Open(_) | Keys::Broken => Some(self.keys()?),
        };
        let memory = Memory { tenant: &self.tenant, keys, action: record.action, repeat };
        memory.keep(&self.tx, *result, self.now).await
    }

    /// Whether a caller's request was done before, for a change that the vault makes by itself on the way to it.
    pub(crate) async fn was_made(&self, write: &Write) -> Result<bool, Error> {
        let Some(repeat) = &write.repeat else { return Ok(false) };
        let memory =
            Memory { tenant: &self.tenant, keys: Some(self.keys()?), action: write.event.action, repeat };
        Ok(memory.recall(&self.tx).await?.is_some())
    }

    /// A caller's request as text, for a row that keeps it until what it asks for is done; `None` if it has no id.
    ///
    /// # Errors
    /// As for [`Change::keys`].
    pub(crate) fn noted(&self, write: &Write) -> Result<Option<String>, Error> {
        let Some(repeat) = &write.repeat else { return Ok(None) };
        let keys = Some(self.keys()?);
        let memory = Memory { tenant: &self.tenant, keys, action: write.event.action, repeat };
        Ok(Some(memory.noted()))
    }

    /// Remembers a noted request together with this change, which does what it asked for: it has made this version.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn remember_noted(
        &self,
        noted: &str,
        connection: ConnectionId,
        version: Version,
    ) -> Result<(), Error> {
        let own = self.request.as_ref().and_then(|request| request.repeat);
        let result = PriorResult { subject: Some(connection.as_uuid()), version: Some(version) };
        keep_noted(&self.tx, &self.tenant, (noted, own), result, self.now).await
    }

    /// Makes a piece of preparatory work durable, which no caller sees: rows that hang on what the change will remove.
    pub(crate) async fn commit_preparation(self) -> Result<(), Error> {
        debug_assert!(self.records.is_empty() && self.feed.is_empty() && self.events.is_empty());
        Ok(self.tx.commit().await?)
    }
}

/// A record that the database does not take is the log's failure: its caller is not told to look elsewhere, and the
/// refusal is not recorded in the same log once more.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other error stays as it is")]
fn unrecorded(error: DbErr) -> Error {
    match Error::from(error) {
        Error::Unavailable(error) if !of_the_data(&error) => {
            tracing::error!(%error, "an audit record could not be written");
            Error::AuditUnavailable
        }
        other => other,
    }
}

/// How often a change is tried when others are in its way.
const ATTEMPTS: u32 = 16;

/// Repeats an attempt that met another transaction. What it wrote was undone.
///
/// A request with an id is also tried again when it is refused: the same request may have been in progress beside it
/// and be the reason (a name that is now taken, an etag that is now old). The second attempt sees what that one did.
pub(crate) async fn retrying<T, F>(write: &Write, mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut repeated = write.repeat.is_none();
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(Error::Conflict) => {}
            // While the database is away, another attempt would cost the caller another time-out.
            Err(error @ (Error::Unavailable(_) | Error::AuditUnavailable)) => return Err(error),
            Err(_) if !repeated => repeated = true,
            result => return result,
        }
    }
    attempt().await
}
