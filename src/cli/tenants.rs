//! `tenants create|get|list|suspend|resume|connections|counts|change|change-all|erase|erasures`: the life of a tenant, what an
//! administrator sees of its connections, changes of many of them, and its end.

mod asking;
mod change;
mod counts;
mod erase;
mod life;
mod outcomes;
mod place;
mod selection;

use clap::{Args, Subcommand};

use super::args::{OutputArgs, PageArgs};
use super::client::ClientArgs;
use super::failure::Failure;
use super::live::WatchArgs;
use super::lookup::print_page_of;
use super::output::Output;
use super::serve::{ONE_THREAD, run as run_on};
use super::whose::Whose;
use change::{ChangeArgs, WorkArgs};
use counts::CountsArgs;
use credvault_proto::v1;
use erase::{EraseArgs, ErasuresArgs};
use place::Place;
use selection::SelectionArgs;

#[derive(Subcommand, Debug)]
pub(super) enum TenantsCommand {
    #[command(flatten)]
    Life(life::LifeCommand),
    /// List the connections of a tenant, of all its users.
    Connections(ConnectionsArgs),
    /// Count the connections by state and health: of one tenant, or of all together.
    Counts(CountsArgs),
    /// Disable, enable, disconnect, refresh or test many connections of a tenant.
    Change(ChangeArgs),
    /// The same for every tenant that `tenants list` shows, one after the other; not for the platform's own connections.
    ChangeAll(WorkArgs),
    /// Erase a tenant for good, in two steps: show what would be destroyed, then confirm with the token.
    Erase(EraseArgs),
    /// List the tenants that were erased, or write the signed statement about one to a file.
    Erasures(ErasuresArgs),
}

#[derive(Args, Debug)]
pub(super) struct ConnectionsArgs {
    /// The id of the tenant; or name it with --tenant.
    tenant_id: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Show deleted connections, too.
    #[arg(long)]
    show_deleted: bool,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: TenantsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            TenantsCommand::Life(command) => life::run(command, output).await,
            TenantsCommand::Connections(arguments) => list(arguments, output).await,
            TenantsCommand::Counts(arguments) => counts::count(arguments, output).await,
            TenantsCommand::Change(arguments) => change::one(arguments, output).await,
            TenantsCommand::ChangeAll(arguments) => change::all(arguments, output).await,
            TenantsCommand::Erase(arguments) => erase::erase(arguments, output).await,
            TenantsCommand::Erasures(arguments) => erase::list(arguments, output).await,
        }
    })
}

async fn list(arguments: ConnectionsArgs, output: &mut Output) -> Result<(), Failure> {
    let ConnectionsArgs { tenant_id, selection, show_deleted, page, watch, client, output: printed } =
        arguments;
    let tenant_id = client
        .tenant_or(tenant_id.as_deref())?
        .ok_or_else(|| Failure::Usage("name the tenant, by TENANT_ID or with --tenant".to_owned()))?;
    let whose = Whose::with_id(&tenant_id);
    watch
        .show(&client, printed.output, output, async |client, format, output| {
            let filter = v1::ListTenantConnectionsRequest {
                tenant_id: tenant_id.clone(),
                selection: Some(selection.selection(Place::beginning(&tenant_id).now)),
                show_deleted,
                ..Default::default()
            };
            let (all, next) = page
                .items(async |page_size, page_token| {
                    let request =
                        v1::ListTenantConnectionsRequest { page_size, page_token, ..filter.clone() };
                    let page = client.admin().list_tenant_connections(request).await?.into_inner();
                    Ok((page.connections, page.next_page_token))
                })
                .await?;
            if all.is_empty() {
                selection.check_provider(client).await?;
            }
            print_page_of(&whose, (&all, &next), format, output)
        })
        .await
}
