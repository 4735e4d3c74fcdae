//! `connections create|list|get|update|access|rotate|delete|purge`; `connect` and the others have files of their own.

mod access;
mod credentials;
mod states;
mod update;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use credvault_domain::Clock as _;

use super::affected::print_affected;
use super::args::{ConfirmArgs, HealthArg, OutputArgs, PageArgs, days, pair, rotation_period};
use super::client::{Client, ClientArgs};
use super::completion::{connections_completer, providers_completer};
use super::failure::Failure;
use super::live::WatchArgs;
use super::lookup::{
    connection_id, deleted_connection_id, print_one, print_page_of, request_id, settings, time_text,
};
use super::near::check_provider;
use super::output::{Format, Output};
use super::rpcs::in_commands;
use super::secret_input::SecretArgs;
use super::sentences::{print_rotation, print_words};
use super::serve::{ONE_THREAD, run as run_on};
use super::{connect, connect_page};
use crate::clock::SystemClock;
use crate::grpc::{struct_of, timestamp};
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum ConnectionsCommand {
    /// Create a connection, with its credential if one is given.
    Create(CreateArgs),
    /// Connect an account in a browser: prints the address to open, waits, and reports.
    Connect(connect::ConnectArgs),
    /// Make a session of the vault's connect page for the user of the call, and print the address that this user's browser opens,
    /// once.
    ConnectPage(connect_page::ConnectPageArgs),
    /// List all connections that the caller can reach.
    List(ListArgs),
    /// Show one connection as a whole.
    Get(GetArgs),
    /// Change the account name, settings or labels of a connection, disable or enable it, or set how often its credential is
    /// replaced. While it is disabled, no fetch is served.
    Update(update::UpdateArgs),
    /// Show who may use the secret of a connection under the policies of the vault, and who did. For administrators.
    Access(access::AccessArgs),
    /// Have the provider make another key, serve that, and print what becomes of the key before.
    Rotate(RotateArgs),
    /// Delete a connection, and print what remains of it at the provider. `connections undelete` restores it, within 30 days
    /// by default.
    Delete(EndArgs),
    /// Permanently remove a deleted connection, and print what remains of it at the provider.
    Purge(EndArgs),
    #[command(flatten)]
    State(states::StateCommand),
    #[command(flatten)]
    Credential(credentials::CredentialCommand),
}

#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// The id of the provider.
    #[arg(add = providers_completer())]
    provider: String,
    /// The name of the account.
    #[arg(long, default_value = "default")]
    account: String,
    /// The auth mode, if the provider has several.
    #[arg(long)]
    auth_mode: Option<String>,
    /// A setting that is not secret. Repeatable.
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    #[command(flatten)]
    secrets: SecretArgs,
    /// How often the credential is to be replaced: by the vault, or with reminders where the provider has no call for that.
    #[arg(long, value_name = "DAYS")]
    rotation_days: Option<u32>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which connections are listed. One must match all that is given.
#[derive(Args, Debug)]
struct FilterArgs {
    /// List only connections at this provider.
    #[arg(long, add = providers_completer())]
    provider: Option<String>,
    /// List only connections that this user owns. `--user` says for whom the call is, and chooses none.
    #[arg(long, value_name = "ID", alias = "owned-by")]
    owner_user: Option<String>,
    /// List only connections with this health.
    #[arg(long, value_enum)]
    health: Option<HealthArg>,
    /// List only connections whose grant or key ends within so many days.
    #[arg(long, value_name = "DAYS")]
    ends_within: Option<u32>,
    /// List only connections whose credential is to be replaced within so many days.
    #[arg(long, value_name = "DAYS")]
    rotation_due_within: Option<u32>,
    /// Show deleted connections, too.
    #[arg(long)]
    show_deleted: bool,
}

#[derive(Args, Debug)]
pub(super) struct OneArgs {
    /// The connection: its id, its provider and account, or its provider alone.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct GetArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

#[derive(Args, Debug)]
pub(super) struct EndArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// Destroy the secret at once, and have the provider revoke the grant.
    #[arg(long)]
    revoke: bool,
}

#[derive(Args, Debug)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Revoke the key before at once, because it has leaked. Callers that still keep it fail until their next fetch.
    #[arg(long)]
    revoke_now: bool,
}

