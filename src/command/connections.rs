//! `connections create|list|get|delete`; `connect` has a file of its own.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::client::{Client, ClientArgs};
use super::failure::Failure;
use super::serve::{ONE_THREAD, run as run_on};
use super::{OutputArgs, connect, pair};
use crate::output::{Format, Output};
use crate::proto::v1;
use crate::wire::struct_of;

#[derive(Subcommand, Debug)]
pub(super) enum ConnectionsCommand {
    /// Create a connection, with its credential if one is given.
    Create(CreateArgs),
    /// Connect an account in a browser: prints the address to open, waits, and reports.
    Connect(connect::ConnectArgs),
    /// List connections.
    List(ListArgs),
    /// Show a connection.
    Get(OneArgs),
    /// Delete a connection. UndeleteConnection brings it back for 30 days.
    Delete(OneArgs),
}

#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// The provider's id.
    provider: String,
    /// The account's name.
    #[arg(long, default_value = "default")]
    account: String,
    /// The auth mode, where the provider has several.
    #[arg(long)]
    auth_mode: Option<String>,
    /// A setting that is no secret. Repeatable.
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// A file with the secret fields as a JSON object of texts; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// A secret field whose value is a whole file, such as a service account's key. Repeatable.
    #[arg(long, value_name = "FIELD=FILE", value_parser = pair)]
    secret_file: Vec<(String, String)>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only at this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Deleted ones, too.
    #[arg(long)]
    show_deleted: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct OneArgs {
    /// The connection's id.
    id: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: ConnectionsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            ConnectionsCommand::Create(arguments) => {
                let request = arguments.request()?;
                let client = arguments.client.connect().await?;
                let created = client.connections().create_connection(request).await?.into_inner();
                one(created.connection, arguments.output.output, output)
            }
            ConnectionsCommand::Connect(arguments) => connect::run(arguments, output).await,
            ConnectionsCommand::List(arguments) => list(arguments, output).await,
            ConnectionsCommand::Get(arguments) => {
                let client = arguments.client.connect().await?;
                let request = v1::GetConnectionRequest { connection_id: arguments.id };
                let found = client.connections().get_connection(request).await?.into_inner();
                one(found.connection, arguments.output.output, output)
            }
            ConnectionsCommand::Delete(arguments) => {
                let client = arguments.client.connect().await?;
                let request =
                    v1::DeleteConnectionRequest { connection_id: arguments.id, ..Default::default() };
                let deleted = client.connections().delete_connection(request).await?.into_inner();
                one(deleted.connection, arguments.output.output, output)
            }
        }
    })
}

impl CreateArgs {
    fn request(&self) -> Result<v1::CreateConnectionRequest, Failure> {
        let config = settings(&self.config);
        let fields = self.fields()?;
        let credential =
            if fields.is_empty() { None } else { Some(v1::CredentialInput { fields, expiry: None }) };
        Ok(v1::CreateConnectionRequest {
            provider: self.provider.clone(),
            account_name: self.account.clone(),
            auth_mode: self.auth_mode.clone().unwrap_or_default(),
            config: Some(struct_of(&config)),
            credential,
            request_id: uuid::Builder::from_random_bytes(random()?).into_uuid().to_string(),
            ..Default::default()
        })
    }

    /// The secret fields. They come from files only: a command line is visible to everybody on the machine.
    fn fields(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut fields = BTreeMap::new();
        if let Some(path) = &self.secrets {
            let text = if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map(|_| text)
            } else {
                std::fs::read_to_string(path)
            };
            let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
            // serde's message could quote the text.
            fields = serde_json::from_str(&text).map_err(|_| {
                Failure::Usage(format!("{} must be a JSON object whose values are texts", path.display()))
            })?;
        }
        for (field, path) in &self.secret_file {
            let text = std::fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))?;
            fields.insert(field.clone(), text);
        }
        Ok(fields)
    }
}

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

fn random() -> Result<[u8; 16], Failure> {
    use credvault_domain::Random as _;
    let mut bytes = [0; 16];
    credvault_crypto::SystemRandom.fill(&mut bytes).context("there is no randomness")?;
    Ok(bytes)
}

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let provider = arguments.provider.unwrap_or_default();
    let all = all_connections(&client, &provider, arguments.show_deleted).await?;
    match arguments.output.output {
        Format::Json => output.json_list("Connection", &all),
        Format::Table => output.table(&HEADINGS, &all.iter().map(row).collect::<Vec<_>>()),
    }
}

/// Every page of a listing.
pub(super) async fn all_connections(
    client: &Client,
    provider: &str,
    show_deleted: bool,
) -> Result<Vec<v1::Connection>, Failure> {
    let mut all = Vec::new();
    let mut request = v1::ListConnectionsRequest {
        page_size: 500,
        provider: provider.to_owned(),
        show_deleted,
        ..Default::default()
    };
    loop {
        let page = client.connections().list_connections(request.clone()).await?.into_inner();
        all.extend(page.connections);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

const HEADINGS: [&str; 7] = ["ID", "PROVIDER", "ACCOUNT", "OWNER", "STATE", "VERSION", "HINTS"];

pub(super) fn one(
    connection: Option<v1::Connection>,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let connection = connection.context("the vault answered without a connection")?;
    match format {
        Format::Json => output.json("Connection", &connection),
        Format::Table => output.table(&HEADINGS, &[row(&connection)]),
    }
}

fn row(connection: &v1::Connection) -> Vec<String> {
    let state = connection.state().as_str_name().trim_start_matches("CONNECTION_STATE_").to_lowercase();
    let state = match (&connection.delete_time, connection.enabled) {
        (Some(_), _) => "deleted".to_owned(),
        (None, false) => format!("{state}, disabled"),
        (None, true) => state,
    };
    let owner = connection.owner.clone().unwrap_or_default();
    let owner = match owner.kind() {
        v1::OwnerKind::User => format!("user {}", owner.user_id),
        kind => kind.as_str_name().trim_start_matches("OWNER_KIND_").to_lowercase(),
    };
    let hints: Vec<String> = connection.hints.iter().map(|(field, hint)| format!("{field}={hint}")).collect();
    vec![
        connection.id.clone(),
        connection.provider.clone(),
        connection.account_name.clone(),
        owner,
        state,
        connection.current_version.to_string(),
        hints.join(" "),
    ]
}
