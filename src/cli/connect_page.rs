//! `connections connect-page`: a session of the vault's connect page, as a back end makes it. For a look at the page, and for
//! support that sends a customer an address.

use clap::{Args, ValueEnum};

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::completion::providers_completer;
use super::failure::Failure;
use super::lookup::time_text;
use super::output::Output;
use super::shown;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(super) struct ConnectPageArgs {
    /// A provider that the page shows; without any, all of them. Repeatable.
    #[arg(long = "provider", value_name = "ID", add = providers_completer())]
    providers: Vec<String>,
    /// Something that the person may do; without any, everything. Repeatable.
    #[arg(long = "action", value_enum)]
    actions: Vec<ActionArg>,
    /// Let the page change what all users of the tenant share, too.
    #[arg(long)]
    manage_shared: bool,
    /// The origin of the page that opens or embeds this one.
    #[arg(long, value_name = "ORIGIN", default_value = "")]
    return_origin: String,
    /// Where the person goes when the page is done.
    #[arg(long, value_name = "URL", default_value = "")]
    return_url: String,
    /// The language of the page, such as `de`; without it, that of the browser.
    #[arg(long, value_name = "TAG", default_value = "")]
    language: String,
    /// How many minutes the page works, at most 30.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u16).range(1..=30))]
    minutes: Option<u16>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Something that a person may do on a connect page.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum ActionArg {
    /// Connect another account at a provider.
    Add,
    /// Give a connection another credential, or consent again.
    Reconnect,
    /// Ask the provider whether a connection works.
    Test,
    /// Give a connection another name.
    Rename,
    /// Choose which account is the default.
    SetDefault,
    /// Destroy the credential, and have the grant revoked.
    Disconnect,
    /// The same, and remove it from the list.
    Remove,
}

impl ActionArg {
    /// The same as the wire has it.
    fn action(self) -> v1::ConnectAction {
        match self {
            Self::Add => v1::ConnectAction::Add,
            Self::Reconnect => v1::ConnectAction::Reconnect,
            Self::Test => v1::ConnectAction::Test,
            Self::Rename => v1::ConnectAction::Rename,
            Self::SetDefault => v1::ConnectAction::SetDefault,
            Self::Disconnect => v1::ConnectAction::Disconnect,
            Self::Remove => v1::ConnectAction::Remove,
        }
    }
}

pub(super) async fn run(arguments: ConnectPageArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let seconds = |minutes: u16| prost_types::Duration { seconds: i64::from(minutes) * 60, nanos: 0 };
    let request = v1::CreateConnectSessionRequest {
        providers: arguments.providers,
        actions: arguments.actions.into_iter().map(|action| action.action().into()).collect(),
        manage_shared: arguments.manage_shared,
        return_origin: arguments.return_origin,
        return_url: arguments.return_url,
        language: arguments.language,
        lifetime: arguments.minutes.map(seconds),
    };
    let made = client.connections().create_connect_session(request).await?.into_inner();
    shown::one("CreateConnectSessionResponse", &made, arguments.output.output, output, |output| {
        let facts = [
            ("address", made.url.clone()),
            ("session", made.session_id.clone()),
            ("works until", time_text(made.expire_time.as_ref())),
        ];
        shown::facts(&facts, output)
    })
}