pub(super) fn run(command: ConnectionsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            ConnectionsCommand::Create(arguments) => create(arguments, output).await,
            ConnectionsCommand::Connect(arguments) => connect::run(arguments, output).await,
            ConnectionsCommand::ConnectPage(arguments) => connect_page::run(arguments, output).await,
            ConnectionsCommand::List(arguments) => list(arguments, output).await,
            ConnectionsCommand::Get(GetArgs { one, watch }) => {
                let named = &one.connection;
                watch
                    .show(&one.client, one.output.output, output, async |client, format, output| {
                        get(client, named, format, output).await
                    })
                    .await
            }
            ConnectionsCommand::Update(arguments) => update::run(arguments, output).await,
            ConnectionsCommand::Access(arguments) => access::show(arguments, output).await,
            ConnectionsCommand::Rotate(arguments) => rotate(arguments, output).await,
            ConnectionsCommand::Delete(arguments) => delete(arguments, output).await,
            ConnectionsCommand::Purge(arguments) => purge(arguments, output).await,
            ConnectionsCommand::Credential(command) => credentials::run(command, output).await,
            ConnectionsCommand::State(command) => states::run(command, output).await,
        }
    })
}

/// Prints one connection with all that the vault says of it.
async fn get(client: &Client, named: &str, format: Format, output: &mut Output) -> Result<(), Failure> {
    let connection_id = connection_id(client, named, false).await?;
    let request = v1::GetConnectionRequest { connection_id };
    let found = client.connections().get_connection(request).await?.into_inner().connection;
    print_one(found.clone(), format, output)?;
    match found.filter(|_| format == Format::Table) {
        Some(found) => {
            print_words(Some(&found), output)?;
            print_rotation(&found, output)
        }
        None => Ok(()),
    }
}

async fn create(arguments: CreateArgs, output: &mut Output) -> Result<(), Failure> {
    let fields = arguments.secrets.in_files()?;
    let client = arguments.client.connect().await?;
    let mode = arguments.auth_mode.as_deref().unwrap_or_default();
    let fields = arguments.secrets.or_typed(fields, &client, &arguments.provider, mode).await?;
    let request = arguments.request(fields)?;
    let created = client.connections().create_connection(request).await?.into_inner();
    print_one(created.connection, arguments.output.output, output)
}

async fn rotate(arguments: RotateArgs, output: &mut Output) -> Result<(), Failure> {
    let RotateArgs { one, revoke_now } = arguments;
    let client = one.client.connect().await?;
    let request = v1::RotateCredentialRequest {
        connection_id: connection_id(&client, &one.connection, false).await?,
        request_id: request_id()?,
        revoke_now,
        ..Default::default()
    };
    let rotated = client.connections().rotate_credential(request).await?.into_inner();
    if one.output.output == Format::Json {
        return output.json("RotateCredentialResponse", &rotated);
    }
    print_one(rotated.connection, Format::Table, output)?;
    let old_key = rotated.old_key.unwrap_or_default();
    let end = time_text(old_key.end_time.as_ref());
    output.line(&match old_key.state() {
        v1::OldKeyState::Ended => "The provider does not accept the old key any more.".to_owned(),
        v1::OldKeyState::RevokedLater => format!("The vault revokes the old key: {end}."),
        v1::OldKeyState::EndsByItself => format!("The provider ends the old key by itself: {end}."),
        v1::OldKeyState::Left | v1::OldKeyState::Unspecified => {
            "The vault cannot revoke the old key: delete it at the provider.".to_owned()
        }
    })
}

