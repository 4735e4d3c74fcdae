//! Audit records as a file: CSV for people, JSON lines for programs. It is sent while it is read, so it may be large. If the
//! vault fails amid it, the transfer breaks off, so that no file looks whole and is not.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use credvault_proto::v1;
use futures::stream;
use http::header;
use serde_json::Value;
use tonic::Status;

use super::audit::filter;
use super::{Given, Shared};
use crate::refusal::Refusal;
use crate::vault::Calling;
use v1::audit_service_client::AuditServiceClient;

/// How many records each call reads.
const PAGE: i32 = 500;

/// The form of the file.
#[derive(Clone, Copy)]
enum Format {
    /// A heading and one record a line, for spreadsheets.
    Csv,
    /// One JSON object a line, with the names of the API.
    JsonLines,
}

/// The export of what the filter finds.
pub(crate) async fn export(State(console): Shared, Extension(fields): Given) -> Result<Response, Refusal> {
    let format = match fields.get("format") {
        "csv" => Format::Csv,
        "jsonl" => Format::JsonLines,
        _ => return Err(Refusal::of_field("format", "must be csv or jsonl")),
    };
    let filter = Some(filter(&fields)?);
    let request = v1::ListAuditEventsRequest { filter, page_size: PAGE, ..Default::default() };
    let reader = Reader { client: console.vault.audit(fields.tenant())?, request, format };
    // What refuses the first page is a page of its own, and no file.
    let first = reader.read().await?;
    let (kind, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "audit.csv"),
        Format::JsonLines => ("application/x-ndjson", "audit.jsonl"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename={name}")),
    ];
    Ok((headers, Body::from_stream(pages(first))).into_response())
}

/// Reads the log a page at a time.
struct Reader {
    client: AuditServiceClient<Calling>,
    request: v1::ListAuditEventsRequest,
    format: Format,
}

/// A page as it is written, and the reader of the next one if there is one.
struct Written {
    text: Vec<u8>,
    next: Option<Reader>,
}

/// The pages from the first one on.
fn pages(first: Written) -> impl stream::Stream<Item = Result<Vec<u8>, Status>> + Send + 'static {
    stream::try_unfold(Next::Written(first), step)
}

async fn step(next: Next) -> Result<Option<(Vec<u8>, Next)>, Status> {
    let written = match next {
        Next::Written(written) => written,
        Next::Unread(reader) => reader.read().await?,
        Next::End => return Ok(None),
    };
    Ok(Some((written.text, written.next.map_or(Next::End, Next::Unread))))
}

/// What the export sends next.
enum Next {
    /// A page that was read already.
    Written(Written),
    /// A page that is still to be read.
    Unread(Reader),
    /// Nothing more, the file is whole.
    End,
}

impl Reader {
    async fn read(mut self) -> Result<Written, Status> {
        let is_first = self.request.page_token.is_empty();
        let page = self.client.list_audit_events(self.request.clone()).await?.into_inner();
        let text = match self.format {
            Format::Csv => {
                csv(&page.events, is_first).map_err(|_| Status::internal("a record cannot be written"))?
            }
            Format::JsonLines => lines(&page.events),
        };
        self.request.page_token = page.next_page_token;
        let goes_on = !self.request.page_token.is_empty();
        Ok(Written { text, next: goes_on.then_some(self) })
    }
}

/// A record by the names that the API's JSON has. Destructured, so that a field that is added is not forgotten here.
fn named(event: &v1::AuditEvent) -> [(&'static str, Value); 18] {
    let v1::AuditEvent {
        id,
        time,
        service,
        user_id,
        tenant_source,
        action,
        connection_id,
        provider,
        version,
        purpose,
        changed_fields,
        outcome: _,
        reason,
        policies,
        trace_id,
        source_address,
        released_fields,
        owner_user_id,
    } = event;
    [
        ("time", time.as_ref().map_or(Value::Null, |time| Value::from(time.to_string()))),
        ("id", Value::from(id.as_str())),
        ("service", Value::from(service.as_str())),
        ("userId", Value::from(user_id.as_str())),
        ("tenantSource", Value::from(tenant_source.as_str())),
        ("action", Value::from(action.as_str())),
        ("connectionId", Value::from(connection_id.as_str())),
        ("provider", Value::from(provider.as_str())),
        ("version", Value::from(version.to_string())),
        ("purpose", Value::from(purpose.as_str())),
        ("changedFields", Value::from(changed_fields.clone())),
        ("outcome", Value::from(event.outcome().as_str_name())),
        ("reason", Value::from(reason.as_str())),
        ("policies", Value::from(policies.clone())),
        ("traceId", Value::from(trace_id.as_str())),
        ("sourceAddress", Value::from(source_address.as_str())),
        ("releasedFields", Value::from(released_fields.clone())),
        ("ownerUserId", Value::from(owner_user_id.as_str())),
    ]
}

fn lines(events: &[v1::AuditEvent]) -> Vec<u8> {
    let line = |event| {
        let object: serde_json::Map<_, _> =
            named(event).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        format!("{}\n", Value::Object(object))
    };
    events.iter().map(line).collect::<String>().into_bytes()
}

fn csv(events: &[v1::AuditEvent], with_heading: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_heading {
        writer.write_record(named(&v1::AuditEvent::default()).map(|(name, _)| name))?;
    }
    for event in events {
        writer.write_record(named(event).map(|(_, value)| cell(&value)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A value as one cell. Callers choose purposes and users, and spreadsheets take a cell that begins so for a formula, so an
/// apostrophe goes before it.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> v1::AuditEvent {
        v1::AuditEvent {
            purpose: "=HYPERLINK(\"x\")".to_owned(),
            policies: vec!["a".to_owned(), "b".to_owned()],
            outcome: v1::AuditOutcome::Denied.into(),
            ..Default::default()
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        let text = String::from_utf8(csv(&[event()], true).expect("csv")).expect("text");
        let (heading, line) = text.split_once('\n').expect("two lines");
        assert!(
            heading.starts_with("time,id,service,userId") && heading.ends_with("ownerUserId"),
            "{heading}"
        );
        assert!(line.contains("\"'=HYPERLINK(\"\"x\"\")\"") && line.contains("a b"), "{line}");
        assert_eq!(csv(&[], false).expect("csv"), b"");
    }

    #[test]
    fn a_line_of_json_has_every_field() {
        let text = String::from_utf8(lines(&[event(), event()])).expect("text");
        let (first, rest) = text.split_once('\n').expect("two lines");
        assert_eq!(rest.trim_end(), first);
        let parsed: Value = serde_json::from_str(first).expect("JSON");
        assert_eq!(parsed.as_object().map(serde_json::Map::len), Some(18));
        assert_eq!(
            (parsed["outcome"].as_str(), parsed["purpose"].as_str()),
            (Some("AUDIT_OUTCOME_DENIED"), Some("=HYPERLINK(\"x\")"))
        );
    }
}
