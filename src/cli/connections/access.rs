//! `connections access`: who may use the secret of a connection under the policies of the vault, and who did in a period.

use clap::Args;

use crate::cli::access::{ReportArgs, action_rows, ids};
use crate::cli::client::Client;
use crate::cli::completion::connections_completer;
use crate::cli::failure::Failure;
use crate::cli::naming::{self, Name};
use crate::cli::output::Output;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct AccessArgs {
    /// The connection: its id, its provider and account, or its provider alone.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: String,
    #[command(flatten)]
    report: ReportArgs,
}

pub(super) async fn show(arguments: AccessArgs, output: &mut Output) -> Result<(), Failure> {
    let AccessArgs { connection, report } = arguments;
    let (client, tenant_id) = report.connect().await?;
    let connection_id = connection_id(&client, &tenant_id, &connection).await?;
    let request = v1::GetAccessReportRequest { tenant_id, connection_id, ..Default::default() };
    report.print(&client, request, output, print).await
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

/// Prints who may, which the first page alone has.
fn print(report: &v1::GetAccessReportResponse, output: &mut Output) -> Result<(), Failure> {
    let Some(may) = &report.may else { return Ok(()) };
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
    output.line("")
}

/// What a service may do, a row for each action.
fn may_rows(access: &v1::ServiceAccess, owner: Option<&v1::Owner>) -> Vec<Vec<String>> {
    let service = match access.any_service_of.as_str() {
        "" => access.service.clone(),
        domain => format!("any other of {domain}"),
    };
    action_rows(&[service], &access.actions, owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_all_other_services_is_named_by_its_trust_domain() {
        let fetch = v1::ActionAccess { action: "FetchCredential".to_owned(), ..Default::default() };
        let any = v1::ServiceAccess {
            any_service_of: "one.test".to_owned(),
            actions: vec![fetch.clone()],
            ..Default::default()
        };
        let one = v1::ServiceAccess {
            service: "spiffe://one.test/app".to_owned(),
            actions: vec![fetch],
            ..Default::default()
        };
        assert_eq!(may_rows(&any, None)[0][..3], ["any other of one.test", "FetchCredential", "no"]);
        assert_eq!(may_rows(&one, None)[0][0], "spiffe://one.test/app");
    }
}
