//! The refresh of tokens, exactly once over any number of replicas. `docs/refresh.md` has the protocol and its reasons.
//!
//! A claim is written before the provider is called, and what the provider gave is stored only if the generation is
//! still the claimed one. No transaction is open in between.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_crypto::{Context, FIELDS_SCHEMA, encode_fields};
use credvault_domain::{
    Action, AuditEvent, AuditOutcome, AuthMode, Connection, ConnectionId, ConnectionState, EventType,
    ProviderId, Reason, SecretFields, StateChange, TenantId, TenantScope, Timestamp, Version,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, Func};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait as _, DatabaseTransaction, DbBackend,
    EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _, Statement,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::change::{ChangeKind, Changing};
use crate::connection_row::connection;
use crate::credentials::{Renewal, open_sealed};
use crate::entity::{change, connection as connection_table, credential_version, refresh, tenant_key, token};
use crate::events::{self, NewEvent};
use crate::presence::lock_number;
use crate::session::{begin_write, served};
use crate::{Database, Error, Store};

/// How long a claim holds while its owner cannot be proven gone, at least.
const LEASE: Duration = Duration::from_secs(45);

const IDLE: &str = "IDLE";
const IN_FLIGHT: &str = "IN_FLIGHT";
const UNCERTAIN: &str = "UNCERTAIN";

/// Where a credential lives. Made by a fetch within a verified scope, and by the search for what is due.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
}

impl Place {
    /// In whose space.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which connection.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }
}

/// What became of an attempt to claim a refresh.
#[derive(Debug)]
pub enum Claim {
    /// It is ours: call the provider now.
    Ours(Box<Claimed>),
    /// Somebody else is at it.
    Busy,
    /// The last attempts failed; not before this instant.
    Later(Timestamp),
    /// The tokens are newer than the caller knew, or the credential is another one: read again.
    Changed,
    /// Only a new consent helps.
    Dead,
    /// There is nothing to refresh: deleted, disabled, or without a credential.
    Nothing,
}

/// A claimed refresh.
#[derive(Debug)]
pub struct Claimed {
    /// Where.
    pub place: Place,
    /// The connection as it is now.
    pub connection: Connection,
    /// All secret fields, the newest tokens among them.
    pub fields: SecretFields,
    /// The version that they belong to.
    pub version: Version,
    /// When the access token ends, if it does.
    pub expire_time: Option<Timestamp>,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// Whether an earlier attempt was sent and nobody knows what became of it.
    pub uncertain: bool,
    /// With which app the tokens were got, if that is known: no other can renew them.
    pub client_id: Option<String>,
    generation: i64,
    intent: Uuid,
    instance: Uuid,
    marked_before: bool,
    _running: Running,
}

/// An intent that this process is at. Dropped with its claim, however that ends.
#[derive(Debug)]
struct Running(Arc<Mutex<HashSet<Uuid>>>, Uuid);

impl Running {
    fn begin(all: &Arc<Mutex<HashSet<Uuid>>>, intent: Uuid) -> Self {
        all.lock().unwrap_or_else(PoisonError::into_inner).insert(intent);
        Self(Arc::clone(all), intent)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// An app at a provider, which is what a provider counts calls by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AppKey {
    /// The provider.
    pub provider: ProviderId,
    /// The app's id there, where tokens belong to one.
    pub client_id: Option<String>,
}

/// A refresh that is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// Where.
    pub place: Place,
    /// Of which generation the tokens are.
    pub generation: i64,
    /// With which app they were got.
    pub app: AppKey,
}

/// What the provider gave.
#[derive(Debug)]
pub struct Renewed {
    /// All secret fields, the new tokens among them.
    pub fields: SecretFields,
    /// When the access token ends.
    pub expire_time: Option<Timestamp>,
    /// When to refresh the next time, ahead of need.
    pub due_time: Option<Timestamp>,
    /// The scopes that were granted, if the provider says so.
    pub scopes: Option<Vec<String>>,
    /// Settings that came along, which the catalog has accepted.
    pub settings: BTreeMap<String, Value>,
    /// With which app.
    pub client_id: Option<String>,
}

/// Why there are no new tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefreshFailure {
    /// The provider was not reached, or refused for reasons of its own. Another attempt makes sense at this instant.
    Temporary {
        /// When.
        retry_time: Timestamp,
    },
    /// The request was sent and the answer was lost.
    Unknown {
        /// When another attempt makes sense, if the provider's rule allows one.
        retry_time: Timestamp,
    },
    /// Only a new consent helps.
    Dead,
}

