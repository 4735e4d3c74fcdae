//! Connections as several commands find and print them, and what the requests of several commands have.

use anyhow::Context as _;
use prost_types::value::Kind;
use tonic::Status;

use super::client::Client;
use super::failure::Failure;
use super::naming::{self, Name};
use super::near::check_provider;
use super::output::{Format, Output};
use super::whose::Whose;
use credvault_proto::v1;

/// Settings from the command line.
pub(super) fn settings(pairs: &[(String, String)]) -> serde_json::Map<String, serde_json::Value> {
    pairs.iter().map(|(key, value)| (key.clone(), setting(value))).collect()
}

/// Numbers and true or false as such, anything else as a text.
fn setting(text: &str) -> serde_json::Value {
    match serde_json::from_str(text) {
        Ok(value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_))) => value,
        _ => serde_json::Value::String(text.to_owned()),
    }
}

/// A new id for a request, so that the library's own repetition of it takes effect once.
pub(super) fn request_id() -> Result<String, Failure> {
    use credvault_domain::Random as _;
    let mut bytes = [0; 16];
    credvault_crypto::SystemRandom.fill(&mut bytes).context("there is no randomness")?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// The value of an enum as people read it.
pub(super) fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

/// An owner as people read it.
pub(super) fn owner_text(owner: Option<&v1::Owner>) -> String {
    let Some(owner) = owner else { return String::new() };
    match owner.kind() {
        v1::OwnerKind::User => format!("user {}", owner.user_id),
        kind @ (v1::OwnerKind::Unspecified | v1::OwnerKind::Tenant | v1::OwnerKind::Platform) => {
            word(kind.as_str_name(), "OWNER_KIND_")
        }
    }
}

/// An instant as people read it, to the second.
pub(super) fn time_text(time: Option<&prost_types::Timestamp>) -> String {
    let to_the_second = |time: &prost_types::Timestamp| prost_types::Timestamp { nanos: 0, ..*time };
    time.map_or_else(|| "-".to_owned(), |time| to_the_second(time).to_string())
}

/// The ids of all tenants that the vault shows to this caller, in its order.
pub(super) async fn tenant_ids(client: &Client) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    let mut request = v1::ListTenantsRequest { page_size: 500, ..Default::default() };
    loop {
        let page = client.admin().list_tenants(request.clone()).await?.into_inner();
        all.extend(page.tenants.into_iter().map(|tenant| tenant.id));
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

/// All connections at a provider.
pub(super) async fn all_connections(
    client: &Client,
    provider: &str,
    show_deleted: bool,
) -> Result<Vec<v1::Connection>, Failure> {
    let provider = provider.to_owned();
    every_page(client, v1::ListConnectionsRequest { provider, show_deleted, ..Default::default() }).await
}

/// All connections at a provider that a person has named, who may have meant something else.
async fn named_connections(
    client: &Client,
    provider: &str,
    show_deleted: bool,
) -> Result<Vec<v1::Connection>, Failure> {
    let all = all_connections(client, provider, show_deleted).await?;
    if !all.is_empty() {
        return Ok(all);
    }
    match check_provider(client, provider).await {
        Err(Failure::Status(status)) => {
            let how = "a connection is named as PROVIDER/ACCOUNT, by its provider alone, or by its id";
            Err(Status::not_found(format!("{}; {how}", status.message())).into())
        }
        checked => checked.map(|()| all),
    }
}

/// The id of a connection that is named by its id, as `PROVIDER/ACCOUNT`, or by its provider alone: the user's own, or else
/// the tenant's.
pub(super) async fn connection_id(client: &Client, named: &str, shared: bool) -> Result<String, Failure> {
    match Name::read(named) {
        Name::Id(id) => Ok(id.to_owned()),
        Name::Account { provider, account } => {
            let all = named_connections(client, provider, false).await?;
            naming::chosen(all, account, client.user(), shared)
        }
    }
}

/// The id of a deleted connection that is named in the same ways.
pub(super) async fn deleted_connection_id(client: &Client, named: &str) -> Result<String, Failure> {
    match Name::read(named) {
        Name::Id(id) => Ok(id.to_owned()),
        Name::Account { provider, account } => {
            naming::deleted(named_connections(client, provider, true).await?, account)
        }
    }
}

/// Every page of a listing.
pub(super) async fn every_page(
    client: &Client,
    request: v1::ListConnectionsRequest,
) -> Result<Vec<v1::Connection>, Failure> {
    let mut all = Vec::new();
    let mut request = v1::ListConnectionsRequest { page_size: 500, ..request };
    loop {
        let page = client.connections().list_connections(request.clone()).await?.into_inner();
        all.extend(page.connections);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

/// What a list of connections shows; on a narrow terminal the last ones are left out.
const HEADINGS: [&str; 11] = [
    "PROVIDER",
    "ACCOUNT",
    "ID",
    "HEALTH",
    "SINCE (UTC)",
    "REASON",
    "OWNER",
    "ENDS",
    "ROTATION DUE",
    "VERSION",
    "HINTS",
];
/// How many of them are left out at most: who looks for what fails needs the id.
const SPARE: usize = 7;

/// Prints a connection that an answer must have.
pub(super) fn print_one(
    connection: Option<v1::Connection>,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let connection = connection.context("the vault answered without a connection")?;
    match format {
        Format::Json => output.json("Connection", &connection),
        Format::Table => output.block(&pairs(&connection)),
    }
}

/// Prints a page of connections, and below a table how to see the next one.
pub(super) fn print_page(
    connections: &[v1::Connection],
    next_page_token: &str,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        Format::Json => output.json_page("Connection", connections, next_page_token),
        Format::Table => {
            let rows: Vec<_> = connections.iter().map(row).collect();
            output.table_with_spare::<Failure>(&HEADINGS, SPARE, &rows)?;
            print_next(next_page_token, output)
        }
    }
}

/// The same for connections of one owner, whom a table names first.
pub(super) fn print_page_of(
    whose: &Whose,
    (connections, next_page_token): (&[v1::Connection], &str),
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        Format::Json => {}
        Format::Table if connections.is_empty() && next_page_token.is_empty() => {
            return output.line(&whose.none());
        }
        Format::Table => output.line::<Failure>(&whose.title())?,
    }
    print_page(connections, next_page_token, format, output)
}

/// Says below a table how to see the next page, if there is one.
pub(super) fn print_next(next_page_token: &str, output: &mut Output) -> Result<(), Failure> {
    match next_page_token.is_empty() {
        true => Ok(()),
        false => output.line(&format!("(more with --page-token {next_page_token})")),
    }
}

/// The state in words.
fn state_text(connection: &v1::Connection) -> String {
    let state = word(connection.state().as_str_name(), "CONNECTION_STATE_");
    match (&connection.delete_time, connection.enabled) {
        (Some(_), _) => "deleted".to_owned(),
        (None, false) => format!("{state}, disabled"),
        (None, true) => state,
    }
}

/// Names with their values.
fn joined(values: &std::collections::BTreeMap<String, String>) -> String {
    values.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// A connection as a block: what there is to say about it.
fn pairs(connection: &v1::Connection) -> Vec<(String, String)> {
    let time =
        |time: Option<&prost_types::Timestamp>| time.map(|time| time_text(Some(time))).unwrap_or_default();
    let error = connection.error.as_ref().map(|error| {
        let code = if error.provider_code.is_empty() { "" } else { ", the provider's code: " };
        format!("{} since {}{code}{}", error.reason, time(error.time.as_ref()), error.provider_code)
    });
    let health = connection.health.as_ref().map(|health| match &health.since {
        Some(since) => format!("{} since {}", health_text(health), time_text(Some(since))),
        None => health_text(health),
    });
    let asked = connection.scopes_asked.join(" ");
    let granted = connection.scopes_granted.join(" ");
    let pairs = [
        ("id", connection.id.clone()),
        ("provider", connection.provider.clone()),
        ("account", connection.account_name.clone()),
        ("owner", owner_text(connection.owner.as_ref())),
        ("state", state_text(connection)),
        ("error", error.unwrap_or_default()),
        ("health", health.unwrap_or_default()),
        ("ends", if connection.health.is_some() { ends_text(connection) } else { String::new() }),
        ("auth mode", connection.auth_mode.clone()),
        ("default account", if connection.default { "yes" } else { "" }.to_owned()),
        ("version", connection.current_version.to_string()),
        ("hints", joined(&connection.hints)),
        ("settings", connection.config.as_ref().map(settings_text).unwrap_or_default()),
        ("labels", joined(&connection.labels)),
        ("account at the provider", connection.external_account_id.clone()),
        ("scopes", granted.clone()),
        ("scopes asked for", if asked == granted { String::new() } else { asked }),
        ("credential ends", time(connection.expire_time.as_ref())),
        ("rotation due", time(connection.rotation_due_time.as_ref())),
        ("created", time(connection.create_time.as_ref())),
        ("changed", time(connection.update_time.as_ref())),
        ("last used", time(connection.last_used_time.as_ref())),
        ("last verified", time(connection.last_verified_time.as_ref())),
        ("last refreshed", time(connection.last_refreshed_time.as_ref())),
        ("last synchronised", time(connection.last_synced_time.as_ref())),
        ("deleted", time(connection.delete_time.as_ref())),
        ("removed for good", time(connection.purge_time.as_ref())),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// Settings as the command line takes them.
fn settings_text(settings: &prost_types::Struct) -> String {
    let value = |value: &prost_types::Value| match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        Some(Kind::NumberValue(number)) => number.to_string(),
        Some(Kind::BoolValue(value)) => value.to_string(),
        Some(Kind::StructValue(_) | Kind::ListValue(_)) => "(--output json shows it)".to_owned(),
        Some(Kind::NullValue(_)) | None => String::new(),
    };
    joined(&settings.fields.iter().map(|(name, setting)| (name.clone(), value(setting))).collect())
}

fn row(connection: &v1::Connection) -> Vec<String> {
    let (since, reason) = trouble(connection);
    vec![
        connection.provider.clone(),
        connection.account_name.clone(),
        connection.id.clone(),
        condition(connection),
        since,
        reason,
        owner_text(connection.owner.as_ref()),
        ends_text(connection),
        time_text(connection.rotation_due_time.as_ref()),
        connection.current_version.to_string(),
        joined(&connection.hints),
    ]
}

/// How a connection is, in a word or two: its health, unless its state says more, or there is no health in the answer.
fn condition(connection: &v1::Connection) -> String {
    use v1::{ConnectionState, HealthState};
    let state = state_text(connection);
    match &connection.health {
        _ if connection.delete_time.is_some() || connection.state() == ConnectionState::Connecting => state,
        None => state,
        Some(health) if health.state() == HealthState::Unspecified => state,
        Some(health) if !connection.enabled => format!("{}, disabled", health_text(health)),
        Some(health) => health_text(health),
    }
}

/// Since when a connection does not work, to the minute, and why.
fn trouble(connection: &v1::Connection) -> (String, String) {
    let fails = |health: &&v1::ConnectionHealth| {
        matches!(health.state(), v1::HealthState::Error | v1::HealthState::Uncertain)
    };
    let Some(health) = connection.health.as_ref().filter(fails) else {
        return ("-".to_owned(), "-".to_owned());
    };
    let since = time_text(health.since.as_ref());
    let since = since.get(5..16).map_or_else(|| "-".to_owned(), |minute| minute.replace('T', " "));
    let shown = connection.error.as_ref().map(|error| &error.reason);
    let reason = shown.or_else(|| health.last_error.as_ref().map(|error| &error.reason));
    (since, reason.cloned().unwrap_or_else(|| "-".to_owned()))
}

/// The health in one word.
fn health_text(health: &v1::ConnectionHealth) -> String {
    word(health.state().as_str_name(), "HEALTH_STATE_")
}

/// When the grant or key ends.
fn ends_text(connection: &v1::Connection) -> String {
    // Only some answers have it.
    let Some(health) = &connection.health else { return "-".to_owned() };
    if is_dead(connection) {
        return "has ended".to_owned();
    }
    match (health.renewal(), &health.grant_end_time) {
        (v1::Renewal::RenewsItself, _) => "renews itself".to_owned(),
        (_, Some(time)) => time.to_string(),
        (v1::Renewal::NeverEnds, None) => "never".to_owned(),
        (v1::Renewal::Ends | v1::Renewal::Unspecified, None) => "-".to_owned(),
    }
}

/// Whether only a new consent or credential helps, whatever was known of the end of the grant.
fn is_dead(connection: &v1::Connection) -> bool {
    let reason = credvault_domain::Reason::ReauthorizationRequired.as_str();
    connection.error.as_ref().is_some_and(|error| error.reason == reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(enabled: bool) -> v1::Connection {
        let since = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5 };
        let last_error = v1::LastError { reason: "PROVIDER_UNAVAILABLE".into(), ..Default::default() };
        let health = v1::ConnectionHealth {
            state: v1::HealthState::Error.into(),
            renewal: v1::Renewal::RenewsItself.into(),
            since: Some(since),
            last_error: Some(last_error),
            ..Default::default()
        };
        let state = v1::ConnectionState::Connected.into();
        v1::Connection { state, enabled, health: Some(health), ..Default::default() }
    }

    #[test]
    fn a_row_says_once_how_a_connection_is_and_why_since_when() {
        let shown = failing(true);
        assert_eq!(condition(&shown), "error");
        assert_eq!(trouble(&shown), ("11-14 22:13".to_owned(), "PROVIDER_UNAVAILABLE".to_owned()));
        assert_eq!(condition(&failing(false)), "error, disabled");
        let bare = v1::Connection { health: None, ..failing(true) };
        assert_eq!((condition(&bare).as_str(), trouble(&bare).1.as_str()), ("connected", "-"));
    }

    #[test]
    fn a_dead_grant_does_not_renew_itself() {
        let mut shown = failing(true);
        assert_eq!(ends_text(&shown), "renews itself");
        let error = v1::ConnectionError { reason: "REAUTHORIZATION_REQUIRED".into(), ..Default::default() };
        shown.error = Some(error);
        assert_eq!(ends_text(&shown), "has ended");
    }
}
