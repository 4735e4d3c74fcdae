//! `apps put|rotate-secret|list|delete`: the OAuth clients that the platform, or a tenant, has registered at providers.

mod merging;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use tonic::Status;

use super::administered::OwnerArgs;
use super::args::{ConfirmArgs, PageArgs, pair};
use super::client::Client;
use super::completion::providers_completer;
use super::failure::Failure;
use super::lookup::{request_id, time_text};
use super::output::Output;
use super::secret_input::{line_of, text_of};
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use super::whose::Whose;
use credvault_proto::v1;
use merging::{Changes, found, merged};

#[derive(Subcommand, Debug)]
pub(super) enum AppsCommand {
    /// Store the app that the platform, or a tenant, has registered at a provider. Of an app that is stored, what is not named
    /// stays.
    Put(PutArgs),
    /// Replace the secret of an app and nothing else.
    RotateSecret(RotateArgs),
    /// List the apps of the platform, or of a tenant, without their secrets.
    List(ListArgs),
    /// Delete an app. Tokens that were issued to it can no longer be refreshed.
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
pub(super) struct PutArgs {
    /// The id of the provider.
    #[arg(add = providers_completer())]
    provider: String,
    /// The app's id at the provider. A new app needs one; of an app that is stored, it stays without this.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file with the app's secret; `-` is standard input. Without it, the stored one stays.
    #[arg(long, value_name = "FILE")]
    client_secret: Option<PathBuf>,
    /// Keep the secret before valid beside the new one, for webhooks that are still signed with it.
    #[arg(long)]
    keep_previous_secret: bool,
    /// The URI that the provider sends browsers back to. A new app without it has the vault's own callback.
    #[arg(long, value_name = "URI")]
    redirect_uri: Option<String>,
    /// A scope to ask for if a consent names none. Repeatable; all of them together replace those that are stored.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A further value that the provider requires of an app, such as `application_id=…`. Repeatable; the others stay.
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// The same from a file, for a value that is secret or long, such as `private_key=key.pem`. Repeatable.
    #[arg(long = "setting-file", value_name = "KEY=FILE", value_parser = pair)]
    setting_files: Vec<(String, String)>,
    /// Keep nothing of a stored app but its secrets: what is not named is empty.
    #[arg(long, requires = "client_id")]
    replace: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    of: OwnerArgs,
}

#[derive(Args, Debug)]
pub(super) struct RotateArgs {
    /// The id of the provider.
    #[arg(add = providers_completer())]
    provider: String,
    /// A file with the new secret; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    client_secret: PathBuf,
    /// Keep the secret before valid, for webhooks that are still signed with it.
    #[arg(long)]
    keep_previous_secret: bool,
    /// The server of the app, which is its setting `issuer`, at a provider that stands for many servers.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    of: OwnerArgs,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    of: OwnerArgs,
}

#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    /// The id of the provider.
    provider: String,
    /// The server of the app, which is its setting `issuer`, at a provider that stands for many servers.
    #[arg(long, value_name = "URL", default_value = "")]
    server: String,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    of: OwnerArgs,
}

pub(super) fn run(command: AppsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            AppsCommand::Put(arguments) => put(arguments, output).await,
            AppsCommand::RotateSecret(arguments) => rotate(arguments, output).await,
            AppsCommand::List(arguments) => list(arguments, output).await,
            AppsCommand::Delete(arguments) => delete(arguments, output).await,
        }
    })
}

async fn put(arguments: PutArgs, output: &mut Output) -> Result<(), Failure> {
    let whose = arguments.of.whose()?;
    let named = arguments.changes()?;
    let client = arguments.of.client.connect().await?;
    let stored = match arguments.replace {
        true => None,
        false => {
            let server = named.settings.get("issuer").map(String::as_str);
            found(&client, &whose.tenant_id(), &arguments.provider, server).await?
        }
    };
    if let (Some(stored), Some(id)) = (&stored, &named.client_id)
        && stored.client_id != *id
    {
        arguments.confirm.ask(&format!(
            "The app {} at {} has the client id {}. Give it the client id {id}? Tokens that were issued to the one before can \
             no longer be refreshed.",
            whose.text(),
            stored.provider,
            stored.client_id
        ))?;
    }
    let request = merged(whose.tenant_id(), &arguments.provider, stored.as_ref(), named)?;
    store(&client, &whose, request, stored, output, &arguments.of).await
}

