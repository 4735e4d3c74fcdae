//! The end of a claim: new tokens, a failure, or nobody knows and a new consent is asked for.

use credvault_crypto::{Binding, Context, FIELDS_SCHEMA, TenantKey, encode_fields};
use credvault_domain::{
    Action, AuditEvent, AuditOutcome, ConnectionState, EventType, ProviderId, Reason, StateChange, TenantId,
    Timestamp,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};

use super::{
    Claimed, IDLE, IN_FLIGHT, Pause, Place, RefreshFailure, Refreshes, Renewed, UNCERTAIN, find, idle, locked,
};
use crate::Error;
use crate::change::ChangeKind;
use crate::change::outbox::{self, NewEvent};
use crate::connections::row::owner;
use crate::credentials::binding;
use crate::database::session::begin_write;
use crate::entity::{change, connection as connection_table, refresh, token};

/// How often the provider must have refused since it gave tokens last, and the access token have ended, before refusals
/// that the vault does not understand are shown as the demand for consent. Outages between them do not count.
const REFUSALS: i64 = 3;

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
        let _turn = self.store.refreshing().take(&place.tenant).await;
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
        // An altered row must not get the new tokens bound to what it was altered to.
        let whole = self.open(&tx, place, &model).await.is_ok();
        let (before, after) = (model.clone(), self.accept(&tx, model, renewed, now).await?);
        binding::rebind(self.store, &tx, &key, &before, &after).await?;
        let bound = if whole { binding::of_row(&after) } else { binding::of_connection(&claimed.connection) };
        self.replace_tokens(&tx, claimed, renewed, generation, (&key, bound)).await?;
        // The provider has called this consent dead while the tokens were on their way: whether they live is seen at once.
        let due_time = if row.doubted { Some(now) } else { renewed.due_time };
        let mut row = idle(row, generation, due_time);
        if renewed.client_id.is_some() {
            row.client_id = Set(renewed.client_id.clone());
        }
        row.update(&tx).await?;
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
        (key, bound): (&TenantKey, Binding),
    ) -> Result<(), Error> {
        let place = &claimed.place;
        let context = Context::tokens(&place.tenant, place.connection, generation, FIELDS_SCHEMA, bound);
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
    ) -> Result<connection_table::Model, Error> {
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
        model.error_code = Set(None);
        model.error_time = Set(None);
        model.config = Set(config);
        model.revision = Set(revision);
        if let Some(scopes) = &renewed.scopes {
            model.scopes_granted = Set(Some(json!(scopes)));
        }
        let model = model.update(tx).await?;
        if state == ConnectionState::Error {
            let recovered = NewEvent::of(EventType::Recovered, &model);
            outbox::queue(self.store, tx, &TenantId::from_stored(model.tenant_id.clone()), now, &[recovered])
                .await?;
        }
        Ok(model)
    }

    /// Ends a claim without new tokens, unless somebody else has ended it.
    ///
    /// # Errors
    /// The database fails. The claim then holds until this process is gone.
    pub async fn fail(
        &self,
        claimed: &Claimed,
        failure: &RefreshFailure,
        event: &AuditEvent,
    ) -> Result<bool, Error> {
        let place = &claimed.place;
        let _turn = self.store.refreshing().take(&place.tenant).await;
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        let now = self.store.now();
        let (Some(model), Some(row)) = (locked(&tx, place).await?, find(&tx, place).await?) else {
            return Ok(false);
        };
        if row.generation != claimed.generation || row.intent_id != Some(claimed.intent) {
            let dead = matches!(failure, RefreshFailure::Dead { .. });
            if dead && claimed.version == model.current_version {
                doubt(tx, row, now).await?;
            }
            return Ok(false);
        }
        let absent = claimed.fields.get("access_token").is_none();
        let ended = absent || claimed.expire_time.is_some_and(|end| end <= now);
        let refusals = match failure {
            RefreshFailure::Refused { .. } => row.refusals + 1,
            RefreshFailure::Temporary { .. } | RefreshFailure::Unknown { .. } => row.refusals,
            RefreshFailure::Dead { .. } | RefreshFailure::Nothing => 0,
        };
        let left = Left::of(failure, claimed, refusals, ended);
        let (generation, marked, failures) = (row.generation, row.marked, row.failures + 1);
        let unclear_time = match left.unclear {
            true => {
                let since = row.unclear_time.unwrap_or(self.database_time(&tx).await?);
                Some(since.saturating_add(left.uncounted(now)))
            }
            false => None,
        };
        let mut row = idle(row, generation, left.retry_time);
        row.state = Set(if left.uncertain { UNCERTAIN } else { IDLE }.to_owned());
        row.retry_time = Set(left.retry_time.map(Timestamp::micros));
        (row.pause, row.pause_app) = failure.pause().map_or((Set(None), Set(None)), Pause::columns);
        row.failures = Set(failures);
        row.refusals = Set(refusals);
        row.unclear_time = Set(unclear_time);
        // What was not sent, or was refused for a while, has not used the one more attempt up.
        row.marked = Set(match failure {
            RefreshFailure::Unknown { .. } => marked,
            RefreshFailure::Temporary { .. } | RefreshFailure::Refused { .. } => claimed.marked_before,
            RefreshFailure::Dead { .. } | RefreshFailure::Nothing => false,
        });
        row.doubted = Set(matches!(failure, RefreshFailure::Dead { .. }));
        row.refused = Set(matches!(failure, RefreshFailure::Dead { .. }));
        row.update(&tx).await?;
        if let Some(reason) = left.reason {
            self.refuse(&tx, place, model, (reason, failure.code()), now).await?;
        }
        self.finish(tx, claimed, ChangeKind::Updated, event, now).await?;
        Ok(true)
    }

    /// Asks for consent although the provider has not refused: it was silent for too long, or asking once more may cost
    /// other consents. A forced refresh, or a test that works, still finds out that the grant lives.
    pub(super) async fn give_up(
        &self,
        tx: &DatabaseTransaction,
        place: &Place,
        model: connection_table::Model,
        row: refresh::Model,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (generation, marked, unclear_time) = (row.generation, row.marked, row.unclear_time);
        let uncertain = row.state != IDLE;
        let mut row = idle(row, generation, None);
        row.state = Set(if uncertain { UNCERTAIN } else { IDLE }.to_owned());
        row.marked = Set(marked);
        row.unclear_time = Set(unclear_time.or(Some(now.micros())));
        row.update(tx).await?;
        let mut event = self.store.own_event(&place.tenant, Action::RefreshConnection)?;
        event.owner_user = owner(&model.tenant_id, &model.owner_user).user().cloned();
        event.connection = Some(place.connection);
        event.provider = Some(ProviderId::from_stored(model.provider.clone()));
        event.version = Some(model.current_version);
        event.outcome = AuditOutcome::Failed;
        event.reason = Some(Reason::ReauthorizationRequired);
        crate::audit::log::insert(tx, &[event]).await?;
        let code = model.error_code.clone();
        let feed = change::ActiveModel {
            tenant_id: Set(model.tenant_id.clone()),
            connection_id: Set(Some(model.id)),
            kind: Set(ChangeKind::Updated.as_str().to_owned()),
            version: Set(None),
            time: Set(now.micros()),
            ..Default::default()
        };
        change::Entity::insert(feed).exec_without_returning(tx).await?;
        self.refuse(tx, place, model, (Reason::ReauthorizationRequired, code.as_deref()), now).await
    }

    /// The connection is not known to work any more.
    async fn refuse(
        &self,
        tx: &DatabaseTransaction,
        place: &Place,
        model: connection_table::Model,
        (reason, code): (Reason, Option<&str>),
        now: Timestamp,
    ) -> Result<(), Error> {
        let asks_consent = model.error_reason.as_deref() == Some(Reason::ReauthorizationRequired.as_str());
        if asks_consent && reason != Reason::ReauthorizationRequired {
            // What its owner was asked for does not become an outage by another attempt.
            return Ok(());
        }
        let state = ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?;
        let since = model.error_time.filter(|_| model.error_reason.as_deref() == Some(reason.as_str()));
        let revision = model.revision + 1;
        let mut row = model.into_active_model();
        let refused = state.after(StateChange::Refused).unwrap_or(ConnectionState::Error);
        row.state = Set(refused.as_str().to_owned());
        row.error_reason = Set(Some(reason.as_str().to_owned()));
        row.error_code = Set(code.map(str::to_owned));
        row.error_time = Set(Some(since.unwrap_or(now.micros())));
        row.revision = Set(revision);
        row.update_time = Set(now.micros());
        let model = row.update(tx).await?;
        if since.is_none() && reason == Reason::ReauthorizationRequired {
            let dead = NewEvent::of(EventType::ReauthorizationRequired, &model);
            outbox::queue(self.store, tx, &place.tenant, now, &[dead]).await?;
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
        let mut event = self.store.own(event.clone())?;
        event.owner_user = claimed.connection.owner.user().cloned();
        event.connection = Some(claimed.place.connection);
        event.provider = Some(claimed.connection.provider.clone());
        event.version = Some(claimed.version);
        crate::audit::log::insert(&tx, &[event]).await?;
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

/// What a failure leaves behind.
struct Left {
    /// Whether an attempt may have worked at the provider.
    uncertain: bool,
    /// Whether the provider has still to say what the state of the grant is.
    unclear: bool,
    /// Whether the pause counts for how long that is looked into: not if nothing was sent, or the provider asks for it.
    counts: bool,
    retry_time: Option<Timestamp>,
    /// What the connection shows, if it does not stay as it is.
    reason: Option<Reason>,
}

impl Left {
    fn of(failure: &RefreshFailure, claimed: &Claimed, refusals: i64, ended: bool) -> Self {
        let before = claimed.uncertain;
        // What is uncertain still shows, whichever attempt has left it so.
        let shown = before.then_some(Reason::ProviderUnavailable);
        match *failure {
            RefreshFailure::Temporary { retry_time, .. } => Self {
                uncertain: before,
                unclear: before,
                counts: false,
                retry_time: Some(retry_time),
                reason: shown,
            },
            RefreshFailure::Unknown { retry_time, .. } => Self {
                uncertain: true,
                unclear: true,
                counts: true,
                retry_time: Some(retry_time),
                reason: Some(Reason::ProviderUnavailable),
            },
            RefreshFailure::Refused { retry_time, .. } => {
                let shows = ended && refusals >= REFUSALS;
                // The next look is right after the end of the access token, and not long after it.
                let retry_time = match claimed.expire_time.filter(|_| !ended) {
                    Some(end) => retry_time.min(end),
                    None => retry_time,
                };
                Self {
                    uncertain: before,
                    unclear: true,
                    counts: true,
                    retry_time: Some(retry_time),
                    reason: if shows { Some(Reason::ReauthorizationRequired) } else { shown },
                }
            }
            RefreshFailure::Nothing => Self {
                uncertain: false,
                unclear: false,
                counts: false,
                retry_time: claimed.expire_time.filter(|_| !ended),
                reason: ended.then_some(Reason::ReauthorizationRequired),
            },
            RefreshFailure::Dead { .. } => Self {
                uncertain: false,
                unclear: false,
                counts: false,
                retry_time: None,
                reason: Some(Reason::ReauthorizationRequired),
            },
        }
    }

    /// How much of the pause does not count, in microseconds.
    fn uncounted(&self, now: Timestamp) -> i64 {
        let pause = self.retry_time.filter(|_| !self.counts).map(|retry| now.until(retry));
        pause.map_or(0, |pause| i64::try_from(pause.as_micros()).unwrap_or(i64::MAX))
    }
}

impl RefreshFailure {
    /// The provider's own code of a refusal.
    fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } | Self::Dead { code } => code.as_deref(),
            Self::Temporary { .. } | Self::Unknown { .. } | Self::Nothing => None,
        }
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
