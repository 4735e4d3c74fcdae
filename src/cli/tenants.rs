//! `tenants create|get|list|suspend|resume|connections|counts|change|change-all|erase|erasures`: the life of a tenant, what an
//! administrator sees of its connections, changes of many of them, and its end.

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
use super::lookup::print_page;
use super::output::Output;
use super::serve::{ONE_THREAD, run as run_on};
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
    /// The id of the tenant.
    tenant_id: String,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Show deleted connections, too.
    #[arg(long)]
    show_deleted: bool,
    #[command(flatten)]
    page: PageArgs,
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
    let client = arguments.client.connect().await?;
    let now = Place::beginning(&arguments.tenant_id).now;
    let (page_size, page_token) = arguments.page.first();
    let mut request = v1::ListTenantConnectionsRequest {
        tenant_id: arguments.tenant_id,
        page_size,
        page_token,
        selection: Some(arguments.selection.selection(now)),
        show_deleted: arguments.show_deleted,
    };
    let mut all = Vec::new();
    loop {
        let page = client.admin().list_tenant_connections(request.clone()).await?.into_inner();
        all.extend(page.connections);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || arguments.page.is_one() {
            return print_page(&all, &request.page_token, arguments.output.output, output);
        }
    }
}
