//! The repository of credentials: numbered immutable versions, sealed.

pub(crate) mod binding;
pub(crate) mod current;

pub(crate) mod stored;
mod terms;

pub(crate) mod found;
mod lookup;

pub(crate) mod fetch;
mod tag;
mod whole;

pub(crate) mod broken;

mod versions;

use std::collections::BTreeMap;

use credvault_crypto::Context;
use credvault_domain::{
    Config, Connection, ConnectionId, CredentialVersion, Revocation, TenantScope, Timestamp, Version,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use serde_json::json;

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::outbox::NewEvent;
use crate::change::{Change, retrying};
use crate::connections::lock::{find, locked, locked_live};
use crate::connections::row::{self, text_map};
use crate::connections::writer::ConnectionRow;
use crate::credential_rotations::keys::{hasten, hasten_version};
use crate::entity::connection;
use crate::entity::credential_version::{Entity, Model};
use crate::refreshes::schedule::RefreshSchedule;
use crate::sealed::SealedRecord;
use crate::secrets::content::SecretContent;
use crate::secrets::payloads::tend_later;
use crate::{ConnectionKey, Error, Recorded, Store, Write};
use stored::{
    NewCredential, NewSettings, NewVersion, disconnect, metadata, require_whole, set_settings, store_version,
};
use terms::{Terms, expect};

/// What came with a consent beside the credential.
#[derive(Clone, Debug)]
pub struct Consent {
    /// All settings, including those that the consent brought.
    pub settings: NewSettings,
    /// The account's id at the provider, as the provider or the callback's parameters name it.
    pub account: Option<String>,
    /// The account's id, if the provider itself confirmed it.
    pub confirmed_account: Option<String>,
    /// Settings that the provider named, or with which it accepted the consent, and their values.
    pub confirmed_settings: BTreeMap<String, String>,
    /// The scopes that were granted, if the provider says so.
    pub scopes: Option<Vec<String>>,
}

/// What came of an attempt to store a version.
enum Put {
    /// It is stored as a version.
    Done(Recorded<CredentialVersion>),
    /// Its fields belong into the store of this name.
    Elsewhere(String),
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
        let terms = Terms { id, expected, tried: None, settings: None };
        self.put_on(scope, terms, credential, write).await
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
        let terms = Terms { id, expected, tried: Some(tried), settings: None };
        self.put_on(scope, terms, credential, write).await
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
        let terms = Terms { id, expected, tried: None, settings: Some(settings) };
        self.put_on(scope, terms, credential, write).await
    }

    /// What a repeated put has done before; `None` for one that may be made. So no provider is asked about a put that was made
    /// before, or that is refused, and no secret of others is read for it.
    ///
    /// # Errors
    /// As for [`Credentials::put`], or with `settings` for [`Credentials::put_with_settings`].
    pub async fn before_put(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        settings: Option<&NewSettings>,
        expected: Option<Version>,
        write: &Write,
    ) -> Result<Option<Recorded<CredentialVersion>>, Error> {
        let terms = Terms { id, expected, tried: None, settings };
        retrying(write, || async move {
            let (change, model) = terms.begin(self.store, scope, write).await?;
            if model.is_none() {
                return replay(change, scope).await.map(Some);
            }
            change.tx.rollback().await?;
            Ok(None)
        })
        .await
    }

    async fn put_on(
        &self,
        scope: &TenantScope,
        terms: Terms<'_>,
        credential: &NewCredential,
        write: &Write,
    ) -> Result<Recorded<CredentialVersion>, Error> {
        let mut new = NewVersion::from(credential);
        let name = match self.put_here(scope, terms, &new, write).await? {
            Put::Done(version) => return Ok(version),
            Put::Elsewhere(name) => name,
        };
        // Now the change is known to be one that is made: what a store takes for another would have to be removed again.
        let key = ConnectionKey { tenant: scope.tenant().clone(), connection: terms.id };
        let placement = self.store.put_payload(&key, &credential.fields, &name, true).await?;
        new.content = SecretContent::Placed(placement);
        let stored = match self.put_here(scope, terms, &new, write).await {
            Ok(Put::Done(version)) => Ok(version),
            Ok(Put::Elsewhere(_)) => Err(Error::Conflict),
            Err(error) => Err(error),
        };
        // If the database has not answered, a record may refer to it.
        if stored.as_ref().is_err_and(|error| !error.is_transient()) {
            self.store.give_up_put(scope.tenant(), terms.id, &new.content).await;
        }
        stored
    }

    /// Stores a version whose secret is where its tenant keeps secrets. Of fields that belong into a store, it says which;
    /// a process without stores says so, too: it must not keep in the database what the tenant wants elsewhere.
    async fn put_here(
        &self,
        scope: &TenantScope,
        terms: Terms<'_>,
        new: &NewVersion,
        write: &Write,
    ) -> Result<Put, Error> {
        retrying(write, || async move {
            let (mut change, model) = terms.begin(self.store, scope, write).await?;
            let Some(model) = model else { return replay(change, scope).await.map(Put::Done) };
            if matches!(new.content, SecretContent::Fields(_))
                && let Some(name) =
                    self.store.secret_store_for(change.chosen_store.as_deref()).map(str::to_owned)
            {
                change.tx.rollback().await?;
                return Ok(Put::Elsewhere(name));
            }
            let model = match terms.settings {
                Some(settings) => set_settings(&mut change, model, settings).await?,
                None => model,
            };
            let (_, version) = store_version(&mut change, model, new, None).await?;
            change.commit(version).await.map(Put::Done)
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
            let model = locked_live(&mut change, scope, id, None).await?;
            // What a caller wrote is what it expects of its own connection, so a consent for another account is refused.
            let known = [&model.external_account_id, &model.confirmed_account_id];
            let other = |given: &String| known.into_iter().flatten().any(|known| known != given);
            if consent.account.as_ref().is_some_and(other) {
                return Err(Error::OtherAccount);
            }
            let account = model.external_account_id.clone().or_else(|| consent.account.clone());
            require_whole(&change, &model).await?;
            let model = set_settings(&mut change, model, &consent.settings).await?;
            let new = NewVersion::from(credential);
            let (model, _) = store_version(&mut change, model, &new, None).await?;
            let mut row = ConnectionRow::new(model);
            row.columns.external_account_id = Set(account);
            row.columns.confirmed_account_id = Set(consent.confirmed_account.clone());
            row.columns.confirmed_settings = Set(json!(consent.confirmed_settings));
            row.columns.scopes_granted = Set(consent.scopes.as_ref().map(|scopes| json!(scopes)));
            if credential.schedule.is_some() {
                row.columns.last_refreshed_time = Set(Some(change.now.micros()));
            }
            let connected = row.save(&mut change, ChangeKind::Updated, None).await?;
            change.commit(row::connection(connected)?).await
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
        schedule: Option<&RefreshSchedule>,
        write: &Write,
    ) -> Result<Recorded<CredentialVersion>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.prior().is_some() {
                return replay(change, scope).await;
            }
            let model = locked_live(&mut change, scope, id, None).await?;
            expect(&model, expected)?;
            if model.current_version == to {
                return Err(Error::State("that version is the current one already"));
            }
            let earlier = version_row(&change, &model, to).await?;
            let revoked = earlier.key_revoke_time.map(Timestamp::from_micros);
            if revoked.is_some_and(|time| time <= change.now) {
                return Err(Error::KeyRevoked(to));
            }
            // A key that a rotation has replaced is served until its provider ends it.
            let expire_time =
                earlier.expire_time.map(Timestamp::from_micros).into_iter().chain(revoked).min();
            if schedule.is_none() && expire_time.is_some_and(|time| time <= change.now) {
                return Err(Error::CredentialExpired);
            }
            let content = open_version(&change, &model, &earlier)?;
            let hints = text_map(earlier.hints)?;
            let credential = NewVersion::again(content, hints, expire_time, schedule.cloned());
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
            if change.prior().is_some() {
                return replay(change, scope).await;
            }
            // A deleted connection's secrets can be destroyed, too.
            let model = locked(&mut change, scope, id, None).await?;
            change.set_connection(id, Some(version));
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
            row.payload = Set(None);
            let destroyed = row.update(&change.tx).await?;
            tend_later(&change, id).await?;
            let current = if model.current_version == version { 0 } else { model.current_version };
            let gone = current == 0 && model.current_version != 0;
            // The provider was not asked, and with this version goes what it could be asked with.
            let outcome = (Revocation::Unsupported, None);
            let model = if gone { disconnect(&mut change, model, outcome).await? } else { model };
            if gone {
                hasten(&mut change, &model).await?;
            } else {
                hasten_version(&change, &model, version).await?;
            }
            change.emit(NewEvent::credential(&model, version, false));
            let subject = ChangeSubject::Connection(id);
            change.record_change(subject, ChangeKind::CredentialDestroyed, Some(version));
            change.commit(metadata(destroyed, current)?).await
        })
        .await
    }
}

