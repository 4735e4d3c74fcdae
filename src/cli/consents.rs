//! `consents begin|complete`: a consent whose browser comes back to a back end of the platform's own, step by step.
//! `connections connect` does all of it at once where the browser comes back to the vault.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use url::form_urlencoded;

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::lookup::{print_one, time_text};
use super::named::NamedArgs;
use super::output::Output;
use super::secret_input::line_of;
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum ConsentsCommand {
    /// Begin a consent for a connection, and print the address that the account's owner opens in a browser.
    Begin(BeginArgs),
    /// Complete a consent with what the browser brought back from the provider.
    Complete(CompleteArgs),
}

#[derive(Args, Debug)]
pub(super) struct BeginArgs {
    #[command(flatten)]
    one: NamedArgs,
    /// A scope to ask for, instead of those of the app. Repeatable.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// What identifies the browser or session that begins it, such as a hash of its cookie.
    #[arg(long, value_name = "TEXT", default_value = "")]
    session: String,
    /// The origin of the page that opens the address in a window, if the browser comes back to the vault's own callback.
    #[arg(long, value_name = "ORIGIN", default_value = "")]
    return_origin: String,
    /// Where the browser goes if there is no such page any more.
    #[arg(long, value_name = "URL", default_value = "")]
    return_url: String,
}

#[derive(Args, Debug)]
pub(super) struct CompleteArgs {
    /// A file with the address that the browser came back to, as the browser shows it; `-` is standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "result")]
    callback: Option<PathBuf>,
    /// A file with the `result` that the vault's own callback sent to the page; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "callback")]
    result: Option<PathBuf>,
    /// The same value as at the beginning.
    #[arg(long, value_name = "TEXT", default_value = "")]
    session: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: ConsentsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            ConsentsCommand::Begin(arguments) => begin(arguments, output).await,
            ConsentsCommand::Complete(arguments) => complete(arguments, output).await,
        }
    })
}

async fn begin(arguments: BeginArgs, output: &mut Output) -> Result<(), Failure> {
    let BeginArgs { one, scopes, session, return_origin, return_url } = arguments;
    let (client, connection_id) = one.connect().await?;
    let request = v1::BeginAuthorizationRequest { connection_id, scopes, session, return_origin, return_url };
    let begun = client.connections().begin_authorization(request).await?.into_inner();
    shown::one("BeginAuthorizationResponse", &begun, one.format(), output, |output| {
        let facts = [
            ("address", begun.authorization_url.clone()),
            ("state", begun.state.clone()),
            ("until", time_text(begun.expire_time.as_ref())),
            ("code", begun.confirmation_code.clone()),
        ];
        shown::facts(&facts, output)
    })
}

async fn complete(arguments: CompleteArgs, output: &mut Output) -> Result<(), Failure> {
    let callback = arguments.callback.as_deref().map(line_of).transpose()?;
    let result = arguments.result.as_deref().map(line_of).transpose()?;
    let client = arguments.client.connect().await?;
    let request = v1::CompleteAuthorizationRequest {
        parameters: callback.map(|address| parameters(&address)).unwrap_or_default(),
        session: arguments.session,
        result: result.unwrap_or_default(),
    };
    let completed = client.connections().complete_authorization(request).await?.into_inner();
    print_one(completed.connection, arguments.output.output, output)
}

/// The query parameters of an address; a text without `?` is the query itself.
fn parameters(address: &str) -> BTreeMap<String, String> {
    let query = address.trim().split_once('?').map_or(address.trim(), |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_an_address_and_of_a_query_are_the_same() {
        let whole = parameters("https://app.example.com/back?state=CANARY&code=a%2Fb+c#part\n");
        assert_eq!(whole, parameters("state=CANARY&code=a%2Fb+c"));
        assert_eq!((whole["state"].as_str(), whole["code"].as_str()), ("CANARY", "a/b c"));
        assert_eq!(whole.len(), 2);
    }
}
