//! Domain types into responses. Destructured, so that a new field breaks the build here.

mod audit;
mod credential;
mod health;
mod proof;
mod rotation;
mod time;
mod usage;

use credvault_catalog::{Mode, ModeKind, Provider};
use credvault_domain::{
    AuthMode, Connection, ConnectionState, CredentialVersion, ErrorCause, Owner, Revocation, Tenant,
    TenantState, VersionState,
};
use credvault_operations::connections::GrantOutcome;
use credvault_operations::rotations::{OldKey, Rotated};
use credvault_store::{DeletedUser, Dependant, Incident, OAuthApp, User, Uses};
use prost_types::Duration as WireDuration;
use serde_json::Value;

use crate::grpc::wire::struct_of;
use credvault_proto::v1;

pub(crate) use audit::{audit_event, audit_summary};
pub(crate) use credential::{begun_consent, credential, fetch_result, tested_connection, webhook_verdict};
pub(crate) use health::{described, health_state, sync_state};
pub(crate) use proof::{audit_signer, checkpoints, consistency_proof, inclusion_proof};
pub(crate) use time::timestamp;
#[cfg(test)]
pub(crate) use usage::usage_row;
pub(crate) use usage::{usage, usage_outcome};

pub(super) fn owner_of(owner: &Owner) -> v1::Owner {
    let kind = match owner {
        Owner::User(_) => v1::OwnerKind::User,
        Owner::Tenant => v1::OwnerKind::Tenant,
        Owner::Platform => v1::OwnerKind::Platform,
    };
    let user_id = owner.user().map(|user| user.as_str().to_owned()).unwrap_or_default();
    v1::Owner { kind: kind.into(), user_id }
}

/// Who depends on a shared credential, and how often.
pub(crate) fn dependant((dependant, uses): (Dependant, Uses)) -> v1::PlatformDependant {
    let Dependant { tenant, provider, user, service } = dependant;
    let Uses { fetches, first_time, last_time } = uses;
    v1::PlatformDependant {
        tenant_id: tenant.as_str().to_owned(),
        provider: provider.as_str().to_owned(),
        user_id: user.map(|user| user.as_str().to_owned()).unwrap_or_default(),
        service: service.as_str().to_owned(),
        fetch_count: fetches,
        first_time: Some(timestamp(first_time)),
        last_time: Some(timestamp(last_time)),
    }
}

pub(crate) fn connection(connection: Connection) -> v1::Connection {
    let (etag, times) = (connection.etag().to_string(), times(&connection));
    let Connection {
        id,
        owner,
        provider,
        account_name,
        auth_mode,
        state,
        error,
        enabled,
        config,
        labels,
        external_account_id,
        found_account_id,
        confirmed_account_id,
        confirmed_settings,
        default,
        current_version,
        hints,
        expire_time: _,
        last_used_time: _,
        last_refreshed_time: _,
        last_verified_time: _,
        scopes_asked,
        scopes_granted,
        rotation_period: _,
        rotation_due_time: _,
        revocation,
        revision: _,
        create_time: _,
        update_time: _,
        delete_time: _,
        purge_time: _,
    } = connection;
    v1::Connection {
        id: id.to_string(),
        owner: Some(owner_of(&owner)),
        provider: provider.as_str().to_owned(),
        account_name: account_name.as_str().to_owned(),
        auth_mode: auth_mode.as_str().to_owned(),
        state: connection_state(state).into(),
        error: error.map(connection_error),
        enabled,
        config: Some(struct_of(config.as_object())),
        labels: labels.into_map(),
        external_account_id: external_account_id.unwrap_or_default(),
        found_account_id: found_account_id.unwrap_or_default(),
        confirmed_account_id: confirmed_account_id.unwrap_or_default(),
        confirmed_settings: confirmed_settings.into_iter().collect(),
        default,
        current_version,
        hints,
        scopes_asked,
        scopes_granted,
        revocation: revocation.map_or(v1::Revocation::Unspecified, outcome_of_revocation).into(),
        etag,
        ..times
    }
}

