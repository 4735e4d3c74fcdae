//! The repository of credentials: numbered immutable versions, sealed.

pub(crate) mod binding;
pub(crate) mod fetch;
pub(crate) mod integrity;
pub(crate) mod versions;

use std::collections::BTreeMap;

use credvault_crypto::{Context, FIELDS_SCHEMA, decode_fields, encode_fields};
use credvault_domain::{
    Config, Connection, ConnectionId, ConnectionState, CredentialVersion, Destinations, EventType,
    SecretFields, StateChange, TenantId, TenantScope, Timestamp, Version, VersionState,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _,
};
use serde_json::json;

use crate::change::outbox::NewEvent;
use crate::change::{ChangeKind, Changing, retrying};
use crate::connections::due_tests::first_verification;
use crate::connections::row::{self, text_map};
use crate::connections::{DELETED, find, locked_live, touched};
use crate::credentials::fetch::is_same;
use crate::entity::connection;
use crate::entity::credential_version::{ActiveModel, Column, Entity, Model};
use crate::entity::{revocation, tenant_key};
use crate::{Error, Place, Recorded, Selector, Store, Write};

/// A credential to be stored.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Fields that the catalog has accepted.
    pub fields: SecretFields,
    /// Masked hints by field.
    pub hints: BTreeMap<String, String>,
    /// When it stops being served; for one that renews, when its access token ends.
    pub expire_time: Option<Timestamp>,
    /// When its tokens are to be renewed, if they can be.
    pub renewal: Option<Renewal>,
}

/// What came with a consent beside the credential.
#[derive(Clone, Debug)]
pub struct Consent {
    /// All settings, those that came along among them.
    pub settings: NewSettings,
    /// The account's id at the provider, as the provider or the browser that came back says it.
    pub account: Option<String>,
    /// The same, as the provider says it.
    pub confirmed_account: Option<String>,
    /// Settings that the provider has told or accepted the consent at, with their values.
    pub confirmed_settings: BTreeMap<String, String>,
    /// The scopes that were granted, if the provider says so.
    pub scopes: Option<Vec<String>>,
}

/// Settings that are stored together with a credential.
#[derive(Clone, Debug)]
pub struct NewSettings {
    /// All of them, which the catalog has accepted.
    pub config: Config,
    /// Which of them decide where a secret is sent.
    pub destinations: Destinations,
}

/// When tokens are to be renewed ahead of need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// When; `None` if only somebody who asks has them renewed.
    pub due_time: Option<Timestamp>,
    /// With which app the tokens were got, if that is known.
    pub client_id: Option<String>,
}

/// The repository of credentials.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of credentials.
    pub fn credentials(&self) -> Credentials<'_> {
        Credentials { store: self }
    }
}

