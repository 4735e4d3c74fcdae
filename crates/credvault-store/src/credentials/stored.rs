//! Storing a credential version, and taking credentials away.

use std::collections::BTreeMap;

use credvault_crypto::Context;
use credvault_domain::{
    Config, ConnectionId, ConnectionState, CredentialVersion, Destinations, EventType, Grant, LimitKind,
    Revocation, SecretFields, StateChange, Timestamp, Version, VersionState,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::json;
use uuid::Uuid;

use crate::Error;
use crate::change::Change;
use crate::change::feed::ChangeKind;
use crate::change::outbox::NewEvent;
use crate::connections::accepted::{Accepted, keep};
use crate::connections::due_tests::first_test_time;
use crate::connections::row::text_map;
use crate::connections::writer::ConnectionRow;
use crate::credential_rotations::keys::forget;
use crate::credential_rotations::plan::due_time;
use crate::credential_rotations::row::replan;
use crate::credential_rotations::superseded::keep_superseded;
use crate::credentials::binding::{self, rebind};
use crate::credentials::current::open_current;
use crate::entity::credential_version::{ActiveModel, Column, Entity, Model};
use crate::entity::{connection, revocation, token};
use crate::health::grant;
use crate::refreshes::schedule::{RefreshSchedule, invalidate_tokens};
use crate::sealed::Sealed;
use crate::secrets::content::{Adoption, SecretContent};
use crate::secrets::payloads::{refer, tend_later};

/// A credential to be stored.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Fields that the catalog has accepted.
    pub fields: SecretFields,
    /// Where others keep these fields; then they are read there, and not stored.
    pub adopted: Option<Adoption>,
    /// Masked hints by field.
    pub hints: BTreeMap<String, String>,
    /// When it stops being served; for one that refreshes, when its access token ends.
    pub expire_time: Option<Timestamp>,
    /// When its tokens are to be refreshed, if they can be.
    pub schedule: Option<RefreshSchedule>,
    /// When its owner consented, if that was before it is stored; at the latest when it is.
    pub consent_time: Option<Timestamp>,
    /// What the provider said of it, if it was tested before it is stored, and accepted.
    pub accepted: Option<Accepted>,
}

/// A version to be stored, whose secret is where it belongs.
#[derive(Clone)]
pub(crate) struct NewVersion {
    pub(crate) content: SecretContent,
    pub(crate) hints: BTreeMap<String, String>,
    pub(crate) expire_time: Option<Timestamp>,
    pub(crate) schedule: Option<RefreshSchedule>,
    pub(crate) consent_time: Option<Timestamp>,
    pub(crate) accepted: Option<Accepted>,
}

impl From<&NewCredential> for NewVersion {
    fn from(credential: &NewCredential) -> Self {
        let NewCredential { fields, adopted, hints, expire_time, schedule, consent_time, accepted } =
            credential.clone();
        let content = adopted.map_or(SecretContent::Fields(fields), SecretContent::Adopted);
        Self { content, hints, expire_time, schedule, consent_time, accepted }
    }
}

impl NewVersion {
    /// The content of an earlier version once more, of which no consent and no test is known.
    pub(crate) fn again(
        content: SecretContent,
        hints: BTreeMap<String, String>,
        expire_time: Option<Timestamp>,
        schedule: Option<RefreshSchedule>,
    ) -> Self {
        Self { content, hints, expire_time, schedule, consent_time: None, accepted: None }
    }
}

/// Settings that are stored together with a credential.
#[derive(Clone, Debug)]
pub struct NewSettings {
    /// All of them, which the catalog has accepted.
    pub config: Config,
    /// Which of them decide where a secret is sent.
    pub destinations: Destinations,
}

/// Refuses to go on with a connection whose current credential does not open: what is beside it was altered, and a
/// new secret must not be bound to that, or be sent where it leads.
///
/// # Errors
/// [`Error::Integrity`] if it does not open.
pub(crate) async fn require_whole(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    if model.current_version == 0 {
        return Ok(());
    }
    open_current(&change.tx, change.keys()?, model).await.map(drop)
}

