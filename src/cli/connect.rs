//! `connections connect`: a consent from the command line. The command opens an address in a browser, waits while a person
//! confirms there, and reports how it ended.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use credvault_domain::Clock as _;
use tonic::Status;

use super::args::{OutputArgs, pair};
use super::browser;
use super::client::{Client, ClientArgs};
use super::completion::providers_completer;
use super::failure::Failure;
use super::lookup::{all_connections, print_one, settings};
use super::output::Output;
use crate::SystemClock;
use crate::grpc::struct_of;
use credvault_proto::v1;

/// How often the command asks whether the account is connected.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Every so many polls the command reads the audit log, too; each such read is on record.
const POLLS_PER_LOG_READ: u32 = 5;

#[derive(Args, Debug)]
pub(super) struct ConnectArgs {
    /// The id of the provider.
    #[arg(add = providers_completer())]
    provider: String,
    /// The account's name. If there is such a connection, it is authorised anew and keeps its id.
    #[arg(long, default_value = "default")]
    account: String,
    /// The auth mode, if several of the provider's modes have a consent.
    #[arg(long)]
    auth_mode: Option<String>,
    /// A setting that is not secret, for a new connection. Repeatable.
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// A scope to ask for, instead of those of the app. Repeatable.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Print the address without opening a browser.
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(arguments: ConnectArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let (connection, new) = arguments.connection(&client).await?;
    let begun = match arguments.begin(&client, &connection.id).await {
        Ok(begun) => begun,
        Err(failure) => {
            // No consent can follow, so a connection that was created for it is deleted again.
            if new {
                undo(&client, &connection.id).await?;
            }
            return Err(failure);
        }
    };
    let opened = !arguments.no_browser && browser::open(&begun.authorization_url);
    let first = if opened { "A browser opens this address:" } else { "Open this address in a browser:" };
    // Not on standard output: that is for the result.
    writeln!(
        std::io::stderr(),
        "{first}\n\n  {}\n\nand confirm there if it shows the code {}. Waiting... (Ctrl-C stops waiting, not the consent)",
        begun.authorization_url,
        begun.confirmation_code
    )?;
    let until = begun.expire_time.map_or(0, |time| time.seconds);
    let connected = tokio::select! {
        connected = connected(&client, &connection, until) => connected?,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::Unexpected(anyhow::anyhow!(
                "stopped waiting; the address above works until ten minutes after it was made, and a person who confirms \
                 there still connects the account: `credvault connections list` shows whether that happened"
            )));
        }
    };
    print_one(Some(connected), arguments.output.output, output)
}

/// Deletes a connection that was created a moment ago.
async fn undo(client: &Client, id: &str) -> Result<(), Failure> {
    let delete = v1::DeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    client.connections().delete_connection(delete).await?;
    let purge = v1::PurgeConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    client.connections().purge_connection(purge).await?;
    Ok(())
}

impl ConnectArgs {
    async fn begin(&self, client: &Client, id: &str) -> Result<v1::BeginAuthorizationResponse, Failure> {
        let request = v1::BeginAuthorizationRequest {
            connection_id: id.to_owned(),
            scopes: self.scopes.clone(),
            ..Default::default()
        };
        let begun = client.connections().begin_authorization(request).await?.into_inner();
        if begun.confirmation_code.is_empty() {
            return Err(Failure::Usage(format!(
                "the app at {} sends browsers to a back end of its own, which completes consents; to connect accounts \
                 from here, store it with `credvault apps put` without --redirect-uri",
                self.provider
            )));
        }
        Ok(begun)
    }

    /// The connection of that name, and whether it was created by this call.
    async fn connection(&self, client: &Client) -> Result<(v1::Connection, bool), Failure> {
        let all = all_connections(client, &self.provider, false).await?;
        // The caller may see connections of other users, and means none of them.
        let owned = |connection: &v1::Connection| {
            let owner = connection.owner.clone().unwrap_or_default();
            owner.kind() != v1::OwnerKind::User || Some(&owner.user_id) == client.user()
        };
        let named =
            |connection: &v1::Connection| connection.account_name == self.account && owned(connection);
        if let Some(connection) = all.into_iter().find(named) {
            return Ok((connection, false));
        }
        let request = v1::CreateConnectionRequest {
            provider: self.provider.clone(),
            account_name: self.account.clone(),
            auth_mode: self.mode(client).await?,
            config: Some(struct_of(&settings(&self.config))),
            ..Default::default()
        };
        let created = client.connections().create_connection(request).await?.into_inner();
        Ok((created.connection.context("the vault answered without a connection")?, true))
    }

    /// The auth mode that was named, or the provider's only one with a consent.
    async fn mode(&self, client: &Client) -> Result<String, Failure> {
        if let Some(mode) = &self.auth_mode {
            return Ok(mode.clone());
        }
        let request = v1::GetProviderRequest { provider: self.provider.clone() };
        let provider = client.connections().get_provider(request).await?.into_inner().provider;
        let modes = provider.unwrap_or_default().auth_modes;
        let consents = modes.into_iter().filter(|mode| mode.consent);
        let names: Vec<_> = consents.map(|mode| mode.name).collect();
        match names.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(Failure::Usage(format!(
                "{} has no auth mode with a consent; `credvault connections create` stores its credentials",
                self.provider
            ))),
            several => Err(Failure::Usage(format!("name one with --auth-mode: {}", several.join(", ")))),
        }
    }
}

/// Whether the consent that expires at `until` has ended without an account. A connection that works does not show that,
/// for it continues to work; the audit log does, if the caller may read it.
async fn declined(client: &Client, id: &str, until: i64) -> bool {
    let began = prost_types::Timestamp { seconds: until.saturating_sub(600), nanos: 0 };
    let filter = v1::AuditFilter {
        start_time: Some(began),
        action: "CompleteAuthorization".to_owned(),
        connection_id: id.to_owned(),
        outcome: v1::AuditOutcome::Failed.into(),
        ..Default::default()
    };
    let request = v1::ListAuditEventsRequest { filter: Some(filter), page_size: 20, ..Default::default() };
    let last = client.audit().list_audit_events(request).await.map(|answer| answer.into_inner().events);
    // A caller who may not read the log waits until the consent expires.
    last.unwrap_or_default()
        .iter()
        .any(|event| matches!(event.reason.as_str(), "CONSENT_DENIED" | "CONSENT_FAILED" | "STATE_MISSING"))
}

/// Waits until the consent has connected the account, or has ended without it.
async fn connected(client: &Client, before: &v1::Connection, until: i64) -> Result<v1::Connection, Failure> {
    for look in 1_u32.. {
        tokio::time::sleep(POLL_INTERVAL).await;
        let request = v1::GetConnectionRequest { connection_id: before.id.clone() };
        let now = client.connections().get_connection(request).await?.into_inner();
        let now = now.connection.context("the vault answered without a connection")?;
        if now.current_version > before.current_version && now.state() == v1::ConnectionState::Connected {
            return Ok(now);
        }
        let worked = before.current_version > 0 && look.is_multiple_of(POLLS_PER_LOG_READ);
        if now.state() == v1::ConnectionState::Disconnected
            || (worked && declined(client, &before.id, until).await)
        {
            let text = "the account was not connected: access was not given, or the provider failed; the page in the \
                        browser says which";
            return Err(Status::failed_precondition(text).into());
        }
        if SystemClock.now().seconds() > until {
            break;
        }
    }
    let text = "the account was not connected within ten minutes; run the command again";
    Err(Status::failed_precondition(text).into())
}
