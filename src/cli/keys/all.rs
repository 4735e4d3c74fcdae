//! `keys rotate --all` and `keys status --all`: the keys of all tenants, and the platform's own. What the vault refuses for one
//! tenant stands in its row, and the others get their turn.

use serde_json::{Value, json};
use tonic::Code;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::lookup::{tenant_ids, time_text};
use crate::cli::output::{Format, Output};
use crate::cli::progress::Bar;
use crate::cli::watching::{Watching, described};
use crate::grpc::reason_of;
use credvault_proto::v1;

/// How tables and JSON name the platform, which requests name by an empty tenant.
const PLATFORM: &str = ":platform";

/// The rotation of one tenant's key.
enum State {
    /// This command has stopped before it.
    NotBegun,
    /// It was begun, and has come so far.
    Begun(v1::RotationProgress),
    /// The vault refused it for this reason.
    Refused(String),
}

/// Rotates the key of each tenant as `request` says. All begin before one is waited for, because a rotation seals under the new
/// key from its beginning on.
pub(super) async fn rotate(
    client: &Client,
    request: &v1::RotateTenantKeyRequest,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let tenants = everyone(client).await?;
    let mut states: Vec<State> = tenants.iter().map(|_| State::NotBegun).collect();
    let ended = rotate_each(client, request, &tenants, &mut states).await;
    print_states(&tenants, &states, format, output)?;
    ended?;
    finding(&states).map_or(Ok(()), |text| Err(Failure::Partly(text)))
}

/// What is not as it should be, if anything is not.
fn finding(states: &[State]) -> Option<String> {
    let refused = states.iter().filter(|state| matches!(state, State::Refused(_))).count();
    let left =
        states.iter().filter(|state| matches!(state, State::Begun(progress) if progress.failed > 0)).count();
    match (refused, left) {
        (0, 0) => None,
        (0, left) => {
            Some(format!("values of {left} tenants do not open and keep their key; their rows count them"))
        }
        (refused, _) => Some(format!("{refused} tenants were refused; their rows have the reason")),
    }
}

async fn rotate_each(
    client: &Client,
    request: &v1::RotateTenantKeyRequest,
    tenants: &[String],
    states: &mut [State],
) -> Result<(), Failure> {
    let mut bar = Bar::default();
    for (number, (tenant, state)) in tenants.iter().zip(states.iter_mut()).enumerate() {
        bar.draw(number as u64, tenants.len() as u64, "begun");
        let request = v1::RotateTenantKeyRequest { tenant_id: tenant.clone(), ..request.clone() };
        *state =
            begin(client, request).await.map_or_else(own_refusal, |progress| Ok(State::Begun(progress)))?;
    }
    bar.clear();
    for (number, (tenant, state)) in tenants.iter().zip(states.iter_mut()).enumerate() {
        let State::Begun(progress) = state else { continue };
        if progress.running {
            let what = format!("{} ({} of {}): ", named(tenant), number + 1, tenants.len());
            let watched = watch(client, tenant, Watching::of(what)).await;
            *state = watched.map_or_else(own_refusal, |progress| Ok(State::Begun(progress)))?;
        }
    }
    Ok(())
}

/// Begins a rotation, and gives how far it is. It is durable by then, and needs no stream.
async fn begin(
    client: &Client,
    request: v1::RotateTenantKeyRequest,
) -> Result<v1::RotationProgress, Failure> {
    let mut stream = client.admin().rotate_tenant_key(request).await?.into_inner();
    let first = stream.message().await?;
    Ok(first.and_then(|response| response.progress).unwrap_or_default())
}

/// Watches the latest rotation of a tenant's key to its end.
async fn watch(
    client: &Client,
    tenant: &str,
    mut watching: Watching,
) -> Result<v1::RotationProgress, Failure> {
    let request =
        v1::RotateTenantKeyRequest { tenant_id: tenant.to_owned(), watch: true, ..Default::default() };
    loop {
        let stream = client.admin().rotate_tenant_key(request.clone()).await?.into_inner();
        if watching.follow(stream, |response| response.progress).await? {
            return Ok(watching.into_latest());
        }
    }
}

/// What the vault refuses for one tenant. Anything else ends the command, because it would meet every tenant: a vault or a
/// database that does not answer, a caller that is not known.
fn own_refusal(failure: Failure) -> Result<State, Failure> {
    match own_reason(&failure) {
        Some(reason) => Ok(State::Refused(reason)),
        None => Err(failure),
    }
}

fn own_reason(failure: &Failure) -> Option<String> {
    let Failure::Status(status) = failure else { return None };
    let reason = reason_of(status)?;
    let of_all = status.code() == Code::Unauthenticated
        || (status.code() == Code::Unavailable && reason != "KEY_UNAVAILABLE");
    (!of_all).then_some(reason)
}

fn print_states(
    tenants: &[String],
    states: &[State],
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let each = tenants.iter().zip(states);
    if format == Format::Json {
        let object = |(tenant, state): (&String, &State)| {
            let (what, reason) = words(state);
            let progress = match state {
                State::Begun(progress) => progress.clone(),
                State::NotBegun | State::Refused(_) => v1::RotationProgress::default(),
            };
            let v1::RotationProgress { target, done, total, failed, .. } = progress;
            json!({
                "tenantId": named(tenant), "state": what, "version": target, "done": done, "total": total,
                "failed": failed, "reason": reason,
            })
        };
        return output.values(&each.map(object).collect::<Vec<_>>());
    }
    let row = |(tenant, state): (&String, &State)| {
        let (what, reason) = words(state);
        let detail = match state {
            State::Begun(progress) => described(progress),
            State::NotBegun | State::Refused(_) => reason,
        };
        vec![named(tenant).to_owned(), what.to_owned(), detail]
    };
    output.table(&["TENANT", "ROTATION", "DETAIL"], &each.map(row).collect::<Vec<_>>())
}