/// A connection of nothing but its times.
fn times(connection: &Connection) -> v1::Connection {
    v1::Connection {
        expire_time: connection.expire_time.map(timestamp),
        last_used_time: connection.last_used_time.map(timestamp),
        last_refreshed_time: connection.last_refreshed_time.map(timestamp),
        last_verified_time: connection.last_verified_time.map(timestamp),
        rotation_period: connection.rotation_period.and_then(|period| WireDuration::try_from(period).ok()),
        rotation_due_time: connection.rotation_due_time.map(timestamp),
        create_time: Some(timestamp(connection.create_time)),
        update_time: Some(timestamp(connection.update_time)),
        delete_time: connection.delete_time.map(timestamp),
        purge_time: connection.purge_time.map(timestamp),
        ..v1::Connection::default()
    }
}

pub(super) fn connection_state(state: ConnectionState) -> v1::ConnectionState {
    match state {
        ConnectionState::Disconnected => v1::ConnectionState::Disconnected,
        ConnectionState::Connecting => v1::ConnectionState::Connecting,
        ConnectionState::Connected => v1::ConnectionState::Connected,
        ConnectionState::Error => v1::ConnectionState::Error,
    }
}

fn connection_error(cause: ErrorCause) -> v1::ConnectionError {
    v1::ConnectionError {
        reason: cause.reason,
        time: Some(timestamp(cause.time)),
        provider_code: cause.code.unwrap_or_default(),
    }
}

fn outcome_of_revocation(revocation: Revocation) -> v1::Revocation {
    match revocation {
        Revocation::Done => v1::Revocation::Done,
        Revocation::Unsupported => v1::Revocation::Unsupported,
        Revocation::Pending => v1::Revocation::Pending,
        Revocation::Failed => v1::Revocation::Failed,
        Revocation::Kept => v1::Revocation::Kept,
    }
}

/// What becomes of a grant whose connection goes.
pub(crate) fn grant_outcome(grant: GrantOutcome) -> v1::GrantOutcome {
    let GrantOutcome { revocation, remains, text } = grant;
    let revocation = revocation.map_or(v1::Revocation::Unspecified, outcome_of_revocation).into();
    v1::GrantOutcome { revocation, remains, text }
}

/// What a user's deletion has removed.
pub(crate) fn deleted_user(deleted: DeletedUser) -> v1::DeleteUserResponse {
    let DeletedUser { connections, to_revoke, unsupported, remaining } = deleted;
    v1::DeleteUserResponse {
        removed_connections: connections,
        grants_to_revoke: to_revoke,
        unsupported_grants: unsupported,
        remaining_grants: remaining,
    }
}

pub(crate) fn credential_version(version: CredentialVersion) -> v1::CredentialVersion {
    let CredentialVersion {
        version,
        state,
        current,
        hints,
        create_time,
        expire_time,
        destroy_time,
        rolled_back_from,
        store,
        adopted,
        key_revoke_time,
    } = version;
    let state = match state {
        VersionState::Live => v1::CredentialVersionState::Live,
        VersionState::Destroyed => v1::CredentialVersionState::Destroyed,
    };
    v1::CredentialVersion {
        version,
        state: state.into(),
        current,
        hints,
        create_time: Some(timestamp(create_time)),
        expire_time: expire_time.map(timestamp),
        destroy_time: destroy_time.map(timestamp),
        rolled_back_from: rolled_back_from.unwrap_or(0),
        store: store.unwrap_or_default(),
        adopted,
        key_revoke_time: key_revoke_time.map(timestamp),
    }
}

/// The numbers of tenants that an incident tells of.
const AFFECTED: [i64; 5] = [100, 30, 10, 5, 3];

fn provider_incident(incident: &Incident) -> v1::ProviderIncident {
    let Incident { provider: _, since, slots, last_success } = incident;
    let affected = AFFECTED.into_iter().find(|number| number <= slots).unwrap_or_default();
    v1::ProviderIncident {
        since: Some(timestamp(*since)),
        tenants_affected_at_least: affected,
        last_success_time: last_success.map(timestamp),
    }
}

