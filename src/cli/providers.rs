//! `providers list|get`: the catalog, and what each provider needs.

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::args::{OutputArgs, PageArgs};
use super::client::ClientArgs;
use super::completion::providers_completer;
use super::failure::Failure;
use super::live::WatchArgs;
use super::lookup::{time_text, word};
use super::near::check_provider;
use super::output::Output;
use super::schema::{Field, fields};
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum ProvidersCommand {
    /// List the providers of the catalog.
    List(ListArgs),
    /// Show one provider: its auth modes, and the settings and secret fields of each.
    Get(GetArgs),
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// List only providers with this text in their id or name, whatever its case.
    #[arg(long, value_name = "TEXT")]
    named: Option<String>,
    /// List only providers that have this auth mode, such as oauth2_code.
    #[arg(long, value_name = "AUTH_MODE")]
    auth_mode: Option<String>,
    /// List only providers that fail for many at the moment.
    #[arg(long)]
    incident: bool,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct GetArgs {
    /// The id of the provider.
    #[arg(add = providers_completer())]
    provider: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: ProvidersCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            ProvidersCommand::List(arguments) => list(arguments, output).await,
            ProvidersCommand::Get(arguments) => {
                let client = arguments.client.connect().await?;
                check_provider(&client, &arguments.provider).await?;
                let request = v1::GetProviderRequest { provider: arguments.provider };
                let found = client.connections().get_provider(request).await?.into_inner().provider;
                let found = found.context("the vault answered without a provider")?;
                let format = arguments.output.output;
                shown::one("Provider", &found, format, output, |output| print(&found, output))
            }
        }
    })
}

impl ListArgs {
    /// Whether a provider is one of those that are to be listed.
    fn matches(&self, provider: &v1::Provider) -> bool {
        let holds = |text: &str, part: &String| text.to_lowercase().contains(&part.to_lowercase());
        let named = self.named.as_ref();
        let has = |mode: &String| provider.auth_modes.iter().any(|one| one.name == *mode);
        named.is_none_or(|part| holds(&provider.id, part) || holds(&provider.display_name, part))
            && self.auth_mode.as_ref().is_none_or(has)
            && (!self.incident || provider.incident.is_some())
    }
}

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let ListArgs { page, watch, client, output: printed, .. } = &arguments;
    let row = |provider: &v1::Provider| {
        let modes: Vec<&str> = provider.auth_modes.iter().map(|mode| mode.name.as_str()).collect();
        let since = provider.incident.as_ref().map(|incident| time_text(incident.since.as_ref()));
        let incident = since.map(|since| format!("since {since}")).unwrap_or_default();
        vec![provider.id.clone(), provider.display_name.clone(), modes.join(" "), incident]
    };
    let headings = ["PROVIDER", "NAME", "AUTH MODES", "INCIDENT"];
    watch
        .show(client, printed.output, output, async |client, format, output| {
            let (all, next) = page
                .items(async |page_size, page_token| {
                    let request = v1::ListProvidersRequest { page_size, page_token };
                    let mut page = client.connections().list_providers(request).await?.into_inner();
                    page.providers.retain(|provider| arguments.matches(provider));
                    Ok((page.providers, page.next_page_token))
                })
                .await?;
            shown::page("Provider", (&all, &next), format, output, &headings, row)
        })
        .await
}

fn print(provider: &v1::Provider, output: &mut Output) -> Result<(), Failure> {
    let since = provider.incident.as_ref().map(|incident| time_text(incident.since.as_ref()));
    let facts = [
        ("provider", provider.id.clone()),
        ("name", provider.display_name.clone()),
        ("documentation", provider.documentation_url.clone()),
        ("incident since", since.unwrap_or_default()),
    ];
    shown::facts(&facts, output)?;
    for mode in &provider.auth_modes {
        output.line::<Failure>("")?;
        let consent = if mode.consent { "in a browser, by `credvault connections connect`" } else { "" };
        let facts = [
            ("auth mode", mode.name.clone()),
            ("name", mode.display_name.clone()),
            ("kind", word(mode.kind().as_str_name(), "AUTH_KIND_")),
            ("consent", consent.to_owned()),
            ("scopes", mode.default_scopes.join(" ")),
            ("settings", names(&fields(mode.config_schema.as_ref()))),
            ("secret fields", names(&fields(mode.credential_schema.as_ref()))),
        ];
        shown::facts(&facts, output)?;
    }
    Ok(())
}

/// The names of fields in one cell; those that may be left out are in brackets.
fn names(fields: &[Field]) -> String {
    let name = |field: &Field| match field.required {
        true => field.name.clone(),
        false => format!("[{}]", field.name),
    };
    fields.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        list: ListArgs,
    }

    #[test]
    fn a_list_has_what_all_options_ask_for() {
        let mode = v1::AuthMode { name: "oauth2_code".to_owned(), ..Default::default() };
        let provider = v1::Provider {
            id: "woocommerce".to_owned(),
            display_name: "WooCommerce Shops".to_owned(),
            auth_modes: vec![mode],
            ..Default::default()
        };
        let matches = |options: &[&str]| {
            let line = Line::try_parse_from([&["list"], options].concat()).expect("a line");
            line.list.matches(&provider)
        };
        assert!(matches(&[]) && matches(&["--named", "SHOP"]) && matches(&["--named", "woo"]));
        assert!(matches(&["--auth-mode", "oauth2_code", "--named", "woo"]));
        assert!(!matches(&["--named", "xero"]) && !matches(&["--auth-mode", "api_key"]));
        assert!(!matches(&["--incident"]));
    }
}
