//! `audit export` in the order of the log: with proofs, as plain JSON lines, as OCSF.

use std::path::Path;

use clap::Args;
use tonic::Status;

use super::destination::Destination;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use credvault_proto::v1;

/// Which part of the log is exported.
#[derive(Args, Debug)]
pub(super) struct LoggedArgs {
    /// The index of the first record; without it, the first that the log keeps. For forms in the order of the log.
    #[arg(long, value_name = "INDEX", value_parser = clap::value_parser!(i64).range(0..))]
    first: Option<i64>,
    /// The index after the last record; without it, the end of the log now. For forms in the order of the log.
    #[arg(long, value_name = "INDEX", value_parser = clap::value_parser!(i64).range(0..))]
    end: Option<i64>,
    /// The size of an earlier checkpoint that you have kept: `audit verify --earlier` verifies that the log continues it. For
    /// the form `proved`. Repeatable.
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(i64).range(0..))]
    earlier: Vec<i64>,
    /// Leave out records that policies keep from this caller, instead of failing at them. The export says that it is not complete.
    #[arg(long)]
    partial: bool,
    /// Prove the records by the checkpoint that most of the vault's witnesses have cosigned, which may be older than the newest.
    /// For the form `proved`.
    #[arg(long)]
    cosigned: bool,
}

impl LoggedArgs {
    /// Whether the command line says nothing of it.
    pub(super) fn is_empty(&self) -> bool {
        let Self { first, end, earlier, partial, cosigned } = self;
        first.is_none() && end.is_none() && earlier.is_empty() && !partial && !cosigned
    }

    pub(super) fn request(
        self,
        format: v1::AuditExportFormat,
        filter: v1::AuditFilter,
    ) -> v1::ExportAuditEventsRequest {
        let Self { first, end, earlier, partial, cosigned } = self;
        v1::ExportAuditEventsRequest {
            format: format.into(),
            filter: Some(filter),
            start_index: first.unwrap_or(0),
            end_index: end.unwrap_or(0),
            earlier_sizes: earlier,
            partial,
            cosigned,
        }
    }
}

/// Writes the export, and says what it has if it went to a file.
pub(super) async fn write(
    client: &Client,
    request: v1::ExportAuditEventsRequest,
    path: Option<&Path>,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut stream = client.audit().export_audit_events(request).await?.into_inner();
    let mut destination = Destination::open(path, output)?;
    let is_file = destination.is_file();
    let (mut summary, mut end) = (v1::AuditExportSummary::default(), None);
    while let Some(part) = stream.message().await? {
        if let Some(found) = part.summary {
            summary = found;
        }
        let lines = String::from_utf8(part.lines).map_err(|_| cut_off())?;
        if let Some(lines) = lines.strip_suffix('\n') {
            destination.write(lines)?;
        }
        end = part.end;
    }
    let end = end.ok_or_else(cut_off)?;
    destination.finish()?;
    if is_file {
        output.line::<Failure>(&said(&summary, &end))?;
    }
    Ok(())
}

/// What an export has, in a sentence.
fn said(summary: &v1::AuditExportSummary, end: &v1::AuditExportEnd) -> String {
    let v1::AuditExportSummary { start_index, end_index, complete, .. } = summary;
    let whole =
        if *complete { "complete" } else { "those that matched, without those that policies keep back" };
    format!("{} records, of the indexes {start_index} to before {end_index}: {whole}", end.record_count)
}

/// What is left of a stream without its last response must not pass for an export.
fn cut_off() -> Failure {
    Status::unavailable("the vault ended the export before its end; export again").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_the_export_has() {
        let mut summary =
            v1::AuditExportSummary { start_index: 3, end_index: 9, complete: true, ..Default::default() };
        let end = v1::AuditExportEnd { record_count: 6 };
        assert_eq!(said(&summary, &end), "6 records, of the indexes 3 to before 9: complete");
        summary.complete = false;
        assert!(said(&summary, &end).contains("those that matched"));
    }
}
