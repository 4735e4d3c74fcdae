//! The frame of every change: one transaction with the change itself, its audit record, its rows in the change feed,
//! the events that it causes, and the memory of its request id.

pub(crate) mod outbox;

use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::{Opened, TenantKey};
use credvault_domain::{
    AuditEvent, ConnectionId, RequestId, ServiceId, TenantId, TenantScope, TenantState, Timestamp, UserId,
    Version,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, EntityTrait as _};
use uuid::Uuid;

use crate::database::session;
use crate::entity::{change, request};
use crate::error::{of_the_data, violates};
use crate::{Error, Recorded, Store};
use outbox::NewEvent;

/// How long a request id is remembered.
pub(crate) const REQUEST_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// What accompanies a change.
#[derive(Clone, Debug)]
pub struct Write {
    /// The audit record of its success. Id, time and what it changed are filled in here.
    pub event: AuditEvent,
    /// How a repetition of the request is recognised, if the caller gave an id.
    pub repeat: Option<RepeatKey>,
}

/// How a repetition of a request is recognised.
#[derive(Clone, Debug)]
pub struct RepeatKey {
    /// Which service asks: an id of one service's is nothing to another.
    pub service: ServiceId,
    /// For which user: an id of one user's is nothing to another.
    pub user: Option<UserId>,
    /// The caller's id of the request.
    pub id: RequestId,
    /// What was asked, byte by byte. Only its keyed fingerprint is stored.
    pub payload: Arc<Opened>,
}

impl RepeatKey {
    fn user_column(&self) -> String {
        self.user.as_ref().map(|user| user.as_str().to_owned()).unwrap_or_default()
    }
}

/// Something that happened to a connection or a tenant, as the change feed tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChangeKind {
    Created,
    Updated,
    CredentialStored,
    CredentialDestroyed,
    Refreshed,
    Deleted,
    Undeleted,
    Purged,
    TenantSuspended,
    TenantResumed,
}

impl ChangeKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Updated => "UPDATED",
            Self::CredentialStored => "CREDENTIAL_STORED",
            Self::CredentialDestroyed => "CREDENTIAL_DESTROYED",
            Self::Refreshed => "REFRESHED",
            Self::Deleted => "DELETED",
            Self::Undeleted => "UNDELETED",
            Self::Purged => "PURGED",
            Self::TenantSuspended => "TENANT_SUSPENDED",
            Self::TenantResumed => "TENANT_RESUMED",
        }
    }
}

/// What an earlier request of the same id did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// The connection, or the other thing, that it was about.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) version: Option<Version>,
}

/// A change in progress. Dropped without [`Changing::commit`], it has changed nothing.
pub(crate) struct Changing<'a> {
    pub(crate) store: &'a Store,
    pub(crate) tx: DatabaseTransaction,
    pub(crate) scope: &'a TenantScope,
    pub(crate) key: Arc<TenantKey>,
    pub(crate) state: TenantState,
    pub(crate) now: Timestamp,
    /// What this request did when it was made before.
    pub(crate) done: Option<Done>,
    event: AuditEvent,
    repeat: Option<&'a RepeatKey>,
    connection: Option<ConnectionId>,
    version: Option<Version>,
    feed: Vec<(Option<ConnectionId>, ChangeKind, Option<Version>)>,
    events: Vec<NewEvent>,
    /// The id and the generation of what is no connection, for a repetition.
    other: Option<(Uuid, Option<i64>)>,
}

impl Store {
    /// Begins a change for a tenant that is served.
    pub(crate) async fn change<'a>(
        &'a self,
        scope: &'a TenantScope,
        write: &'a Write,
    ) -> Result<Changing<'a>, Error> {
        let changing = self.change_any(scope, write).await?;
        session::served(scope.tenant(), changing.state)?;
        Ok(changing)
    }

    /// Begins a change for a tenant that exists, suspended or not.
    pub(crate) async fn change_any<'a>(
        &'a self,
        scope: &'a TenantScope,
        write: &'a Write,
    ) -> Result<Changing<'a>, Error> {
        let tx = session::begin_write(&self.writer(), self.database(), scope.tenant()).await?;
        let (key, state) = self.tenant_key(&tx, scope.tenant()).await?;
        let mut changing = Changing::begun(self, tx, scope, key, state, self.now(), write);
        changing.done = changing.earlier().await?;
        Ok(changing)
    }
}

impl<'a> Changing<'a> {
    /// A change whose transaction has begun.
    pub(crate) fn begun(
        store: &'a Store,
        tx: DatabaseTransaction,
        scope: &'a TenantScope,
        key: Arc<TenantKey>,
        state: TenantState,
        now: Timestamp,
        write: &'a Write,
    ) -> Self {
        let (event, repeat) = (write.event.clone(), write.repeat.as_ref());
        let (done, connection, version, other) = (None, None, None, None);
        let (feed, events) = (Vec::new(), Vec::new());
        Self {
            store,
            tx,
            scope,
            key,
            state,
            now,
            done,
            event,
            repeat,
            connection,
            version,
            feed,
            events,
            other,
        }
    }
}

