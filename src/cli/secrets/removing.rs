//! `secrets write-off` gives up what a lost store has; `secrets own` lets a restored vault remove what is needed no more.

use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct WriteOffArgs {
    /// The name that the store has, or had, in the settings.
    store: String,
    /// Give up what is there although the vault is still configured with the store.
    #[arg(long)]
    confirm: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct OwnArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn write_off(arguments: WriteOffArgs, output: &mut Output) -> Result<(), Failure> {
    let WriteOffArgs { store, confirm, client, output: format } = arguments;
    let client = client.connect().await?;
    let request = v1::WriteOffSecretStoreRequest { store: store.clone(), confirm };
    let done = client.admin().write_off_secret_store(request).await?.into_inner();
    if format.output == Format::Json {
        return output.json("WriteOffSecretStoreResponse", &done);
    }
    output.line(&format!(
        "{} secrets in {store} are given up: removals and erasures do not wait for that store any more",
        done.written_off
    ))
}

pub(super) async fn own(arguments: OwnArgs, output: &mut Output) -> Result<(), Failure> {
    let OwnArgs { client, output: format } = arguments;
    let client = client.connect().await?;
    let done = client.admin().own_secret_stores(v1::OwnSecretStoresRequest {}).await?.into_inner();
    if format.output == Format::Json {
        return output.json("OwnSecretStoresResponse", &done);
    }
    let line = if done.was_restored {
        "from now on, the vault removes from its stores what is needed no more"
    } else {
        "nothing has changed: the vault removed from its stores what is needed no more before, too"
    };
    output.line(line)
}
