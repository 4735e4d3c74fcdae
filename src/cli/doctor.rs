//! `doctor`: why a call does not work, in the order in which things can go wrong. It changes nothing.

mod files;
mod finding;
mod network;

use clap::Args;
use credvault_domain::{Clock as _, Timestamp};

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::output::{Format, Output};
use super::profile::Profile;
use super::serve::{ONE_THREAD, run as run_on};
use crate::SystemClock;
use finding::{Finding, State};
use network::Place;

pub(super) use network::distrust;

/// Printed at the end of the command's help.
pub(super) const EXAMPLES: &str = "Examples:
  credvault doctor
  credvault doctor --profile operator.toml --output json";

#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(arguments: &DoctorArgs, output: &mut Output) -> Result<(), Failure> {
    let findings = run_on(ONE_THREAD, async { Ok(findings(&arguments.client, SystemClock.now()).await) })?;
    match arguments.output.output {
        Format::Json => output.values::<Failure>(&findings)?,
        Format::Table => findings.iter().try_for_each(|finding| print(finding, output))?,
    }
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    match wrong {
        0 => Ok(()),
        wrong => Err(Failure::Partly(format!("{wrong} of {} checks found something wrong", findings.len()))),
    }
}

/// A line for what was found, and one for what to do.
fn print(finding: &Finding, output: &mut Output) -> Result<(), Failure> {
    let Finding { check, state, text, advice } = finding;
    let text = text.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    output.line::<Failure>(&format!("{:<8} {check:<12} {text}", state.word()))?;
    match advice.is_empty() {
        true => Ok(()),
        false => output.line(&format!("{:<8} {:<12} what to do: {advice}", "", "")),
    }
}

async fn findings(client: &ClientArgs, now: Timestamp) -> Vec<Finding> {
    let profile = match client.read() {
        Ok(profile) => profile,
        Err(failure) => {
            let advice = "docs/command-line.md says what a profile has";
            return vec![Finding::wrong("profile", failure.to_string(), advice)];
        }
    };
    let mut findings = vec![Finding::good("profile", described(&profile))];
    findings.extend(files::check(&profile, now));
    findings.extend(on_the_way(&profile, now).await);
    findings
}

/// Which vault a profile calls, and for whom.
fn described(profile: &Profile) -> String {
    let Profile { address, tenant, user, token_file, .. } = profile;
    let tenant = match (token_file, tenant) {
        (Some(_), _) => ", tenant and user as the token says".to_owned(),
        (None, Some(tenant)) => format!(", tenant {tenant}"),
        (None, None) => ", no tenant".to_owned(),
    };
    let user = user.as_ref().filter(|_| token_file.is_none()).map(|user| format!(", user {user}"));
    format!("{address}{tenant}{}", user.unwrap_or_default())
}

/// From the address to the policy; each step needs those before.
async fn on_the_way(profile: &Profile, now: Timestamp) -> Vec<Finding> {
    let place = match Place::of(profile) {
        Ok(place) => place,
        Err(wrong) => return vec![wrong],
    };
    let (stream, port) = match network::port(&place).await {
        Ok(open) => open,
        Err(wrong) => return vec![wrong],
    };
    let tls = network::tls(profile, &place, stream).await;
    let handshake = tls.state;
    let mut findings = vec![port, tls];
    if handshake == State::Good {
        findings.extend(network::answer(profile, now).await);
    }
    findings
}
