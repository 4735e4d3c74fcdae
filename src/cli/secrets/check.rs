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
    let mut all = v1::CheckSecretStoreResponse::default();
    loop {
        let page = client.admin().check_secret_store(request.clone()).await?.into_inner();
        all.compared += page.compared;
        all.orphans.extend(page.orphans);
        all.missing.extend(page.missing);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if let Format::Json = arguments.output.output {
        return output.json("CheckSecretStoreResponse", &all);
    }
    for orphan in &all.orphans {
        let done = if request.repair { "removed" } else { "unknown to the vault" };
        output.line::<Failure>(&format!("{orphan}: {done}"))?;
    }
    for missing in &all.missing {
        let v1::MissingSecret { tenant_id, connection_id, reference } = missing;
        let whose = if tenant_id.is_empty() { "the platform" } else { tenant_id };
        output.line::<Failure>(&format!(
            "{reference}: not in the store; connection {connection_id} of {whose} needs it"
        ))?;
    }
    output.line(&format!(
        "{} compared, {} unknown to the vault, {} missing",
        all.compared,
        all.orphans.len(),
        all.missing.len()
    ))
}