impl Changing<'_> {
    pub(crate) fn tenant(&self) -> &TenantId {
        self.scope.tenant()
    }

    /// Notes what the change is about, for the audit record and for a repetition.
    pub(crate) fn about(&mut self, connection: ConnectionId, version: Option<Version>) {
        self.connection = Some(connection);
        self.version = version;
    }

    /// Notes who owns the connection that the change is about, for the audit record.
    pub(crate) fn owned_by(&mut self, owner_user: &str) {
        let owner = (!owner_user.is_empty()).then(|| UserId::from_stored(owner_user.to_owned()));
        self.event.owner_user = owner;
    }

    /// Notes a row of the change feed.
    pub(crate) fn feed(
        &mut self,
        connection: Option<ConnectionId>,
        kind: ChangeKind,
        version: Option<Version>,
    ) {
        self.feed.push((connection, kind, version));
    }

    /// Notes what the change is about if it is no connection: its id and generation for a repetition, its name for the
    /// audit record.
    pub(crate) fn about_other(&mut self, id: Uuid, name: String, generation: Option<i64>) {
        self.other = Some((id, generation));
        self.event.changed.insert(0, name);
    }

    /// Notes an event for whoever wants to hear of it.
    pub(crate) fn tell(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    fn fingerprint(&self, repeat: &RepeatKey) -> Vec<u8> {
        let action = self.event.action.as_str().as_bytes();
        self.key.fingerprint(self.tenant(), &[action, &repeat.payload]).to_vec()
    }

    /// What an earlier request of the same id did, if it was this same request.
    async fn earlier(&self) -> Result<Option<Done>, Error> {
        let Some(repeat) = self.repeat else { return Ok(None) };
        let (tenant, service) = (self.tenant().as_str().to_owned(), repeat.service.as_str().to_owned());
        let key = (tenant, service, repeat.user_column(), repeat.id.as_uuid());
        let Some(earlier) = request::Entity::find_by_id(key).one(&self.tx).await? else { return Ok(None) };
        if earlier.fingerprint != self.fingerprint(repeat) {
            return Err(Error::RequestIdReused);
        }
        Ok(Some(Done {
            connection: earlier.connection_id.map(ConnectionId::from_uuid),
            version: earlier.version,
        }))
    }

    /// Makes everything durable, in one commit. A repetition leaves its audit record and nothing else.
    pub(crate) async fn commit<T>(mut self, value: T) -> Result<Recorded<T>, Error> {
        if self.done.is_none() {
            self.remember().await?;
            self.write_feed().await?;
            outbox::queue(self.store, &self.tx, self.tenant(), self.now, &self.events).await?;
        }
        self.event.id = self.store.new_id()?;
        self.event.time = self.now;
        self.event.connection = self.connection.or(self.event.connection);
        self.event.version = self.version.or(self.event.version);
        let inserted = crate::audit::log::insert(&self.tx, std::slice::from_ref(&self.event)).await;
        inserted.map_err(unrecorded)?;
        self.tx.commit().await?;
        Ok(Recorded::durable(value))
    }

    async fn remember(&self) -> Result<(), Error> {
        let Some(repeat) = self.repeat else { return Ok(()) };
        let row = request::ActiveModel {
            tenant_id: Set(self.tenant().as_str().to_owned()),
            service: Set(repeat.service.as_str().to_owned()),
            user_id: Set(repeat.user_column()),
            request_id: Set(repeat.id.as_uuid()),
            fingerprint: Set(self.fingerprint(repeat)),
            connection_id: Set(self.connection.map(|id| id.as_uuid()).or(self.other.map(|(id, _)| id))),
            version: Set(self.version.or(self.other.and_then(|(_, generation)| generation))),
            create_time: Set(self.now.micros()),
        };
        match row.insert(&self.tx).await {
            Ok(_) => Ok(()),
            // The same request is being made at this moment; the next attempt sees what it did.
            Err(error) if violates(&error, "requests_pkey", "requests.request_id") => Err(Error::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    async fn write_feed(&self) -> Result<(), Error> {
        let row = |(connection, kind, version): &(Option<ConnectionId>, ChangeKind, Option<Version>)| {
            feed_row(self.tenant(), *connection, *kind, *version, self.now)
        };
        if !self.feed.is_empty() {
            change::Entity::insert_many(self.feed.iter().map(row)).exec_without_returning(&self.tx).await?;
        }
        Ok(())
    }
}

/// A record that the database does not take is the log's failure: its caller is not told to look elsewhere, and the
/// refusal is not recorded in the same log once more.
fn unrecorded(error: sea_orm::DbErr) -> Error {
    match Error::from(error) {
        Error::Unavailable(error) if !of_the_data(&error) => {
            tracing::error!(%error, "an audit record could not be written");
            Error::AuditUnavailable
        }
        other => other,
    }
}

/// A row of the change feed.
pub(crate) fn feed_row(
    tenant: &TenantId,
    connection: Option<ConnectionId>,
    kind: ChangeKind,
    version: Option<Version>,
    time: Timestamp,
) -> change::ActiveModel {
    change::ActiveModel {
        tenant_id: Set(tenant.as_str().to_owned()),
        connection_id: Set(connection.map(|id| id.as_uuid())),
        kind: Set(kind.as_str().to_owned()),
        version: Set(version),
        time: Set(time.micros()),
        ..Default::default()
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