async fn rotate(arguments: RotateArgs, output: &mut Output) -> Result<(), Failure> {
    let RotateArgs { provider, client_secret, keep_previous_secret, server, of } = arguments;
    let whose = of.whose()?;
    let client_secret = line_of(&client_secret)?;
    if client_secret.is_empty() {
        return Err(Failure::Usage("the file after --client-secret must have the new secret".to_owned()));
    }
    let client = of.client.connect().await?;
    let stored = found(&client, &whose.tenant_id(), &provider, server.as_deref()).await?;
    if stored.is_none() {
        let shows = "`credvault apps list` shows those that there are, and `credvault apps put` stores one";
        let text = format!("there is no app {} at this provider; {shows}", whose.text());
        return Err(Status::not_found(text).into());
    }
    let named = Changes { client_secret, keep_previous_secret, ..Changes::default() };
    let request = merged(whose.tenant_id(), &provider, stored.as_ref(), named)?;
    store(&client, &whose, request, stored, output, &of).await
}

/// Stores an app, and says whose it is and what is not as it was before.
async fn store(
    client: &Client,
    whose: &Whose,
    request: v1::PutOAuthAppRequest,
    before: Option<v1::OAuthApp>,
    output: &mut Output,
    of: &OwnerArgs,
) -> Result<(), Failure> {
    let stored = client.admin().put_o_auth_app(request).await?.into_inner();
    let app = stored.app.context("the vault answered without an app")?;
    shown::one("OAuthApp", &app, of.output.output, output, |output| {
        output.line::<Failure>(&whose.title())?;
        print(&app, output)?;
        match before {
            Some(before) => output.line(&merging::changed(&before, &app)),
            None => Ok(()),
        }
    })
}

async fn delete(arguments: DeleteArgs, output: &mut Output) -> Result<(), Failure> {
    let whose = arguments.of.whose()?;
    let what = format!("Delete the app {} at {} with its secret?", whose.text(), arguments.provider);
    arguments.confirm.ask(&format!(
        "{what} That cannot be undone: tokens that were issued to it can no longer be refreshed."
    ))?;
    let client = arguments.of.client.connect().await?;
    let request = v1::DeleteOAuthAppRequest {
        tenant_id: whose.tenant_id(),
        provider: arguments.provider,
        request_id: request_id()?,
        server: arguments.server,
    };
    let deleted = client.admin().delete_o_auth_app(request).await?.into_inner();
    shown::one("DeleteOAuthAppResponse", &deleted, arguments.of.output.output, output, |output| {
        output.line(&format!("The app {} is deleted.", whose.text()))
    })
}

impl PutArgs {
    /// What the command line and its files say of the app.
    fn changes(&self) -> Result<Changes, Failure> {
        let client_secret = self.client_secret.as_deref().map(line_of).transpose()?;
        let mut settings: BTreeMap<String, String> = self.settings.iter().cloned().collect();
        for (key, path) in &self.setting_files {
            settings.insert(key.clone(), setting_of(&text_of(Path::new(path))?));
        }
        Ok(Changes {
            client_id: self.client_id.clone(),
            client_secret: client_secret.unwrap_or_default(),
            keep_previous_secret: self.keep_previous_secret,
            redirect_uri: self.redirect_uri.clone(),
            scopes: self.scopes.clone(),
            settings,
        })
    }
}

/// The value in a file: a key as it is, and one line without its end, which an editor adds.
fn setting_of(text: &str) -> String {
    let line = text.trim_end_matches(['\r', '\n']);
    if line.contains('\n') { text.to_owned() } else { line.to_owned() }
}

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let ListArgs { page, of } = arguments;
    let whose = of.whose()?;
    let client = of.client.connect().await?;
    let (all, next) = page
        .items(async |page_size, page_token| {
            let tenant_id = whose.tenant_id();
            let request = v1::ListOAuthAppsRequest { tenant_id, page_size, page_token };
            let page = client.admin().list_o_auth_apps(request).await?.into_inner();
            Ok((page.apps, page.next_page_token))
        })
        .await?;
    let row = |app: &v1::OAuthApp| {
        let changed = time_text(app.update_time.as_ref());
        vec![app.provider.clone(), app.client_id.clone(), app.redirect_uri.clone(), changed]
    };
    let headings = ["PROVIDER", "CLIENT ID", "REDIRECT URI", "CHANGED"];
    shown::page_of(&whose, "OAuthApp", (&all, &next), of.output.output, output, (&headings, 0), row)
}

fn print(app: &v1::OAuthApp, output: &mut Output) -> Result<(), Failure> {
    let joined = |pairs: &BTreeMap<String, String>| {
        pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    let facts = [
        ("provider", app.provider.clone()),
        ("client id", app.client_id.clone()),
        ("redirect URI", app.redirect_uri.clone()),
        ("scopes", app.default_scopes.join(" ")),
        ("settings", joined(&app.settings)),
        ("hints", joined(&app.hints)),
        ("created", time_text(app.create_time.as_ref())),
        ("changed", time_text(app.update_time.as_ref())),
    ];
    shown::facts(&facts, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_end_and_a_key_loses_nothing() {
        assert_eq!(setting_of("CANARY\r\n"), "CANARY");
        assert_eq!(setting_of("-----BEGIN\nCANARY\n-----END\n"), "-----BEGIN\nCANARY\n-----END\n");
    }
}
