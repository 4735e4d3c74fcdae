//! `audit summary`: how many records there are with the same service, action, outcome, and so on.

use clap::{Args, ValueEnum};

use super::filter::FilterArgs;
use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::lookup::time_text;
use crate::cli::output::Output;
use crate::cli::shown;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct SummaryArgs {
    /// What to count by, one to four, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    by: Vec<By>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum By {
    Service,
    User,
    Action,
    Connection,
    Provider,
    Outcome,
    Reason,
    Day,
    Purpose,
    TenantSource,
    SourceAddress,
}

impl By {
    fn group(self) -> v1::AuditGroup {
        match self {
            Self::Service => v1::AuditGroup::Service,
            Self::User => v1::AuditGroup::User,
            Self::Action => v1::AuditGroup::Action,
            Self::Connection => v1::AuditGroup::Connection,
            Self::Provider => v1::AuditGroup::Provider,
            Self::Outcome => v1::AuditGroup::Outcome,
            Self::Reason => v1::AuditGroup::Reason,
            Self::Day => v1::AuditGroup::Day,
            Self::Purpose => v1::AuditGroup::Purpose,
            Self::TenantSource => v1::AuditGroup::TenantSource,
            Self::SourceAddress => v1::AuditGroup::SourceAddress,
        }
    }

    fn heading(self) -> &'static str {
        self.group().as_str_name().trim_start_matches("AUDIT_GROUP_")
    }
}

pub(super) async fn show(arguments: SummaryArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let request = v1::SummarizeAuditEventsRequest {
        filter: Some(arguments.filter.filter(&client).await?),
        group_by: arguments.by.iter().map(|by| by.group().into()).collect(),
    };
    let found = client.audit().summarize_audit_events(request).await?.into_inner();
    let headings: Vec<&str> =
        arguments.by.iter().map(|by| by.heading()).chain(["COUNT", "FIRST", "LAST"]).collect();
    let row = |one: &v1::AuditSummary| {
        let times = [&one.first_time, &one.last_time].map(|time| time_text(time.as_ref()));
        one.keys.iter().cloned().chain([one.count.to_string()]).chain(times).collect::<Vec<String>>()
    };
    let whose = client.whose();
    shown::list_of(whose, "AuditSummary", &found.summaries, arguments.output.output, output, &headings, row)
}