/// Seals and stores a version of the locked connection, makes it current, and drops versions beyond those kept.
pub(crate) async fn store_version(
    change: &mut Change<'_>,
    model: connection::Model,
    credential: &NewVersion,
    rolled_back_from: Option<Version>,
) -> Result<(connection::Model, CredentialVersion), Error> {
    // Here, and not where the request is read: a repeated request finds what it did, however late it comes.
    let expires = served_until(change, credential)?;
    let (id, version) = (ConnectionId::from_uuid(model.id), model.last_version + 1);
    let is_planned = keep_superseded(change, &model).await?;
    let row = sealed_version(change, &model, version, credential, rolled_back_from)?;
    refer(&change.tx, change.tenant(), &credential.content).await?;
    tend_later(change, id).await?;
    let stored = row.insert(&change.tx).await?;
    let kept = change.store.limit_of(change.tenant(), LimitKind::CredentialVersions);
    let kept = i64::try_from(kept).unwrap_or(i64::MAX);
    Entity::delete_many()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::Version.lte(version.saturating_sub(kept)))
        .exec(&change.tx)
        .await?;
    revocation::Entity::delete_by_id((stored.tenant_id.clone(), stored.connection_id))
        .exec(&change.tx)
        .await?;
    let was_connected = model.state == ConnectionState::Connected.as_str();
    let row = with_credential(change, model, credential, version, expires)?;
    let model = row.save(change, ChangeKind::CredentialStored, Some(version)).await?;
    invalidate_tokens(change, &model, credential.schedule.as_ref()).await?;
    grant::begin(change, &model, granted(credential, expires), credential.consent_time).await?;
    if is_planned {
        replan(change, &model, true).await?;
    }
    if !was_connected {
        change.emit(NewEvent::of(EventType::Connected, &model));
    }
    change.emit(NewEvent::credential(&model, version, true));
    change.set_connection(id, Some(version));
    // For one that refreshes, what is stored is the end of its first access token, which is not its own.
    Ok((model, CredentialVersion { expire_time: expires, ..metadata(stored, version)? }))
}

/// The row of a version of the connection, sealed.
pub(crate) fn sealed_version(
    change: &Change<'_>,
    model: &connection::Model,
    version: Version,
    credential: &NewVersion,
    rolled_back_from: Option<Version>,
) -> Result<ActiveModel, Error> {
    let (id, bound) = (ConnectionId::from_uuid(model.id), binding::of_row(model));
    let sealed = Sealed::seal_content(
        &credential.content,
        change.key()?,
        change.store.keyring().random(),
        |schema| Context::credential(change.tenant(), id, version, schema, bound),
    )?;
    Ok(ActiveModel {
        tenant_id: Set(model.tenant_id.clone()),
        connection_id: Set(model.id),
        version: Set(version),
        schema: Set(sealed.schema),
        key_version: Set(sealed.key_version),
        sealed: Set(Some(sealed.bytes)),
        hints: Set(json!(credential.hints)),
        create_time: Set(change.now.micros()),
        expire_time: Set(credential.expire_time.map(Timestamp::micros)),
        destroy_time: Set(None),
        rolled_back_from: Set(rolled_back_from),
        payload: Set(credential.content.payload()),
        store: Set(credential.content.store().map(str::to_owned)),
        key_revoke_time: Set(None),
    })
}

/// When a fetch stops serving the credential: never for one that refreshes.
///
/// # Errors
/// [`Error::ExpiredAlready`] if that time has passed.
pub(crate) fn served_until(change: &Change<'_>, credential: &NewVersion) -> Result<Option<Timestamp>, Error> {
    let expires = credential.expire_time.filter(|_| credential.schedule.is_none());
    if expires.is_some_and(|time| time <= change.now) { Err(Error::ExpiredAlready) } else { Ok(expires) }
}

/// The grant behind a credential that is served until `expires`.
pub(crate) fn granted(credential: &NewVersion, expires: Option<Timestamp>) -> Grant {
    credential.schedule.as_ref().map_or(Grant::fixed(expires), |schedule| schedule.grant)
}

