//! Audit records as a file: CSV for people, JSON lines for programs, as `credvault audit export` writes them. It is sent while it is read, so it may be large. If the
//! vault fails amid it, the transfer breaks off, so that no file looks whole and is not.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use credvault_proto::v1;
use futures::stream;
use http::header;
use tonic::Status;

use super::audit_filter::filter;
use super::{Given, Shared};
use crate::record_text::{csv_heading, csv_line, json_line};
use crate::refusal::Refusal;
use crate::vault::Calling;
use v1::audit_service_client::AuditServiceClient;

/// How many records each call reads.
const PAGE: i32 = 500;

/// The form of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
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
    let filter = Some(filter(&console, &fields).await?);
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
        let line: fn(&v1::AuditEvent) -> String = match self.format {
            Format::Csv => csv_line,
            Format::JsonLines => json_line,
        };
        let heading = (self.format == Format::Csv && is_first).then(csv_heading);
        let text: String =
            heading.into_iter().chain(page.events.iter().map(line)).map(|line| line + "\n").collect();
        self.request.page_token = page.next_page_token;
        let goes_on = !self.request.page_token.is_empty();
        Ok(Written { text: text.into_bytes(), next: goes_on.then_some(self) })
    }
}
