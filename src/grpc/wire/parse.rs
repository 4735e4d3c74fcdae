//! Requests into domain types. What is wrong is named by field and rule, all of it at once, and never repeated.

mod app;
mod audit;
mod connection;
mod credential;
mod oversight;
mod proof;
mod repeat;
mod rotation;
mod sync;
mod usage;

use std::collections::BTreeMap;

use credvault_domain::{
    AccountName, ConnectionId, Etag, Labels, NameError, Owner, ProviderId, TenantId, TenantState, Timestamp,
    UserId, Version, Violations,
};
use prost_types::Timestamp as WireTimestamp;

use credvault_proto::v1;

pub(crate) use app::put_app;
pub(crate) use audit::{audit_filter, audit_groups};
pub(crate) use connection::{connection_filter, create_connection, update_connection};
pub(crate) use credential::{fetch, put_credential, received, secret_store};
pub(crate) use oversight::{bulk_change, connection_selection, counted_tenants, outcome_filter};
pub(super) use proof::size;
pub(crate) use proof::{proved_record, tree_sizes};
pub(crate) use repeat::{paging, repeat};
pub(crate) use rotation::rotate_credential;
pub(crate) use sync::sync_report;
pub(crate) use usage::{usage_question, usage_report};

/// How many characters an external account id has at most.
const MAX_EXTERNAL_ID: usize = 256;
/// How many characters a display name has at most.
const MAX_DISPLAY_NAME: usize = 128;
/// How many scopes a consent or an app names at most.
const MAX_SCOPES: usize = 64;
/// How many bytes a scope has at most.
const MAX_SCOPE_BYTES: usize = 512;
/// How many bytes stand for a browser or session at most.
const MAX_SESSION_BYTES: usize = 256;

pub(super) fn required<T>(
    field: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<T, Violations> {
    if text.is_empty() {
        return Err(Violations::of(field, "must be given"));
    }
    parse(text).map_err(|rule| Violations::of(field, rule.to_string()))
}

pub(super) fn optional<T>(
    field: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<Option<T>, Violations> {
    if text.is_empty() { Ok(None) } else { required(field, text, parse).map(Some) }
}

pub(crate) fn connection_id(text: &str) -> Result<ConnectionId, Violations> {
    required("connection_id", text, str::parse)
}

pub(crate) fn provider_id(text: &str) -> Result<ProviderId, Violations> {
    required("provider", text, ProviderId::parse)
}

pub(crate) fn account_name(field: &str, text: &str) -> Result<AccountName, Violations> {
    AccountName::parse(text).map_err(|rule| Violations::of(field, rule.to_string()))
}

pub(crate) fn tenant_id(text: &str) -> Result<TenantId, Violations> {
    required("tenant_id", text, TenantId::parse)
}

pub(crate) fn optional_tenant_id(text: &str) -> Result<Option<TenantId>, Violations> {
    optional("tenant_id", text, TenantId::parse)
}

pub(crate) fn optional_provider_id(text: &str) -> Result<Option<ProviderId>, Violations> {
    optional("provider", text, ProviderId::parse)
}

pub(crate) fn user_id(text: &str) -> Result<UserId, Violations> {
    required("user_id", text, UserId::parse)
}

pub(crate) fn etag(field: &str, text: &str) -> Result<Option<Etag>, Violations> {
    let parse =
        |text: &str| Etag::parse(text).ok_or(NameError("must be an etag as the vault gave it, or left out"));
    optional(field, text, parse)
}

/// A version that a request names.
pub(crate) fn version(number: i64) -> Result<Version, Violations> {
    if number > 0 {
        Ok(number)
    } else {
        Err(Violations::of("version", "must be a version's number, 1 or more"))
    }
}

/// The version that must be current; 0 means none.
pub(crate) fn expected_version(number: Option<i64>) -> Result<Option<Version>, Violations> {
    match number {
        Some(..0) => {
            Err(Violations::of("expected_version", "must not be negative; 0 means that there is none yet"))
        }
        number => Ok(number),
    }
}

pub(crate) fn labels(field: &str, pairs: BTreeMap<String, String>) -> Result<Labels, Violations> {
    Labels::parse(field, pairs)
}

/// An account's id at a provider; empty means none.
pub(crate) fn external_account_id(field: &str, text: String) -> Result<Option<String>, Violations> {
    printable(field, &text, MAX_EXTERNAL_ID, "must be at most 256 printable characters")?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

pub(crate) fn display_name(text: &str) -> Result<(), Violations> {
    printable("display_name", text, MAX_DISPLAY_NAME, "must be at most 128 printable characters")
}

pub(super) fn printable(field: &str, text: &str, max: usize, rule: &str) -> Result<(), Violations> {
    let fits = text.chars().count() <= max && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Violations::of(field, rule)) }
}

/// The owner that a request names; `None` if it names no kind.
pub(crate) fn owner(owner: Option<v1::Owner>) -> Result<Option<Owner>, Violations> {
    let Some(v1::Owner { kind, user_id }) = owner else { return Ok(None) };
    let unknown = |_| Violations::of("owner.kind", "must be one of the kinds that the protos name");
    let parsed = match v1::OwnerKind::try_from(kind).map_err(unknown)? {
        v1::OwnerKind::User => Owner::User(required("owner.user_id", &user_id, UserId::parse)?),
        v1::OwnerKind::Tenant => Owner::Tenant,
        v1::OwnerKind::Platform => Owner::Platform,
        v1::OwnerKind::Unspecified if user_id.is_empty() => return Ok(None),
        v1::OwnerKind::Unspecified => {
            return Err(Violations::of("owner.kind", "must be OWNER_KIND_USER where a user_id is given"));
        }
    };
    if parsed.user().is_none() && !user_id.is_empty() {
        return Err(Violations::of("owner.user_id", "must be left out unless the kind is OWNER_KIND_USER"));
    }
    Ok(Some(parsed))
}

pub(super) fn timestamp(field: &str, time: WireTimestamp) -> Result<Timestamp, Violations> {
    Timestamp::from_seconds(time.seconds, time.nanos)
        .ok_or_else(|| Violations::of(field, "must be an instant between the years 1 and 9999"))
}

pub(crate) fn tenant_state(state: i32) -> Result<Option<TenantState>, Violations> {
    let unknown = |_| Violations::of("state", "must be one of the states that the protos name");
    Ok(match v1::TenantState::try_from(state).map_err(unknown)? {
        v1::TenantState::Unspecified => None,
        v1::TenantState::Active => Some(TenantState::Active),
        v1::TenantState::Suspended => Some(TenantState::Suspended),
    })
}

/// Scopes, each of which is a word.
pub(crate) fn scopes(field: &str, scopes: Vec<String>) -> Result<Vec<String>, Violations> {
    let word = |scope: &String| {
        (1..=MAX_SCOPE_BYTES).contains(&scope.len())
            && scope.chars().all(|c| !c.is_control() && !c.is_whitespace())
    };
    if scopes.len() > MAX_SCOPES || !scopes.iter().all(word) {
        return Err(Violations::of(
            field,
            "must be at most 64 scopes of 1 to 512 printable characters without blanks",
        ));
    }
    Ok(scopes)
}

/// What stands for a browser or session.
pub(crate) fn session(session: String) -> Result<Option<String>, Violations> {
    match session.len() {
        0 => Ok(None),
        1..=MAX_SESSION_BYTES => Ok(Some(session)),
        _ => Err(Violations::of("session", "must be at most 256 bytes")),
    }
}
