//! `fetch`: a credential, for people and scripts.

use std::io::Write as _;

use clap::Args;

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(super) struct FetchArgs {
    /// A connection's id, or a provider's id such as `shopify`.
    what: String,
    /// With a provider: the account's name.
    #[arg(long)]
    account: Option<String>,
    /// With a connection: a version other than the current one.
    #[arg(long)]
    version: Option<i64>,
    /// The purpose of the fetch, if a policy requires one.
    #[arg(long)]
    purpose: Option<String>,
    /// The tag of a credential that the provider has rejected: the vault renews or tests it first.
    #[arg(long, conflicts_with = "version")]
    rejected_tag: Option<String>,
    /// Print the value of this field and nothing else.
    #[arg(long, conflicts_with = "output")]
    field: Option<String>,
    /// Show secrets in the table. JSON always has them.
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(arguments: FetchArgs, output: &mut Output) -> Result<(), Failure> {
    let mut request = v1::FetchCredentialRequest {
        account_name: arguments.account.unwrap_or_default(),
        version: arguments.version.unwrap_or_default(),
        purpose: arguments.purpose.unwrap_or_default(),
        rejected_tag: arguments.rejected_tag.unwrap_or_default(),
        ..Default::default()
    };
    // No provider's id has a hyphen, and every connection's has.
    if arguments.what.contains('-') {
        request.connection_id = arguments.what;
    } else {
        request.provider = arguments.what;
    }
    let answer = run_on(ONE_THREAD, async {
        let client = arguments.client.connect().await?;
        Ok::<_, Failure>(client.vault().fetch_credential(request).await?.into_inner())
    })?;
    let credential = answer.credential.unwrap_or_default();
    warn(&credential);
    if let Some(field) = arguments.field {
        let value = credential.fields.get(&field).ok_or_else(|| {
            let names: Vec<&str> = credential.fields.keys().map(String::as_str).collect();
            Failure::Usage(format!("the credential has no such field; it has {}", names.join(", ")))
        })?;
        return output.line(value);
    }
    match arguments.output.output {
        Format::Json => output.json("Credential", &credential),
        Format::Table => table(&credential, arguments.reveal, output),
    }
}

/// Says on the standard error stream that the connection shows an error. Scripts read the credential from the other one.
fn warn(credential: &v1::Credential) {
    if let Some(error) = &credential.connection_error {
        let since = error.time.map(|time| format!(" since {time}")).unwrap_or_default();
        let _ = writeln!(
            std::io::stderr(),
            "warning: the connection shows ERROR{since} ({}): the provider may refuse this credential; \
             `credvault requirements check {}` says what to do",
            error.reason,
            credential.provider
        );
    }
}

fn table(credential: &v1::Credential, reveal: bool, output: &mut Output) -> Result<(), Failure> {
    let secret =
        |value: &str| if reveal { value.to_owned() } else { "(hidden; --reveal shows it)".to_owned() };
    let auth = credential.request_auth.clone().unwrap_or_default();
    let mut rows = vec![
        vec!["connection".to_owned(), credential.connection_id.clone()],
        vec!["provider".to_owned(), credential.provider.clone()],
        vec!["account".to_owned(), credential.account_name.clone()],
        vec!["version".to_owned(), credential.version.to_string()],
        vec!["base URL".to_owned(), auth.base_url],
        vec!["tag".to_owned(), credential.tag.clone()],
    ];
    rows.extend(
        credential.connection_error.as_ref().map(|error| vec!["error".to_owned(), error.reason.clone()]),
    );
    rows.extend(credential.rejection.as_ref().map(|rejection| {
        let name = rejection.outcome().as_str_name();
        let outcome = name.strip_prefix("REJECTION_OUTCOME_").unwrap_or(name);
        vec!["rejection".to_owned(), outcome.to_owned()]
    }));
    let mut add = |kind: &str, pairs: &std::collections::BTreeMap<String, String>| {
        rows.extend(pairs.iter().map(|(name, value)| vec![format!("{kind} {name}"), secret(value)]));
    };
    add("field", &credential.fields);
    add("header", &auth.headers);
    add("query", &auth.query);
    output.table(&["WHAT", "VALUE"], &rows)
}