impl Credentials<'_> {
    /// Stores a new version, which is served from now on.
    ///
    /// # Errors
    /// The connection is not there or deleted, or `expected` is not its current version (0: it has none).
    pub async fn put(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        credential: &NewCredential,
        expected: Option<Version>,
        write: &Write,
    ) -> Result<Recorded<CredentialVersion>, Error> {
        self.put_for(scope, id, credential, None, expected, write).await
    }

    /// Stores a new version that was tried with the settings `tried`, if these are still the connection's.
    ///
    /// # Errors
    /// As for [`Credentials::put`]; [`Error::EtagMismatch`] if the settings were changed since.
    pub async fn put_tried(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        credential: &NewCredential,
        tried: &Config,
        expected: Option<Version>,
        write: &Write,
    ) -> Result<Recorded<CredentialVersion>, Error> {
        self.put_for(scope, id, credential, Some(tried), expected, write).await
    }

    async fn put_for(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        credential: &NewCredential,
        tried: Option<&Config>,
        expected: Option<Version>,
        write: &Write,
    ) -> Result<Recorded<CredentialVersion>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.done.is_some() {
                return repeated(change).await;
            }
            let model = locked_live(&mut change, id, None).await?;
            expect(&model, expected)?;
            if tried.is_some_and(|tried| !binding::has_config(&model, tried)) {
                return Err(Error::EtagMismatch);
            }
            self.require_whole(&change, &model).await?;
            let (_, version) = store_version(&mut change, model, credential, None).await?;
            change.commit(version).await
        })
        .await
    }

    /// Stores a new version together with the settings that it is for. Where they lead elsewhere than the settings
    /// before, the versions before are destroyed: their secrets are another host's.
    ///
    /// A caller that names every setting does not rely on the stored ones, so this also mends a row that was altered.
    ///
    /// # Errors
    /// As for [`Credentials::put`].
    pub async fn put_with_settings(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        credential: &NewCredential,
        settings: &NewSettings,
        expected: Option<Version>,
        write: &Write,
    ) -> Result<Recorded<CredentialVersion>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.done.is_some() {
                return repeated(change).await;
            }
            let model = locked_live(&mut change, id, None).await?;
            expect(&model, expected)?;
            let model = set_settings(&mut change, model, settings).await?;
            let (_, version) = store_version(&mut change, model, credential, None).await?;
            change.commit(version).await
        })
        .await
    }

    /// Stores what a consent has given as a new version, with what else came along.
    ///
    /// # Errors
    /// As for [`Credentials::put`]; [`Error::OtherAccount`] if the consent is another account's.
    pub async fn authorize(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        credential: &NewCredential,
        consent: &Consent,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            let model = locked_live(&mut change, id, None).await?;
            // What a caller wrote is what it expects of its own connection, so a consent for another account is refused.
            let known = [&model.external_account_id, &model.confirmed_account_id];
            let other = |given: &String| known.into_iter().flatten().any(|known| known != given);
            if consent.account.as_ref().is_some_and(other) {
                return Err(Error::OtherAccount);
            }
            let account = model.external_account_id.clone().or_else(|| consent.account.clone());
            self.require_whole(&change, &model).await?;
            let model = set_settings(&mut change, model, &consent.settings).await?;
            let (model, _) = store_version(&mut change, model, credential, None).await?;
            let mut row = model.into_active_model();
            row.external_account_id = Set(account);
            row.confirmed_account_id = Set(consent.confirmed_account.clone());
            row.confirmed_settings = Set(json!(consent.confirmed_settings));
            row.scopes_granted = Set(consent.scopes.as_ref().map(|scopes| json!(scopes)));
            if credential.renewal.is_some() {
                row.last_refreshed_time = Set(Some(change.now.micros()));
            }
            let connected = row::connection(row.update(&change.tx).await?)?;
            change.commit(connected).await
        })
        .await
    }

    /// Stores the content of an earlier version as a new one.
    ///
    /// # Errors
    /// As for [`Credentials::put`]; the earlier version is not there, was destroyed, or has expired.
    pub async fn rollback(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        to: Version,
        expected: Option<Version>,
        renewal: Option<&Renewal>,
        write: &Write,
    ) -> Result<Recorded<CredentialVersion>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.done.is_some() {
                return repeated(change).await;
            }
            let model = locked_live(&mut change, id, None).await?;
            expect(&model, expected)?;
            if model.current_version == to {
                return Err(Error::State("that version is the current one already"));
            }
            let earlier = version_row(&change.tx, &model, to).await?;
            let expire_time = earlier.expire_time.map(Timestamp::from_micros);
            if renewal.is_none() && expire_time.is_some_and(|time| time <= change.now) {
                return Err(Error::CredentialExpired);
            }
            let fields = self.open_row(&change, &model, &earlier).await?;
            let hints = text_map(earlier.hints)?;
            let credential = NewCredential { fields, hints, expire_time, renewal: renewal.cloned() };
            let (_, version) = store_version(&mut change, model, &credential, Some(to)).await?;
            change.commit(version).await
        })
        .await
    }

    /// Destroys a version for good. If it is the current one, the connection has no credential then. Destroying what
    /// was destroyed changes nothing.
    ///
    /// # Errors
    /// The connection or the version is not there.
    pub async fn destroy(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        version: Version,
        write: &Write,
    ) -> Result<Recorded<CredentialVersion>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.done.is_some() {
                return repeated(change).await;
            }
            // A deleted connection's secrets can be destroyed, too.
            let model = crate::connections::locked(&mut change, id, None).await?;
            change.about(id, Some(version));
            let key = (model.tenant_id.clone(), model.id, version);
            let row =
                Entity::find_by_id(key).one(&change.tx).await?.ok_or(Error::VersionNotFound(version))?;
            if row.destroy_time.is_some() {
                return change.commit(metadata(row, model.current_version)?).await;
            }
            let mut row = row.into_active_model();
            row.sealed = Set(None);
            row.destroy_time = Set(Some(change.now.micros()));
            row.hints = Set(json!({}));
            let destroyed = row.update(&change.tx).await?;
            let current = if model.current_version == version { 0 } else { model.current_version };
            let gone = current == 0 && model.current_version != 0;
            let model = if gone { disconnect(&mut change, model).await? } else { model };
            change.tell(NewEvent::credential(&model, version, false));
            change.feed(Some(id), ChangeKind::CredentialDestroyed, Some(version));
            change.commit(metadata(destroyed, current)?).await
        })
        .await
    }

    /// Refuses to go on with a connection whose current credential does not open: what is beside it was altered, and a
    /// new secret must not be bound to that, or be sent where it leads.
    pub(crate) async fn require_whole(
        &self,
        change: &Changing<'_>,
        model: &connection::Model,
    ) -> Result<(), Error> {
        if model.current_version == 0 {
            return Ok(());
        }
        let place = Place { tenant: change.tenant().clone(), connection: ConnectionId::from_uuid(model.id) };
        self.store.refreshes().open(&change.tx, &place, model).await.map(drop)
    }

    /// A connection as it is now, for a secret or a browser to be sent where its settings lead: its current credential
    /// opens, if it has one, so nothing beside it was altered.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the credential does not open; [`Error::ConnectionNotFound`] if the connection is gone, or
    /// is not any more what policy was asked about; it is deleted.
    pub async fn whole(&self, scope: &TenantScope, checked: &Connection) -> Result<Connection, Error> {
        if checked.delete_time.is_some() {
            return Err(Error::State(DELETED));
        }
        let fetched = self.fetch(scope, &Selector::Connection { id: checked.id, version: None }).await?;
        match self.open_stored(&fetched, self.store.now(), true) {
            Ok(_) | Err(Error::NoCredential) => {}
            Err(error) => return Err(error),
        }
        let now = fetched.connection;
        if is_same(&now, checked) { Ok(now) } else { Err(Error::ConnectionNotFound) }
    }

    async fn open_row(
        &self,
        change: &Changing<'_>,
        model: &connection::Model,
        row: &Model,
    ) -> Result<SecretFields, Error> {
        let (id, binding) = (ConnectionId::from_uuid(model.id), binding::of_row(model));
        let key = (row.tenant_id.clone(), row.key_version);
        let key = tenant_key::Entity::find_by_id(key).one(&change.tx).await?.ok_or(Error::Integrity)?;
        let sealed = row.sealed.as_deref().ok_or(Error::VersionNotFound(row.version))?;
        let tenant = change.tenant();
        open_sealed(self.store, tenant, row.schema, sealed, (row.key_version, &key.wrapped), |schema| {
            Context::credential(tenant, id, row.version, schema, binding)
        })
    }
}

