//! The end of a claim: new tokens, a failure, or an unknown outcome.

use std::collections::BTreeMap;

use credvault_crypto::{Binding, Context};
use credvault_domain::{
    AuditEvent, ConnectionState, EventType, Grant, Reason, SecretFields, StateChange, Timestamp,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};

use super::Refreshes;
use crate::Error;
use crate::change::Change;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::outbox::NewEvent;
use crate::connections::lock::locked_at;
use crate::connections::writer::ConnectionRow;
use crate::credentials::binding::{self, rebind};
use crate::credentials::current::open_current;
use crate::entity::{connection, refresh, token};
use crate::health::grant;
use crate::health::last_error::{Failure, remember};
use crate::refreshes::claim::Claimed;
use crate::refreshes::failure::RefreshFailure;
use crate::refreshes::left::Left;
use crate::refreshes::pause::Pause;
use crate::refreshes::row::{IDLE, IN_FLIGHT, UNCERTAIN, find, idle};
use crate::refreshes::shown::show_failure;
use crate::revocations::release::revoke_late;
use crate::sealed::Sealed;
use crate::secrets::payloads::tend_later;
use crate::usage::buffer::OwnCount;

/// What the provider gave.
#[derive(Debug)]
pub struct RefreshedTokens {
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
    /// The app that the tokens were issued to.
    pub client_id: Option<String>,
    /// When the grant ends that they were refreshed with.
    pub grant: Grant,
}

impl Refreshes<'_> {
    /// Stores what the provider gave, unless the credential has changed meanwhile: then it is dropped, and the answer
    /// is `false`. If the connection was disconnected meanwhile, it is kept for the revocation of its grant, and no longer.
    /// It does not matter whether another process has taken the claim over: as long as none has stored
    /// tokens, these are the only ones.
    ///
    /// # Errors
    /// The database fails: try again, for nothing else has these tokens.
    pub async fn store(
        &self,
        claimed: &Claimed,
        refreshed: &RefreshedTokens,
        event: &AuditEvent,
    ) -> Result<bool, Error> {
        let key = &claimed.key;
        let _turn = self.store.refreshing().take(&key.tenant).await;
        let (mut change, _) = self.store.own_sealing_change(&key.tenant).await?;
        let (Some(model), Some(row)) = (locked_at(&change.tx, key).await?, find(&change.tx, key).await?)
        else {
            return Ok(false);
        };
        if row.generation != claimed.generation {
            let of = (claimed.version, &claimed.connection.config);
            if revoke_late(&mut change, model, of, &refreshed.fields).await? {
                let _ = change.commit(()).await?;
            }
            return Ok(false);
        }
        let generation = row.generation + 1;
        // An altered row must not get the new tokens bound to what it was altered to.
        let whole = open_current(&change.tx, change.keys()?, &model).await.is_ok();
        let before = model.clone();
        let had_failed = model.state == ConnectionState::Error.as_str();
        let after = accept(&mut change, model, claimed, refreshed).await?;
        let was_late = grant::renew(&change, &after, refreshed.grant).await?;
        if had_failed || was_late {
            change.emit(NewEvent::of(EventType::Recovered, &after));
        }
        rebind(&change, &before, &after).await?;
        let bound = if whole { binding::of_row(&after) } else { binding::of_connection(&claimed.connection) };
        replace_tokens(&change, claimed, refreshed, generation, bound).await?;
        // The provider has called this consent dead while the tokens were on their way, so the next refresh is due at
        // once and finds out whether they live.
        let due_time = if row.doubted { Some(change.now) } else { refreshed.due_time };
        let mut row = idle(row, generation, due_time);
        if refreshed.client_id.is_some() {
            row.client_id = Set(refreshed.client_id.clone());
        }
        row.update(&change.tx).await?;
        let stored = self.commit(change, claimed, event).await?;
        let refresh = OwnCount::of_refresh(&key.tenant, &claimed.connection, self.store.now());
        self.store.usage_writer().buffer.add(refresh);
        Ok(stored)
    }

    /// Ends a claim without new tokens, unless another process has ended it.
    ///
    /// # Errors
    /// The database fails. The claim then holds until this process is gone.
    pub async fn fail(
        &self,
        claimed: &Claimed,
        failure: &RefreshFailure,
        event: &AuditEvent,
    ) -> Result<bool, Error> {
        let key = &claimed.key;
        let _turn = self.store.refreshing().take(&key.tenant).await;
        let mut change = self.store.own_change(&key.tenant).await?;
        let (Some(model), Some(row)) = (locked_at(&change.tx, key).await?, find(&change.tx, key).await?)
        else {
            return Ok(false);
        };
        if row.generation != claimed.generation || row.claim_id != Some(claimed.claim_id) {
            let dead = matches!(failure, RefreshFailure::Dead { .. });
            if dead && claimed.version == model.current_version {
                doubt(&change.tx, row, change.now).await?;
                let _ = change.commit(()).await?;
            }
            return Ok(false);
        }
        let left = Left::of(failure, claimed, row.refusals, change.now);
        let unsettled_time = match left.unsettled {
            true => {
                let since = match row.unsettled_time {
                    Some(since) => since,
                    None => self.store.database_time(&change.tx).await?,
                };
                Some(since.saturating_add(left.uncounted(change.now)))
            }
            false => None,
        };
        failed_row(row, claimed, failure, &left, unsettled_time).update(&change.tx).await?;
        let cause = Failure {
            reason: event.reason.unwrap_or(Reason::ProviderUnavailable).as_str(),
            code: failure.code(),
            pause: failure.pause().map(Pause::word),
            retry_time: left.retry_time,
            down_time: left.down_time,
            status: failure.status(),
        };
        if let Some(reason) = left.reason {
            show_failure(&mut change, model.clone(), reason, failure.code()).await?;
        }
        remember(&change, &model, cause).await?;
        // Also where the connection shows nothing: a fetch says when the next attempt makes sense.
        change.record_change(ChangeSubject::Connection(key.connection), ChangeKind::Updated, None);
        self.commit(change, claimed, event).await
    }

    /// Commits with the record of the attempt.
    async fn commit(
        &self,
        mut change: Change<'_>,
        claimed: &Claimed,
        event: &AuditEvent,
    ) -> Result<bool, Error> {
        let mut record = self.store.own(event.clone())?;
        record.owner_user = claimed.connection.owner.user().cloned();
        record.connection = Some(claimed.key.connection);
        record.provider = Some(claimed.connection.provider.clone());
        record.version = Some(claimed.version);
        change.record(record);
        Ok(change.commit(true).await?.into_inner())
    }
}