/// A provider, with the incident that it has.
pub(crate) fn provider(provider: &Provider, incident: Option<&Incident>) -> v1::Provider {
    v1::Provider {
        id: provider.id.as_str().to_owned(),
        display_name: provider.display_name.clone(),
        documentation_url: provider.documentation_url.clone().unwrap_or_default(),
        auth_modes: provider.modes().map(auth_mode).collect(),
        incident: incident.map(provider_incident),
    }
}

fn auth_mode((name, mode): (&AuthMode, &Mode)) -> v1::AuthMode {
    let kind = match mode.kind {
        ModeKind::Static => v1::AuthKind::Static,
        ModeKind::ServiceAccount => v1::AuthKind::ServiceAccount,
        ModeKind::Oauth2Code => v1::AuthKind::Oauth2Code,
        ModeKind::Oauth2ClientCredentials => v1::AuthKind::Oauth2ClientCredentials,
    };
    let schema = |schema: Value| schema.as_object().map(struct_of);
    let scopes = mode.consent_scopes();
    v1::AuthMode {
        name: name.as_str().to_owned(),
        display_name: mode.display_name.clone(),
        kind: kind.into(),
        consent: scopes.is_some(),
        default_scopes: scopes.map(|scopes| scopes.default.clone()).unwrap_or_default(),
        always_scopes: scopes.map(|scopes| scopes.always.clone()).unwrap_or_default(),
        no_scopes: mode.no_scopes().unwrap_or_default().to_owned(),
        config_schema: schema(mode.config_schema()),
        credential_schema: schema(mode.credential_schema()),
        key_rotation: mode.rotation.as_ref().map(rotation::key_rotation),
    }
}

/// A credential that was replaced.
pub(crate) fn rotated(rotated: Rotated) -> v1::RotateCredentialResponse {
    let Rotated { connection: of, version, old_key } = rotated;
    let (state, end_time) = match old_key {
        OldKey::Ended => (v1::OldKeyState::Ended, None),
        OldKey::Revoked(time) => (v1::OldKeyState::RevokedLater, time),
        OldKey::EndsByItself(time) => (v1::OldKeyState::EndsByItself, time),
        OldKey::Left => (v1::OldKeyState::Left, None),
    };
    v1::RotateCredentialResponse {
        connection: Some(connection(of)),
        version,
        old_key: Some(v1::OldKey { state: state.into(), end_time: end_time.map(timestamp) }),
    }
}

pub(crate) fn tenant(tenant: Tenant) -> v1::Tenant {
    let Tenant { id, display_name, state, revision: _, create_time, update_time } = tenant;
    let state = match state {
        TenantState::Active => v1::TenantState::Active,
        TenantState::Suspended => v1::TenantState::Suspended,
    };
    v1::Tenant {
        id: id.as_str().to_owned(),
        display_name,
        state: state.into(),
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(update_time)),
    }
}

pub(crate) fn user(user: User) -> v1::User {
    let User { id, connections, broken_connections, last_used_time, first_seen_time, last_seen_time } = user;
    v1::User {
        id: id.as_str().to_owned(),
        connection_count: connections,
        last_used_time: last_used_time.map(timestamp),
        broken_connection_count: broken_connections,
        first_seen_time: first_seen_time.map(timestamp),
        last_seen_time: last_seen_time.map(timestamp),
    }
}

/// An app without its secrets.
pub(crate) fn oauth_app(app: OAuthApp) -> v1::OAuthApp {
    let OAuthApp { place, client_id, redirect_uri, scopes, settings, hints, create_time, update_time } = app;
    v1::OAuthApp {
        provider: place.provider().as_str().to_owned(),
        client_id,
        redirect_uri,
        default_scopes: scopes,
        settings,
        hints,
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(update_time)),
    }
}
