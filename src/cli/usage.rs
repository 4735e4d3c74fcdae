//! `usage show|report`: sums of what was counted, and a report by hand.

use clap::{Args, Subcommand, ValueEnum};

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::completion::{connections_completer, providers_completer};
use super::failure::Failure;
use super::lookup::{connection_id, request_id};
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use super::times::past_day;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum UsageCommand {
    /// Show sums of usage: calls, errors and rate-limit hits as reported, fetches and refreshes as counted.
    Show(ShowArgs),
    /// Report what a service did with a connection.
    Report(ReportArgs),
}

/// What sums are grouped by.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum By {
    Connection,
    Provider,
    Endpoint,
    User,
    Service,
    Day,
}

impl By {
    fn group(self) -> v1::UsageGroup {
        match self {
            Self::Connection => v1::UsageGroup::Connection,
            Self::Provider => v1::UsageGroup::Provider,
            Self::Endpoint => v1::UsageGroup::Endpoint,
            Self::User => v1::UsageGroup::User,
            Self::Service => v1::UsageGroup::Service,
            Self::Day => v1::UsageGroup::Day,
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// What to group by, separated by commas. Without it, only the total is shown.
    #[arg(long, value_enum, value_delimiter = ',')]
    by: Vec<By>,
    /// The first day in UTC, such as 2026-11-21, or how long ago it was, such as 7d. By default 30 days are summed.
    #[arg(long, value_name = "DAY", value_parser = past_day)]
    from: Option<String>,
    /// The last day in UTC, or how long ago it was. By default today.
    #[arg(long, value_name = "DAY", value_parser = past_day)]
    to: Option<String>,
    /// Sum only the usage of this connection.
    #[arg(long, value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: Option<String>,
    /// Sum only the usage of connections at this provider.
    #[arg(long, add = providers_completer())]
    provider: Option<String>,
    /// Sum only calls of this endpoint.
    #[arg(long)]
    endpoint: Option<String>,
    /// Sum only calls for this user.
    #[arg(long = "of-user", value_name = "USER")]
    of_user: Option<String>,
    /// Sum only calls of the service with this SPIFFE ID; `vault` for the vault itself.
    #[arg(long)]
    service: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The connection: its id, its provider and account, or its provider alone.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: String,
    /// The provider's endpoint that was called, as a name without ids.
    endpoint: String,
    /// How many calls were made.
    #[arg(long, default_value_t = 1)]
    calls: i64,
    /// How many of them failed.
    #[arg(long, default_value_t = 0)]
    errors: i64,
    /// How many of them were refused because there were too many.
    #[arg(long, default_value_t = 0)]
    rate_limit_hits: i64,
    /// The id of the report, a UUID: the same id counts once. By default a new one.
    #[arg(long)]
    request_id: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: UsageCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            UsageCommand::Show(arguments) => show(arguments, output).await,
            UsageCommand::Report(arguments) => report(arguments, output).await,
        }
    })
}

async fn show(arguments: ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let connection_id = match &arguments.connection {
        Some(named) => connection_id(&client, named, false).await?,
        None => String::new(),
    };
    let filter = v1::UsageFilter {
        start_day: arguments.from.unwrap_or_default(),
        end_day: arguments.to.unwrap_or_default(),
        connection_id,
        provider: arguments.provider.unwrap_or_default(),
        endpoint: arguments.endpoint.unwrap_or_default(),
        user_id: arguments.of_user.unwrap_or_default(),
        service: arguments.service.unwrap_or_default(),
    };
    let group_by = arguments.by.into_iter().map(|by| by.group().into()).collect();
    let mut request =
        v1::GetUsageRequest { filter: Some(filter), group_by, page_size: 500, ..Default::default() };
    let mut all = Vec::new();
    let whole = loop {
        let mut page = client.connections().get_usage(request.clone()).await?.into_inner();
        all.append(&mut page.rows);
        request.page_token = std::mem::take(&mut page.next_page_token);
        if request.page_token.is_empty() {
            break v1::GetUsageResponse { rows: all, ..page };
        }
    };
    match arguments.output.output {
        Format::Json => output.json("GetUsageResponse", &whole),
        Format::Table => print(&whole, output),
    }
}

const HEADINGS: [&str; 11] = [
    "DAY",
    "CONNECTION",
    "PROVIDER",
    "ENDPOINT",
    "USER",
    "SERVICE",
    "CALLS",
    "ERRORS",
    "RATE LIMITED",
    "FETCHES",
    "REFRESHES",
];

/// The columns that some row has, and the total.
fn print(usage: &v1::GetUsageResponse, output: &mut Output) -> Result<(), Failure> {
    let total = v1::UsageRow { counts: usage.total, ..Default::default() };
    let mut rows: Vec<[String; 11]> = usage.rows.iter().map(cells).collect();
    let mut last = cells(&total);
    "total".clone_into(&mut last[0]);
    rows.push(last);
    let filled = |column: &usize| *column == 0 || rows.iter().any(|row| !row[*column].is_empty());
    let columns: Vec<usize> = (0..HEADINGS.len()).filter(filled).collect();
    let headings: Vec<&str> = columns.iter().map(|column| HEADINGS[*column]).collect();
    let chosen = |row: &[String; 11]| columns.iter().map(|column| row[*column].clone()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(chosen).collect();
    output.table(&headings, &rows)
}

fn cells(row: &v1::UsageRow) -> [String; 11] {
    let counts = row.counts.unwrap_or_default();
    [
        row.day.clone(),
        row.connection_id.clone(),
        row.provider.clone(),
        row.endpoint.clone(),
        row.user_id.clone(),
        row.service.clone(),
        counts.calls.to_string(),
        counts.errors.to_string(),
        counts.rate_limit_hits.to_string(),
        counts.fetches.to_string(),
        counts.refreshes.to_string(),
    ]
}

async fn report(arguments: ReportArgs, output: &mut Output) -> Result<(), Failure> {
    let id = match arguments.request_id {
        Some(id) => id,
        None => request_id()?,
    };
    let client = arguments.client.connect().await?;
    let item = v1::UsageItem {
        connection_id: connection_id(&client, &arguments.connection, false).await?,
        endpoint: arguments.endpoint,
        calls: arguments.calls,
        errors: arguments.errors,
        rate_limit_hits: arguments.rate_limit_hits,
        time: None,
    };
    let request = v1::ReportUsageRequest { request_id: id, items: vec![item] };
    let reported = client.connections().report_usage(request).await?.into_inner();
    match arguments.output.output {
        Format::Json => output.json("ReportUsageResponse", &reported),
        Format::Table => output.line(&outcome(&reported)),
    }
}

/// What became of a report of one item, in words.
fn outcome(reported: &v1::ReportUsageResponse) -> String {
    match reported.rejected_items.first() {
        Some(rejected) => format!("rejected: {}", rejected.reason),
        None if reported.counted_before => "counted before".to_owned(),
        None => "counted".to_owned(),
    }
}