/// The repository of refreshes.
#[derive(Clone, Copy, Debug)]
pub struct Refreshes<'a> {
    store: &'a Store,
}

impl Store {
    /// The place of a connection that this scope has been found to reach.
    pub fn place_of(&self, scope: &TenantScope, connection: ConnectionId) -> Place {
        Place { tenant: scope.tenant().clone(), connection }
    }

    /// The repository of refreshes.
    pub fn refreshes(&self) -> Refreshes<'_> {
        Refreshes { store: self }
    }
}

impl Refreshes<'_> {
    /// Claims the refresh of tokens of generation `seen`. `repeatable` says of a provider and its auth mode whether the
    /// same refresh token is taken a second time; `forced` ignores that the last attempt failed a moment ago.
    ///
    /// # Errors
    /// The tenant is not served, a sealed value does not open, or the database fails.
    pub async fn claim(
        &self,
        place: &Place,
        seen: i64,
        repeatable: &(dyn Fn(&ProviderId, &AuthMode) -> bool + Sync),
        forced: bool,
    ) -> Result<Claim, Error> {
        let Some(instance) = self.store.presence().instance() else { return Ok(Claim::Busy) };
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        let (_, state) = self.store.tenant_key(&tx, &place.tenant).await?;
        served(&place.tenant, state)?;
        let now = self.database_time(&tx).await?;
        let Some(model) = locked(&tx, place).await? else { return Ok(Claim::Nothing) };
        if model.delete_time.is_some() || !model.enabled || model.current_version == 0 {
            return Ok(Claim::Nothing);
        }
        let row = find(&tx, place).await?;
        let Some(row) = row else { return Ok(Claim::Nothing) };
        if row.generation != seen {
            return Ok(Claim::Changed);
        }
        if model.error_reason.as_deref() == Some(Reason::ReauthorizationRequired.as_str()) {
            return Ok(Claim::Dead);
        }
        let uncertain = match row.state.as_str() {
            IDLE => false,
            UNCERTAIN => true,
            _ if self.is_gone(&tx, &row, instance, now).await? => true,
            _ => return Ok(Claim::Busy),
        };
        // What was sent and may have worked is sent again where the provider allows it, and once where it does not.
        let provider = ProviderId::from_stored(model.provider.clone());
        let repeatable = repeatable(&provider, &AuthMode::from_stored(model.auth_mode.clone()));
        if uncertain && row.marked && !repeatable {
            self.abandon(&tx, place, model, row, Timestamp::from_micros(now)).await?;
            tx.commit().await?;
            return Ok(Claim::Dead);
        }
        if let Some(retry) = row.retry_time.filter(|retry| !forced && *retry > now) {
            return Ok(Claim::Later(Timestamp::from_micros(retry)));
        }
        let (fields, expire_time) = self.open(&tx, place, &model).await?;
        let intent = self.store.new_id()?;
        let failures = u32::try_from(row.failures).unwrap_or(u32::MAX);
        let generation = row.generation;
        let (marked_before, client_id) = (row.marked, row.client_id.clone());
        let marked = row.marked || uncertain;
        let version = model.current_version;
        // Whatever can fail fails before the claim stands.
        let connection = connection(model)?;
        let running = Running::begin(self.store.running_intents(), intent);
        let mut row = row.into_active_model();
        let lease = now.saturating_add(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX));
        row.state = Set(IN_FLIGHT.to_owned());
        row.marked = Set(marked);
        row.intent_id = Set(Some(intent));
        row.instance = Set(Some(instance));
        row.lease_time = Set(Some(lease));
        // Looked at again only after that, by whoever seeks what is due.
        row.due_time = Set(Some(lease));
        row.update(&tx).await?;
        tx.commit().await?;
        let place = place.clone();
        Ok(Claim::Ours(Box::new(Claimed {
            place,
            connection,
            fields,
            version,
            expire_time,
            failures,
            uncertain,
            client_id,
            generation,
            intent,
            instance,
            marked_before,
            _running: running,
        })))
    }

    /// Whether what was claimed may still be sent: this process is still provably the one that claimed.
    pub fn may_send(&self, claimed: &Claimed) -> bool {
        self.store.presence().instance() == Some(claimed.instance)
    }

    /// Stores what the provider gave, unless the credential has changed meanwhile: then it is dropped, and the answer
    /// is `false`. Who holds the claim does not matter: if nobody else has stored, these tokens are the only ones.
    ///
    /// # Errors
    /// The database fails: try again, for nothing else has these tokens.
    pub async fn store(
        &self,
        claimed: &Claimed,
        renewed: &Renewed,
        event: &AuditEvent,
    ) -> Result<bool, Error> {
        let place = &claimed.place;
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        let (key, _) = self.store.tenant_key(&tx, &place.tenant).await?;
        let now = self.store.now();
        let (Some(model), Some(row)) = (locked(&tx, place).await?, find(&tx, place).await?) else {
            return Ok(false);
        };
        if row.generation != claimed.generation {
            return Ok(false);
        }
        let generation = row.generation + 1;
        let context = Context::tokens(&place.tenant, place.connection, generation, FIELDS_SCHEMA);
        let sealed = key.seal(&context, &encode_fields(&renewed.fields)?, self.store.keyring().random())?;
        token::Entity::delete_by_id((model.tenant_id.clone(), model.id)).exec(&tx).await?;
        let tokens = token::ActiveModel {
            tenant_id: Set(model.tenant_id.clone()),
            connection_id: Set(model.id),
            version: Set(claimed.version),
            generation: Set(generation),
            schema: Set(i64::from(FIELDS_SCHEMA)),
            key_version: Set(i64::from(key.version())),
            sealed: Set(sealed),
            expire_time: Set(renewed.expire_time.map(Timestamp::micros)),
        };
        token::Entity::insert(tokens).exec_without_returning(&tx).await?;
        // The provider has called this consent dead while the tokens were on their way: whether they live is seen at once.
        let due_time = if row.doubted { Some(now) } else { renewed.due_time };
        let mut row = idle(row, generation, due_time);
        if renewed.client_id.is_some() {
            row.client_id = Set(renewed.client_id.clone());
        }
        row.update(&tx).await?;
        let state = ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?;
        // Nothing may keep tokens that only we have from being stored, whatever state somebody has left.
        let accepted = state.after(StateChange::Accepted).unwrap_or(ConnectionState::Connected);
        let Value::Object(mut config) = model.config.clone() else { return Err(Error::Integrity) };
        config.extend(renewed.settings.clone());
        let config = Value::Object(config);
        let changed = accepted != state || config != model.config;
        let revision = model.revision + i64::from(changed);
        let mut model = model.into_active_model();
        model.last_refreshed_time = Set(Some(now.micros()));
        model.state = Set(accepted.as_str().to_owned());
        model.error_reason = Set(None);
        model.error_time = Set(None);
        model.config = Set(config);
        model.revision = Set(revision);
        if let Some(scopes) = &renewed.scopes {
            model.scopes_granted = Set(Some(json!(scopes)));
        }
        let model = model.update(&tx).await?;
        if state == ConnectionState::Error {
            let recovered = NewEvent::of(EventType::Recovered, &model);
            events::queue(self.store, &tx, &place.tenant, now, &[recovered]).await?;
        }
        self.finish(tx, claimed, ChangeKind::Refreshed, event, now).await?;
        Ok(true)
    }

    /// Ends a claim without new tokens, unless somebody else has ended it.
    ///
    /// # Errors
    /// The database fails. The claim then holds until this process is gone.
    pub async fn fail(
        &self,
        claimed: &Claimed,
        failure: RefreshFailure,
        event: &AuditEvent,
    ) -> Result<bool, Error> {
        let place = &claimed.place;
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        let now = self.store.now();
        let (Some(model), Some(row)) = (locked(&tx, place).await?, find(&tx, place).await?) else {
            return Ok(false);
        };
        if row.generation != claimed.generation || row.intent_id != Some(claimed.intent) {
            // Somebody else has renewed, or is about to; the provider may have revoked that as well.
            if failure == RefreshFailure::Dead && claimed.version == model.current_version {
                let in_flight = row.state == IN_FLIGHT;
                let mut row = row.into_active_model();
                if in_flight {
                    row.doubted = Set(true);
                } else {
                    row.due_time = Set(Some(now.micros()));
                }
                row.update(&tx).await?;
                tx.commit().await?;
            }
            return Ok(false);
        }
        let (generation, failures, marked) = (row.generation, row.failures + 1, row.marked);
        let (uncertain, retry, reason) = match failure {
            // What is uncertain still shows, whoever has left it so.
            RefreshFailure::Temporary { retry_time } => {
                (false, Some(retry_time), claimed.uncertain.then_some(Reason::ProviderUnavailable))
            }
            RefreshFailure::Unknown { retry_time } => {
                (true, Some(retry_time), Some(Reason::ProviderUnavailable))
            }
            RefreshFailure::Dead => (false, None, Some(Reason::ReauthorizationRequired)),
        };
        let mut row = idle(row, generation, retry);
        row.state = Set(if uncertain { UNCERTAIN } else { IDLE }.to_owned());
        row.retry_time = Set(retry.map(Timestamp::micros));
        row.failures = Set(failures);
        // What was not sent, or was refused for a while, has not used the one more attempt up.
        row.marked = Set(match failure {
            RefreshFailure::Temporary { .. } => claimed.marked_before,
            RefreshFailure::Unknown { .. } => marked,
            RefreshFailure::Dead => false,
        });
        if !uncertain && claimed.uncertain && failure != RefreshFailure::Dead {
            row.state = Set(UNCERTAIN.to_owned());
        }
        row.doubted = Set(failure == RefreshFailure::Dead);
        row.update(&tx).await?;
        if let Some(reason) = reason {
            self.refuse(&tx, place, model, reason, now).await?;
        }
        self.finish(tx, claimed, ChangeKind::Updated, event, now).await?;
        Ok(true)
    }

    /// What is due, the most urgent first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due(&self, limit: u64, without: &HashSet<AppKey>) -> Result<Vec<Due>, Error> {
        use refresh::Column;
        let everywhere = self.store.read_background().await?;
        let of_app = |app: &AppKey| {
            // Compared as a text: a NULL would make the whole condition unknown, and leave rows out.
            let client = Func::coalesce([Expr::col(Column::ClientId), Expr::val("")]);
            let named = app.client_id.as_deref().unwrap_or_default();
            Condition::all().add(Column::Provider.eq(app.provider.as_str())).add(Expr::expr(client).eq(named))
        };
        let excluded = without.iter().map(of_app).fold(Condition::any(), Condition::add);
        let rows: Vec<(String, Uuid, i64, String, Option<String>)> = refresh::Entity::find()
            .filter(Column::DueTime.lte(self.store.now().micros()))
            .apply_if((!without.is_empty()).then_some(excluded), |query, excluded| {
                query.filter(excluded.not())
            })
            .order_by_asc(Column::DueTime)
            .limit(limit)
            .select_only()
            .columns([
                Column::TenantId,
                Column::ConnectionId,
                Column::Generation,
                Column::Provider,
                Column::ClientId,
            ])
            .into_tuple()
            .all(&everywhere)
            .await?;
        let due = |(tenant, id, generation, provider, client_id)| {
            let (tenant, connection) = (TenantId::from_stored(tenant), ConnectionId::from_uuid(id));
            let app = AppKey { provider: ProviderId::from_stored(provider), client_id };
            Due { place: Place { tenant, connection }, generation, app }
        };
        Ok(rows.into_iter().map(due).collect())
    }

    /// Puts what is due off until an instant, unless it has changed meanwhile.
    ///
    /// # Errors
    /// The database fails.
    pub async fn postpone(&self, place: &Place, seen: i64, until: Timestamp) -> Result<(), Error> {
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        use refresh::Column;
        refresh::Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(until.micros()))
            .filter(Column::TenantId.eq(place.tenant.as_str()))
            .filter(Column::ConnectionId.eq(place.connection.as_uuid()))
            .filter(Column::Generation.eq(seen))
            .filter(Column::DueTime.lt(until.micros()))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Takes what cannot be renewed from what is due, unless it has changed meanwhile.
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_off(&self, place: &Place, seen: i64) -> Result<(), Error> {
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        if let Some(row) = find(&tx, place).await?.filter(|row| row.generation == seen) {
            let mut row = row.into_active_model();
            row.due_time = Set(None);
            row.update(&tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Ends what was sent twice without an answer: nobody knows whether the grant lives, so a new consent is asked for.
    async fn abandon(
        &self,
        tx: &DatabaseTransaction,
        place: &Place,
        model: connection_table::Model,
        row: refresh::Model,
        now: Timestamp,
    ) -> Result<(), Error> {
        let generation = row.generation;
        idle(row, generation, None).update(tx).await?;
        let mut event = AuditEvent::of(place.tenant.clone(), Action::RefreshConnection);
        event.id = self.store.new_id()?;
        event.time = now;
        event.connection = Some(place.connection);
        event.provider = Some(ProviderId::from_stored(model.provider.clone()));
        event.version = Some(model.current_version);
        event.outcome = AuditOutcome::Failed;
        event.reason = Some(Reason::ReauthorizationRequired);
        crate::audit_log::insert(tx, &[event]).await?;
        let feed = change::ActiveModel {
            tenant_id: Set(model.tenant_id.clone()),
            connection_id: Set(Some(model.id)),
            kind: Set(ChangeKind::Updated.as_str().to_owned()),
            version: Set(None),
            time: Set(now.micros()),
            ..Default::default()
        };
        change::Entity::insert(feed).exec_without_returning(tx).await?;
        self.refuse(tx, place, model, Reason::ReauthorizationRequired, now).await
    }

    /// The connection is not known to work any more.
    async fn refuse(
        &self,
        tx: &DatabaseTransaction,
        place: &Place,
        model: connection_table::Model,
        reason: Reason,
        now: Timestamp,
    ) -> Result<(), Error> {
        let state = ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?;
        let since = model.error_time.filter(|_| model.error_reason.as_deref() == Some(reason.as_str()));
        let revision = model.revision + 1;
        let mut row = model.into_active_model();
        let refused = state.after(StateChange::Refused).unwrap_or(ConnectionState::Error);
        row.state = Set(refused.as_str().to_owned());
        row.error_reason = Set(Some(reason.as_str().to_owned()));
        row.error_time = Set(Some(since.unwrap_or(now.micros())));
        row.revision = Set(revision);
        row.update_time = Set(now.micros());
        let model = row.update(tx).await?;
        if since.is_none() && reason == Reason::ReauthorizationRequired {
            let dead = NewEvent::of(EventType::ReauthorizationRequired, &model);
            events::queue(self.store, tx, &place.tenant, now, &[dead]).await?;
        }
        Ok(())
    }

    async fn finish(
        &self,
        tx: DatabaseTransaction,
        claimed: &Claimed,
        kind: ChangeKind,
        event: &AuditEvent,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut event = event.clone();
        event.id = self.store.new_id()?;
        event.time = now;
        event.connection = Some(claimed.place.connection);
        event.provider = Some(claimed.connection.provider.clone());
        event.version = Some(claimed.version);
        crate::audit_log::insert(&tx, &[event]).await?;
        let feed = change::ActiveModel {
            tenant_id: Set(claimed.place.tenant.as_str().to_owned()),
            connection_id: Set(Some(claimed.place.connection.as_uuid())),
            kind: Set(kind.as_str().to_owned()),
            version: Set(Some(claimed.version)),
            time: Set(now.micros()),
            ..Default::default()
        };
        change::Entity::insert(feed).exec_without_returning(&tx).await?;
        Ok(tx.commit().await?)
    }

    /// Whether the owner of a claim is provably gone.
    async fn is_gone(
        &self,
        tx: &DatabaseTransaction,
        row: &refresh::Model,
        ours: Uuid,
        now: i64,
    ) -> Result<bool, Error> {
        let Some(owner) = row.instance else { return Ok(true) };
        if owner == ours {
            // What this process is not at any more was left behind by an error.
            let running = self.store.running_intents().lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(row.intent_id.is_none_or(|intent| !running.contains(&intent)));
        }
        if self.store.database() == Database::Sqlite {
            return Ok(true);
        }
        if row.lease_time.is_some_and(|lease| lease > now) {
            return Ok(false);
        }
        let sql = "SELECT pg_try_advisory_xact_lock($1) AS gone";
        let values = [lock_number(owner).into()];
        let answer =
            tx.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
        Ok(answer.ok_or(Error::Integrity)?.try_get("", "gone")?)
    }

    /// Leases are compared with one clock only: the database's.
    async fn database_time(&self, tx: &DatabaseTransaction) -> Result<i64, Error> {
        if self.store.database() == Database::Sqlite {
            return Ok(self.store.now().micros());
        }
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";
        let row = tx.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
        Ok(row.ok_or(Error::Integrity)?.try_get("", "now")?)
    }

    /// All secret fields of a connection's current credential, the newest tokens among them.
    pub(crate) async fn open(
        &self,
        tx: &DatabaseTransaction,
        place: &Place,
        model: &connection_table::Model,
    ) -> Result<(SecretFields, Option<Timestamp>), Error> {
        let (tenant, id) = (&place.tenant, place.connection);
        let tokens = token::Entity::find_by_id((model.tenant_id.clone(), model.id)).one(tx).await?;
        if let Some(tokens) = tokens.filter(|tokens| tokens.version == model.current_version) {
            let wrapped = self.wrapped(tx, place, tokens.key_version).await?;
            let context = |schema| Context::tokens(tenant, id, tokens.generation, schema);
            let key = (tokens.key_version, wrapped.as_slice());
            let fields = open_sealed(self.store, tenant, tokens.schema, &tokens.sealed, key, context)?;
            return Ok((fields, tokens.expire_time.map(Timestamp::from_micros)));
        }
        let version = (model.tenant_id.clone(), model.id, model.current_version);
        let version =
            credential_version::Entity::find_by_id(version).one(tx).await?.ok_or(Error::NoCredential)?;
        let sealed = version.sealed.as_deref().ok_or(Error::NoCredential)?;
        let wrapped = self.wrapped(tx, place, version.key_version).await?;
        let context = |schema| Context::credential(tenant, id, version.version, schema);
        let key = (version.key_version, wrapped.as_slice());
        let fields = open_sealed(self.store, tenant, version.schema, sealed, key, context)?;
        Ok((fields, version.expire_time.map(Timestamp::from_micros)))
    }

    async fn wrapped(&self, tx: &DatabaseTransaction, place: &Place, version: i64) -> Result<Vec<u8>, Error> {
        let key = (place.tenant.as_str().to_owned(), version);
        let row = tenant_key::Entity::find_by_id(key).one(tx).await?;
        Ok(row.ok_or(Error::Integrity)?.wrapped)
    }
}

/// The credential of a locked connection is another one from now on: tokens of the one before are destroyed, and no
/// refresh that is under way can store what it gets.
pub(crate) async fn supersede(
    change: &Changing<'_>,
    model: &connection_table::Model,
    renewal: Option<&Renewal>,
) -> Result<(), Error> {
    let key = (model.tenant_id.clone(), model.id);
    let due = renewal.as_ref().and_then(|renewal| renewal.due_time);
    let client_id = renewal.as_ref().and_then(|renewal| renewal.client_id.clone());
    match refresh::Entity::find_by_id(key.clone()).lock_exclusive().one(&change.tx).await? {
        Some(row) => {
            let generation = row.generation + 1;
            let mut row = idle(row, generation, due);
            row.client_id = Set(client_id);
            row.update(&change.tx).await?;
            token::Entity::delete_by_id(key).exec(&change.tx).await?;
        }
        None if renewal.is_some() => {
            let row = refresh::ActiveModel {
                tenant_id: Set(key.0),
                connection_id: Set(key.1),
                generation: Set(1),
                state: Set(IDLE.to_owned()),
                due_time: Set(due.map(Timestamp::micros)),
                retry_time: Set(None),
                failures: Set(0),
                marked: Set(false),
                intent_id: Set(None),
                instance: Set(None),
                lease_time: Set(None),
                provider: Set(model.provider.clone()),
                client_id: Set(client_id),
                doubted: Set(false),
            };
            refresh::Entity::insert(row).exec_without_returning(&change.tx).await?;
        }
        None => {}
    }
    Ok(())
}

/// Has a connection's tokens looked at again, now that somebody may want them.
pub(crate) async fn wake(change: &Changing<'_>, model: &connection_table::Model) -> Result<(), Error> {
    use refresh::Column;
    refresh::Entity::update_many()
        .col_expr(Column::DueTime, Expr::value(change.now.micros()))
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::DueTime.is_null())
        .exec(&change.tx)
        .await?;
    Ok(())
}

/// The row with no refresh under way.
fn idle(row: refresh::Model, generation: i64, due: Option<Timestamp>) -> refresh::ActiveModel {
    let mut row = row.into_active_model();
    row.generation = Set(generation);
    row.state = Set(IDLE.to_owned());
    row.due_time = Set(due.map(Timestamp::micros));
    row.retry_time = Set(None);
    row.failures = Set(0);
    row.marked = Set(false);
    row.intent_id = Set(None);
    row.instance = Set(None);
    row.lease_time = Set(None);
    row.doubted = Set(false);
    row
}

async fn locked(tx: &DatabaseTransaction, place: &Place) -> Result<Option<connection_table::Model>, Error> {
    let key = (place.tenant.as_str().to_owned(), place.connection.as_uuid());
    Ok(connection_table::Entity::find_by_id(key).lock_exclusive().one(tx).await?)
}

async fn find(tx: &DatabaseTransaction, place: &Place) -> Result<Option<refresh::Model>, Error> {
    let key = (place.tenant.as_str().to_owned(), place.connection.as_uuid());
    Ok(refresh::Entity::find_by_id(key).lock_exclusive().one(tx).await?)
}
