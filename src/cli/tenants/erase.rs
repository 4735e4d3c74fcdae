//! `tenants erase|erasures`: the end of a tenant, in two calls, and the statements about those that were erased.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::{Client, ClientArgs, TenantArgs};
use crate::cli::failure::Failure;
use crate::cli::lookup::{time_text, word};
use crate::cli::output::{Format, Output};
use crate::cli::statement;
use credvault_proto::v1;

/// How often the command asks whether an erasure is finished.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

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
    let client = tenant.client.connect().await?;
    let confirmed = confirm.is_some();
    let request = v1::EraseTenantRequest {
        tenant_id: tenant.id.clone(),
        confirmation_token: confirm.unwrap_or_default(),
    };
    let answer = client.admin().erase_tenant(request).await?.into_inner();
    if !confirmed {
        return print_request(&tenant.id, &answer, tenant.output.output, output);
    }
    let erasure = answer.erasure.context("the vault answered without the erasure")?;
    let erasure = finished(&client, erasure).await?;
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

/// Waits until the last row is removed. The erasure itself needs no waiting for.
async fn finished(client: &Client, mut erasure: v1::Erasure) -> Result<v1::Erasure, Failure> {
    while erasure.state() == v1::ErasureState::Erasing {
        tokio::time::sleep(POLL_INTERVAL).await;
        erasure = get(client, erasure.tenant_id).await?;
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
    tenant: &str,
    answer: &v1::EraseTenantResponse,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    if format == Format::Json {
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
    let token = &answer.confirmation_token;
    output.line(&format!("credvault tenants erase {tenant} --confirm={token} --statement statement.json"))
}

fn print(erasures: &[v1::Erasure], format: Format, output: &mut Output) -> Result<(), Failure> {
    if format == Format::Json {
        return output.json_list("Erasure", erasures);
    }
    let row = |erasure: &v1::Erasure| {
        let state = word(erasure.state().as_str_name(), "ERASURE_STATE_");
        let times = [&erasure.confirm_time, &erasure.finish_time].map(|time| time_text(time.as_ref()));
        let head = [erasure.tenant_id.clone(), state].into_iter().chain(times);
        head.chain(content(erasure.content.as_ref())).collect::<Vec<_>>()
    };
    let headings = [&["TENANT", "STATE", "KEYS DESTROYED", "ROWS REMOVED"][..], &CONTENT].concat();
    output.table(&headings, &erasures.iter().map(row).collect::<Vec<_>>())
}
