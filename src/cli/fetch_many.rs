//! `fetch-many`: up to 100 credentials by one call, each with its own outcome.

use clap::Args;

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::lookup::time_text;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1::{self, batch_fetch_credentials_result::Outcome};

#[derive(Args, Debug)]
pub(super) struct FetchManyArgs {
    /// What to fetch: ids of connections, ids of providers, or providers with an account name. At most 100.
    #[arg(required = true, value_name = "ID|PROVIDER|PROVIDER/ACCOUNT")]
    what: Vec<String>,
    /// The purpose of the fetches, if a policy requires one.
    #[arg(long, value_name = "TEXT", default_value = "")]
    purpose: String,
    /// Show secrets in JSON. The table never has any.
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(arguments: FetchManyArgs, output: &mut Output) -> Result<(), Failure> {
    let requests = arguments.what.iter().map(|what| asked(what, &arguments.purpose)).collect();
    let mut fetched = run_on(ONE_THREAD, async {
        let client = arguments.client.connect().await?;
        let request = v1::BatchFetchCredentialsRequest { requests };
        Ok::<_, Failure>(client.vault().batch_fetch_credentials(request).await?.into_inner())
    })?;
    if !arguments.reveal {
        fetched.results.iter_mut().for_each(hide);
    }
    match arguments.output.output {
        Format::Json => output.json::<Failure>("BatchFetchCredentialsResponse", &fetched)?,
        Format::Table => {
            let rows = arguments.what.iter().zip(&fetched.results).map(|(what, result)| row(what, result));
            let headings = ["WHAT", "CONNECTION", "VERSION", "EXPIRES", "REFUSED"];
            output.table::<Failure>(&headings, &rows.collect::<Vec<_>>())?;
        }
    }
    let served = fetched.results.iter().filter(|one| matches!(one.outcome, Some(Outcome::Credential(_))));
    match fetched.results.len() - served.count() {
        0 => Ok(()),
        refused => {
            Err(Failure::Partly(format!("{refused} of the credentials were refused; the output says why")))
        }
    }
}

/// The fetch of one thing. No provider's id has a hyphen, and every connection's has.
fn asked(what: &str, purpose: &str) -> v1::FetchCredentialRequest {
    let mut request = v1::FetchCredentialRequest { purpose: purpose.to_owned(), ..Default::default() };
    match what.split_once('/') {
        Some((provider, account)) => {
            (request.provider, request.account_name) = (provider.to_owned(), account.to_owned());
        }
        None if what.contains('-') => what.clone_into(&mut request.connection_id),
        None => what.clone_into(&mut request.provider),
    }
    request
}

/// Leaves the names of what is secret, without the values.
fn hide(result: &mut v1::BatchFetchCredentialsResult) {
    let Some(Outcome::Credential(credential)) = &mut result.outcome else { return };
    let auth = credential.request_auth.iter_mut().flat_map(|auth| [&mut auth.headers, &mut auth.query]);
    for values in [&mut credential.fields].into_iter().chain(auth) {
        values.values_mut().for_each(|value| "(hidden; --reveal shows it)".clone_into(value));
    }
}

fn row(what: &str, result: &v1::BatchFetchCredentialsResult) -> Vec<String> {
    let [connection, version, expires, refused] = match &result.outcome {
        Some(Outcome::Credential(one)) => {
            let expires = time_text(one.expire_time.as_ref());
            [one.connection_id.clone(), one.version.to_string(), expires, String::new()]
        }
        Some(Outcome::Error(error)) => refused(format!("{}: {}", error.reason, error.message)),
        None => refused("the vault gave no outcome".to_owned()),
    };
    vec![what.to_owned(), connection, version, expires, refused]
}

/// The cells behind what was asked for, where nothing was served.
fn refused(why: String) -> [String; 4] {
    [String::new(), String::new(), String::new(), why]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_a_provider_and_an_account_are_told_apart() {
        let named = |what: &str| {
            let one = asked(what, "sync");
            assert_eq!(one.purpose, "sync");
            (one.connection_id, one.provider, one.account_name)
        };
        let three = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(named("0193a5b2-7c40-7cc1"), three("0193a5b2-7c40-7cc1", "", ""));
        assert_eq!(named("xero"), three("", "xero", ""));
        assert_eq!(named("xero/my-shop"), three("", "xero", "my-shop"));
    }

    #[test]
    fn what_is_hidden_keeps_its_names() {
        let secret = || [("token".to_owned(), "CANARY".to_owned())].into();
        let auth = v1::RequestAuth { headers: secret(), query: secret(), ..Default::default() };
        let credential =
            v1::Credential { fields: secret(), request_auth: Some(auth), version: 2, ..Default::default() };
        let mut result = v1::BatchFetchCredentialsResult {
            outcome: Some(Outcome::Credential(credential)),
            ..Default::default()
        };
        hide(&mut result);
        let Some(Outcome::Credential(hidden)) = &result.outcome else { panic!("a credential") };
        let auth = hidden.request_auth.as_ref().expect("request auth");
        for values in [&hidden.fields, &auth.headers, &auth.query] {
            assert!(values["token"].starts_with("(hidden"), "{values:?}");
        }
        assert_eq!(row("xero", &result)[2], "2");
    }
}
