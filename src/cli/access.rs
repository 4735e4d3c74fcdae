//! What the commands about access share: the tenant and the period of a report, its pages, and how they print what a call needs and
//! who used a connection.

use std::cell::RefCell;

use clap::Args;
use credvault_console::call_needs;
use credvault_domain::Clock as _;

use super::args::{OutputArgs, PageArgs, days};
use super::client::{Client, ClientArgs};
use super::failure::Failure;
use super::lookup::{print_next, time_text};
use super::output::{Format, Output};
use crate::clock::SystemClock;
use crate::grpc::timestamp;
use credvault_proto::v1;

const SECONDS_PER_DAY: i64 = 24 * 3600;

/// The period of a report, how to call and for which tenant, and how to print.
#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// How many whole days before today uses are counted from, at most 366. By default, the last 30 times 24 hours count.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=366))]
    days: Option<u32>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl ReportArgs {
    /// Connects, and gives the tenant that the report is about; an empty one is the platform.
    pub(super) async fn connect(&self) -> Result<(Client, String), Failure> {
        let tenant = self.client.tenant_or(None)?.unwrap_or_default();
        Ok((self.client.connect().await?, tenant))
    }

    /// Asks for the report, and prints it: for people, first as `for_people` prints the part about policies.
    pub(super) async fn print(
        &self,
        client: &Client,
        request: v1::GetAccessReportRequest,
        output: &mut Output,
        for_people: impl FnOnce(&v1::GetAccessReportResponse, &mut Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = v1::GetAccessReportRequest { start_time: self.days.map(start_of), ..request };
        let report = whole(client, &self.page, &request).await?;
        match self.output.output {
            Format::Json => output.json("GetAccessReportResponse", &report),
            Format::Table => {
                for_people(&report, output)?;
                print_uses(&report, output)
            }
        }
    }
}

/// The beginning of a day, so many days ago, in UTC. All commands of that day name the same instant, so that a page token of one
/// is good for another.
fn start_of(number: u32) -> prost_types::Timestamp {
    let seconds = timestamp(SystemClock.now().before(days(number))).seconds;
    prost_types::Timestamp { seconds: seconds - seconds.rem_euclid(SECONDS_PER_DAY), nanos: 0 }
}

/// The report with the uses of all pages, or of the one that the command line names.
async fn whole(
    client: &Client,
    page: &PageArgs,
    request: &v1::GetAccessReportRequest,
) -> Result<v1::GetAccessReportResponse, Failure> {
    let first = RefCell::new(None);
    let (uses, next_page_token) = page
        .items(async |page_size, page_token| {
            let request = v1::GetAccessReportRequest { page_size, page_token, ..request.clone() };
            let mut report = client.admin().get_access_report(request).await?.into_inner();
            let found = (std::mem::take(&mut report.uses), std::mem::take(&mut report.next_page_token));
            first.borrow_mut().get_or_insert(report);
            Ok(found)
        })
        .await?;
    let first: v1::GetAccessReportResponse = first.into_inner().unwrap_or_default();
    Ok(v1::GetAccessReportResponse { uses, next_page_token, ..first })
}

/// Prints the uses of a report, and where they continue.
fn print_uses(report: &v1::GetAccessReportResponse, output: &mut Output) -> Result<(), Failure> {
    let (start, end) = (time_text(report.start_time.as_ref()), time_text(report.end_time.as_ref()));
    output.line::<Failure>(&format!("Who did, from {start} to {end}:"))?;
    let rows: Vec<_> = report.uses.iter().map(use_row).collect();
    output.table_with_spare::<Failure>(&USES, SPARE, &rows)?;
    print_next(&report.next_page_token, output)
}

/// What a service may do with connections of an owner, a row for each action, which begin with `about`.
pub(super) fn action_rows(
    about: &[String],
    actions: &[v1::ActionAccess],
    owner: Option<&v1::Owner>,
) -> Vec<Vec<String>> {
    let row = |action: &v1::ActionAccess| {
        let said = if action.permitted { "yes" } else { "no" };
        let decided = [action.action.clone(), said.to_owned(), needs(action, owner), ids(&action.policies)];
        [about, &decided].concat()
    };
    actions.iter().map(row).collect()
}

/// What a permitted call needs, in words. What vouches for the tenant is left out where a header is enough.
fn needs(action: &v1::ActionAccess, owner: Option<&v1::Owner>) -> String {
    let mut action = action.clone();
    if action.tenant_sources.iter().any(|source| source == "header") {
        action.tenant_sources.clear();
    }
    let needs = call_needs(&action, owner);
    if needs.is_empty() { "-".to_owned() } else { needs }
}

/// The ids of policies in one text.
pub(super) fn ids(policies: &[v1::DecidingPolicy]) -> String {
    policies.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>().join(" ")
}

/// What the table of uses shows; on a narrow terminal the last ones are left out.
const USES: [&str; 12] = [
    "SERVICE",
    "USER",
    "PURPOSE",
    "OK",
    "REFUSED",
    "LAST",
    "ACTION",
    "FAILED",
    "FIRST",
    "RELEASED",
    "PROVIDER",
    "CONNECTION",
];
/// How many of them are left out at most.
const SPARE: usize = 6;

fn use_row(one: &v1::AccessUse) -> Vec<String> {
    let or_none = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    vec![
        one.service.clone(),
        or_none(&one.user_id),
        or_none(&one.purpose),
        one.answered_count.to_string(),
        one.denied_count.to_string(),
        time_text(one.last_time.as_ref()),
        one.action.clone(),
        one.failed_count.to_string(),
        time_text(one.first_time.as_ref()),
        one.released_count.to_string(),
        or_none(&one.provider),
        or_none(&one.connection_id),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_needs_is_said_in_words() {
        let permitted = v1::ActionAccess {
            action: "FetchCredential".to_owned(),
            permitted: true,
            tenant_sources: vec!["token".to_owned(), "header".to_owned()],
            purpose_rule: v1::PurposeRule::NotNeeded.into(),
            ..Default::default()
        };
        assert_eq!(needs(&permitted, None), "-");
        let owner = v1::Owner { kind: v1::OwnerKind::User.into(), user_id: "u1".to_owned() };
        assert_eq!(needs(&permitted, Some(&owner)), "the user u1");
        let others = v1::ActionAccess { other_users: true, ..permitted.clone() };
        assert_eq!(needs(&others, Some(&owner)), "-");
        let narrow = v1::ActionAccess {
            purpose_rule: v1::PurposeRule::OneOf.into(),
            purposes: vec!["order sync".to_owned(), "audit".to_owned()],
            user_required: true,
            tenant_sources: vec!["token".to_owned()],
            source_networks: vec!["10.0.0.0/8".to_owned()],
            ..permitted
        };
        let words = "the purpose order sync or audit, a user, the tenant by token, an address in 10.0.0.0/8";
        assert_eq!(needs(&narrow, None), words);
        assert_eq!(needs(&v1::ActionAccess::default(), Some(&owner)), "-");
        let rows = action_rows(&["one.test".to_owned()], &[narrow], None);
        assert_eq!(rows[0][..3], ["one.test", "FetchCredential", "yes"].map(str::to_owned));
    }

    #[test]
    fn a_period_begins_with_a_day() {
        let start = start_of(7);
        assert_eq!((start.seconds % SECONDS_PER_DAY, start.nanos), (0, 0));
        let passed = timestamp(SystemClock.now()).seconds - start.seconds;
        assert!((7 * SECONDS_PER_DAY..8 * SECONDS_PER_DAY + 1).contains(&passed), "{passed}");
    }
}
