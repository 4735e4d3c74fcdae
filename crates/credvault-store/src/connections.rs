//! The repository of connections.

pub(crate) mod due_tests;
pub(crate) mod listing;
pub(crate) mod quota;
pub(crate) mod row;

use std::collections::BTreeMap;

use credvault_domain::{
    AccountName, AuthMode, Config, Connection, ConnectionId, ConnectionState, Destinations, Etag, EventType,
    Labels, Owner, ProviderId, Reason, Revocation, StateChange, TenantScope, Version,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};

use crate::change::outbox::NewEvent;
use crate::change::{ChangeKind, Changing, Done, retrying};
use crate::connections::row::{connection, owner_column, text_map, visible};
use crate::database::pieces::PIECE;
use crate::entity::connection::{ActiveModel, Column, Entity, Model};
use crate::entity::refresh;
use crate::error::violates;
use crate::{Error, NewCredential, Recorded, Store, Write};

/// A connection to be created.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// Whose it will be; the platform's only in the platform's own space.
    pub owner: Owner,
    /// The catalog entry.
    pub provider: ProviderId,
    /// Its name.
    pub account_name: AccountName,
    /// How it authenticates.
    pub auth_mode: AuthMode,
    /// Settings that the catalog has accepted.
    pub config: Config,
    /// Labels.
    pub labels: Labels,
    /// The account's id at the provider, if known.
    pub external_account_id: Option<String>,
    /// Whether fetches are served.
    pub enabled: bool,
}

/// What a provider says to a credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tested {
    /// It is accepted.
    Accepted {
        /// The account's id at the provider, if it says so.
        account: Option<String>,
        /// Settings that the provider has confirmed by that, with their values.
        settings: BTreeMap<String, String>,
    },
    /// It is not.
    Refused,
}

/// What is to change. `None` leaves a field as it is.
#[derive(Clone, Default, Debug)]
pub struct ConnectionPatch {
    /// A new name.
    pub account_name: Option<AccountName>,
    /// New settings, all of them, which the catalog has accepted.
    pub config: Option<Config>,
    /// Which settings decide where a secret is sent: they do not change while there is a credential.
    pub destinations: Destinations,
    /// New labels, all of them.
    pub labels: Option<Labels>,
    /// A new account id; `Some(None)` clears it.
    pub external_account_id: Option<Option<String>>,
    /// On or off.
    pub enabled: Option<bool>,
}

/// The repository of connections.
#[derive(Clone, Copy, Debug)]
pub struct Connections<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of connections.
    pub fn connections(&self) -> Connections<'_> {
        Connections { store: self }
    }
}

