//! `tenants connections|change`: what an administrator sees of a tenant's connections, and changes of many of them.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use credvault_domain::Clock as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::args::OutputArgs;
use super::client::{Client, ClientArgs};
use super::failure::Failure;
use super::lookup::print_all;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use crate::clock::SystemClock;
use crate::grpc::timestamp;
use credvault_proto::v1;

/// How long a change waits at most before it asks a vault again that has asked for fewer calls.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Subcommand, Debug)]
pub(super) enum TenantsCommand {
    /// List the connections of a tenant, of all its users.
    Connections(ConnectionsArgs),
    /// Disable, enable, disconnect, refresh or test many connections of a tenant.
    Change(ChangeArgs),
}

/// Which connections. One must match all that is given.
#[derive(Args, Debug)]
struct SelectionArgs {
    /// Only connections at this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only connections of this user.
    #[arg(long, value_name = "USER")]
    owned_by: Option<String>,
    /// Only connections in this state.
    #[arg(long)]
    state: Option<StateArg>,
    /// Only this connection. Repeatable, up to 100 times.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Only connections that were created, and last fetched if ever, more than this many days ago.
    #[arg(long, value_name = "DAYS")]
    unused_days: Option<u32>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum StateArg {
    Disconnected,
    Connecting,
    Connected,
    Error,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum ChangeArg {
    Disable,
    Enable,
    Disconnect,
    Refresh,
    Test,
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
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct ChangeArgs {
    /// The id of the tenant.
    tenant_id: String,
    /// What to do with each connection.
    kind: ChangeArg,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Change all of the tenant's connections; needed if nothing selects some.
    #[arg(long)]
    all: bool,
    /// Only report what would happen.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: TenantsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            TenantsCommand::Connections(arguments) => list(arguments, output).await,
            TenantsCommand::Change(arguments) => change(arguments, output).await,
        }
    })
}

impl SelectionArgs {
    fn is_empty(&self) -> bool {
        let Self { provider, owned_by, state, ids, unused_days } = self;
        provider.is_none() && owned_by.is_none() && state.is_none() && ids.is_empty() && unused_days.is_none()
    }

    fn selection(self) -> v1::ConnectionSelection {
        let user = |user_id| v1::Owner { kind: v1::OwnerKind::User.into(), user_id };
        let state = match self.state {
            None => v1::ConnectionState::Unspecified,
            Some(StateArg::Disconnected) => v1::ConnectionState::Disconnected,
            Some(StateArg::Connecting) => v1::ConnectionState::Connecting,
            Some(StateArg::Connected) => v1::ConnectionState::Connected,
            Some(StateArg::Error) => v1::ConnectionState::Error,
        };
        let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3600);
        let unused_since = self.unused_days.map(|number| timestamp(SystemClock.now().before(days(number))));
        v1::ConnectionSelection {
            ids: self.ids,
            owner: self.owned_by.map(user),
            provider: self.provider.unwrap_or_default(),
            state: state.into(),
            unused_since,
            ..Default::default()
        }
    }
}

async fn list(arguments: ConnectionsArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let mut request = v1::ListTenantConnectionsRequest {
        tenant_id: arguments.tenant_id,
        page_size: 500,
        selection: Some(arguments.selection.selection()),
        show_deleted: arguments.show_deleted,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let page = client.admin().list_tenant_connections(request.clone()).await?.into_inner();
        all.extend(page.connections);
        if page.next_page_token.is_empty() {
            return print_all(&all, arguments.output.output, output);
        }
        request.page_token = page.next_page_token;
    }
}

async fn change(arguments: ChangeArgs, output: &mut Output) -> Result<(), Failure> {
    if arguments.selection.is_empty() && !arguments.all {
        let way_out = "select some, for example with --provider, or give --all";
        return Err(Failure::Usage(format!("this would change all of the tenant's connections: {way_out}")));
    }
    let client = arguments.client.connect().await?;
    let kind = match arguments.kind {
        ChangeArg::Disable => v1::ConnectionChangeKind::Disable,
        ChangeArg::Enable => v1::ConnectionChangeKind::Enable,
        ChangeArg::Disconnect => v1::ConnectionChangeKind::Disconnect,
        ChangeArg::Refresh => v1::ConnectionChangeKind::Refresh,
        ChangeArg::Test => v1::ConnectionChangeKind::Test,
    };
    let mut request = v1::ChangeTenantConnectionsRequest {
        tenant_id: arguments.tenant_id,
        kind: kind.into(),
        selection: Some(arguments.selection.selection()),
        dry_run: arguments.dry_run,
        ..Default::default()
    };
    let (mut all, mut total) = (Vec::new(), None);
    loop {
        let page = next_page(&client, &request).await?;
        all.extend(page.changes);
        total = total.or(page.total);
        show_progress(all.len(), total);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    print_changes(&all, arguments.output.output, output)
}

/// Asks for a page until the vault has time for it.
async fn next_page(
    client: &Client,
    request: &v1::ChangeTenantConnectionsRequest,
) -> Result<v1::ChangeTenantConnectionsResponse, Failure> {
    loop {
        let refused = match client.admin().change_tenant_connections(request.clone()).await {
            Ok(page) => return Ok(page.into_inner()),
            Err(refused) => refused,
        };
        let delay = refused.get_error_details().retry_info().and_then(|info| info.retry_delay);
        match delay.filter(|_| refused.code() == Code::ResourceExhausted) {
            Some(delay) => tokio::time::sleep(delay.min(LONGEST_PAUSE)).await,
            None => return Err(refused.into()),
        }
    }
}

/// Shows on a terminal how far the work is.
fn show_progress(done: usize, total: Option<i64>) {
    let mut terminal = std::io::stderr();
    if let Some(total) = total.filter(|_| terminal.is_terminal()) {
        // A terminal that does not take it changes nothing.
        let _ = write!(terminal, "\r{done} of {total} connections\x1b[K");
        if usize::try_from(total).is_ok_and(|total| done >= total) {
            let _ = writeln!(terminal);
        }
    }
}

/// Prints each connection, and below how many had which outcome.
fn print_changes(all: &[v1::ConnectionChange], format: Format, output: &mut Output) -> Result<(), Failure> {
    if format == Format::Json {
        return output.json_list("ConnectionChange", all);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows = Vec::with_capacity(all.len());
    for change in all {
        let outcome = change.outcome().as_str_name().trim_start_matches("CONNECTION_CHANGE_OUTCOME_");
        let outcome = outcome.to_lowercase().replace('_', " ");
        let connection = change.connection.clone().unwrap_or_default();
        let reason = change.error.as_ref().map(|error| error.reason.clone()).unwrap_or_default();
        rows.push(vec![connection.id, connection.provider, connection.account_name, outcome.clone(), reason]);
        *counts.entry(outcome).or_default() += 1;
    }
    output.table::<Failure>(&["ID", "PROVIDER", "ACCOUNT", "OUTCOME", "REASON"], &rows)?;
    let counts: Vec<String> = counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    output.line(&format!("{} connections: {}", all.len(), counts.join(", ")))
}
