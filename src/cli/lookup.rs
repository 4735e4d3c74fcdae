//! Connections as several commands find and print them, and what the requests of several commands have.

use anyhow::Context as _;
use prost_types::value::Kind;
use tonic::Status;

use super::client::Client;
use super::failure::Failure;
use super::naming::{self, Name};
use super::near::check_provider;
use super::output::{Format, Output};
use super::rpcs::in_commands;
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
const HEADINGS: [&str; 10] =
    ["PROVIDER", "ACCOUNT", "OWNER", "STATE", "HEALTH", "ID", "ENDS", "ROTATION DUE", "VERSION", "HINTS"];
/// How many of them are left out at most.
const SPARE: usize = 6;

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

/// Prints, for people, what the vault says about the health of a connection.
pub(super) fn print_words(connection: Option<&v1::Connection>, output: &mut Output) -> Result<(), Failure> {
    let Some(health) = connection.and_then(|connection| connection.health.as_ref()) else { return Ok(()) };
    let mut texts = vec![("customer", &health.customer_text), ("operator", &health.operator_text)];
    // Of what is over, too; while it lasts, the state may say the same.
    if let Some(error) = &health.last_error {
        texts.extend([("last error, customer", &error.customer_text)]);
        texts.extend([("last error, operator", &error.operator_text)]);
    }
    let mut printed: Vec<&str> = Vec::new();
    for (reader, text) in texts {
        if !text.is_empty() && !printed.contains(&text.as_str()) {
            printed.push(text);
            output.line::<Failure>(&format!("{reader}: {}", in_commands(text)))?;
        }
    }
    Ok(())
}

/// Prints, for people, how the rotation of a connection's credential stands, if there is something to say.
pub(super) fn print_rotation(connection: &v1::Connection, output: &mut Output) -> Result<(), Failure> {
    if connection.rotation_due_time.is_some() {
        let due = time_text(connection.rotation_due_time.as_ref());
        output.line::<Failure>(
            &match connection.rotation.as_ref().is_some_and(|rotation| rotation.automatic) {
                true => format!("rotation: the vault replaces the credential within an hour after {due}"),
                false => format!("rotation: a person replaces the credential by {due}"),
            },
        )?;
    }
    let Some(rotation) = &connection.rotation else { return Ok(()) };
    match rotation.stage() {
        v1::CredentialRotationStage::Unspecified => {}
        v1::CredentialRotationStage::Minting => {
            output.line::<Failure>("rotation: the provider makes a key")?
        }
        v1::CredentialRotationStage::Testing => {
            output.line::<Failure>("rotation: a new key is being tested")?
        }
    }
    if !rotation.failure_reason.is_empty() {
        let (reason, next) = (&rotation.failure_reason, time_text(rotation.next_attempt_time.as_ref()));
        output.line::<Failure>(&format!(
            "rotation: the last attempt failed ({reason}); the next one: {next}"
        ))?;
    }
    if rotation.ending_keys > 0 {
        let (number, end) = (rotation.ending_keys, time_text(rotation.old_key_end_time.as_ref()));
        output.line::<Failure>(&format!(
            "rotation: keys still to be revoked: {number}; the old one at {end}"
        ))?;
    }
    if rotation.left_key_time.is_some() {
        let (since, id) = (time_text(rotation.left_key_time.as_ref()), &rotation.left_key_id);
        let id = if id.is_empty() { "unknown" } else { id.as_str() };
        let number = rotation.left_keys;
        output.line::<Failure>(&format!(
            "rotation: keys left at the provider: {number}, the last since {since}, its id: {id}; delete them there, and \
             call `connections update --left-key-removed`"
        ))?;
    }
    Ok(())
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
    let (health, ends) = connection.health.as_ref().map(health).unwrap_or_default();
    let asked = connection.scopes_asked.join(" ");
    let granted = connection.scopes_granted.join(" ");
    let pairs = [
        ("id", connection.id.clone()),
        ("provider", connection.provider.clone()),
        ("account", connection.account_name.clone()),
        ("owner", owner_text(connection.owner.as_ref())),
        ("state", state_text(connection)),
        ("error", error.unwrap_or_default()),
        ("health", health),
        ("ends", ends),
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
    // Only some answers have it.
    let (health, ends) = connection.health.as_ref().map_or(("-".to_owned(), "-".to_owned()), health);
    vec![
        connection.provider.clone(),
        connection.account_name.clone(),
        owner_text(connection.owner.as_ref()),
        state_text(connection),
        health,
        connection.id.clone(),
        ends,
        time_text(connection.rotation_due_time.as_ref()),
        connection.current_version.to_string(),
        joined(&connection.hints),
    ]
}

/// The health in one word, and when the grant or key ends.
fn health(health: &v1::ConnectionHealth) -> (String, String) {
    let state = health.state().as_str_name().trim_start_matches("HEALTH_STATE_").to_lowercase();
    let ends = match (health.renewal(), &health.grant_end_time) {
        (v1::Renewal::RenewsItself, _) => "renews itself".to_owned(),
        (_, Some(time)) => time.to_string(),
        (v1::Renewal::NeverEnds, None) => "never".to_owned(),
        (v1::Renewal::Ends | v1::Renewal::Unspecified, None) => "-".to_owned(),
    };
    (state.replace('_', " "), ends)
}