impl Connections<'_> {
    /// Creates a connection, with its first credential if one is given. It becomes the default one where its owner has
    /// none at the provider.
    ///
    /// # Errors
    /// [`Error::ConnectionExists`] if owner, provider and account name are taken.
    pub async fn create(
        &self,
        scope: &TenantScope,
        new: &NewConnection,
        credential: Option<&NewCredential>,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || self.try_create(scope, new, credential, write)).await
    }

    async fn try_create(
        &self,
        scope: &TenantScope,
        new: &NewConnection,
        credential: Option<&NewCredential>,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        let mut change = self.store.change(scope, write).await?;
        if let Some(done) = change.done {
            return repeated(change, done).await;
        }
        if (new.owner == Owner::Platform) != change.tenant().is_platform() {
            return Err(Error::State(
                "connections of the platform live in the platform's own space, and only they do",
            ));
        }
        self.store.quotas().check(&change, &new.owner).await?;
        let of_owner = live(scope).add(Column::OwnerUser.eq(owner_column(&new.owner)));
        let of_owner = of_owner.add(Column::Provider.eq(new.provider.as_str()));
        let of_owner = of_owner.add(Column::IsDefault.eq(true));
        let first = Entity::find().filter(of_owner).count(&change.tx).await? == 0;
        let now = change.now.micros();
        let row = ActiveModel {
            tenant_id: Set(change.tenant().as_str().to_owned()),
            id: Set(self.store.new_id()?),
            owner_user: Set(owner_column(&new.owner).to_owned()),
            provider: Set(new.provider.as_str().to_owned()),
            account_name: Set(new.account_name.as_str().to_owned()),
            auth_mode: Set(new.auth_mode.as_str().to_owned()),
            state: Set(ConnectionState::Disconnected.as_str().to_owned()),
            error_reason: Set(None),
            error_code: Set(None),
            error_time: Set(None),
            enabled: Set(new.enabled),
            config: Set(Value::Object(new.config.as_object().clone())),
            labels: Set(json!(new.labels.clone().into_map())),
            external_account_id: Set(new.external_account_id.clone()),
            is_default: Set(first),
            last_version: Set(0),
            current_version: Set(0),
            hints: Set(json!({})),
            expire_time: Set(None),
            last_used_time: Set(None),
            revision: Set(1),
            create_time: Set(now),
            update_time: Set(now),
            delete_time: Set(None),
            purge_time: Set(None),
            last_refreshed_time: Set(None),
            last_verified_time: Set(None),
            scopes_asked: Set(None),
            scopes_granted: Set(None),
            revocation: Set(None),
            revocation_time: Set(None),
            found_account_id: Set(None),
            verify_time: Set(None),
            confirmed_account_id: Set(None),
            confirmed_settings: Set(json!({})),
        };
        let mut model = row.insert(&change.tx).await.map_err(taken)?;
        let id = ConnectionId::from_uuid(model.id);
        change.about(id, None);
        change.owned_by(&model.owner_user);
        change.feed(Some(id), ChangeKind::Created, None);
        if let Some(credential) = credential {
            (model, _) = crate::credentials::store_version(&mut change, model, credential, None).await?;
        }
        let created = connection(model)?;
        change.commit(created).await
    }

    /// A connection, deleted or not.
    ///
    /// # Errors
    /// [`Error::ConnectionNotFound`] if this scope has none of that id.
    pub async fn get(&self, scope: &TenantScope, id: ConnectionId) -> Result<Connection, Error> {
        let reading = self.store.read(scope).await?;
        let query = Entity::find().filter(visible(scope).add(Column::Id.eq(id.as_uuid())));
        connection(query.one(&reading.tx).await?.ok_or(Error::ConnectionNotFound)?)
    }

    /// Changes a connection.
    ///
    /// # Errors
    /// It is not there, is deleted, has another etag, or its new name is taken; [`Error::DestinationChanged`] if its new
    /// settings would have its credential sent to another host.
    pub async fn update(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        patch: &ConnectionPatch,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if let Some(done) = change.done {
                return repeated(change, done).await;
            }
            let model = locked_live(&mut change, id, etag).await?;
            let before = model.clone();
            let ConnectionPatch { account_name, config, labels, external_account_id, enabled, destinations } =
                patch.clone();
            let moved = config.as_ref().is_some_and(|config| destinations.differ(&model.config, config));
            if moved && model.current_version > 0 {
                return Err(Error::DestinationChanged);
            }
            if config.is_some() {
                self.store.credentials().require_whole(&change, &model).await?;
            }
            // A secret that is kept so that its provider can revoke it goes to the host that it came from, or nowhere.
            let given_up = moved && model.revocation.as_deref() == Some(Revocation::Pending.as_str());
            let mut row = touched(&change, model);
            if given_up {
                row.revocation = Set(Some(Revocation::Failed.as_str().to_owned()));
                row.revocation_time = Set(None);
            }
            set(&mut row.account_name, account_name.map(|name| name.as_str().to_owned()));
            set(&mut row.config, config.map(|config| Value::Object(config.into_object())));
            set(&mut row.labels, labels.map(|labels| json!(labels.into_map())));
            set(&mut row.external_account_id, external_account_id);
            set(&mut row.enabled, enabled);
            let model = row.update(&change.tx).await.map_err(taken)?;
            if moved {
                crate::credentials::destroy_all(&change, &model).await?;
            } else {
                crate::credentials::binding::rebind(self.store, &change.tx, &change.key, &before, &model)
                    .await?;
            }
            if enabled == Some(true) {
                crate::refreshes::wake(&change, &model).await?;
            }
            let updated = connection(model)?;
            change.feed(Some(id), ChangeKind::Updated, None);
            change.commit(updated).await
        })
        .await
    }

    /// Deletes a connection: it is not served from now on, can be undeleted for a while, and is purged after that. If it
    /// was the default one, the oldest that remains takes its place.
    ///
    /// # Errors
    /// It is not there, is deleted already, or has another etag.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if let Some(done) = change.done {
                return repeated(change, done).await;
            }
            let model = locked_live(&mut change, id, etag).await?;
            let heirs =
                model.is_default.then(|| same_account_space(scope, &model).add(Column::Id.ne(model.id)));
            let mut row = touched(&change, model);
            row.is_default = Set(false);
            row.delete_time = Set(Some(change.now.micros()));
            row.purge_time = Set(Some(change.now.after(self.store.settings().undelete_period).micros()));
            let model = row.update(&change.tx).await?;
            if model.current_version > 0 {
                change.tell(NewEvent::deleted(&model));
            }
            let deleted = connection(model)?;
            change.feed(Some(id), ChangeKind::Deleted, None);
            if let Some(heirs) = heirs
                && let Some(heir) = Entity::find()
                    .filter(heirs)
                    .order_by_asc(Column::Id)
                    .lock_exclusive()
                    .one(&change.tx)
                    .await?
            {
                change.feed(Some(ConnectionId::from_uuid(heir.id)), ChangeKind::Updated, None);
                let mut row = touched(&change, heir);
                row.is_default = Set(true);
                row.update(&change.tx).await.map_err(taken)?;
            }
            change.commit(deleted).await
        })
        .await
    }

    /// Takes a deletion back. The connection is the default one where its owner has no other.
    ///
    /// # Errors
    /// It is not there, is not deleted, has another etag, or its name was taken meanwhile.
    pub async fn undelete(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if let Some(done) = change.done {
                return repeated(change, done).await;
            }
            let model = locked_deleted(&mut change, id, etag).await?;
            if model.purge_time.is_some_and(|time| time <= change.now.micros()) {
                return Err(Error::State("the time to undelete the connection is over; create another one"));
            }
            let defaults = same_account_space(scope, &model).add(Column::IsDefault.eq(true));
            let other_default = Entity::find().filter(defaults).count(&change.tx).await? > 0;
            let mut row = touched(&change, model);
            row.delete_time = Set(None);
            row.purge_time = Set(None);
            row.is_default = Set(!other_default);
            let model = row.update(&change.tx).await.map_err(taken)?;
            crate::refreshes::wake(&change, &model).await?;
            if model.state == ConnectionState::Connected.as_str() {
                change.tell(NewEvent::of(EventType::Connected, &model));
            }
            let undeleted = connection(model)?;
            change.feed(Some(id), ChangeKind::Undeleted, None);
            change.commit(undeleted).await
        })
        .await
    }

    /// Removes a deleted connection and its credentials for good.
    ///
    /// # Errors
    /// It is not there, is not deleted, or has another etag.
    pub async fn purge(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<()>, Error> {
        retrying(write, || async move {
            loop {
                let mut change = self.store.change(scope, write).await?;
                if change.done.is_some() {
                    return change.commit(()).await;
                }
                let model = locked_deleted(&mut change, id, etag).await?;
                if self.store.forget_webhooks_of(&change.tx, scope.tenant(), &[model.id]).await? == PIECE {
                    change.tx.commit().await?;
                    continue;
                }
                Entity::delete_by_id((model.tenant_id, model.id)).exec(&change.tx).await?;
                change.feed(Some(id), ChangeKind::Purged, None);
                return change.commit(()).await;
            }
        })
        .await
    }

    /// Answers a request that has purged a connection before.
    ///
    /// # Errors
    /// [`Error::ConnectionNotFound`] if it has not.
    pub async fn purged_before(&self, scope: &TenantScope, write: &Write) -> Result<Recorded<()>, Error> {
        let change = self.store.change(scope, write).await?;
        match change.done {
            Some(_) => change.commit(()).await,
            None => Err(Error::ConnectionNotFound),
        }
    }

    /// Notes what the provider says to the credential of version `version`. A credential that was replaced meanwhile is
    /// not spoken of.
    ///
    /// # Errors
    /// It is not there, or is deleted.
    pub async fn tested(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        (version, generation): (Version, i64),
        tested: &Tested,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            let model = locked_live(&mut change, id, None).await?;
            change.about(id, Some(version));
            let key = (model.tenant_id.clone(), model.id);
            let refresh = refresh::Entity::find_by_id(key).one(&change.tx).await?;
            let newer = refresh.as_ref().is_some_and(|refresh| refresh.generation != generation);
            if model.current_version != version || newer {
                return change.commit(connection(model)?).await;
            }
            // An access token that works says nothing about a refresh token that the provider has refused.
            let settles = refresh.as_ref().is_none_or(crate::refreshes::is_settled_by_test);
            let before = ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?;
            let known = model.external_account_id.clone();
            let dead = Reason::ReauthorizationRequired.as_str();
            let was_dead = model.error_reason.as_deref() == Some(dead);
            let mut confirmed = text_map(model.confirmed_settings.clone())?;
            let accepted = matches!(tested, Tested::Accepted { .. });
            let after = before.after(if accepted { StateChange::Accepted } else { StateChange::Refused })?;
            let mut row = touched(&change, model);
            if settles || !accepted {
                row.state = Set(after.as_str().to_owned());
            }
            match tested {
                Tested::Accepted { account, settings } => {
                    row.last_verified_time = Set(Some(change.now.micros()));
                    if settles {
                        row.error_reason = Set(None);
                        row.error_code = Set(None);
                        row.error_time = Set(None);
                    }
                    let other = account
                        .clone()
                        .filter(|account| known.as_ref().is_some_and(|known| known != account));
                    row.found_account_id = Set(other);
                    row.external_account_id = Set(known.or_else(|| account.clone()));
                    if account.is_some() {
                        row.confirmed_account_id = Set(account.clone());
                    }
                    confirmed.extend(settings.clone());
                    row.confirmed_settings = Set(json!(confirmed));
                }
                Tested::Refused => {
                    row.error_reason = Set(Some(dead.to_owned()));
                    row.error_time = Set(Some(change.now.micros()));
                }
            }
            let doubtful = refresh.filter(|refresh| accepted && !settles && !refresh.refused);
            if let Some(refresh) = doubtful {
                // The grant seems to live: whether it does is found out at once, however long nobody could tell.
                crate::refreshes::reconsider(&change, refresh).await?;
                if was_dead {
                    row.error_reason = Set(Some(Reason::ProviderUnavailable.as_str().to_owned()));
                    row.error_code = Set(None);
                }
            }
            let model = row.update(&change.tx).await?;
            if !accepted && !was_dead {
                change.tell(NewEvent::of(EventType::ReauthorizationRequired, &model));
            } else if accepted && before == ConnectionState::Error && settles {
                change.tell(NewEvent::of(EventType::Recovered, &model));
            }
            let updated = connection(model)?;
            change.feed(Some(id), ChangeKind::Updated, None);
            change.commit(updated).await
        })
        .await
    }

    /// Makes a connection the one that is used where its owner and provider are asked for without an account.
    ///
    /// # Errors
    /// It is not there, is deleted, or has another etag.
    pub async fn set_default(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if let Some(done) = change.done {
                return repeated(change, done).await;
            }
            let model = locked_live(&mut change, id, etag).await?;
            if model.is_default {
                return change.commit(connection(model)?).await;
            }
            let former = same_account_space(scope, &model).add(Column::IsDefault.eq(true));
            for former in Entity::find().filter(former).lock_exclusive().all(&change.tx).await? {
                change.feed(Some(ConnectionId::from_uuid(former.id)), ChangeKind::Updated, None);
                let mut row = touched(&change, former);
                row.is_default = Set(false);
                row.update(&change.tx).await?;
            }
            let mut row = touched(&change, model);
            row.is_default = Set(true);
            let updated = connection(row.update(&change.tx).await.map_err(taken)?)?;
            change.feed(Some(id), ChangeKind::Updated, None);
            change.commit(updated).await
        })
        .await
    }
}