/// The row of a version that was not destroyed.
async fn version_row(
    change: &Change<'_>,
    model: &connection::Model,
    version: Version,
) -> Result<Model, Error> {
    let row = Entity::find_by_id((model.tenant_id.clone(), model.id, version)).one(&change.tx).await?;
    row.filter(|row| row.sealed.is_some()).ok_or(Error::VersionNotFound(version))
}

/// Opens a stored version of a connection.
///
/// # Errors
/// It was destroyed, or does not open.
pub(crate) fn open_version(
    change: &Change<'_>,
    model: &connection::Model,
    row: &Model,
) -> Result<SecretContent, Error> {
    let (id, bound) = (ConnectionId::from_uuid(model.id), binding::of_row(model));
    let bytes = row.sealed.as_deref().ok_or(Error::VersionNotFound(row.version))?;
    let record = SealedRecord { schema: row.schema, key_version: row.key_version, bytes };
    let tenant = change.tenant();
    record.open_content(tenant, change.keys()?, |schema| {
        Context::credential(tenant, id, row.version, schema, bound)
    })
}

/// The answer to a repeated request: the version that it made, as it is now.
async fn replay(mut change: Change<'_>, scope: &TenantScope) -> Result<Recorded<CredentialVersion>, Error> {
    let prior = change.prior().and_then(|prior| prior.connection().zip(prior.version));
    let (id, version) = prior.ok_or(Error::ConnectionNotFound)?;
    let model = find(&change.tx, scope, id).await?;
    let row = Entity::find_by_id((model.tenant_id, model.id, version)).one(&change.tx).await?;
    change.set_connection(id, Some(version));
    change.set_owner(&model.owner_user);
    let version = metadata(row.ok_or(Error::VersionNotFound(version))?, model.current_version)?;
    change.commit(version).await
}
