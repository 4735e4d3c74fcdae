//! `sync report|show`: how far the resources of a connection are synchronised.

use clap::{Args, Subcommand, ValueEnum};

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::completion::connections_completer;
use super::failure::Failure;
use super::lookup::{connection_id, request_id};
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum SyncCommand {
    /// Report how far a resource of a connection is synchronised.
    Report(ReportArgs),
    /// Show how far the resources of a connection are synchronised.
    Show(ShowArgs),
}

/// How a run stands.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Status {
    /// It has begun just now.
    Running,
    /// It ended without an error.
    Ok,
    /// It ended with an error.
    Failed,
}

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The connection: its id, its provider and account, or its provider alone.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: String,
    /// The resource, such as `orders`.
    resource: String,
    /// How the run stands.
    #[arg(long, value_enum)]
    status: Status,
    /// The new cursor; without it, the cursor stays. Not a secret.
    #[arg(long)]
    cursor: Option<String>,
    /// The revision that must be current; 0 if nothing was reported yet.
    #[arg(long)]
    expected_revision: Option<i64>,
    /// The cursor that must be current; empty also if nothing was reported yet.
    #[arg(long)]
    expected_cursor: Option<String>,
    /// The id of the report, a UUID: the same id takes effect once. By default a new one.
    #[arg(long)]
    request_id: Option<String>,
    /// How many items the run has synchronised.
    #[arg(long, default_value_t = 0)]
    synced: i64,
    /// How many items of the run failed.
    #[arg(long, default_value_t = 0)]
    failed: i64,
    /// Why the run failed.
    #[arg(long, default_value = "")]
    error: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// The connection: its id, its provider and account, or its provider alone.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: SyncCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            SyncCommand::Report(arguments) => {
                let (client, format) = (arguments.client.connect().await?, arguments.output.output);
                let id = connection_id(&client, &arguments.connection, false).await?;
                let reported = client.connections().report_sync(arguments.request(id)?).await?.into_inner();
                print(&reported.state.into_iter().collect::<Vec<_>>(), format, output)
            }
            SyncCommand::Show(arguments) => {
                let client = arguments.client.connect().await?;
                let connection_id = connection_id(&client, &arguments.connection, false).await?;
                let request = v1::GetConnectionRequest { connection_id };
                let found = client.connections().get_connection(request).await?.into_inner();
                print(&found.connection.unwrap_or_default().sync_states, arguments.output.output, output)
            }
        }
    })
}

impl ReportArgs {
    fn request(self, connection_id: String) -> Result<v1::ReportSyncRequest, Failure> {
        let status = match self.status {
            Status::Running => v1::SyncStatus::Running,
            Status::Ok => v1::SyncStatus::Ok,
            Status::Failed => v1::SyncStatus::Failed,
        };
        let request_id = match self.request_id {
            Some(id) => id,
            None => request_id()?,
        };
        Ok(v1::ReportSyncRequest {
            connection_id,
            resource: self.resource,
            status: status.into(),
            cursor: self.cursor,
            expected_revision: self.expected_revision,
            expected_cursor: self.expected_cursor,
            items_synced: self.synced,
            items_failed: self.failed,
            error: self.error,
            request_id,
        })
    }
}

fn print(states: &[v1::SyncState], format: Format, output: &mut Output) -> Result<(), Failure> {
    if format == Format::Json {
        return output.json_list("SyncState", states);
    }
    let row = |state: &v1::SyncState| {
        let status = state.status().as_str_name().trim_start_matches("SYNC_STATUS_").to_lowercase();
        vec![
            state.resource.clone(),
            status,
            state.revision.to_string(),
            state.items_synced.to_string(),
            state.items_failed.to_string(),
            state.success_time.map_or("never".to_owned(), |time| time.to_string()),
            state.cursor.clone(),
            state.error.clone(),
        ]
    };
    let headings = ["RESOURCE", "STATUS", "REVISION", "SYNCED", "FAILED", "LAST SUCCESS", "CURSOR", "ERROR"];
    output.table(&headings, &states.iter().map(row).collect::<Vec<_>>())
}
