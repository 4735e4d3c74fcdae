//! `apps put|list|delete`: the OAuth clients that the platform, or a tenant, has registered at providers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::args::{ConfirmArgs, PageArgs, pair};
use super::client::OfTenantArgs;
use super::failure::Failure;
use super::lookup::{request_id, time_text};
use super::output::Output;
use super::secret_input::{line_of, text_of};
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum AppsCommand {
    /// Store the app that the platform, or a tenant, has registered at a provider, in place of the one before.
    Put(PutArgs),
    /// List the apps of the platform, or of a tenant, without their secrets.
    List(ListArgs),
    /// Delete an app. Tokens that were issued to it can no longer be refreshed.
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
pub(super) struct PutArgs {
    /// The id of the provider.
    provider: String,
    /// The app's id at the provider.
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// A file with the app's secret; `-` is standard input. Without it, the stored one stays.
    #[arg(long, value_name = "FILE")]
    client_secret: Option<PathBuf>,
    /// Keep the secret before valid beside the new one, for webhooks that are still signed with it.
    #[arg(long)]
    keep_previous_secret: bool,
    /// The URI that the provider sends browsers back to. Without it, the vault's own callback.
    #[arg(long, value_name = "URI", default_value = "")]
    redirect_uri: String,
    /// A scope to ask for if a consent names none. Repeatable.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A further value that the provider requires of an app, such as `application_id=…`. Repeatable.
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// The same from a file, for a value that is secret or long, such as `private_key=key.pem`. Repeatable.
    #[arg(long = "setting-file", value_name = "KEY=FILE", value_parser = pair)]
    setting_files: Vec<(String, String)>,
    #[command(flatten)]
    of: OfTenantArgs,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    of: OfTenantArgs,
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
    of: OfTenantArgs,
}

pub(super) fn run(command: AppsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            AppsCommand::Put(arguments) => {
                let request = arguments.request()?;
                let client = arguments.of.client.connect().await?;
                let stored = client.admin().put_o_auth_app(request).await?.into_inner();
                let app = stored.app.context("the vault answered without an app")?;
                let format = arguments.of.output.output;
                shown::one("OAuthApp", &app, format, output, |output| print(&app, output))
            }
            AppsCommand::List(arguments) => list(arguments, output).await,
            AppsCommand::Delete(arguments) => {
                let what = format!("Delete the app at {} with its secret?", arguments.provider);
                arguments.confirm.ask(&format!(
                    "{what} That cannot be undone: tokens that were issued to it can no longer be refreshed."
                ))?;
                let client = arguments.of.client.connect().await?;
                let request = v1::DeleteOAuthAppRequest {
                    tenant_id: arguments.of.of_tenant,
                    provider: arguments.provider,
                    request_id: request_id()?,
                    server: arguments.server,
                };
                let deleted = client.admin().delete_o_auth_app(request).await?.into_inner();
                let format = arguments.of.output.output;
                shown::one("DeleteOAuthAppResponse", &deleted, format, output, |output| {
                    output.line("The app is deleted.")
                })
            }
        }
    })
}

impl PutArgs {
    fn request(&self) -> Result<v1::PutOAuthAppRequest, Failure> {
        let client_secret = self.client_secret.as_deref().map(line_of).transpose()?;
        let mut settings: BTreeMap<String, String> = self.settings.iter().cloned().collect();
        for (key, path) in &self.setting_files {
            settings.insert(key.clone(), setting_of(&text_of(Path::new(path))?));
        }
        Ok(v1::PutOAuthAppRequest {
            tenant_id: self.of.of_tenant.clone(),
            provider: self.provider.clone(),
            client_id: self.client_id.clone(),
            client_secret: client_secret.unwrap_or_default(),
            keep_previous_secret: self.keep_previous_secret,
            redirect_uri: self.redirect_uri.clone(),
            default_scopes: self.scopes.clone(),
            settings,
            request_id: request_id()?,
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
    let client = of.client.connect().await?;
    let (all, next) = page
        .items(async |page_size, page_token| {
            let tenant_id = of.of_tenant.clone();
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
    shown::page("OAuthApp", (&all, &next), of.output.output, output, &headings, row)
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