async fn delete(arguments: EndArgs, output: &mut Output) -> Result<(), Failure> {
    let EndArgs { one, confirm, revoke } = arguments;
    let named = &one.connection;
    confirm.ask(&match revoke {
        false => format!(
            "Delete the connection {named}? `credvault connections undelete` can restore it for a while."
        ),
        true => format!("Delete the connection {named}, and destroy its secret? That cannot be undone."),
    })?;
    let client = one.client.connect().await?;
    let request = v1::DeleteConnectionRequest {
        connection_id: connection_id(&client, named, false).await?,
        revoke,
        request_id: request_id()?,
        ..Default::default()
    };
    let deleted = client.connections().delete_connection(request).await?.into_inner();
    if one.output.output == Format::Json {
        return output.json("DeleteConnectionResponse", &deleted);
    }
    let gone = deleted.connection.clone().unwrap_or_default();
    print_one(deleted.connection, Format::Table, output)?;
    print_grant(deleted.grant.as_ref(), output)?;
    print_affected(&deleted.affected_services, deleted.hidden_affected_services, output)?;
    let (until, caller) = (time_text(gone.purge_time.as_ref()), one.client.repeated());
    let what = if revoke { "it without its secret" } else { "it" };
    output.line(&format!(
        "To restore {what}, until {until}: credvault connections undelete {}{caller}",
        gone.id
    ))
}

async fn purge(arguments: EndArgs, output: &mut Output) -> Result<(), Failure> {
    let EndArgs { one, confirm, revoke } = arguments;
    let named = &one.connection;
    confirm.ask(&format!("Remove the deleted connection {named} for good? That cannot be undone."))?;
    let client = one.client.connect().await?;
    let request = v1::PurgeConnectionRequest {
        connection_id: deleted_connection_id(&client, named).await?,
        revoke,
        request_id: request_id()?,
        ..Default::default()
    };
    let purged = client.connections().purge_connection(request).await?.into_inner();
    if one.output.output == Format::Json {
        return output.json("PurgeConnectionResponse", &purged);
    }
    output.line::<Failure>(match purged.waits_for_revocation {
        true => "The connection is removed as soon as its revocation is settled.",
        false => "The connection is removed.",
    })?;
    print_grant(purged.grant.as_ref(), output)
}

/// Prints what becomes of a grant, if the vault says so.
fn print_grant(grant: Option<&v1::GrantOutcome>, output: &mut Output) -> Result<(), Failure> {
    match grant {
        Some(grant) => output.line(&in_commands(&grant.text)),
        None => Ok(()),
    }
}

impl CreateArgs {
    fn request(&self, fields: BTreeMap<String, String>) -> Result<v1::CreateConnectionRequest, Failure> {
        let config = settings(&self.config);
        let credential =
            if fields.is_empty() { None } else { Some(v1::CredentialInput { fields, expiry: None }) };
        Ok(v1::CreateConnectionRequest {
            provider: self.provider.clone(),
            account_name: self.account.clone(),
            auth_mode: self.auth_mode.clone().unwrap_or_default(),
            config: Some(struct_of(&config)),
            credential,
            request_id: request_id()?,
            rotation_period: self.rotation_days.and_then(rotation_period),
            ..Default::default()
        })
    }
}

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let ListArgs { page, watch, client: caller, output: printed, filter } = arguments;
    let provider_asked = filter.provider.as_deref();
    watch
        .show(&caller, printed.output, output, async |client, format, output| {
            // A watch counts days from each of its answers.
            let filter = filter.request();
            let (all, next) = page
                .items(async |page_size, page_token| {
                    let request = v1::ListConnectionsRequest { page_size, page_token, ..filter.clone() };
                    let page = client.connections().list_connections(request).await?.into_inner();
                    Ok((page.connections, page.next_page_token))
                })
                .await?;
            if let Some(provider) = provider_asked.filter(|_| all.is_empty()) {
                check_provider(client, provider).await?;
            }
            print_page_of(client.whose(), (&all, &next), format, output)
        })
        .await
}

impl FilterArgs {
    /// The request of a list, without its page. Numbers of days count from now.
    fn request(&self) -> v1::ListConnectionsRequest {
        let user =
            |user_id: &String| v1::Owner { kind: v1::OwnerKind::User.into(), user_id: user_id.clone() };
        let within = |number| timestamp(SystemClock.now().after(days(number)));
        v1::ListConnectionsRequest {
            owner: self.owner_user.as_ref().map(user),
            provider: self.provider.clone().unwrap_or_default(),
            show_deleted: self.show_deleted,
            health: self.health.map_or(v1::HealthState::Unspecified, HealthArg::state).into(),
            ends_before: self.ends_within.map(within),
            rotation_due_before: self.rotation_due_within.map(within),
            ..Default::default()
        }
    }
}
