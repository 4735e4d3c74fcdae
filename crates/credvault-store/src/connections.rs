//! The repository of connections.

pub(crate) mod row;

pub(crate) mod lock;
pub(crate) mod writer;

pub(crate) mod accepted;
pub(crate) mod before;
pub(crate) mod import;
pub(crate) mod lifecycle;
pub(crate) mod purge;
pub(crate) mod test_results;

pub(crate) mod counts;
pub(crate) mod due_tests;
pub(crate) mod listing;
pub(crate) mod quota;
pub(crate) mod standing;

use credvault_domain::{
    AccountName, AuthMode, Config, Connection, ConnectionId, ConnectionState, Destinations, Etag, Labels,
    LimitKind, Owner, ProviderId, Revocation, TenantId, TenantScope, Timestamp,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::change::feed::ChangeKind;
use crate::change::{Change, PriorResult, retrying};
use crate::connections::lock::{find, live, locked_live, siblings};
use crate::connections::quota::ConnectionQuotas;
use crate::connections::row::{connection, owner_column, visible};
use crate::connections::writer::{ConnectionRow, insert};
use crate::credential_rotations::keys::forget;
use crate::credential_rotations::plan::{RotationPlan, due_time};
use crate::credential_rotations::row::{forget_left, replan, schedule, set_mints};
use crate::credentials::binding::rebind;
use crate::credentials::stored::{NewVersion, destroy_all, require_whole, store_version};
use crate::entity::connection::{ActiveModel, Column, Entity, Model};
use crate::entity::credential_version;
use crate::refreshes::schedule::schedule_now;
use crate::{Error, NewCredential, Recorded, Store, Write};

/// A connection to be created.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// Whose it will be; the platform's only in the platform's own namespace.
    pub owner: Owner,
    /// The provider in the catalog.
    pub provider: ProviderId,
    /// The name of the account.
    pub account_name: AccountName,
    /// The way to authenticate, one of the provider's.
    pub auth_mode: AuthMode,
    /// Settings that the catalog has accepted.
    pub config: Config,
    /// The caller's labels for it.
    pub labels: Labels,
    /// The account's id at the provider, if known.
    pub external_account_id: Option<String>,
    /// Whether fetches are served.
    pub enabled: bool,
    /// How often its credential is to be replaced.
    pub rotation: Option<RotationPlan>,
}

/// What is to change. `None` leaves a field as it is.
#[derive(Clone, Default, Debug)]
pub struct ConnectionPatch {
    /// The new name of the account.
    pub account_name: Option<AccountName>,
    /// New settings, all of them, which the catalog has accepted.
    pub config: Option<Config>,
    /// Which settings decide where a secret is sent: they do not change while there is a credential.
    pub destinations: Destinations,
    /// New labels, all of them.
    pub labels: Option<Labels>,
    /// A new account id; `Some(None)` clears it.
    pub external_account_id: Option<Option<String>>,
    /// Whether fetches shall be served.
    pub enabled: Option<bool>,
    /// How often its credential is to be replaced; `Some(None)`: never.
    pub rotation: Option<Option<RotationPlan>>,
    /// Whether the vault can replace the credential at the provider with the new settings.
    pub mints: Option<bool>,
    /// Whether to forget that a key was left at the provider.
    pub forget_left_key: bool,
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

    /// The quotas of a tenant: its own, or the deployment's defaults. What creates connections asks for them here.
    pub(crate) fn connection_quotas(&self, tenant: &TenantId) -> ConnectionQuotas {
        let most = |kind| u32::try_from(self.limit_of(tenant, kind)).unwrap_or(u32::MAX);
        ConnectionQuotas {
            of_tenant: most(LimitKind::Connections),
            of_user: most(LimitKind::UserConnections),
        }
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
        if let Some(prior) = change.prior() {
            return replay(change, scope, prior).await;
        }
        if (new.owner == Owner::Platform) != change.tenant().is_platform() {
            return Err(Error::State(
                "the owner must be the platform in calls for the platform, and must not be in calls for a tenant",
            ));
        }
        let quotas = self.store.connection_quotas(change.tenant());
        self.store.quotas().check(&change.tx, quotas, change.tenant(), &new.owner).await?;
        let of_owner = live(scope).add(Column::OwnerUser.eq(owner_column(&new.owner)));
        let of_owner = of_owner.add(Column::Provider.eq(new.provider.as_str()));
        let of_owner = of_owner.add(Column::IsDefault.eq(true));
        let first = Entity::find().filter(of_owner).count(&change.tx).await? == 0;
        let row = new_row(&change, self.store.new_id()?, new, first);
        let mut model = insert(&mut change, row).await?;
        change.set_connection(ConnectionId::from_uuid(model.id), None);
        change.set_owner(&model.owner_user);
        if let Some(plan) = new.rotation {
            schedule(&change, &model, plan.mints).await?;
        }
        if let Some(credential) = credential {
            (model, _) = store_version(&mut change, model, &NewVersion::from(credential), None).await?;
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

    /// The same for administration, of a tenant that is served or not.
    ///
    /// # Errors
    /// [`Error::ConnectionNotFound`] if this scope has none of that id, or there is no such tenant.
    pub async fn get_any(&self, scope: &TenantScope, id: ConnectionId) -> Result<Connection, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        let query = Entity::find().filter(visible(scope).add(Column::Id.eq(id.as_uuid())));
        connection(query.one(&tx).await?.ok_or(Error::ConnectionNotFound)?)
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
            if let Some(prior) = change.prior() {
                return replay(change, scope, prior).await;
            }
            let model = locked_live(&mut change, scope, id, etag).await?;
            let before = model.clone();
            let moved =
                patch.config.as_ref().is_some_and(|new| patch.destinations.differ(&model.config, new));
            if moved && model.current_version > 0 {
                return Err(Error::DestinationChanged);
            }
            if patch.config.is_some() {
                require_whole(&change, &model).await?;
            }
            let due = rotation_due(&change, &model, patch).await?;
            let row = patched(model, patch, (moved, due));
            let model = row.save(&mut change, ChangeKind::Updated, None).await?;
            if moved {
                destroy_all(&change, &model).await?;
            } else {
                rebind(&change, &before, &model).await?;
            }
            let leaves_keys = |new| patch.destinations.leave_keys(&before.config, new);
            if moved || patch.config.as_ref().is_some_and(leaves_keys) {
                forget(&mut change, &model).await?;
            }
            if patch.enabled == Some(true) {
                schedule_now(&change, &model).await?;
            }
            plan_rotation(&change, &model, patch).await?;
            change.commit(connection(model)?).await
        })
        .await
    }

    /// Makes a connection its owner's default at the provider, which a fetch without an account name uses.
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
            if let Some(prior) = change.prior() {
                return replay(change, scope, prior).await;
            }
            let model = locked_live(&mut change, scope, id, etag).await?;
            if model.is_default {
                return change.commit(connection(model)?).await;
            }
            let former = siblings(scope, &model).add(Column::IsDefault.eq(true));
            for former in Entity::find().filter(former).lock_exclusive().all(&change.tx).await? {
                let mut row = ConnectionRow::new(former);
                row.columns.is_default = Set(false);
                row.save(&mut change, ChangeKind::Updated, None).await?;
            }
            let mut row = ConnectionRow::new(model);
            row.columns.is_default = Set(true);
            let updated = connection(row.save(&mut change, ChangeKind::Updated, None).await?)?;
            change.commit(updated).await
        })
        .await
    }
}

