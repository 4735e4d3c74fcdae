//! `fetch`: a credential, for people and scripts.

use std::io::Write as _;

use clap::Args;

use super::args::OutputArgs;
use super::client::{ClientArgs, quoted};
use super::completion::connections_completer;
use super::failure::Failure;
use super::naming::Name;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(super) struct FetchArgs {
    /// The connection: its id, its provider such as `shopify`, or its provider and account such as `shopify/main`.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    what: String,
    /// With a provider alone: the account's name.
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
    /// Show secrets, which are hidden otherwise, in every format.
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(arguments: FetchArgs, output: &mut Output) -> Result<(), Failure> {
    let mut request = v1::FetchCredentialRequest {
        version: arguments.version.unwrap_or_default(),
        purpose: arguments.purpose.unwrap_or_default(),
        rejected_tag: arguments.rejected_tag.unwrap_or_default(),
        ..Default::default()
    };
    name(&mut request, &arguments.what, arguments.account)?;
    let answer = run_on(ONE_THREAD, async {
        let client = arguments.client.connect().await?;
        Ok::<_, Failure>(client.vault().fetch_credential(request).await?.into_inner())
    })?;
    let mut credential = answer.credential.unwrap_or_default();
    warn(&credential, &arguments.client);
    if let Some(field) = arguments.field {
        let value = credential.fields.get(&field).ok_or_else(|| {
            let names: Vec<&str> = credential.fields.keys().map(String::as_str).collect();
            Failure::Usage(format!("the credential has no such field; it has {}", names.join(", ")))
        })?;
        return output.line(value);
    }
    if !arguments.reveal {
        hide(&mut credential);
    }
    match arguments.output.output {
        Format::Json => output.json("Credential", &credential),
        Format::Table => output.block(&pairs(&credential)),
    }
}

/// Names in the request what is fetched. The vault looks a name up itself, by one call.
pub(super) fn name(
    request: &mut v1::FetchCredentialRequest,
    what: &str,
    account: Option<String>,
) -> Result<(), Failure> {
    match (Name::read(what), account) {
        (Name::Id(id), None) => request.connection_id = id.to_owned(),
        (Name::Account { provider, account: None }, account) => {
            request.provider = provider.to_owned();
            request.account_name = account.unwrap_or_default();
        }
        (Name::Account { provider, account: Some(account) }, None) => {
            request.provider = provider.to_owned();
            request.account_name = account.to_owned();
        }
        (Name::Id(_) | Name::Account { account: Some(_), .. }, Some(_)) => {
            return Err(Failure::Usage(
                "--account goes with a provider alone, such as `fetch shopify`".to_owned(),
            ));
        }
    }
    Ok(())
}

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden; --reveal shows it)";

/// Replaces every secret of a credential.
fn hide(credential: &mut v1::Credential) {
    let auth = credential.request_auth.iter_mut();
    let maps = auth.flat_map(|auth| [&mut auth.headers, &mut auth.query]).chain([&mut credential.fields]);
    maps.flat_map(|map| map.values_mut()).for_each(|value| HIDDEN.clone_into(value));
}

/// Says on the standard error stream that the connection shows an error. Scripts read the credential from the other one.
fn warn(credential: &v1::Credential, caller: &ClientArgs) {
    if let Some(error) = &credential.connection_error {
        let since = error.time.map(|time| format!(" since {time}")).unwrap_or_default();
        let what = quoted(&format!("{}/{}", credential.provider, credential.account_name));
        let _ = writeln!(
            std::io::stderr(),
            "warning: the connection shows ERROR{since} ({}): the provider may refuse this credential; \
             `credvault requirements check {what}{}` says what to do",
            error.reason,
            caller.repeated()
        );
    }
}

/// A credential as a block.
fn pairs(credential: &v1::Credential) -> Vec<(String, String)> {
    let auth = credential.request_auth.clone().unwrap_or_default();
    let error = credential.connection_error.as_ref().map(|error| error.reason.clone());
    let rejection = credential.rejection.as_ref().map(|rejection| {
        let name = rejection.outcome().as_str_name();
        name.strip_prefix("REJECTION_OUTCOME_").unwrap_or(name).to_owned()
    });
    let pairs = [
        ("connection", credential.connection_id.clone()),
        ("provider", credential.provider.clone()),
        ("account", credential.account_name.clone()),
        ("version", credential.version.to_string()),
        ("base URL", auth.base_url),
        ("tag", credential.tag.clone()),
        ("expires", credential.expire_time.map(|time| time.to_string()).unwrap_or_default()),
        ("error", error.unwrap_or_default()),
        ("rejection", rejection.unwrap_or_default()),
    ];
    let mut pairs = pairs.map(|(name, value)| (name.to_owned(), value)).to_vec();
    for (kind, values) in [("field", &credential.fields), ("header", &auth.headers), ("query", &auth.query)] {
        pairs.extend(values.iter().map(|(name, value)| (format!("{kind} {name}"), value.clone())));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_left_in_a_hidden_credential() {
        let secrets = || [("token".to_owned(), "CANARY".to_owned())].into();
        let auth = v1::RequestAuth { headers: secrets(), query: secrets(), ..Default::default() };
        let mut credential =
            v1::Credential { fields: secrets(), request_auth: Some(auth), ..Default::default() };
        let shown = |credential: &v1::Credential| format!("{:?}", pairs(credential));
        assert_eq!(shown(&credential).matches("CANARY").count(), 3);
        hide(&mut credential);
        assert_eq!(shown(&credential).matches(HIDDEN).count(), 3);
        assert!(!shown(&credential).contains("CANARY"));
    }

    #[test]
    fn an_account_is_named_once() {
        let named = |what: &str, account: Option<&str>| {
            let mut request = v1::FetchCredentialRequest::default();
            name(&mut request, what, account.map(str::to_owned)).ok()?;
            Some((request.connection_id, request.provider, request.account_name))
        };
        let parts = |id: &str, provider: &str, account: &str| {
            Some((id.to_owned(), provider.to_owned(), account.to_owned()))
        };
        assert_eq!(named("0192-1", None), parts("0192-1", "", ""));
        assert_eq!(named("shopify", None), parts("", "shopify", ""));
        assert_eq!(named("shopify", Some("main")), parts("", "shopify", "main"));
        assert_eq!(named("shopify/main", None), parts("", "shopify", "main"));
        assert_eq!(named("shopify/main", Some("main")), None);
        assert_eq!(named("0192-1", Some("main")), None);
    }
}
