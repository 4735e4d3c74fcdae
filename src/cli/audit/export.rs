//! `audit export`: records for programs and for spreadsheets, page by page. What is written is never held as a whole, and an
//! export that stops says where another one continues.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use tonic::Status;

use super::filter::FilterArgs;
use crate::cli::attempts::{Attempts, Next};
use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::Failure;
use crate::cli::lookup::word;
use crate::cli::output::Output;
use crate::cli::whose::Whose;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// The form to write: one JSON object a line, or CSV with a line of headings.
    #[arg(long, value_enum, value_name = "FORMAT", alias = "format", default_value_t = ExportFormat::Jsonl)]
    output: ExportFormat,
    /// Where an export that stopped continues, as it has printed. CSV has no headings then.
    #[arg(long, value_name = "TOKEN", default_value = "")]
    page_token: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum ExportFormat {
    /// One JSON object on each line, exactly as the vault has the record.
    Jsonl,
    /// Comma-separated values for spreadsheets.
    Csv,
}

pub(super) async fn write(arguments: ExportArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    if *client.whose() == Whose::Platform {
        // The file gets records only. If standard error is closed, they still come.
        let _ = writeln!(std::io::stderr(), "records of the platform; name a tenant with --tenant");
    }
    let descriptor = descriptor()?;
    let began = arguments.page_token.clone();
    let mut request = v1::ListAuditEventsRequest {
        filter: Some(arguments.filter.filter(&client).await?),
        page_size: 500,
        page_token: arguments.page_token,
    };
    if arguments.output == ExportFormat::Csv && began.is_empty() {
        output.line::<Failure>(&COLUMNS.join(","))?;
    }
    loop {
        let page = match next_page(&client, &request).await {
            Ok(page) => page,
            Err(status) => return Err(stopped(&began, &request.page_token, status)),
        };
        let lines = page.events.iter().map(|event| match arguments.output {
            ExportFormat::Jsonl => json_line(&descriptor, event),
            ExportFormat::Csv => Ok(csv_line(event)),
        });
        let lines = lines.collect::<Result<Vec<_>, Failure>>()?;
        // One write for each page: a line at a time would be flushed a line at a time.
        if !lines.is_empty() {
            output.line::<Failure>(&lines.join("\n"))?;
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(());
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

fn descriptor() -> Result<MessageDescriptor, Failure> {
    let pool =
        DescriptorPool::decode(credvault_proto::DESCRIPTORS).context("the descriptors cannot be read")?;
    let found = pool.get_message_by_name("credvault.v1.AuditEvent");
    Ok(found.context("a message without a descriptor")?)
}

/// Each line has each field, so that a program finds every name; whole numbers are numbers.
const JSON: SerializeOptions =
    SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);

fn json_line(descriptor: &MessageDescriptor, event: &v1::AuditEvent) -> Result<String, Failure> {
    let encoded = event.encode_to_vec();
    let dynamic = DynamicMessage::decode(descriptor.clone(), encoded.as_slice());
    let dynamic = dynamic.context("the record cannot be read")?;
    let mut line = Vec::new();
    let written = dynamic.serialize_with_options(&mut serde_json::Serializer::new(&mut line), &JSON);
    written.context("the record cannot be printed as JSON")?;
    Ok(String::from_utf8(line).context("the record cannot be printed as JSON")?)
}

/// The columns of CSV, by the names that the protos have.
const COLUMNS: [&str; 18] = [
    "id",
    "time",
    "service",
    "user_id",
    "owner_user_id",
    "tenant_source",
    "action",
    "connection_id",
    "provider",
    "version",
    "purpose",
    "outcome",
    "reason",
    "changed_fields",
    "released_fields",
    "policies",
    "trace_id",
    "source_address",
];

fn csv_line(event: &v1::AuditEvent) -> String {
    let cells: [String; 18] = [
        event.id.clone(),
        event.time.map(|time| time.to_string()).unwrap_or_default(),
        event.service.clone(),
        event.user_id.clone(),
        event.owner_user_id.clone(),
        event.tenant_source.clone(),
        event.action.clone(),
        event.connection_id.clone(),
        event.provider.clone(),
        event.version.to_string(),
        event.purpose.clone(),
        word(event.outcome().as_str_name(), "AUDIT_OUTCOME_"),
        event.reason.clone(),
        event.changed_fields.join(" "),
        event.released_fields.join(" "),
        event.policies.join(" "),
        event.trace_id.clone(),
        event.source_address.clone(),
    ];
    cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",")
}

/// A cell as RFC 4180 has it. What a spreadsheet would take for a formula gets an apostrophe in front: a caller chooses the
/// purpose and the ids of users, and must not run anything where an auditor reads them.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_is_never_a_formula() {
        for (text, expected) in [
            ("", ""),
            ("order sync", "order sync"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("-2,3", "\"'-2,3\""),
            ("@SUM(A1)", "'@SUM(A1)"),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    #[test]
    fn a_record_has_every_column_and_one_line() {
        let event = v1::AuditEvent {
            id: "i".to_owned(),
            time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            outcome: v1::AuditOutcome::Denied.into(),
            changed_fields: vec!["a".to_owned(), "b".to_owned()],
            source_address: "127.0.0.1".to_owned(),
            ..Default::default()
        };
        assert_eq!(csv_line(&event), "i,1970-01-01T00:00:00Z,,,,,,,,0,,denied,,a b,,,,127.0.0.1");
        assert_eq!(csv_line(&event).split(',').count(), COLUMNS.len());
        let descriptor = descriptor().expect("a descriptor");
        for column in COLUMNS {
            assert!(descriptor.get_field_by_name(column).is_some(), "{column}");
        }
        assert_eq!(descriptor.fields().count(), COLUMNS.len(), "a new field gets a column");
        let line = json_line(&descriptor, &event).expect("a line");
        assert!(!line.contains('\n') && line.contains("\"changedFields\":[\"a\",\"b\"]"), "{line}");
        assert!(line.contains("\"version\":0") && line.contains("\"purpose\":\"\""), "{line}");
    }
}
