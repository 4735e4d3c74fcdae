//! `audit tail`: prints records as they come. Where the stream ends, another one continues at the index to which it has come, so
//! that no record is lost or printed twice.

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use credvault_console::json_line;
use tonic::Status;

use super::filter::FilterArgs;
use super::list::row;
use crate::cli::attempts::{Attempts, Next};
use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use credvault_proto::v1;

/// How long the vault may say nothing before the connection counts as broken. It says something every five seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// The pause after a stream that the vault has ended, as one that stops does.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Args, Debug)]
pub(in crate::cli) struct TailArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// The index of the first record to print; 0 for the first that the log keeps. Without it, those that come from now on.
    #[arg(long, value_name = "INDEX", value_parser = clap::value_parser!(i64).range(0..))]
    from: Option<i64>,
    /// The format of each line: for people, or one JSON object with index and record.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = TailFormat::Table)]
    output: TailFormat,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum TailFormat {
    /// Index, time, caller, action, outcome, provider and connection.
    Table,
    /// One JSON object on each line.
    Jsonl,
}

pub(super) async fn follow(arguments: TailArgs, output: &mut Output) -> Result<(), Failure> {
    let TailArgs { filter, from, output: format, client: to } = arguments;
    let mut client = to.connect().await?;
    let filter = filter.filter(&client).await?;
    let mut request = v1::TailAuditEventsRequest { filter: Some(filter), start_index: from };
    let mut attempts = Attempts::waiting_for_rates();
    loop {
        let ended = print(&client, &mut request, &mut attempts, (format, &mut *output)).await;
        let status = match ended {
            Ok(()) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(Failure::Status(status)) => status,
            Err(failure) => return Err(failure),
        };
        match attempts.after(&status).await {
            Next::Again => {}
            Next::Over | Next::Refused => return Err(stopped(&request, *status)),
        }
        // Another connection: the one that there was may lead to a replica that is gone.
        match to.connect().await {
            Ok(other) => client = other,
            Err(Failure::Status(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// Prints what one stream brings, and notes how far it has come.
async fn print(
    client: &Client,
    request: &mut v1::TailAuditEventsRequest,
    attempts: &mut Attempts,
    (format, output): (TailFormat, &mut Output),
) -> Result<(), Failure> {
    let mut stream = client.audit().tail_audit_events(request.clone()).await?.into_inner();
    loop {
        let next = tokio::time::timeout(SILENCE, stream.message()).await;
        let silent = |_| Status::unavailable("the vault has said nothing for 30 seconds");
        let Some(part) = next.map_err(silent)?? else { return Ok(()) };
        let lines: Vec<String> = part.events.iter().map(|indexed| line(indexed, format)).collect();
        if !lines.is_empty() {
            output.line::<Failure>(&lines.join("\n"))?;
        }
        // Only what is printed counts as read.
        request.start_index = Some(part.next_index);
        *attempts = Attempts::waiting_for_rates();
    }
}

fn line(indexed: &v1::IndexedAuditEvent, format: TailFormat) -> String {
    let v1::IndexedAuditEvent { index, event } = indexed;
    let event = event.clone().unwrap_or_default();
    match format {
        TailFormat::Jsonl => format!("{{\"index\":{index},\"event\":{}}}", json_line(&event)),
        TailFormat::Table => {
            let cell = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            let cells: Vec<String> = row(&event).into_iter().map(cell).collect();
            format!("{index:>8}  {}", cells.join("  "))
        }
    }
}

/// Says where another tail continues.
fn stopped(request: &v1::TailAuditEventsRequest, status: Status) -> Failure {
    if let Some(index) = request.start_index {
        // If standard error is closed, the failure is not shown either.
        let _ = writeln!(std::io::stderr(), "stopped: continue with the same command and --from {index}");
    }
    status.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_index_and_no_empty_cell() {
        let event = v1::AuditEvent { action: "FetchCredential".to_owned(), ..Default::default() };
        let indexed = v1::IndexedAuditEvent { index: 7, event: Some(event) };
        let table = line(&indexed, TailFormat::Table);
        assert!(table.starts_with("       7  ") && table.contains("  -  FetchCredential  "), "{table}");
        let json: serde_json::Value = serde_json::from_str(&line(&indexed, TailFormat::Jsonl)).expect("JSON");
        assert_eq!((&json["index"], &json["event"]["action"]), (&7.into(), &"FetchCredential".into()));
    }
}