fn set<T: Into<sea_orm::Value>>(field: &mut sea_orm::ActiveValue<T>, value: Option<T>) {
    if let Some(value) = value {
        *field = Set(value);
    }
}

/// Rows of a scope that are not deleted.
fn live(scope: &TenantScope) -> Condition {
    visible(scope).add(Column::DeleteTime.is_null())
}

/// Live rows with the owner and provider of `model`, among which one is the default.
fn same_account_space(scope: &TenantScope, model: &Model) -> Condition {
    live(scope)
        .add(Column::OwnerUser.eq(model.owner_user.as_str()))
        .add(Column::Provider.eq(model.provider.as_str()))
}

/// A unique index decides who gets a name; another one, that there is one default.
fn taken(error: sea_orm::DbErr) -> Error {
    if violates(&error, "connections_account", "connections.account_name") {
        Error::ConnectionExists
    } else if violates(&error, "connections_default", "connections.provider") {
        Error::Conflict
    } else {
        error.into()
    }
}

/// Locks a row of the change's scope until its end and notes that the change is about it.
pub(crate) async fn locked(
    change: &mut Changing<'_>,
    id: ConnectionId,
    etag: Option<Etag>,
) -> Result<Model, Error> {
    let query = Entity::find().filter(visible(change.scope).add(Column::Id.eq(id.as_uuid())));
    let model = query.lock_exclusive().one(&change.tx).await?.ok_or(Error::ConnectionNotFound)?;
    if etag.is_some_and(|etag| etag.revision() != model.revision) {
        return Err(Error::EtagMismatch);
    }
    change.about(id, None);
    change.owned_by(&model.owner_user);
    Ok(model)
}