/// The connection's row with a new credential.
fn with_credential(
    change: &Change<'_>,
    model: connection::Model,
    credential: &NewVersion,
    version: Version,
    expire_time: Option<Timestamp>,
) -> Result<ConnectionRow, Error> {
    let rotation_due = due_time(model.rotation_days, change.now, change.now);
    let mut row = ConnectionRow::new(model);
    row.transition(StateChange::CredentialStored)?;
    row.recover();
    row.forget_confirmations();
    row.columns.rotation_due_time = Set(rotation_due.map(Timestamp::micros));
    row.columns.last_version = Set(version);
    row.columns.current_version = Set(version);
    row.columns.hints = Set(json!(credential.hints));
    row.columns.expire_time = Set(expire_time.map(Timestamp::micros));
    // What was to be revoked may hang on the same consent, so it is not revoked any more.
    row.columns.revocation = Set(None);
    row.columns.revocation_time = Set(None);
    row.columns.found_account_id = Set(None);
    let test_time = first_test_time(change.now, change.store.keyring().random());
    row.columns.test_time = Set(Some(test_time.micros()));
    if let Some(Accepted { account, settings }) = &credential.accepted {
        keep(&mut row, (account.as_deref(), settings), change.now)?;
    }
    Ok(row)
}

/// Leaves the connection without a credential: what became of its revocation, and when that is tried again.
pub(crate) async fn disconnect(
    change: &mut Change<'_>,
    model: connection::Model,
    (outcome, retry_time): (Revocation, Option<Timestamp>),
) -> Result<connection::Model, Error> {
    let mut row = ConnectionRow::new(model);
    row.transition(StateChange::CredentialGone)?;
    row.recover();
    row.forget_confirmations();
    row.columns.current_version = Set(0);
    row.columns.hints = Set(json!({}));
    row.columns.expire_time = Set(None);
    row.columns.rotation_due_time = Set(None);
    row.columns.revocation = Set(Some(outcome.as_str().to_owned()));
    row.columns.revocation_time = Set(retry_time.map(Timestamp::micros));
    let model = row.save(change, ChangeKind::Updated, None).await?;
    invalidate_tokens(change, &model, None).await?;
    grant::end(change, &model).await?;
    replan(change, &model, true).await?;
    // A deleted connection's endpoints had their event when it was deleted.
    if model.delete_time.is_none() {
        change.emit(NewEvent::of(EventType::Disconnected, &model));
    }
    Ok(model)
}

/// Stores new settings, for a change that stores a credential as well and so moves the revision. Where they lead to
/// another host, what is sealed for the old ones is destroyed; else it is sealed anew. Keys that wait for their end are left
/// where the calls that end them would go to another account.
pub(crate) async fn set_settings(
    change: &mut Change<'_>,
    model: connection::Model,
    settings: &NewSettings,
) -> Result<connection::Model, Error> {
    let NewSettings { config, destinations } = settings;
    let moved = destinations.differ(&model.config, config);
    let before = model.clone();
    let mut row = ConnectionRow::new(model);
    row.columns.config = Set(serde_json::Value::Object(config.as_object().clone()));
    let after = row.save_same_revision(change, ChangeKind::Updated, None).await?;
    if moved {
        destroy_all(change, &after).await?;
    } else {
        rebind(change, &before, &after).await?;
    }
    if moved || destinations.leave_keys(&before.config, config) {
        forget(change, &after).await?;
    }
    Ok(after)
}

/// Destroys every secret of a connection.
pub(crate) async fn destroy_all(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::Sealed, Expr::value(None::<Vec<u8>>))
        .col_expr(Column::DestroyTime, Expr::value(change.now.micros()))
        .col_expr(Column::Hints, Expr::value(json!({})))
        .col_expr(Column::Payload, Expr::value(None::<Uuid>))
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::DestroyTime.is_null())
        .exec(&change.tx)
        .await?;
    let key = (model.tenant_id.clone(), model.id);
    token::Entity::delete_by_id(key.clone()).exec(&change.tx).await?;
    revocation::Entity::delete_by_id(key).exec(&change.tx).await?;
    tend_later(change, ConnectionId::from_uuid(model.id)).await
}

/// What is shown of a stored version.
pub(super) fn metadata(row: Model, current: Version) -> Result<CredentialVersion, Error> {
    Ok(CredentialVersion {
        version: row.version,
        state: if row.sealed.is_some() { VersionState::Live } else { VersionState::Destroyed },
        current: row.version == current,
        hints: text_map(row.hints)?,
        create_time: Timestamp::from_micros(row.create_time),
        expire_time: row.expire_time.map(Timestamp::from_micros),
        destroy_time: row.destroy_time.map(Timestamp::from_micros),
        rolled_back_from: row.rolled_back_from,
        adopted: row.sealed.is_some() && row.store.is_some() && row.payload.is_none(),
        store: row.store.filter(|_| row.sealed.is_some()),
        key_revoke_time: row.key_revoke_time.map(Timestamp::from_micros),
    })
}