/// Opens sealed fields with the wrapped key that was read beside them.
pub(crate) fn open_sealed<'a>(
    store: &Store,
    tenant: &TenantId,
    schema: i64,
    sealed: &[u8],
    (key_version, wrapped): (i64, &[u8]),
    context: impl FnOnce(u16) -> Context<'a>,
) -> Result<SecretFields, Error> {
    let context = context(FIELDS_SCHEMA);
    let open = || -> Result<SecretFields, Error> {
        let key_version = u32::try_from(key_version).map_err(|_| Error::Integrity)?;
        // A row of another encoding than the one that it was sealed for is an altered one.
        if schema != i64::from(FIELDS_SCHEMA) {
            return Err(Error::Integrity);
        }
        let key = store.keyring().unwrap(tenant, key_version, wrapped)?;
        Ok(decode_fields(&key.open(&context, sealed)?)?)
    };
    let opened = open();
    if matches!(opened, Err(Error::Integrity)) {
        integrity::alarm(tenant, context.what(), context.record());
    }
    opened
}

fn expect(model: &connection::Model, expected: Option<Version>) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != model.current_version => {
            Err(Error::VersionMismatch { current: model.current_version })
        }
        _ => Ok(()),
    }
}

/// Seals and stores a version of the locked connection, makes it current, and drops versions beyond those kept.
pub(crate) async fn store_version(
    change: &mut Changing<'_>,
    model: connection::Model,
    credential: &NewCredential,
    rolled_back_from: Option<Version>,
) -> Result<(connection::Model, CredentialVersion), Error> {
    // Here, and not where the request is read: a repeated request finds what it did, however late it comes.
    let expires = credential.expire_time.filter(|_| credential.renewal.is_none());
    if expires.is_some_and(|time| time <= change.now) {
        return Err(Error::ExpiredAlready);
    }
    let (id, version) = (ConnectionId::from_uuid(model.id), model.last_version + 1);
    let bound = binding::of_row(&model);
    let context = Context::credential(change.tenant(), id, version, FIELDS_SCHEMA, bound);
    let sealed =
        change.key.seal(&context, &encode_fields(&credential.fields)?, change.store.keyring().random())?;
    let row = ActiveModel {
        tenant_id: Set(model.tenant_id.clone()),
        connection_id: Set(model.id),
        version: Set(version),
        schema: Set(i64::from(FIELDS_SCHEMA)),
        key_version: Set(i64::from(change.key.version())),
        sealed: Set(Some(sealed)),
        hints: Set(json!(credential.hints)),
        create_time: Set(change.now.micros()),
        expire_time: Set(credential.expire_time.map(Timestamp::micros)),
        destroy_time: Set(None),
        rolled_back_from: Set(rolled_back_from),
    };
    let stored = row.insert(&change.tx).await?;
    let kept = i64::from(change.store.settings().versions_kept);
    Entity::delete_many()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::Version.lte(version - kept))
        .exec(&change.tx)
        .await?;
    let state = ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?;
    let mut row = touched(change, model);
    row.state = Set(state.after(StateChange::CredentialStored)?.as_str().to_owned());
    row.error_reason = Set(None);
    row.error_code = Set(None);
    row.error_time = Set(None);
    row.last_version = Set(version);
    row.current_version = Set(version);
    row.hints = Set(json!(credential.hints));
    row.expire_time = Set(expires.map(Timestamp::micros));
    // What was to be revoked may hang on the same consent: it is not revoked any more.
    row.revocation = Set(None);
    row.revocation_time = Set(None);
    row.found_account_id = Set(None);
    // Nobody has asked the provider yet whose this one is.
    row.confirmed_account_id = Set(None);
    row.confirmed_settings = Set(json!({}));
    let random = change.store.keyring().random();
    row.verify_time = Set(Some(first_verification(change.now, random).micros()));
    revocation::Entity::delete_by_id((stored.tenant_id.clone(), stored.connection_id))
        .exec(&change.tx)
        .await?;
    let model = row.update(&change.tx).await?;
    crate::refreshes::supersede(change, &model, credential.renewal.as_ref()).await?;
    if state != ConnectionState::Connected {
        change.tell(NewEvent::of(EventType::Connected, &model));
    }
    change.tell(NewEvent::credential(&model, version, true));
    change.about(id, Some(version));
    change.feed(Some(id), ChangeKind::CredentialStored, Some(version));
    Ok((model, metadata(stored, version)?))
}

