//! Between rows of `connections` and the domain's connection.

use std::collections::BTreeMap;

use credvault_domain::{
    AccountName, AuthMode, Config, Connection, ConnectionId, ConnectionState, ErrorCause, Labels, Owner,
    ProviderId, Reach, Revocation, TenantId, TenantScope, Timestamp, UserId,
};
use sea_orm::{ColumnTrait as _, Condition};
use serde_json::Value;

use crate::Error;
use crate::credential_rotations::plan::period;
use crate::entity::connection::{Column, Model};

/// How an owner is stored: the user's id, or nothing for the tenant and for the platform, each in its own namespace.
pub(crate) fn owner_column(owner: &Owner) -> &str {
    owner.user().map_or("", UserId::as_str)
}

/// The owner of a row.
pub(crate) fn owner(tenant_id: &str, owner_user: &str) -> Owner {
    match (owner_user, tenant_id) {
        ("", TenantId::PLATFORM) => Owner::Platform,
        ("", _) => Owner::Tenant,
        (user, _) => Owner::User(UserId::from_stored(user.to_owned())),
    }
}

/// Rows that a scope may see: the tenant's own, and of its users' those in reach.
pub(crate) fn visible(scope: &TenantScope) -> Condition {
    let owners = match scope.reach() {
        Reach::User(user) => Some(Column::OwnerUser.is_in(["", user.as_str()])),
        Reach::Shared => Some(Column::OwnerUser.eq("")),
        Reach::AllUsers => None,
    };
    Condition::all().add(Column::TenantId.eq(scope.tenant().as_str())).add_option(owners)
}

/// Reads a row. What does not parse was not written by us.
pub(crate) fn connection(model: Model) -> Result<Connection, Error> {
    let Value::Object(config) = model.config else { return Err(Error::Integrity) };
    let error = match (model.error_reason, model.error_time) {
        (Some(reason), Some(time)) => {
            Some(ErrorCause { reason, code: model.error_code, time: Timestamp::from_micros(time) })
        }
        _ => None,
    };
    Ok(Connection {
        id: ConnectionId::from_uuid(model.id),
        owner: owner(&model.tenant_id, &model.owner_user),
        provider: ProviderId::from_stored(model.provider),
        account_name: AccountName::parse(&model.account_name).map_err(|_| Error::Integrity)?,
        auth_mode: AuthMode::from_stored(model.auth_mode),
        state: ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?,
        error,
        enabled: model.enabled,
        config: Config::from_stored(config),
        labels: Labels::from_stored(text_map(model.labels)?),
        external_account_id: model.external_account_id,
        confirmed_account_id: model.confirmed_account_id,
        confirmed_settings: text_map(model.confirmed_settings)?,
        found_account_id: model.found_account_id,
        default: model.is_default,
        current_version: model.current_version,
        hints: text_map(model.hints)?,
        expire_time: model.expire_time.map(Timestamp::from_micros),
        last_used_time: model.last_used_time.map(Timestamp::from_micros),
        last_refreshed_time: model.last_refreshed_time.map(Timestamp::from_micros),
        last_verified_time: model.last_verified_time.map(Timestamp::from_micros),
        scopes_asked: scopes(model.scopes_asked)?,
        scopes_granted: scopes(model.scopes_granted)?,
        rotation_period: model.rotation_days.map(period),
        rotation_due_time: model.rotation_due_time.map(Timestamp::from_micros),
        revocation: model
            .revocation
            .map(|text| Revocation::from_stored(&text).ok_or(Error::Integrity))
            .transpose()?,
        revision: model.revision,
        create_time: Timestamp::from_micros(model.create_time),
        update_time: Timestamp::from_micros(model.update_time),
        delete_time: model.delete_time.map(Timestamp::from_micros),
        purge_time: model.purge_time.map(Timestamp::from_micros),
    })
}

/// A JSON list of scopes; nothing is none.
pub(crate) fn scopes(json: Option<Value>) -> Result<Vec<String>, Error> {
    json.map_or(Ok(Vec::new()), |json| serde_json::from_value(json).map_err(|_| Error::Integrity))
}

/// A JSON object whose values are texts.
pub(crate) fn text_map(json: Value) -> Result<BTreeMap<String, String>, Error> {
    serde_json::from_value(json).map_err(|_| Error::Integrity)
}
