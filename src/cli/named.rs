//! The one connection that a command is about: named by its id, or by its provider and account name.

use clap::Args;

use super::args::OutputArgs;
use super::client::{Client, ClientArgs};
use super::completion::connections_completer;
use super::failure::Failure;
use super::lookup::connection_id;
use super::output::Format;

/// A connection, how to call, and how to print.
#[derive(Args, Debug)]
pub(super) struct NamedArgs {
    /// The connection: its id, its provider and account, or its provider alone.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl NamedArgs {
    /// Connects, and finds the id of the connection.
    pub(super) async fn connect(&self) -> Result<(Client, String), Failure> {
        let client = self.client.connect().await?;
        let id = connection_id(&client, &self.connection, false).await?;
        Ok((client, id))
    }

    /// The connection as the command line names it.
    pub(super) fn name(&self) -> &str {
        &self.connection
    }

    /// How to call the vault.
    pub(super) fn caller(&self) -> &ClientArgs {
        &self.client
    }

    /// The format to print in.
    pub(super) fn format(&self) -> Format {
        self.output.output
    }
}
