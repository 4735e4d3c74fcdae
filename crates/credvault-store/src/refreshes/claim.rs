//! Claiming a refresh: before anything is sent, so that a crash leaves a trace.

use std::sync::PoisonError;
use std::time::Duration;

use credvault_crypto::Context;
use credvault_domain::{AuthMode, ProviderId, Reason, SecretFields, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait as _, DatabaseTransaction, DbBackend, EntityTrait as _,
    IntoActiveModel as _, Statement,
};
use uuid::Uuid;

use super::{
    Claim, Claimed, IDLE, IN_FLIGHT, Pause, Perseverance, Place, Refreshes, RepeatRisk, Running, UNCERTAIN,
    find, locked,
};
use crate::connections::row::connection;
use crate::credentials::binding;
use crate::credentials::open_sealed;
use crate::database::liveness::lock_number;
use crate::database::session::{begin_write, served};
use crate::entity::{connection as connection_table, credential_version, refresh, tenant_key, token};
use crate::{Database, Error};

/// How long a claim holds while its owner cannot be proven gone, at least.
const LEASE: Duration = Duration::from_secs(45);

impl Perseverance<'_> {
    /// Whether nothing more is sent by ourselves: the provider has not spoken for too long, or one more request may cost
    /// more than it can bring.
    fn is_over(
        self,
        row: &refresh::Model,
        uncertain: bool,
        risk: RepeatRisk,
        (unclear_time, now): (Option<i64>, i64),
    ) -> bool {
        let longest = i64::try_from(self.longest.as_micros()).unwrap_or(i64::MAX);
        let too_long = unclear_time.is_some_and(|since| since.saturating_add(longest) <= now);
        match (uncertain, risk) {
            (true, RepeatRisk::OtherConsents) if row.marked => true,
            // An outage is no reason to give up what works again when it is over.
            (true, RepeatRisk::Nothing) => false,
            _ => too_long,
        }
    }
}

impl Refreshes<'_> {
    /// Claims the refresh of tokens of generation `seen`. `forced` ignores that the last attempt failed a moment ago, and
    /// that a refresh was given up, unless the provider itself has refused.
    ///
    /// # Errors
    /// The tenant is not served, a sealed value does not open, or the database fails.
    pub async fn claim(
        &self,
        place: &Place,
        seen: i64,
        perseverance: Perseverance<'_>,
        forced: bool,
    ) -> Result<Claim, Error> {
        let Some(instance) = self.store.presence().instance() else { return Ok(Claim::Busy) };
        let _turn = self.store.refreshing().take(&place.tenant).await;
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
        let asks_consent = model.error_reason.as_deref() == Some(Reason::ReauthorizationRequired.as_str());
        if asks_consent && (row.refused || (!forced && row.retry_time.is_none_or(|retry| retry > now))) {
            return Ok(Claim::Dead);
        }
        let uncertain = match row.state.as_str() {
            IDLE => false,
            UNCERTAIN => true,
            _ if self.is_gone(&tx, &row, instance, now).await? => true,
            _ => return Ok(Claim::Busy),
        };
        let provider = ProviderId::from_stored(model.provider.clone());
        let risk = (perseverance.risk)(&provider, &AuthMode::from_stored(model.auth_mode.clone()));
        if let Some(retry) = row.retry_time.filter(|retry| *retry > now) {
            let pause = Pause::of_row(&row);
            if !forced || pause.binds_all() {
                return Ok(Claim::Later { time: Timestamp::from_micros(retry), pause, provider });
            }
        }
        // While nobody asked, because the vault was away or the connection disabled, the provider could not speak.
        let unasked = row.retry_time.zip(row.unclear_time).map_or(0, |(retry, since)| now - retry.max(since));
        let unclear_time = row.unclear_time.map(|since| since.saturating_add(unasked.max(0)));
        if !forced && perseverance.is_over(&row, uncertain, risk, (unclear_time, now)) {
            self.give_up(&tx, place, model, row, Timestamp::from_micros(now)).await?;
            tx.commit().await?;
            return Ok(Claim::Dead);
        }
        let unclear_time = unclear_time.or(uncertain.then_some(now));
        let claimed = self.take(&tx, place, model, row, (instance, now, uncertain, unclear_time)).await?;
        tx.commit().await?;
        Ok(Claim::Ours(Box::new(claimed)))
    }

    /// Writes a claim of this process, as of now.
    async fn take(
        &self,
        tx: &DatabaseTransaction,
        place: &Place,
        model: connection_table::Model,
        row: refresh::Model,
        (instance, now, uncertain, unclear_time): (Uuid, i64, bool, Option<i64>),
    ) -> Result<Claimed, Error> {
        let (fields, expire_time) = self.open(tx, place, &model).await?;
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
        row.unclear_time = Set(unclear_time);
        row.intent_id = Set(Some(intent));
        row.instance = Set(Some(instance));
        row.lease_time = Set(Some(lease));
        // Looked at again only after that, by whoever seeks what is due.
        row.due_time = Set(Some(lease));
        row.update(tx).await?;
        let place = place.clone();
        Ok(Claimed {
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
        })
    }

    /// Whether what was claimed may still be sent: this process is still provably the one that claimed.
    pub fn may_send(&self, claimed: &Claimed) -> bool {
        self.store.presence().instance() == Some(claimed.instance)
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
    pub(super) async fn database_time(&self, tx: &DatabaseTransaction) -> Result<i64, Error> {
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
        let (tenant, id, binding) = (&place.tenant, place.connection, binding::of_row(model));
        let tokens = token::Entity::find_by_id((model.tenant_id.clone(), model.id)).one(tx).await?;
        if let Some(tokens) = tokens.filter(|tokens| tokens.version == model.current_version) {
            let wrapped = self.wrapped(tx, place, tokens.key_version).await?;
            let context = |schema| Context::tokens(tenant, id, tokens.generation, schema, binding);
            let key = (tokens.key_version, wrapped.as_slice());
            let fields = open_sealed(self.store, tenant, tokens.schema, &tokens.sealed, key, context)?;
            return Ok((fields, tokens.expire_time.map(Timestamp::from_micros)));
        }
        let version = (model.tenant_id.clone(), model.id, model.current_version);
        let version =
            credential_version::Entity::find_by_id(version).one(tx).await?.ok_or(Error::NoCredential)?;
        let sealed = version.sealed.as_deref().ok_or(Error::NoCredential)?;
        let wrapped = self.wrapped(tx, place, version.key_version).await?;
        let context = |schema| Context::credential(tenant, id, version.version, schema, binding);
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
