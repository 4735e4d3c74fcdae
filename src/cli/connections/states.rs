//! `connections test|refresh|disconnect|undelete|set-default`: what changes the state of one connection, and not its name
//! or its secret.

use clap::{Args, Subcommand};

use crate::cli::affected::print_affected;
use crate::cli::args::ConfirmArgs;
use crate::cli::failure::Failure;
use crate::cli::lookup::{deleted_connection_id, print_one, request_id, word};
use crate::cli::named::NamedArgs;
use crate::cli::output::{Format, Output};
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum StateCommand {
    /// Ask the provider whether the stored credential works, and to which account it belongs. Ends with code 5 if the
    /// provider does not accept it.
    Test(NamedArgs),
    /// Refresh the tokens of a connection now. Fetches do so when it is necessary.
    Refresh(NamedArgs),
    /// Destroy the stored secret, have the provider revoke the grant, and print the services that this breaks. The
    /// connection stays; a new consent or credential connects it again.
    Disconnect(DisconnectArgs),
    /// Restore a deleted connection.
    Undelete(ChangeArgs),
    /// Make a connection the one that its owner's fetches use where no account is named.
    SetDefault(ChangeArgs),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ChangeArgs {
    #[command(flatten)]
    pub(super) one: NamedArgs,
    /// The etag that the connection must have, as JSON shows it.
    #[arg(long, default_value = "")]
    pub(super) etag: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct DisconnectArgs {
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

pub(super) async fn run(command: StateCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        StateCommand::Test(one) => test(&one, output).await,
        StateCommand::Refresh(one) => {
            let (client, connection_id) = one.connect().await?;
            let request = v1::RefreshConnectionRequest { connection_id };
            let refreshed = client.connections().refresh_connection(request).await?.into_inner();
            print_one(refreshed.connection, one.format(), output)
        }
        StateCommand::Disconnect(arguments) => disconnect(arguments, output).await,
        StateCommand::Undelete(arguments) => undelete(arguments, output).await,
        StateCommand::SetDefault(ChangeArgs { one, etag }) => {
            let (client, connection_id) = one.connect().await?;
            let request = v1::SetDefaultConnectionRequest { connection_id, etag, request_id: request_id()? };
            let set = client.connections().set_default_connection(request).await?.into_inner();
            print_one(set.connection, one.format(), output)
        }
    }
}

async fn test(one: &NamedArgs, output: &mut Output) -> Result<(), Failure> {
    let (client, connection_id) = one.connect().await?;
    let request = v1::TestConnectionRequest { connection_id };
    let tested = client.connections().test_connection(request).await?.into_inner();
    if one.format() == Format::Json {
        output.json::<Failure>("TestConnectionResponse", &tested)?;
    } else {
        print_one(tested.connection.clone(), Format::Table, output)?;
        output.line::<Failure>(&format!(
            "outcome: {}",
            word(tested.outcome().as_str_name(), "TEST_OUTCOME_")
        ))?;
        for (what, value) in
            [("account", &tested.external_account_id), ("name", &tested.account_display_name)]
        {
            if !value.is_empty() {
                output.line::<Failure>(&format!("{what} at the provider: {value}"))?;
            }
        }
        if tested.account_changed {
            output.line::<Failure>("this is another account than the connection had so far")?;
        }
    }
    match tested.outcome() {
        v1::TestOutcome::Works | v1::TestOutcome::Limited | v1::TestOutcome::Unspecified => Ok(()),
        v1::TestOutcome::Refused => Err(Failure::Invalid(
            "the provider does not accept the credential: store another one with `credvault connections put`, or have the \
             account's owner connect it again"
                .to_owned(),
        )),
    }
}

async fn disconnect(arguments: DisconnectArgs, output: &mut Output) -> Result<(), Failure> {
    let DisconnectArgs { change: ChangeArgs { one, etag }, confirm } = arguments;
    confirm.ask(&format!(
        "Destroy the secret of {}, and have the provider revoke it? Only a new consent or credential connects it again.",
        one.name()
    ))?;
    let (client, connection_id) = one.connect().await?;
    let request = v1::DisconnectConnectionRequest { connection_id, etag, request_id: request_id()? };
    let ended = client.connections().disconnect_connection(request).await?.into_inner();
    if one.format() == Format::Json {
        return output.json("DisconnectConnectionResponse", &ended);
    }
    print_one(ended.connection.clone(), Format::Table, output)?;
    output.line::<Failure>(revocation(ended.connection.unwrap_or_default().revocation()))?;
    print_affected(&ended.affected_services, ended.hidden_affected_services, output)
}

/// What has become of the grant at the provider, in words.
fn revocation(state: v1::Revocation) -> &'static str {
    match state {
        v1::Revocation::Unspecified => "There was nothing to revoke at the provider.",
        v1::Revocation::Done => "The provider has revoked the grant.",
        v1::Revocation::Unsupported => {
            "The vault cannot revoke the grant: the account's owner removes the app or key at the provider."
        }
        v1::Revocation::Pending => "The grant is not revoked yet; the vault tries again for about a day.",
        v1::Revocation::Failed => {
            "The grant could not be revoked: the account's owner removes the app or key at the provider."
        }
        v1::Revocation::Kept => {
            "The grant stays: another connection of the same owner has the same account, and may need it."
        }
    }
}

async fn undelete(arguments: ChangeArgs, output: &mut Output) -> Result<(), Failure> {
    let ChangeArgs { one, etag } = arguments;
    let client = one.caller().connect().await?;
    let connection_id = deleted_connection_id(&client, one.name()).await?;
    let request = v1::UndeleteConnectionRequest { connection_id, etag, request_id: request_id()? };
    let restored = client.connections().undelete_connection(request).await?.into_inner();
    print_one(restored.connection, one.format(), output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_at_the_provider_is_said_for_every_state() {
        for state in [v1::Revocation::Unsupported, v1::Revocation::Failed] {
            assert!(revocation(state).contains("owner removes"), "{state:?}");
        }
        assert!(revocation(v1::Revocation::Done).contains("has revoked"));
        assert!(revocation(v1::Revocation::Pending).contains("again"));
        assert!(revocation(v1::Revocation::Kept).contains("another connection"));
        assert!(revocation(v1::Revocation::Unspecified).contains("nothing to revoke"));
    }
}
