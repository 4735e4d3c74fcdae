//! `dev`: a whole vault in one folder, for a laptop.

mod provider;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use credvault_crypto::SystemRandom;

use super::demo_script;
use super::failure::Failure;
use super::folder::{Folder, TENANT};
use super::output::Output;
use super::serve::{harden, prepare, run as run_on, terminated_or_hung_up};
use crate::SystemClock;
use crate::app::{Instance, StartError};
use crate::settings::first_variable_of;
use crate::telemetry;

use provider::Provider;

#[derive(Args, Debug)]
pub(super) struct DevArgs {
    /// The folder that holds everything. What is in it is used; what is missing is made.
    #[arg(long, default_value = "credvault-dev")]
    folder: PathBuf,
    /// Where to serve gRPC.
    #[arg(long, default_value = "127.0.0.1:7443")]
    address: SocketAddr,
    /// The address for operators: `/livez`, `/readyz`, `/metrics` and gRPC health checks.
    #[arg(long, default_value = "127.0.0.1:7481")]
    admin_address: SocketAddr,
    /// Where to serve browsers that connect accounts. They come to `localhost`, unless `credvault.toml` has a `public.url`.
    #[arg(long, default_value = "127.0.0.1:7480")]
    public_address: SocketAddr,
    /// Origins of pages that may open a window to connect an account, unless `credvault.toml` names some. Repeatable.
    #[arg(long = "origin", value_name = "ORIGIN", default_value = "http://localhost:3000")]
    origins: Vec<String>,
    /// Also run a simulated provider, at which you can connect accounts without having real ones.
    #[arg(long)]
    simulator: bool,
    /// Where that provider serves.
    #[arg(long, default_value = "127.0.0.1:7482", requires = "simulator")]
    simulator_address: SocketAddr,
}

pub(super) fn run(arguments: &DevArgs, output: &mut Output) -> Result<(), Failure> {
    harden()?;
    refuse_foreign_database()?;
    let folder = Folder::open(&arguments.folder, arguments.address)?;
    run_on(None, async {
        let stop = terminated_or_hung_up()?;
        let mut settings = folder.settings(std::env::vars_os(), arguments.address, arguments.admin_address);
        settings.public.address = chosen(arguments.public_address)?;
        let port = settings.public.address.port();
        settings.public.url.get_or_insert_with(|| format!("http://localhost:{port}"));
        if settings.public.origins.is_empty() {
            settings.public.origins.clone_from(&arguments.origins);
        }
        let provider = match arguments.simulator {
            true => Some(Provider::start(arguments.simulator_address, &folder, &mut settings).await?),
            false => None,
        };
        let settings = settings.check()?;
        let telemetry =
            telemetry::start(&settings.telemetry).map_err(|error| Failure::Usage(format!("{error:#}")))?;
        prepare(&settings.store).await?;
        let started = Instance::start(settings, Arc::new(SystemClock), Arc::new(SystemRandom)).await;
        let instance = started.map_err(|error| with_flag(&error).unwrap_or_else(|| error.into()))?;
        // A port that the system chose is another one at the next start.
        if arguments.address.port() != 0 {
            folder.follow(instance.address.port())?;
        }
        output.line::<Failure>(&format!("everything is in {}", folder.path().display()))?;
        let shown = show(&folder, &instance, provider.as_ref(), output).await;
        if shown.is_ok() {
            stop.await;
        }
        instance.stop().await;
        if let Some(provider) = provider {
            provider.stop().await;
        }
        telemetry.end().await;
        shown
    })
}

/// Refuses variables that would make `dev` work on a database or with a root key of another vault: it migrates the
/// database, and writes tenants and credentials of its own into it.
fn refuse_foreign_database() -> Result<(), Failure> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    match first_variable_of(&["store", "root_key"], names) {
        None => Ok(()),
        Some(name) => Err(Failure::Usage(format!(
            "{name} is set, and `credvault dev` uses the database and the root key of its folder only; unset it, or run \
             `credvault serve`"
        ))),
    }
}

/// An address with a port: that of port 0 is chosen here, for the vault has to know how browsers reach it.
fn chosen(address: SocketAddr) -> Result<SocketAddr, Failure> {
    if address.port() != 0 {
        return Ok(address);
    }
    let listener = std::net::TcpListener::bind(address).context("no port is free for browsers")?;
    Ok(listener.local_addr().context("no port is free for browsers")?)
}

/// The failure to listen on an address, with the flag that chooses another one. `None` for other failures.
fn with_flag(error: &StartError) -> Option<Failure> {
    let StartError::Address { key, address, source } = error else { return None };
    let flag = match *key {
        "server.address" => "--address",
        "server.admin_address" => "--admin-address",
        _ => "--public-address",
    };
    Some(Failure::Unexpected(anyhow::anyhow!(
        "{address} cannot be listened on: {source}; choose another address with {flag}"
    )))
}

async fn show(
    folder: &Folder,
    instance: &Instance,
    provider: Option<&Provider>,
    output: &mut Output,
) -> Result<(), Failure> {
    match demo_script::show(folder, instance.address, output).await {
        Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
        // A connection was disconnected since, or a policy written: no reason not to serve.
        Err(other) => output.line::<Failure>(&format!(
            "   {other}\n\nThe vault was changed meanwhile, so the demo ends here."
        ))?,
        Ok(()) => {}
    }
    if let Some(provider) = provider {
        provider.register(folder, instance.address).await?;
    }
    guide(folder, instance, provider, output)
}

/// Prints commands for the reader to copy.
fn guide(
    folder: &Folder,
    instance: &Instance,
    provider: Option<&Provider>,
    output: &mut Output,
) -> Result<(), Failure> {
    let path = folder.path().display();
    let port = instance.address.port();
    let mut flag = String::new();
    // The program finds the profile of the default folder by itself.
    if folder.path().file_name().is_none_or(|name| name != "credvault-dev")
        || folder.path().components().count() > 1
    {
        flag = format!(" --profile {path}/profile.toml");
    }
    // The reader has changed the profile, or the system chose the port.
    if folder.served_at()? != folder.profile("app", port).address {
        flag.push_str(&format!(" --address https://localhost:{port}"));
    }
    let grpcurl = format!(
        "grpcurl -cacert {path}/ca.pem -cert {path}/app.pem -key {path}/app.key -H 'x-tenant-id: {TENANT}'"
    );
    let target = format!("localhost:{port}");
    let connect = match provider {
        Some(provider) => {
            format!("  credvault connections connect simulator{flag}    (its provider: {})\n", provider.url())
        }
        None => String::new(),
    };
    let fetch = "-d '{\"provider\": \"shopify\"}'";
    let store = "-d '{\"provider\": \"generic\", \"account_name\": \"mail\", \"auth_mode\": \"bearer\", \"credential\": {\"fields\": {\"token\": \"secret-1\"}}}'";
    output.line(&format!(
        "\nServing on {target} until Ctrl-C; operators: http://{admin}/readyz and /metrics.\n\
         In another terminal:\n\n  \
         credvault connections list{flag}\n  \
         credvault fetch shopify --reveal{flag}\n{connect}\n  \
         {grpcurl} {target} list\n  \
         {grpcurl} {store} {target} credvault.v1.ConnectionService/CreateConnection\n  \
         {grpcurl} {fetch} {target} credvault.v1.VaultService/FetchCredential",
        admin = instance.admin_address,
    ))
}
