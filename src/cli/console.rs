//! `console`: the operators' console, on loopback only. It serves until the operator ends it, in the browser or here.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use credvault_console::{Console, Target, router};
use credvault_crypto::SystemRandom;
use credvault_identity::PeerCertificate;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::browser;
use super::client::{Client, ClientArgs, unreadable};
use super::failure::Failure;
use super::output::Output;
use super::profile::Profile;
use super::serve::{harden, run as run_on, terminated};
use crate::SystemClock;
use crate::accept::Acceptor;
use crate::grpc::certificates;
use crate::http::{Protocol, serve};

/// How many connections one browser may have open.
const MAX_CONNECTIONS: usize = 64;

#[derive(Args, Debug)]
pub(super) struct ConsoleArgs {
    /// Where to serve the browser: an address of the loopback interface. With port 0, a port that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = loopback)]
    listen: SocketAddr,
    /// Print the address only, and open no browser.
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// An address that only this machine reaches. The error does not repeat it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let rule = "must be an address of the loopback interface with a port, such as 127.0.0.1:7483; from elsewhere, use a \
                tunnel with the same port on both sides";
    let address = text.parse::<SocketAddr>().ok();
    address.filter(|address| address.ip().is_loopback()).ok_or_else(|| rule.to_owned())
}

pub(super) fn run(arguments: ConsoleArgs, output: &mut Output) -> Result<(), Failure> {
    harden()?;
    run_on(None, async move {
        let stop = terminated()?;
        let profile = arguments.client.read_as_operator()?;
        let client = Client::connect(&profile).await?;
        let target = target(profile)?;
        let bound = TcpListener::bind(arguments.listen).await;
        let listener = bound.with_context(|| format!("{} cannot be served", arguments.listen))?;
        let address = listener.local_addr().context("the port has no address")?;
        let end = CancellationToken::new();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let console = Console::new(client.channel(), target, address, clock, random, end.clone());
        let console = Arc::new(console.context("there is no randomness")?);
        let _page = show(&console, arguments.no_browser, output)?;
        let acceptor = Acceptor::new(listener, "console", MAX_CONNECTIONS, 0);
        let stopped = async {
            tokio::select! {
                () = stop => end.cancel(),
                () = end.cancelled() => {}
            }
        };
        tokio::join!(serve(acceptor, Protocol::Browsers, router(console), end.clone()), stopped);
        Ok(())
    })
}

/// What the pages say of the vault and of the caller.
fn target(profile: Profile) -> Result<Target, Failure> {
    let path = &profile.certificate;
    let pem = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let chain = certificates(&pem)
        .map_err(|why| Failure::Usage(format!("{} cannot be used: {why}", path.display())))?;
    // The vault refuses a caller without a SPIFFE ID; the pages say so then.
    let caller = PeerCertificate::read(chain).service().map(ToString::to_string);
    let caller = caller.unwrap_or_else(|| "a certificate without a SPIFFE ID".to_owned());
    Ok(Target { address: profile.address, caller, environment: profile.environment })
}

/// Prints the address, and opens it where there is a desktop.
fn show(console: &Console, no_browser: bool, output: &mut Output) -> Result<Option<FirstPage>, Failure> {
    let address = console.one_time_address();
    output.line::<Failure>(&format!(
        "Open this address in a browser within ten minutes. It works once:\n\n  {}\n\nServing until Ctrl-C.",
        address.expose_secret()
    ))?;
    if no_browser {
        return Ok(None);
    }
    // Without a folder of one's own, or a program that opens pages, the printed address has to do.
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let page = folder.and_then(|folder| FirstPage::write(&folder, address.expose_secret()).ok());
    if let Some(page) = &page {
        browser::open(&page.0.to_string_lossy());
    }
    Ok(page)
}

/// A page that leads the browser to the printed address. Arguments of programs are seen by every user of the machine; this
/// file only by its owner. Removed when the console ends.
struct FirstPage(PathBuf);

impl FirstPage {
    fn write(folder: &Path, address: &str) -> std::io::Result<Self> {
        let path = folder.join(format!("credvault-console-{}.html", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let page = Self(path);
        let onward = format!("<meta http-equiv=\"refresh\" content=\"0; url={address}\">");
        writeln!(file, "<!doctype html><title>credvault</title>{onward}")?;
        Ok(page)
    }
}

impl Drop for FirstPage {
    fn drop(&mut self) {
        // What it leads to works no more.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_served() {
        for address in ["127.0.0.1:0", "127.1.2.3:7483", "[::1]:7483"] {
            assert!(loopback(address).is_ok(), "{address}");
        }
        for address in
            ["0.0.0.0:7483", "[::]:7483", "10.0.0.1:7483", "192.0.2.1:7483", "localhost:7483", "CANARY", ""]
        {
            let refused = loopback(address).expect_err(address);
            assert!(refused.contains("loopback") && !refused.contains("CANARY"), "{refused}");
        }
    }

    #[test]
    fn the_first_page_is_its_owners_and_goes_with_the_console() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(format!("credvault-console-{}.html", std::process::id()));
        let page = FirstPage::write(folder.path(), "http://127.0.0.1:1/begin?ticket=CANARY").expect("a page");
        let mode = std::fs::metadata(&path).expect("the page").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            FirstPage::write(folder.path(), "http://127.0.0.1:1/").is_err(),
            "what is there is not written over"
        );
        drop(page);
        assert!(!path.exists());
    }
}
