//! `audit list`: records as a table, newest first.

use clap::Args;
use credvault_proto::v1;

use super::filter::FilterArgs;
use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::lookup::{time_text, word};
use crate::cli::output::Output;
use crate::cli::shown;

#[derive(Args, Debug)]
pub(in crate::cli) struct ListArgs {
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

pub(super) async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
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

/// The cells of a record in a table.
pub(super) fn row(event: &v1::AuditEvent) -> Vec<String> {
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