/// Leaves the connection without a credential.
pub(crate) async fn disconnect(
    change: &mut Changing<'_>,
    model: connection::Model,
) -> Result<connection::Model, Error> {
    let state = ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?;
    let mut row = touched(change, model);
    row.state = Set(state.after(StateChange::CredentialGone)?.as_str().to_owned());
    row.error_reason = Set(None);
    row.error_code = Set(None);
    row.error_time = Set(None);
    row.current_version = Set(0);
    row.hints = Set(json!({}));
    row.expire_time = Set(None);
    row.confirmed_account_id = Set(None);
    row.confirmed_settings = Set(json!({}));
    let model = row.update(&change.tx).await?;
    crate::refreshes::supersede(change, &model, None).await?;
    // Of a deleted one that was told before.
    if model.delete_time.is_none() {
        change.tell(NewEvent::of(EventType::Disconnected, &model));
    }
    Ok(model)
}

/// Stores new settings. Where they lead elsewhere, what is sealed for the old ones is destroyed; else it is sealed anew.
async fn set_settings(
    change: &mut Changing<'_>,
    model: connection::Model,
    settings: &NewSettings,
) -> Result<connection::Model, Error> {
    let NewSettings { config, destinations } = settings;
    let moved = destinations.differ(&model.config, config);
    let before = model.clone();
    let mut row = model.into_active_model();
    row.config = Set(serde_json::Value::Object(config.as_object().clone()));
    let after = row.update(&change.tx).await?;
    if moved {
        destroy_all(change, &after).await?;
    } else {
        binding::rebind(change.store, &change.tx, &change.key, &before, &after).await?;
    }
    Ok(after)
}