/// Puts what the provider gave in the place of the tokens before.
async fn replace_tokens(
    change: &Change<'_>,
    claimed: &Claimed,
    refreshed: &RefreshedTokens,
    generation: i64,
    bound: Binding,
) -> Result<(), Error> {
    let (key, random) = (&claimed.key, change.store.keyring().random());
    let sealed = Sealed::seal(&refreshed.fields, change.key()?, random, |schema| {
        Context::tokens(&key.tenant, key.connection, generation, schema, bound)
    })?;
    token::Entity::delete_by_id(key.row_id()).exec(&change.tx).await?;
    let tokens = token::ActiveModel {
        tenant_id: Set(key.tenant.as_str().to_owned()),
        connection_id: Set(key.connection.as_uuid()),
        version: Set(claimed.version),
        generation: Set(generation),
        schema: Set(sealed.schema),
        key_version: Set(sealed.key_version),
        sealed: Set(sealed.bytes),
        expire_time: Set(refreshed.expire_time.map(Timestamp::micros)),
        // What the provider has issued is durable first, and moved to an external store then.
        payload: Set(None),
    };
    token::Entity::insert(tokens).exec_without_returning(&change.tx).await?;
    tend_later(change, key.connection).await
}

/// Shows that the connection works, with what came with its tokens.
async fn accept(
    change: &mut Change<'_>,
    model: connection::Model,
    claimed: &Claimed,
    refreshed: &RefreshedTokens,
) -> Result<connection::Model, Error> {
    let state = ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?;
    let Value::Object(mut config) = model.config.clone() else { return Err(Error::Integrity) };
    config.extend(refreshed.settings.clone());
    let mut row = ConnectionRow::new(model);
    // Tokens that only the vault has are stored whatever state the row has.
    row.set_state(state.after(StateChange::Accepted).unwrap_or(ConnectionState::Connected));
    row.recover();
    row.columns.last_refreshed_time = Set(Some(change.now.micros()));
    row.columns.config = Set(Value::Object(config));
    if let Some(scopes) = &refreshed.scopes {
        row.columns.scopes_granted = Set(Some(json!(scopes)));
    }
    let (kind, version) = (ChangeKind::Refreshed, Some(claimed.version));
    match row.is_changed() {
        true => row.save(change, kind, version).await,
        false => row.save_same_revision(change, kind, version).await,
    }
}

/// The row after a failed attempt.
fn failed_row(
    row: refresh::Model,
    claimed: &Claimed,
    failure: &RefreshFailure,
    left: &Left,
    unsettled_time: Option<i64>,
) -> refresh::ActiveModel {
    let (generation, marked, failures) = (row.generation, row.marked, row.failures + 1);
    let mut row = idle(row, generation, left.retry_time);
    row.state = Set(if left.uncertain { UNCERTAIN } else { IDLE }.to_owned());
    row.retry_time = Set(left.retry_time.map(Timestamp::micros));
    (row.pause, row.pause_app) = failure.pause().map_or((Set(None), Set(None)), Pause::columns);
    row.failures = Set(failures);
    row.refusals = Set(left.refusals);
    row.unsettled_time = Set(unsettled_time);
    // An attempt that was not sent, or was refused for a while, has not used the one more attempt up.
    row.marked = Set(match failure {
        RefreshFailure::Uncertain { .. } => marked,
        RefreshFailure::Temporary { .. } | RefreshFailure::Outage { .. } | RefreshFailure::Refused { .. } => {
            claimed.marked_before
        }
        RefreshFailure::Dead { .. } | RefreshFailure::Nothing => false,
    });
    row.doubted = Set(matches!(failure, RefreshFailure::Dead { .. }));
    row.refused = Set(matches!(failure, RefreshFailure::Dead { .. }));
    row
}

/// The provider rejected a token that another replica has refreshed or is refreshing. The new token may be revoked too,
/// so the next refresh finds out.
async fn doubt(tx: &DatabaseTransaction, row: refresh::Model, now: Timestamp) -> Result<(), Error> {
    let in_flight = row.state == IN_FLIGHT;
    let mut row = row.into_active_model();
    if in_flight {
        row.doubted = Set(true);
    } else {
        row.due_time = Set(Some(now.micros()));
    }
    row.update(tx).await?;
    Ok(())
}
