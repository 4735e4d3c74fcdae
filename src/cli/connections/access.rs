//! `connections access`: who may use the secret of a connection under the policies of the vault, and who did in a period.

use std::cell::RefCell;

use clap::Args;
use credvault_domain::Clock as _;

use crate::cli::args::{OutputArgs, PageArgs, days};
use crate::cli::client::{Client, ClientArgs};
use crate::cli::completion::connections_completer;
use crate::cli::failure::Failure;
use crate::cli::lookup::{print_next, time_text};
use crate::cli::naming::{self, Name};
use crate::cli::output::{Format, Output};
use crate::clock::SystemClock;
use crate::grpc::timestamp;
use credvault_proto::v1;

const SECONDS_PER_DAY: i64 = 24 * 3600;

#[derive(Args, Debug)]
pub(in crate::cli) struct AccessArgs {
    /// The connection: its id, its provider and account, or its provider alone.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: String,
    /// The tenant that has the connection. Without it, the profile's tenant; without both, the platform.
    #[arg(long, value_name = "ID")]
    of_tenant: Option<String>,
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

pub(super) async fn show(arguments: AccessArgs, output: &mut Output) -> Result<(), Failure> {
    let AccessArgs { connection, of_tenant, days, page, client: caller, output: printed } = arguments;
    let tenant_id = match of_tenant {
        Some(tenant) => tenant,
        None => caller.read()?.tenant.unwrap_or_default(),
    };
    let client = caller.connect().await?;
    let request = v1::GetAccessReportRequest {
        connection_id: connection_id(&client, &tenant_id, &connection).await?,
        tenant_id,
        start_time: days.map(start_of),
        ..Default::default()
    };
    let report = whole(&client, &page, &request).await?;
    match printed.output {
        Format::Json => output.json("GetAccessReportResponse", &report),
        Format::Table => print(&report, output),
    }
}

/// The beginning of a day, so many days ago, in UTC. All commands of that day name the same instant, so that a page token of one
/// is good for another.
fn start_of(number: u32) -> prost_types::Timestamp {
    let seconds = timestamp(SystemClock.now().before(days(number))).seconds;
    prost_types::Timestamp { seconds: seconds - seconds.rem_euclid(SECONDS_PER_DAY), nanos: 0 }
}

/// The id of a connection of a tenant, as its administrators see it: named by its id, or by provider and account.
async fn connection_id(client: &Client, tenant: &str, named: &str) -> Result<String, Failure> {
    let (provider, account) = match Name::read(named) {
        Name::Id(id) => return Ok(id.to_owned()),
        Name::Account { provider, account } => (provider, account),
    };
    let selection = v1::ConnectionSelection {
        provider: provider.to_owned(),
        account_name: account.unwrap_or_default().to_owned(),
        ..Default::default()
    };
    let mut request = v1::ListTenantConnectionsRequest {
        tenant_id: tenant.to_owned(),
        selection: Some(selection),
        page_size: 500,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let page = client.admin().list_tenant_connections(request.clone()).await?.into_inner();
        all.extend(page.connections);
        if page.next_page_token.is_empty() {
            return naming::chosen(all, account, client.user(), false);
        }
        request.page_token = page.next_page_token;
    }
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

fn print(report: &v1::GetAccessReportResponse, output: &mut Output) -> Result<(), Failure> {
    if let Some(may) = &report.may {
        output.line::<Failure>("Who may, under the policies in use:")?;
        let rows: Vec<_> =
            may.services.iter().flat_map(|access| may_rows(access, report.owner.as_ref())).collect();
        output.table_with_spare::<Failure>(&["SERVICE", "ACTION", "MAY", "NEEDS", "POLICIES"], 1, &rows)?;
        if !may.policies_by_attributes.is_empty() {
            let ids = ids(&may.policies_by_attributes);
            output.line::<Failure>(&format!(
                "By trust domain or path, to services that have not called, too: {ids}"
            ))?;
        }
        if may.more_services {
            output.line::<Failure>("There are more services than the vault asks the policies about.")?;
        }
        output.line::<Failure>("")?;
    }
    let (start, end) = (time_text(report.start_time.as_ref()), time_text(report.end_time.as_ref()));
    output.line::<Failure>(&format!("Who did, from {start} to {end}:"))?;
    let rows: Vec<_> = report.uses.iter().map(use_row).collect();
    output.table_with_spare::<Failure>(&USES, SPARE, &rows)?;
    print_next(&report.next_page_token, output)
}

/// What a service may do, a row for each action.
fn may_rows(access: &v1::ServiceAccess, owner: Option<&v1::Owner>) -> Vec<Vec<String>> {
    let service = match access.any_service_of.as_str() {
        "" => access.service.clone(),
        domain => format!("any other of {domain}"),
    };
    let row = |action: &v1::ActionAccess| {
        vec![
            service.clone(),
            action.action.clone(),
            if action.permitted { "yes" } else { "no" }.to_owned(),
            needs(action, owner),
            ids(&action.policies),
        ]
    };
    access.actions.iter().map(row).collect()
}

/// What a permitted call needs, in words.
fn needs(action: &v1::ActionAccess, owner: Option<&v1::Owner>) -> String {
    if !action.permitted {
        return "-".to_owned();
    }
    let mut needs = Vec::new();
    match action.purpose_rule() {
        v1::PurposeRule::Unspecified | v1::PurposeRule::NotNeeded => {}
        v1::PurposeRule::Any => needs.push("a purpose".to_owned()),
        v1::PurposeRule::OneOf => needs.push(format!("the purpose {}", action.purposes.join(" or "))),
    }
    let of_user = owner.filter(|owner| owner.kind() == v1::OwnerKind::User && !action.other_users);
    match of_user {
        Some(owner) => needs.push(format!("the user {}", owner.user_id)),
        None if action.user_required => needs.push("a user".to_owned()),
        None => {}
    }
    let by_header = action.tenant_sources.iter().any(|source| source == "header");
    if !action.tenant_sources.is_empty() && !by_header {
        needs.push(format!("the tenant by {}", action.tenant_sources.join(" or ")));
    }
    if !action.source_networks.is_empty() {
        needs.push(format!("an address in {}", action.source_networks.join(" or ")));
    }
    if needs.is_empty() { "-".to_owned() } else { needs.join(", ") }
}

fn ids(policies: &[v1::DecidingPolicy]) -> String {
    policies.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>().join(" ")
}

/// What the table of uses shows; on a narrow terminal the last ones are left out.
const USES: [&str; 10] =
    ["SERVICE", "USER", "PURPOSE", "OK", "REFUSED", "LAST", "ACTION", "FAILED", "FIRST", "RELEASED"];
/// How many of them are left out at most.
const SPARE: usize = 4;

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
        let any = v1::ServiceAccess {
            any_service_of: "one.test".to_owned(),
            actions: vec![narrow],
            ..Default::default()
        };
        let rows = may_rows(&any, None);
        assert_eq!(rows[0][..3], ["any other of one.test", "FetchCredential", "yes"].map(str::to_owned));
    }

    #[test]
    fn a_period_begins_with_a_day() {
        let start = start_of(7);
        assert_eq!((start.seconds % SECONDS_PER_DAY, start.nanos), (0, 0));
        let passed = timestamp(SystemClock.now()).seconds - start.seconds;
        assert!((7 * SECONDS_PER_DAY..8 * SECONDS_PER_DAY + 1).contains(&passed), "{passed}");
    }
}
