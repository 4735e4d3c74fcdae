//! `tenants erase|erasures`: the end of a tenant, in two calls, and the statements about those that were erased.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::cli::administered::TenantArgs;
use crate::cli::args::OutputArgs;
use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::Failure;
use crate::cli::lookup::{time_text, word};
use crate::cli::output::{Format, Output};
use crate::cli::statement;
use credvault_proto::v1;

/// How often the command asks whether an erasure is finished.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often it asks at most: for five minutes. Millions of rows take longer, and go without it.
const MAX_POLLS: u32 = 300;

#[derive(Args, Debug)]
pub(in crate::cli) struct EraseArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// The token that the same command printed without this option. Without one, nothing is erased: the command shows what
    /// would be destroyed, and prints a token.
    #[arg(long, value_name = "TOKEN")]
    confirm: Option<String>,
    /// A new file for the signed statement.
    #[arg(long, value_name = "FILE", requires = "confirm")]
    statement: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ErasuresArgs {
    /// Show only this tenant.
    tenant_id: Option<String>,
    /// A new file for the signed statement about the tenant.
    #[arg(long, value_name = "FILE", requires = "tenant_id")]
    statement: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn erase(arguments: EraseArgs, output: &mut Output) -> Result<(), Failure> {
    let EraseArgs { tenant, confirm, statement } = arguments;
    statement::check_new(statement.as_deref())?;
    let client = tenant.connect().await?;
    let confirmed = confirm.is_some();
    let request = v1::EraseTenantRequest {
        tenant_id: tenant.id.clone(),
        confirmation_token: confirm.unwrap_or_default(),
    };
    let answer = client.admin().erase_tenant(request).await?.into_inner();
    if !confirmed {
        return print_request(&tenant, &answer, output);
    }
    let erasure = answer.erasure.context("the vault answered without the erasure")?;
    let erasure = finished(erasure, POLL_INTERVAL, async |tenant: String| get(&client, tenant).await).await?;
    if erasure.state() == v1::ErasureState::Erasing {
        let (id, profile) = (&tenant.id, tenant.client.repeated());
        print(&[erasure], tenant.output.output, output)?;
        return Err(Failure::Invalid(format!(
            "the tenant's keys are destroyed, so nothing of it opens; the vault is still removing rows, and signs after that. \
             Later, `credvault tenants erasures {id}{profile} --statement FILE` writes the statement"
        )));
    }
    if let Some(path) = &statement {
        statement::write(path, &erasure)?;
    }
    print(&[erasure], tenant.output.output, output)
}

pub(super) async fn list(arguments: ErasuresArgs, output: &mut Output) -> Result<(), Failure> {
    let ErasuresArgs { tenant_id, statement, client, output: format } = arguments;
    statement::check_new(statement.as_deref())?;
    let client = client.connect().await?;
    let Some(tenant_id) = tenant_id else {
        return print(&all(&client).await?, format.output, output);
    };
    let erasure = get(&client, tenant_id).await?;
    if let Some(path) = &statement {
        if erasure.statement.is_empty() {
            let text = "the erasure is not finished, so there is no statement yet; try again in a minute";
            return Err(Failure::Invalid(text.to_owned()));
        }
        statement::write(path, &erasure)?;
    }
    print(&[erasure], format.output, output)
}

async fn all(client: &Client) -> Result<Vec<v1::Erasure>, Failure> {
    let mut request = v1::ListErasuresRequest { page_size: 500, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = client.admin().list_erasures(request.clone()).await?.into_inner();
        all.extend(page.erasures);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

async fn get(client: &Client, tenant_id: String) -> Result<v1::Erasure, Failure> {
    let answer = client.admin().get_erasure(v1::GetErasureRequest { tenant_id }).await?.into_inner();
    Ok(answer.erasure.context("the vault answered without the erasure")?)
}

/// Waits a while for the last row to be removed. The erasure itself needs no waiting for.
async fn finished(
    mut erasure: v1::Erasure,
    interval: Duration,
    get: impl AsyncFn(String) -> Result<v1::Erasure, Failure>,
) -> Result<v1::Erasure, Failure> {
    for _ in 0..MAX_POLLS {
        if erasure.state() != v1::ErasureState::Erasing {
            break;
        }
        tokio::time::sleep(interval).await;
        erasure = get(erasure.tenant_id).await?;
    }
    Ok(erasure)
}

/// The headings of what there is of a tenant.
const CONTENT: [&str; 7] =
    ["CONNECTIONS", "VERSIONS", "USERS", "APPS", "ENDPOINTS", "KEYS", "PENDING REVOCATIONS"];

fn content(content: Option<&v1::ErasureContent>) -> Vec<String> {
    let v1::ErasureContent {
        connections,
        credential_versions,
        users,
        apps,
        event_endpoints,
        key_versions,
        pending_revocations,
    } = content.cloned().unwrap_or_default();
    let held = [connections, credential_versions, users, apps, event_endpoints];
    held.iter().chain([&key_versions, &pending_revocations]).map(ToString::to_string).collect()
}

fn print_request(
    tenant: &TenantArgs,
    answer: &v1::EraseTenantResponse,
    output: &mut Output,
) -> Result<(), Failure> {
    if tenant.output.output == Format::Json {
        return output.json("EraseTenantResponse", answer);
    }
    output.table::<Failure>(&CONTENT, &[content(answer.content.as_ref())])?;
    if answer.content.as_ref().is_some_and(|content| content.pending_revocations > 0) {
        output.line::<Failure>(
            "providers still have to revoke grants of this tenant. Wait until they have: an erasure destroys what that \
             takes, and the grants stay valid there",
        )?;
    }
    let until = time_text(answer.confirmation_expire_time.as_ref());
    output.line::<Failure>(&format!(
        "nothing is erased yet. To destroy all of this for good, until {until}:"
    ))?;
    let (token, id, profile) = (&answer.confirmation_token, &tenant.id, tenant.client.repeated());
    output
        .line(&format!("credvault tenants erase {id}{profile} --confirm={token} --statement statement.json"))
}

/// How far an erasure is, and what it waits for.
fn state_of(erasure: &v1::Erasure) -> String {
    let state = word(erasure.state().as_str_name(), "ERASURE_STATE_");
    match erasure.waiting_for_stores.as_slice() {
        [] => state,
        stores => format!("{state}, waits for {}", stores.join(" and ")),
    }
}

fn print(erasures: &[v1::Erasure], format: Format, output: &mut Output) -> Result<(), Failure> {
    if format == Format::Json {
        return output.json_list("Erasure", erasures);
    }
    let row = |erasure: &v1::Erasure| {
        let state = state_of(erasure);
        let times = [&erasure.confirm_time, &erasure.finish_time].map(|time| time_text(time.as_ref()));
        let head = [erasure.tenant_id.clone(), state].into_iter().chain(times);
        head.chain(content(erasure.content.as_ref())).collect::<Vec<_>>()
    };
    let headings = [&["TENANT", "STATE", "KEYS DESTROYED", "ROWS REMOVED"][..], &CONTENT].concat();
    output.table(&headings, &erasures.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn erasure(state: v1::ErasureState) -> v1::Erasure {
        v1::Erasure { state: state.into(), ..Default::default() }
    }

    #[test]
    fn an_erasure_that_is_held_up_says_by_what() {
        let mut held = erasure(v1::ErasureState::Erasing);
        assert_eq!(state_of(&held), "erasing");
        held.waiting_for_stores = vec!["eu".to_owned(), "us".to_owned()];
        assert_eq!(state_of(&held), "erasing, waits for eu and us");
    }

    #[tokio::test]
    async fn it_waits_for_the_end_and_not_for_ever() {
        let polls = Cell::new(0);
        let after = async |needed: u32| {
            let poll = async |_: String| {
                polls.set(polls.get() + 1);
                let state = match polls.get() < needed {
                    true => v1::ErasureState::Erasing,
                    false => v1::ErasureState::Erased,
                };
                Ok::<_, Failure>(erasure(state))
            };
            finished(erasure(v1::ErasureState::Erasing), Duration::ZERO, poll)
                .await
                .expect("an erasure")
                .state()
        };
        assert_eq!((after(3).await, polls.replace(0)), (v1::ErasureState::Erased, 3));
        assert_eq!((after(u32::MAX).await, polls.get()), (v1::ErasureState::Erasing, MAX_POLLS));
    }
}