/// Destroys every secret of a connection.
pub(crate) async fn destroy_all(change: &Changing<'_>, model: &connection::Model) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::Sealed, Expr::value(None::<Vec<u8>>))
        .col_expr(Column::DestroyTime, Expr::value(change.now.micros()))
        .col_expr(Column::Hints, Expr::value(json!({})))
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::DestroyTime.is_null())
        .exec(&change.tx)
        .await?;
    let key = (model.tenant_id.clone(), model.id);
    crate::entity::token::Entity::delete_by_id(key.clone()).exec(&change.tx).await?;
    revocation::Entity::delete_by_id(key).exec(&change.tx).await?;
    Ok(())
}

async fn version_row<C: ConnectionTrait>(
    db: &C,
    model: &connection::Model,
    version: Version,
) -> Result<Model, Error> {
    let row = Entity::find_by_id((model.tenant_id.clone(), model.id, version)).one(db).await?;
    row.filter(|row| row.sealed.is_some()).ok_or(Error::VersionNotFound(version))
}

/// The answer to a repeated request: the version that it made, as it is now.
async fn repeated(mut change: Changing<'_>) -> Result<Recorded<CredentialVersion>, Error> {
    let done = change.done.and_then(|done| done.connection.zip(done.version));
    let (id, version) = done.ok_or(Error::ConnectionNotFound)?;
    let model = find(&change.tx, change.scope, id).await?;
    let row = Entity::find_by_id((model.tenant_id, model.id, version)).one(&change.tx).await?;
    change.about(id, Some(version));
    change.owned_by(&model.owner_user);
    let version = metadata(row.ok_or(Error::VersionNotFound(version))?, model.current_version)?;
    change.commit(version).await
}

fn metadata(row: Model, current: Version) -> Result<CredentialVersion, Error> {
    Ok(CredentialVersion {
        version: row.version,
        state: if row.sealed.is_some() { VersionState::Live } else { VersionState::Destroyed },
        current: row.version == current,
        hints: text_map(row.hints)?,
        create_time: Timestamp::from_micros(row.create_time),
        expire_time: row.expire_time.map(Timestamp::from_micros),
        destroy_time: row.destroy_time.map(Timestamp::from_micros),
        rolled_back_from: row.rolled_back_from,
    })
}
