//! `audit export`: records for programs, spreadsheets and auditors. What is written is never held as a whole. Lists, newest first,
//! come page by page, and one that stops says where another one continues; the log in its own order comes as one stream.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use credvault_console::{csv_heading, csv_line, json_line};
use tonic::Status;

use super::destination::Destination;
use super::filter::FilterArgs;
use super::logged::{self, LoggedArgs};
use crate::cli::attempts::{Attempts, Next};
use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::whose::Whose;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// The form to write.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ExportFormat::Jsonl)]
    format: ExportFormat,
    /// The file to write, which must not be there yet. It has its name only once it is whole. Without it, or with `-`,
    /// standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where a list that stopped continues, as it has printed. CSV has no headings then.
    #[arg(long, value_name = "TOKEN", default_value = "")]
    page_token: String,
    #[command(flatten)]
    logged: LoggedArgs,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum ExportFormat {
    /// A list, newest first: one JSON object on each line, exactly as the vault has the record.
    Jsonl,
    /// A list, newest first: comma-separated values for spreadsheets, with a line of headings.
    Csv,
    /// The log in its order, with the proofs that `audit verify` verifies without the vault.
    Proved,
    /// The log in its order: one JSON object with index and record on each line.
    Log,
    /// The log in its order: one event of OCSF on each line, for a SIEM.
    Ocsf,
}

pub(super) async fn write(arguments: ExportArgs, output: &mut Output) -> Result<(), Failure> {
    let ExportArgs { filter, format, output: path, page_token, logged, client } = arguments;
    let (format, path) = format_and_file(format, path);
    let listed: fn(&v1::AuditEvent) -> String = match format {
        ExportFormat::Jsonl => json_line,
        ExportFormat::Csv => csv_line,
        ExportFormat::Proved | ExportFormat::Log | ExportFormat::Ocsf => {
            if !page_token.is_empty() {
                let rule = "--page-token continues a list, of the form jsonl or csv";
                return Err(Failure::Usage(rule.to_owned()));
            }
            let client = client.connect().await?;
            let filter = filter.filter(&client).await?;
            let request = logged.request(format.wire(), filter);
            return logged::write(&client, request, path.as_deref(), output).await;
        }
    };
    if !logged.is_empty() {
        let rule =
            "--first, --end, --earlier, --partial and --cosigned are for the forms proved, log and ocsf";
        return Err(Failure::Usage(rule.to_owned()));
    }
    let client = client.connect().await?;
    if *client.whose() == Whose::Platform {
        // The file gets records only. If standard error is closed, they still come.
        let _ = writeln!(std::io::stderr(), "records of the platform; name a tenant with --tenant");
    }
    let filter = filter.filter(&client).await?;
    let request = v1::ListAuditEventsRequest { filter: Some(filter), page_size: 500, page_token };
    let heading = (format == ExportFormat::Csv && request.page_token.is_empty()).then(csv_heading);
    list(&client, request, (heading, listed), path.as_deref(), output).await
}

async fn list(
    client: &Client,
    mut request: v1::ListAuditEventsRequest,
    (heading, line): (Option<String>, fn(&v1::AuditEvent) -> String),
    path: Option<&Path>,
    output: &mut Output,
) -> Result<(), Failure> {
    let began = request.page_token.clone();
    let mut destination = Destination::open(path, output)?;
    if let Some(heading) = heading {
        destination.write(&heading)?;
    }
    loop {
        let page = match next_page(client, &request).await {
            Ok(page) => page,
            // A file that is not whole is removed, so there is nothing to continue.
            Err(status) if destination.is_file() => return Err(status.into()),
            Err(status) => return Err(stopped(&began, &request.page_token, status)),
        };
        let lines: Vec<String> = page.events.iter().map(line).collect();
        // One write for each page: a line at a time would be flushed a line at a time.
        if !lines.is_empty() {
            destination.write(&lines.join("\n"))?;
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return destination.finish();
        }
    }
}

