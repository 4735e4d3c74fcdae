//! What completions suggest in place of a value: the providers, connections and tenants of the vault that the environment names. An
//! option on the line that is being completed, such as `--profile`, is not known here.

use std::time::Duration;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::client::{Client, ClientArgs};
use super::failure::Failure;
use super::lookup::{every_page, tenant_ids};
use super::rpcs::COMMANDS;
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

/// How long a person who has pressed Tab waits for the vault.
const PATIENCE: Duration = Duration::from_secs(2);

/// Suggests the vault's providers.
pub(super) fn providers_completer() -> ArgValueCandidates {
    ArgValueCandidates::new(|| asked(providers))
}

/// Suggests the connections that the caller reaches, as `PROVIDER/ACCOUNT`.
pub(super) fn connections_completer() -> ArgValueCandidates {
    ArgValueCandidates::new(|| asked(connections))
}

/// Suggests the ids of the connections that the caller reaches, where no name is taken.
pub(super) fn connection_ids_completer() -> ArgValueCandidates {
    ArgValueCandidates::new(|| asked(connection_ids))
}

/// Suggests the ids of tenants, in the place of each argument that takes one.
pub(super) fn with_tenants(command: Command) -> Command {
    let takes_a_tenant = |arg: &Arg| {
        let named = arg.get_value_names().unwrap_or_default();
        arg.get_id() == "tenant" || named.iter().any(|name| name.as_str() == "TENANT_ID")
    };
    let with_own = command.mut_args(|arg| match takes_a_tenant(&arg) {
        true => arg.add(ArgValueCandidates::new(|| asked(tenants))),
        false => arg,
    });
    with_own.mut_subcommands(with_tenants)
}

/// Suggests the names of RPCs, which the audit log calls actions.
pub(super) fn actions_completer() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        COMMANDS.iter().map(|(rpc, command)| candidate((*rpc).to_owned(), (*command).to_owned())).collect()
    })
}

/// What the vault of the environment answers. A vault that does not answer suggests nothing: there is no place for an error
/// while a line is being typed.
fn asked(
    ask: impl AsyncFnOnce(Client) -> Result<Vec<CompletionCandidate>, Failure>,
) -> Vec<CompletionCandidate> {
    let asking = async { ask(ClientArgs::default().connect().await?).await };
    let patient = async { tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Ok(Vec::new())) };
    run_on(ONE_THREAD, patient).unwrap_or_default()
}

async fn providers(client: Client) -> Result<Vec<CompletionCandidate>, Failure> {
    let mut all = Vec::new();
    let mut request = v1::ListProvidersRequest { page_size: 500, ..Default::default() };
    loop {
        let page = client.connections().list_providers(request.clone()).await?.into_inner();
        all.extend(page.providers.into_iter().map(|one| candidate(one.id, one.display_name)));
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

/// An administrator's profile is the operator's in the folder of `credvault dev`, so both are tried.
async fn tenants(client: Client) -> Result<Vec<CompletionCandidate>, Failure> {
    let ids = match tenant_ids(&client).await {
        Ok(ids) => ids,
        Err(_) => tenant_ids(&Client::connect(&ClientArgs::default().read_as_operator()?).await?).await?,
    };
    Ok(ids.into_iter().map(CompletionCandidate::new).collect())
}

async fn connections(client: Client) -> Result<Vec<CompletionCandidate>, Failure> {
    let all = every_page(&client, v1::ListConnectionsRequest::default()).await?;
    let name = |one: v1::Connection| candidate(format!("{}/{}", one.provider, one.account_name), one.id);
    Ok(all.into_iter().map(name).collect())
}

async fn connection_ids(client: Client) -> Result<Vec<CompletionCandidate>, Failure> {
    let all = every_page(&client, v1::ListConnectionsRequest::default()).await?;
    let id = |one: v1::Connection| candidate(one.id, format!("{}/{}", one.provider, one.account_name));
    Ok(all.into_iter().map(id).collect())
}

fn candidate(value: String, help: String) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(help.into()))
}
