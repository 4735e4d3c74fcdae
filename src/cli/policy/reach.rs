//! `policy reach`: what a service may do with the connections of a tenant under the policies of the vault, and did in a period.

use clap::Args;

use crate::cli::access::{ReportArgs, action_rows};
use crate::cli::failure::Failure;
use crate::cli::lookup::word;
use crate::cli::output::Output;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct ReachArgs {
    /// The SPIFFE ID of the service, such as `spiffe://platform.example/etl`.
    #[arg(value_name = "SPIFFE_ID")]
    service: String,
    #[command(flatten)]
    report: ReportArgs,
}

pub(super) async fn show(arguments: ReachArgs, output: &mut Output) -> Result<(), Failure> {
    let ReachArgs { service, report } = arguments;
    let (client, tenant_id) = report.connect().await?;
    let request = v1::GetAccessReportRequest { tenant_id, service, ..Default::default() };
    report.print(&client, request, output, print).await
}

/// Prints what the service may reach, which the first page alone has.
fn print(report: &v1::GetAccessReportResponse, output: &mut Output) -> Result<(), Failure> {
    let Some(reach) = &report.reach else { return Ok(()) };
    output.line::<Failure>("What it may, under the policies in use:")?;
    let rows: Vec<_> = reach.connections.iter().flat_map(rows).collect();
    let headings = ["PROVIDER", "OWNER", "CONNECTIONS", "ACTION", "MAY", "NEEDS", "POLICIES"];
    output.table_with_spare::<Failure>(&headings, 1, &rows)?;
    output.line("")
}

fn rows(kind: &v1::ReachableConnections) -> Vec<Vec<String>> {
    let owner = v1::Owner { kind: kind.owner_kind, user_id: String::new() };
    let owners = word(kind.owner_kind().as_str_name(), "OWNER_KIND_");
    let about = [kind.provider.clone(), owners, kind.connection_count.to_string()];
    action_rows(&about, &kind.actions, Some(&owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_connections_are_reached_for_their_users() {
        let kind = v1::ReachableConnections {
            provider: "shopify".to_owned(),
            owner_kind: v1::OwnerKind::User.into(),
            connection_count: 3,
            actions: vec![v1::ActionAccess {
                action: "FetchCredential".to_owned(),
                permitted: true,
                ..Default::default()
            }],
        };
        let expected = ["shopify", "user", "3", "FetchCredential", "yes", "the owning user", ""];
        assert_eq!(rows(&kind), [expected.map(str::to_owned).to_vec()]);
    }
}