/// Scripts of earlier releases name the form by `--output`: these two words are no files.
fn format_and_file(format: ExportFormat, path: Option<PathBuf>) -> (ExportFormat, Option<PathBuf>) {
    match path.as_deref().and_then(Path::to_str) {
        Some("jsonl") => (ExportFormat::Jsonl, None),
        Some("csv") => (ExportFormat::Csv, None),
        Some(_) | None => (format, path),
    }
}

impl ExportFormat {
    /// The form as the wire has it; none of a list.
    fn wire(self) -> v1::AuditExportFormat {
        match self {
            Self::Jsonl | Self::Csv => v1::AuditExportFormat::Unspecified,
            Self::Proved => v1::AuditExportFormat::ProvedJsonLines,
            Self::Log => v1::AuditExportFormat::JsonLines,
            Self::Ocsf => v1::AuditExportFormat::Ocsf,
        }
    }
}

/// Asks for a page until the vault has time for it.
async fn next_page(
    client: &Client,
    request: &v1::ListAuditEventsRequest,
) -> Result<v1::ListAuditEventsResponse, Status> {
    let mut attempts = Attempts::waiting_for_rates();
    loop {
        let refused = match client.audit().list_audit_events(request.clone()).await {
            Ok(page) => return Ok(page.into_inner()),
            Err(refused) => refused,
        };
        match attempts.after(&refused).await {
            Next::Again => {}
            Next::Over | Next::Refused => return Err(refused),
        }
    }
}

/// Says where another export continues, if this one has come further than it began.
fn stopped(began: &str, at: &str, status: Status) -> Failure {
    if began != at {
        // If standard error is closed, the failure is not shown either.
        let _ = writeln!(std::io::stderr(), "stopped: continue with the same command and --page-token {at}");
    }
    status.into()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
    use serde_json::Value;

    use super::*;

    /// Whole numbers are numbers, and each field is there.
    const JSON: SerializeOptions =
        SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);

    #[test]
    fn the_words_of_earlier_releases_are_forms_and_no_files() {
        let of = |format, path: &str| format_and_file(format, Some(path.into()));
        assert_eq!(of(ExportFormat::Jsonl, "csv"), (ExportFormat::Csv, None));
        assert_eq!(of(ExportFormat::Csv, "jsonl"), (ExportFormat::Jsonl, None));
        assert_eq!(of(ExportFormat::Csv, "./csv"), (ExportFormat::Csv, Some("./csv".into())));
        assert_eq!(format_and_file(ExportFormat::Ocsf, None), (ExportFormat::Ocsf, None));
    }

    #[test]
    fn a_line_has_the_names_and_values_of_the_messages_json() {
        let pool = DescriptorPool::decode(credvault_proto::DESCRIPTORS).expect("descriptors");
        let descriptor = pool.get_message_by_name("credvault.v1.AuditEvent").expect("a descriptor");
        let event = v1::AuditEvent {
            id: "i".to_owned(),
            time: Some(prost_types::Timestamp { seconds: 1, nanos: 250_000_000 }),
            user_id: "u1".to_owned(),
            version: 7,
            purpose: "say \"x\"".to_owned(),
            outcome: v1::AuditOutcome::Failed.into(),
            changed_fields: vec!["a".to_owned(), "b".to_owned()],
            ..Default::default()
        };
        let encoded = event.encode_to_vec();
        let message = DynamicMessage::decode(descriptor.clone(), encoded.as_slice()).expect("a message");
        let expected =
            message.serialize_with_options(serde_json::value::Serializer, &JSON).expect("protobuf's JSON");
        assert_eq!(serde_json::from_str::<Value>(&json_line(&event)).expect("JSON"), expected);
        let heading = csv_heading();
        let columns: Vec<&str> = heading.split(',').collect();
        assert_eq!(columns.len(), descriptor.fields().count(), "a new field gets a column");
        for column in columns {
            assert!(descriptor.get_field_by_name(column).is_some(), "{column}");
        }
    }
}
