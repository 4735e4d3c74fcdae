//! `audit export`: records for programs and for spreadsheets, page by page. What is written is never held as a whole, and an
//! export that stops says where another one continues.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use credvault_console::{csv_heading, csv_line, json_line};
use tonic::Status;

use super::filter::FilterArgs;
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
    let began = arguments.page_token.clone();
    let mut request = v1::ListAuditEventsRequest {
        filter: Some(arguments.filter.filter(&client).await?),
        page_size: 500,
        page_token: arguments.page_token,
    };
    if arguments.output == ExportFormat::Csv && began.is_empty() {
        output.line::<Failure>(&csv_heading())?;
    }
    loop {
        let page = match next_page(&client, &request).await {
            Ok(page) => page,
            Err(status) => return Err(stopped(&began, &request.page_token, status)),
        };
        let line: fn(&v1::AuditEvent) -> String = match arguments.output {
            ExportFormat::Jsonl => json_line,
            ExportFormat::Csv => csv_line,
        };
        let lines: Vec<String> = page.events.iter().map(line).collect();
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
