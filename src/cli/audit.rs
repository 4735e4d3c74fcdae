//! `audit list|summary|tail|export|checkpoint|prove|prove-consistency|verify|verify-record`: which service called what, about which
//! connection, with which outcome; and the proof that the log is what it was.

mod filter;
mod proof;
mod summary;
mod tail;

mod destination;
mod export;
mod logged;

mod report;
mod trusted;
mod verify;

use clap::{Args, Subcommand};

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::lookup::{time_text, word};
use super::output::Output;
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;
use filter::FilterArgs;

#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List records, newest first, a page at a time.
    List(ListArgs),
    /// Count records by what they have in common.
    Summary(summary::SummaryArgs),
    /// Print records as they come, in the order of the log, until stopped. A connection that breaks is made again.
    Tail(tail::TailArgs),
    /// Write all records that match to standard output or a file: newest first, or in the order of the log with proofs.
    Export(export::ExportArgs),
    /// Print the newest signed checkpoint of the log. Keep it where the vault's operators cannot change it.
    Checkpoint(proof::CheckpointArgs),
    /// Print the proof that a record is in the log, which verifies without the vault.
    Prove(proof::ProveArgs),
    /// Print the proof that the log's first records are what they were when it had that number of records.
    ProveConsistency(proof::ConsistencyArgs),
    /// Verify an export with proofs, without the vault.
    Verify(verify::VerifyArgs),
    /// Verify the proof of one record, without the vault.
    VerifyRecord(verify::VerifyRecordArgs),
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// The most records to list, at most 500.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    page_size: i32,
    /// Where the list continues, as an earlier list has printed it.
    #[arg(long, value_name = "TOKEN", default_value = "")]
    page_token: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: AuditCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            AuditCommand::List(arguments) => list(arguments, output).await,
            AuditCommand::Summary(arguments) => summary::show(arguments, output).await,
            AuditCommand::Tail(arguments) => tail::follow(arguments, output).await,
            AuditCommand::Export(arguments) => export::write(arguments, output).await,
            AuditCommand::Checkpoint(arguments) => proof::checkpoint(arguments, output).await,
            AuditCommand::Prove(arguments) => proof::prove(arguments, output).await,
            AuditCommand::ProveConsistency(arguments) => proof::prove_consistency(arguments, output).await,
            AuditCommand::Verify(arguments) => verify::export(&arguments, output),
            AuditCommand::VerifyRecord(arguments) => verify::record(&arguments, output),
        }
    })
}

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let request = v1::ListAuditEventsRequest {
        filter: Some(arguments.filter.filter(&client).await?),
        page_size: arguments.page_size,
        page_token: arguments.page_token,
    };
    let page = client.audit().list_audit_events(request).await?.into_inner();
    let headings = ["TIME", "SERVICE", "USER", "ACTION", "OUTCOME", "PROVIDER", "CONNECTION", "POLICIES"];
    let found = (page.events.as_slice(), page.next_page_token.as_str());
    shown::page_of(
        client.whose(),
        "AuditEvent",
        found,
        arguments.output.output,
        output,
        (&headings, SPARE),
        row,
    )
}

/// How many of the last columns a narrow terminal leaves out at most.
const SPARE: usize = 3;

fn row(event: &v1::AuditEvent) -> Vec<String> {
    let outcome = word(event.outcome().as_str_name(), "AUDIT_OUTCOME_");
    vec![
        time_text(event.time.as_ref()),
        event.service.clone(),
        event.user_id.clone(),
        event.action.clone(),
        if event.reason.is_empty() { outcome } else { format!("{outcome}: {}", event.reason) },
        event.provider.clone(),
        event.connection_id.clone(),
        event.policies.join(" "),
    ]
}
