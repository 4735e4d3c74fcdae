//! The end of a claim: new tokens, a failure, or nobody knows and a new consent is asked for.

use credvault_crypto::{Context, FIELDS_SCHEMA, TenantKey, encode_fields};
use credvault_domain::{
    Action, AuditEvent, AuditOutcome, ConnectionState, EventType, ProviderId, Reason, StateChange, TenantId,
    Timestamp,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};

use super::{
    Claimed, IDLE, IN_FLIGHT, Place, RefreshFailure, Refreshes, Renewed, UNCERTAIN, find, idle, locked,
};
use crate::Error;
use crate::change::ChangeKind;
use crate::entity::{change, connection as connection_table, refresh, token};
use crate::events::{self, NewEvent};
use crate::session::begin_write;

impl Refreshes<'_> {
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
        self.replace_tokens(&tx, claimed, renewed, generation, &key).await?;
        // The provider has called this consent dead while the tokens were on their way: whether they live is seen at once.
        let due_time = if row.doubted { Some(now) } else { renewed.due_time };
        let mut row = idle(row, generation, due_time);
        if renewed.client_id.is_some() {
            row.client_id = Set(renewed.client_id.clone());
        }
        row.update(&tx).await?;
        self.accept(&tx, model, renewed, now).await?;
        self.finish(tx, claimed, ChangeKind::Refreshed, event, now).await?;
        Ok(true)
    }

    /// Puts what the provider gave in the place of the tokens before.
    async fn replace_tokens(
        &self,
        tx: &DatabaseTransaction,
        claimed: &Claimed,
        renewed: &Renewed,
        generation: i64,
        key: &TenantKey,
    ) -> Result<(), Error> {
        let place = &claimed.place;
        let context = Context::tokens(&place.tenant, place.connection, generation, FIELDS_SCHEMA);
        let sealed = key.seal(&context, &encode_fields(&renewed.fields)?, self.store.keyring().random())?;
        token::Entity::delete_by_id((place.tenant.as_str().to_owned(), place.connection.as_uuid()))
            .exec(tx)
            .await?;
        let tokens = token::ActiveModel {
            tenant_id: Set(place.tenant.as_str().to_owned()),
            connection_id: Set(place.connection.as_uuid()),
            version: Set(claimed.version),
            generation: Set(generation),
            schema: Set(i64::from(FIELDS_SCHEMA)),
            key_version: Set(i64::from(key.version())),
            sealed: Set(sealed),
            expire_time: Set(renewed.expire_time.map(Timestamp::micros)),
        };
        token::Entity::insert(tokens).exec_without_returning(tx).await?;
        Ok(())
    }

    /// The connection works, and has what came with its tokens.
    async fn accept(
        &self,
        tx: &DatabaseTransaction,
        model: connection_table::Model,
        renewed: &Renewed,
        now: Timestamp,
    ) -> Result<(), Error> {
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
        let model = model.update(tx).await?;
        if state == ConnectionState::Error {
            let recovered = NewEvent::of(EventType::Recovered, &model);
            events::queue(self.store, tx, &TenantId::from_stored(model.tenant_id.clone()), now, &[recovered])
                .await?;
        }
        Ok(())
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
            if failure == RefreshFailure::Dead && claimed.version == model.current_version {
                doubt(tx, row, now).await?;
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

    /// Ends what was sent twice without an answer: nobody knows whether the grant lives, so a new consent is asked for.
    pub(super) async fn abandon(
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
}

/// The provider calls dead what somebody else has renewed, or is about to: it may have revoked that as well.
async fn doubt(tx: DatabaseTransaction, row: refresh::Model, now: Timestamp) -> Result<(), Error> {
    let in_flight = row.state == IN_FLIGHT;
    let mut row = row.into_active_model();
    if in_flight {
        row.doubted = Set(true);
    } else {
        row.due_time = Set(Some(now.micros()));
    }
    row.update(&tx).await?;
    Ok(tx.commit().await?)
}
