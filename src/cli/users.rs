//! `users list`: the users of a tenant, for its administrators.

use clap::Subcommand;

use super::client::TenantArgs;
use super::failure::Failure;
use super::lookup::time_text;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum UsersCommand {
    /// List the users of a tenant: when they were seen, how many connections they own, and how many of these are broken.
    List(TenantArgs),
}

pub(super) fn run(command: UsersCommand, output: &mut Output) -> Result<(), Failure> {
    let UsersCommand::List(tenant) = command;
    let all = run_on(ONE_THREAD, async {
        let client = tenant.client.connect().await?;
        let mut request = v1::ListUsersRequest { tenant_id: tenant.id, page_size: 500, ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = client.admin().list_users(request.clone()).await?.into_inner();
            all.extend(page.users);
            if page.next_page_token.is_empty() {
                return Ok::<_, Failure>(all);
            }
            request.page_token = page.next_page_token;
        }
    })?;
    match tenant.output.output {
        Format::Json => output.json_list("User", &all),
        Format::Table => {
            let headings = ["USER", "CONNECTIONS", "BROKEN", "FIRST SEEN", "LAST SEEN", "LAST USED"];
            output.table(&headings, &all.iter().map(row).collect::<Vec<_>>())
        }
    }
}

fn row(user: &v1::User) -> Vec<String> {
    vec![
        user.id.clone(),
        user.connection_count.to_string(),
        user.broken_connection_count.to_string(),
        time_text(user.first_seen_time.as_ref()),
        time_text(user.last_seen_time.as_ref()),
        time_text(user.last_used_time.as_ref()),
    ]
}
