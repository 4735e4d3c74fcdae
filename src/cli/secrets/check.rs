//! `secrets check` compares a store with the database.

use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct CheckArgs {
    /// The name of the store in the settings.
    store: String,
    /// Remove what the vault does not know of. Only for a store that no other vault, and no copy of this one, keeps its
    /// secrets in: theirs would be removed.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn check(arguments: CheckArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let mut request = v1::CheckSecretStoreRequest {
        store: arguments.store,
        repair: arguments.repair,
        page_token: String::new(),
    };
    let is_json = arguments.output.output == Format::Json;
    let mut all = v1::CheckSecretStoreResponse::default();
    let ended = loop {
        let page = match client.admin().check_secret_store(request.clone()).await {
            Ok(page) => page.into_inner(),
            Err(refusal) => break Err(refusal),
        };
        // At once: what was removed is said, also if a later page fails.
        if !is_json {
            print(&page, request.repair, output)?;
        }
        all.compared += page.compared;
        all.orphans.extend(page.orphans);
        all.missing.extend(page.missing);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break Ok(());
        }
        request.page_token.clone_from(&all.next_page_token);
    };
    if is_json {
        output.json::<Failure>("CheckSecretStoreResponse", &all)?;
    } else {
        output.line::<Failure>(&format!(
            "{} compared, {} unknown to the vault, {} missing",
            all.compared,
            all.orphans.len(),
            all.missing.len()
        ))?;
    }
    ended?;
    match all.missing.len() {
        0 => Ok(()),
        missing => Err(Failure::Partly(format!(
            "{missing} that the vault needs are missing; restore them in the store"
        ))),
    }
}

fn print(page: &v1::CheckSecretStoreResponse, repair: bool, output: &mut Output) -> Result<(), Failure> {
    for orphan in &page.orphans {
        let done = if repair { "removed" } else { "unknown to the vault" };
        output.line::<Failure>(&format!("{orphan}: {done}"))?;
    }
    for missing in &page.missing {
        let v1::MissingSecret { tenant_id, connection_id, reference } = missing;
        let whose = if tenant_id.is_empty() { "the platform" } else { tenant_id };
        output.line::<Failure>(&format!(
            "{reference}: not in the store; connection {connection_id} of {whose} needs it"
        ))?;
    }
    Ok(())
}
