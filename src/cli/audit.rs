//! `audit list|summary|tail|export|checkpoint|prove|prove-consistency|verify|verify-record`: which service called what, about which
//! connection, with which outcome; and the proof that the log is what it was.

mod filter;
mod list;
mod proof;
mod summary;
mod tail;

mod destination;
mod export;
mod logged;

mod report;
mod trusted;
mod verify;

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::serve::{ONE_THREAD, run as run_on};

#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List records, newest first, a page at a time.
    List(list::ListArgs),
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

pub(super) fn run(command: AuditCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            AuditCommand::List(arguments) => list::list(arguments, output).await,
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