fn words(state: &State) -> (&'static str, String) {
    match state {
        State::NotBegun => ("not begun", String::new()),
        State::Begun(progress) if progress.running => ("in progress", progress.trouble.clone()),
        State::Begun(_) => ("done", String::new()),
        State::Refused(reason) => ("refused", reason.clone()),
    }
}

/// Shows the keys of each tenant in one row.
pub(super) async fn show(client: &Client, format: Format, output: &mut Output) -> Result<(), Failure> {
    let tenants = everyone(client).await?;
    let (mut bar, mut refused) = (Bar::default(), 0);
    let mut rows = Vec::with_capacity(tenants.len());
    for (number, tenant) in tenants.iter().enumerate() {
        bar.draw(number as u64, tenants.len() as u64, "tenants");
        let request = v1::GetKeyStatusRequest { tenant_id: tenant.clone() };
        match client.admin().get_key_status(request).await {
            Ok(status) => rows.push(KeyRow::of(named(tenant), &status.into_inner())),
            Err(status) => {
                let failure = Failure::from(status);
                let reason = own_reason(&failure).ok_or(failure)?;
                refused += 1;
                rows.push(KeyRow { tenant: named(tenant).to_owned(), reason, ..KeyRow::default() });
            }
        }
    }
    bar.clear();
    match format {
        Format::Json => output.values::<Failure>(&rows.iter().map(KeyRow::json).collect::<Vec<_>>())?,
        Format::Table => {
            output.table::<Failure>(&HEADINGS, &rows.iter().map(KeyRow::cells).collect::<Vec<_>>())?
        }
    }
    match refused {
        0 => Ok(()),
        refused => {
            Err(Failure::Partly(format!("{refused} tenants were refused; their rows have the reason")))
        }
    }
}

const HEADINGS: [&str; 8] =
    ["TENANT", "VERSION", "SINCE", "ROOT KEY", "USES", "UNDER OLDER KEYS", "LATEST ROTATION", "REASON"];

/// What is known of one tenant's keys.
#[derive(Default)]
struct KeyRow {
    tenant: String,
    /// The key that seals.
    key: v1::TenantKeyStatus,
    /// How many values are sealed under earlier keys.
    under_older: i64,
    rotation: String,
    /// Why the vault does not say it.
    reason: String,
}

impl KeyRow {
    fn of(tenant: &str, status: &v1::GetKeyStatusResponse) -> Self {
        let v1::GetKeyStatusResponse { tenant_keys, rotation, .. } = status;
        let older = tenant_keys.iter().filter(|key| !key.active);
        Self {
            tenant: tenant.to_owned(),
            key: tenant_keys.iter().find(|key| key.active).cloned().unwrap_or_default(),
            under_older: older.map(|key| key.sealed_records).sum(),
            rotation: rotation.as_ref().map(described).unwrap_or_default(),
            reason: String::new(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let Self { tenant, key, under_older, rotation, reason } = self;
        let since = time_text(key.create_time.as_ref());
        let numbers = [key.version.to_string(), since, key.root_key_id.clone(), key.uses.to_string()];
        let rest = [under_older.to_string(), rotation.clone(), reason.clone()];
        [tenant.clone()].into_iter().chain(numbers).chain(rest).collect()
    }

    fn json(&self) -> Value {
        let Self { tenant, key, under_older, rotation, reason } = self;
        json!({
            "tenantId": tenant, "version": key.version, "since": time_text(key.create_time.as_ref()),
            "rootKeyId": key.root_key_id, "uses": key.uses, "underOlderKeys": under_older,
            "latestRotation": rotation, "reason": reason,
        })
    }
}

/// All tenants that ListTenants shows, and the platform, whose id is empty, behind them.
async fn everyone(client: &Client) -> Result<Vec<String>, Failure> {
    let mut tenants = tenant_ids(client).await?;
    tenants.push(String::new());
    Ok(tenants)
}

fn named(tenant: &str) -> &str {
    if tenant.is_empty() { PLATFORM } else { tenant }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn what_is_refused_or_does_not_open_is_a_finding() {
        let begun = |failed| State::Begun(v1::RotationProgress { failed, ..Default::default() });
        assert_eq!(finding(&[begun(0), begun(0)]), None);
        assert!(finding(&[begun(0), begun(2)]).is_some_and(|text| text.starts_with("values of 1 tenants")));
        let refused = finding(&[begun(2), State::Refused("ROTATION_RUNNING".to_owned())]);
        assert!(refused.is_some_and(|text| text.starts_with("1 tenants were refused")));
    }

    #[test]
    fn a_refusal_is_of_one_tenant_unless_it_would_meet_them_all() {
        let refused = |code: Code, reason: &str| {
            let details =
                ErrorDetails::with_error_info(reason, "credvault", HashMap::<String, String>::new());
            own_reason(&Failure::from(Status::with_error_details(code, "refused", details)))
        };
        for (code, reason) in [
            (Code::FailedPrecondition, "ROTATION_RUNNING"),
            (Code::NotFound, "TENANT_NOT_FOUND"),
            (Code::PermissionDenied, "DENIED"),
            (Code::DataLoss, "INTEGRITY"),
            (Code::Unavailable, "KEY_UNAVAILABLE"),
        ] {
            assert_eq!(refused(code, reason).as_deref(), Some(reason));
        }
        assert_eq!(refused(Code::Unavailable, "STORE_UNAVAILABLE"), None);
        assert_eq!(refused(Code::Unauthenticated, "TOKEN_EXPIRED"), None);
        assert_eq!(own_reason(&Failure::from(Status::unavailable("no route"))), None);
    }
}
