//! `users list|delete`: the users of a tenant, for its administrators.

use clap::{Args, Subcommand};

use super::administered::{NamedTenantArgs, TenantArgs};
use super::args::{ConfirmArgs, PageArgs};
use super::failure::Failure;
use super::lookup::{request_id, time_text};
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum UsersCommand {
    /// List the users of a tenant: when they were seen, how many connections they own, and how many of these are broken.
    List(ListArgs),
    /// Permanently delete everything that a user owns, and print what remains of it at the providers.
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    tenant: NamedTenantArgs,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// The id of the user.
    #[arg(value_name = "USER_ID")]
    user_id: String,
    /// Have the providers revoke the grants of the user's connections before these are removed.
    #[arg(long)]
    revoke: bool,
}

pub(super) fn run(command: UsersCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            UsersCommand::List(arguments) => list(arguments, output).await,
            UsersCommand::Delete(arguments) => delete(arguments, output).await,
        }
    })
}

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let ListArgs { tenant, page: part } = arguments;
    let (client, tenant_id) = tenant.connect().await?;
    let (all, next) = part
        .items(async |page_size, page_token| {
            let request = v1::ListUsersRequest { tenant_id: tenant_id.clone(), page_size, page_token };
            let page = client.admin().list_users(request).await?.into_inner();
            Ok((page.users, page.next_page_token))
        })
        .await?;
    let headings = ["USER", "CONNECTIONS", "BROKEN", "FIRST SEEN", "LAST SEEN", "LAST USED"];
    shown::page("User", (&all, &next), tenant.output.output, output, &headings, row)
}

async fn delete(arguments: DeleteArgs, output: &mut Output) -> Result<(), Failure> {
    let DeleteArgs { tenant, confirm, user_id, revoke } = arguments;
    confirm.ask(&format!(
        "Delete all that the user {user_id} of the tenant {} owns, for good? That cannot be undone.",
        tenant.id
    ))?;
    let client = tenant.connect().await?;
    let request = v1::DeleteUserRequest { tenant_id: tenant.id, user_id, revoke, request_id: request_id()? };
    let deleted = client.admin().delete_user(request).await?.into_inner();
    match tenant.output.output {
        Format::Json => output.json("DeleteUserResponse", &deleted),
        Format::Table => lines(&deleted).iter().try_for_each(|line| output.line(line)),
    }
}

/// What a deletion has come to, in sentences.
fn lines(deleted: &v1::DeleteUserResponse) -> Vec<String> {
    let mut lines = vec![format!("{} connections were deleted.", deleted.removed_connections)];
    let sentences = [
        (deleted.grants_to_revoke, "are being revoked; each connection is removed once that is settled."),
        (
            deleted.unsupported_grants,
            "cannot be revoked by the vault; their owner can remove them at the provider.",
        ),
        (deleted.remaining_grants, "remain at their providers; their owner can remove them there."),
    ];
    let stated = sentences.into_iter().filter(|(grants, _)| *grants > 0);
    lines.extend(stated.map(|(grants, what)| format!("{grants} grants {what}")));
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grants_that_there_are_have_a_sentence() {
        let deleted = v1::DeleteUserResponse { removed_connections: 3, ..Default::default() };
        assert_eq!(lines(&deleted), ["3 connections were deleted."]);
        let deleted = v1::DeleteUserResponse { grants_to_revoke: 2, remaining_grants: 1, ..deleted };
        let lines = lines(&deleted);
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("2 grants are being revoked") && lines[2].contains("remain at"));
    }
}