/// The row of a new connection.
fn new_row(change: &Change<'_>, id: Uuid, new: &NewConnection, is_default: bool) -> ActiveModel {
    let now = change.now.micros();
    ActiveModel {
        tenant_id: Set(change.tenant().as_str().to_owned()),
        id: Set(id),
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
        is_default: Set(is_default),
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
        test_time: Set(None),
        confirmed_account_id: Set(None),
        confirmed_settings: Set(json!({})),
        rotation_days: Set(new.rotation.map(|plan| plan.days())),
        rotation_due_time: Set(None),
    }
}

/// When the credential is due by the period that a patch sets; `None` if it sets none.
async fn rotation_due(
    change: &Change<'_>,
    model: &Model,
    patch: &ConnectionPatch,
) -> Result<Option<Timestamp>, Error> {
    let Some(plan) = patch.rotation.flatten() else { return Ok(None) };
    let key = (model.tenant_id.clone(), model.id, model.current_version);
    // Without a credential there is no such version.
    let version = credential_version::Entity::find_by_id(key).one(&change.tx).await?;
    let since = version.map(|version| Timestamp::from_micros(version.create_time));
    Ok(since.and_then(|since| due_time(Some(plan.days()), since, change.now)))
}

/// Has the vault look at the rotation as the connection's row says now.
async fn plan_rotation(change: &Change<'_>, model: &Model, patch: &ConnectionPatch) -> Result<(), Error> {
    if patch.forget_left_key {
        forget_left(change, model).await?;
    }
    match (patch.rotation, patch.mints) {
        (Some(Some(plan)), _) => schedule(change, model, plan.mints).await,
        (Some(None), _) => replan(change, model, true).await,
        (None, Some(mints)) => set_mints(change, model, mints).await,
        (None, None) if patch.enabled == Some(true) => replan(change, model, false).await,
        (None, None) => Ok(()),
    }
}

/// The row with what a patch changes. `moved`: its settings lead to another host now. `due`: when its credential is to be
/// replaced, if the patch says how often.
fn patched(model: Model, patch: &ConnectionPatch, (moved, due): (bool, Option<Timestamp>)) -> ConnectionRow {
    let ConnectionPatch {
        account_name,
        config,
        labels,
        external_account_id,
        enabled,
        rotation,
        mints: _,
        forget_left_key: _,
        destinations: _,
    } = patch.clone();
    // A secret that is kept so that its provider can revoke it goes to the host that it came from, or nowhere.
    let unrevocable = moved && model.revocation.as_deref() == Some(Revocation::Pending.as_str());
    let mut row = ConnectionRow::new(model);
    let columns = &mut row.columns;
    if unrevocable {
        columns.revocation = Set(Some(Revocation::Failed.as_str().to_owned()));
        columns.revocation_time = Set(None);
    }
    set(&mut columns.account_name, account_name.map(|name| name.as_str().to_owned()));
    set(&mut columns.config, config.map(|config| Value::Object(config.into_object())));
    set(&mut columns.labels, labels.map(|labels| json!(labels.into_map())));
    set(&mut columns.external_account_id, external_account_id);
    set(&mut columns.enabled, enabled);
    if let Some(plan) = rotation {
        columns.rotation_days = Set(plan.map(|plan| plan.days()));
        columns.rotation_due_time = Set(due.map(Timestamp::micros));
    }
    row
}

/// The answer to a repeated request: the connection as it is now.
pub(crate) async fn replay(
    mut change: Change<'_>,
    scope: &TenantScope,
    prior: PriorResult,
) -> Result<Recorded<Connection>, Error> {
    let id = prior.connection().ok_or(Error::ConnectionNotFound)?;
    let model = find(&change.tx, scope, id).await?;
    change.set_connection(id, prior.version);
    change.set_owner(&model.owner_user);
    change.commit(connection(model)?).await
}

fn set<T: Into<sea_orm::Value>>(column: &mut sea_orm::ActiveValue<T>, value: Option<T>) {
    if let Some(value) = value {
        *column = Set(value);
    }
}
