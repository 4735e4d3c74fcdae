//! `dev`: a whole vault in one folder, for a laptop.

mod authority;
mod folder;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use credvault_crypto::SystemRandom;

use super::failure::Failure;
use super::journey;
use super::serve::{harden, prepare, runtime, terminated};
use crate::SystemClock;
use crate::output::Output;
use crate::serve::Instance;
use crate::telemetry;

pub(super) use folder::{Folder, TENANT};

#[derive(Args, Debug)]
pub(super) struct DevArgs {
    /// The folder that holds everything. What is in it is used; what is missing is made.
    #[arg(long, default_value = "credvault-dev")]
    folder: PathBuf,
    /// Where to serve gRPC.
    #[arg(long, default_value = "127.0.0.1:7443")]
    address: SocketAddr,
    /// Where to serve `/readyz`, `/metrics` and the like.
    #[arg(long, default_value = "127.0.0.1:7481")]
    admin_address: SocketAddr,
}

pub(super) fn run(arguments: &DevArgs, output: &mut Output) -> Result<(), Failure> {
    harden()?;
    let folder = Folder::open(&arguments.folder, arguments.address)?;
    runtime(0)?.block_on(async {
        let settings = folder.settings(arguments.address, arguments.admin_address)?;
        let telemetry =
            telemetry::start(&settings.telemetry).map_err(|error| Failure::Usage(format!("{error:#}")))?;
        let stop = terminated()?;
        prepare(&settings).await?;
        let instance = Instance::start(settings, Arc::new(SystemClock), Arc::new(SystemRandom)).await?;
        output.line::<Failure>(&format!("everything is in {}", folder.path().display()))?;
        let shown = journey::show(&folder, instance.address, output).await;
        if shown.is_ok() {
            guide(&folder, &instance, output)?;
            stop.await;
        }
        instance.stop().await;
        telemetry.end().await;
        shown
    })
}

/// Commands to copy.
fn guide(folder: &Folder, instance: &Instance, output: &mut Output) -> Result<(), Failure> {
    let path = folder.path().display();
    let port = instance.address.port();
    let mut flag = String::new();
    // The program finds the profile of the default folder by itself.
    if folder.path().file_name().is_none_or(|name| name != "credvault-dev")
        || folder.path().components().count() > 1
    {
        flag = format!(" --profile {path}/profile.toml");
    }
    // The profile was written once, and nothing in the folder is overwritten.
    if folder.served_at()? != folder.profile("app", port).address {
        flag.push_str(&format!(" --address https://localhost:{port}"));
    }
    let grpcurl = format!(
        "grpcurl -cacert {path}/ca.pem -cert {path}/app.pem -key {path}/app.key -H 'x-tenant-id: {TENANT}'"
    );
    let target = format!("localhost:{port}");
    let fetch = "-d '{\"provider\": \"shopify\"}'";
    let store = "-d '{\"provider\": \"generic\", \"account_name\": \"mail\", \"auth_mode\": \"bearer\", \"credential\": {\"fields\": {\"token\": \"secret-1\"}}}'";
    output.line(&format!(
        "\nServing on {target} until Ctrl-C; operators: http://{admin}/readyz and /metrics.\n\
         In another terminal:\n\n  \
         credvault connections list{flag}\n  \
         credvault fetch shopify --reveal{flag}\n\n  \
         {grpcurl} {target} list\n  \
         {grpcurl} {store} {target} credvault.v1.ConnectionService/CreateConnection\n  \
         {grpcurl} {fetch} {target} credvault.v1.VaultService/FetchCredential",
        admin = instance.admin_address,
    ))
}