/// What is said of a connection that must not be deleted, and is.
pub(crate) const DELETED: &str = "the connection is deleted; UndeleteConnection brings it back";

/// As [`locked`], for a row that must not be deleted.
pub(crate) async fn locked_live(
    change: &mut Changing<'_>,
    id: ConnectionId,
    etag: Option<Etag>,
) -> Result<Model, Error> {
    let model = locked(change, id, etag).await?;
    match model.delete_time {
        None => Ok(model),
        Some(_) => Err(Error::State(DELETED)),
    }
}

async fn locked_deleted(
    change: &mut Changing<'_>,
    id: ConnectionId,
    etag: Option<Etag>,
) -> Result<Model, Error> {
    let model = locked(change, id, etag).await?;
    match model.delete_time {
        Some(_) => Ok(model),
        None => Err(Error::State("the connection is not deleted; DeleteConnection comes first")),
    }
}

/// The row with its revision and update time moved on.
pub(crate) fn touched(change: &Changing<'_>, model: Model) -> ActiveModel {
    let revision = model.revision + 1;
    let mut row = model.into_active_model();
    row.revision = Set(revision);
    row.update_time = Set(change.now.micros());
    row
}

/// The answer to a repeated request: the connection as it is now.
async fn repeated(mut change: Changing<'_>, done: Done) -> Result<Recorded<Connection>, Error> {
    let id = done.connection.ok_or(Error::ConnectionNotFound)?;
    let model = find(&change.tx, change.scope, id).await?;
    change.about(id, done.version);
    change.owned_by(&model.owner_user);
    change.commit(connection(model)?).await
}

/// A row of a scope, deleted or not.
pub(crate) async fn find<C: ConnectionTrait>(
    db: &C,
    scope: &TenantScope,
    id: ConnectionId,
) -> Result<Model, Error> {
    let query = Entity::find().filter(visible(scope).add(Column::Id.eq(id.as_uuid())));
    query.one(db).await?.ok_or(Error::ConnectionNotFound)
}
