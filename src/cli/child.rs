//! `run -- PROGRAM`: a program with the fields of a connection in its environment. The program takes the place of this one,
//! so its exit code is this one's and signals reach it. No field stands on a command line, which other users can read.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use super::args::pair;
use super::client::ClientArgs;
use super::completion::connections_completer;
use super::failure::Failure;
use super::fetch::name;
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

/// Printed at the end of the command's help.
pub(super) const EXAMPLES: &str = "Examples:
  credvault run shopify/main -- printenv SHOPIFY_ACCESS_TOKEN
  credvault run generic --account mail --env PASSWORD=token -- ./send-mail
  credvault run shopify -- credvault run slack -- ./sync";

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// The connection: its id, its provider such as `shopify`, or its provider and account such as `shopify/main`.
    #[arg(value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    what: String,
    /// With a provider alone: the account's name.
    #[arg(long)]
    account: Option<String>,
    /// What the names of the variables begin with, instead of the provider's id, such as SHOPIFY_; may be empty.
    #[arg(long)]
    prefix: Option<String>,
    /// The name of the variable for a field, instead of the field's own name in capitals. Repeatable.
    #[arg(long = "env", value_name = "VARIABLE=FIELD", value_parser = pair)]
    names: Vec<(String, String)>,
    /// The purpose of the fetch, if a policy requires one.
    #[arg(long)]
    purpose: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    /// The program, and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

pub(super) fn run(arguments: RunArgs) -> Result<(), Failure> {
    let RunArgs { what, account, prefix, names, purpose, client, program } = arguments;
    let mut request =
        v1::FetchCredentialRequest { purpose: purpose.unwrap_or_default(), ..Default::default() };
    name(&mut request, &what, account)?;
    let answer = run_on(ONE_THREAD, async {
        let client = client.connect().await?;
        Ok::<_, Failure>(client.vault().fetch_credential(request).await?.into_inner())
    })?;
    let credential = answer.credential.unwrap_or_default();
    let variables = variables(&credential, prefix.as_deref(), &names)?;
    let Some((first, rest)) = program.split_first() else {
        return Err(Failure::Usage("name a program after --".to_owned()));
    };
    // This returns only if there is no such program.
    let error = Command::new(first).args(rest).envs(variables).exec();
    Err(Failure::Usage(format!("the program after -- cannot be started: {error}")))
}

/// The variables with their values: every field, and the provider's base URL where there is one.
fn variables<'a>(
    credential: &'a v1::Credential,
    prefix: Option<&str>,
    names: &[(String, String)],
) -> Result<Vec<(String, &'a str)>, Failure> {
    let own = prefix.map_or_else(|| format!("{}_", capitals(&credential.provider)), str::to_owned);
    let mut variables: Vec<(String, &str)> = Vec::new();
    for (field, value) in &credential.fields {
        if value.contains('\0') {
            return Err(Failure::Invalid(format!(
                "the field {field} has a zero byte, which no variable can hold; fetch it with `credvault fetch --field`"
            )));
        }
        let mut named = names.iter().filter(|(_, of)| of == field).peekable();
        if named.peek().is_none() {
            variables.push((format!("{own}{}", capitals(field)), value.as_str()));
        }
        variables.extend(named.map(|(variable, _)| (variable.clone(), value.as_str())));
    }
    if let Some((_, field)) = names.iter().find(|(_, field)| !credential.fields.contains_key(field)) {
        let has: Vec<&str> = credential.fields.keys().map(String::as_str).collect();
        let has = has.join(", ");
        return Err(Failure::Usage(format!("--env: the credential has no field {field}; it has {has}")));
    }
    let base_url = credential.request_auth.as_ref().map_or("", |auth| auth.base_url.as_str());
    if !base_url.is_empty() {
        variables.push((format!("{own}BASE_URL"), base_url));
    }
    check_names(&variables)?;
    Ok(variables)
}

/// Refuses names that a shell cannot use, and two values for one name.
fn check_names(variables: &[(String, &str)]) -> Result<(), Failure> {
    let is_name = |name: &str| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.chars().next().is_some_and(|first| !first.is_ascii_digit())
    };
    for (place, (name, _)) in variables.iter().enumerate() {
        if !is_name(name) {
            let rule = "must have only letters, digits and _, and not begin with a digit";
            return Err(Failure::Usage(format!(
                "{name} is no name of a variable: it {rule}; see --prefix and --env"
            )));
        }
        if variables.iter().take(place).any(|(other, _)| other == name) {
            return Err(Failure::Usage(format!(
                "two values are for {name}; give one another name with --env"
            )));
        }
    }
    Ok(())
}

/// A name as variables have it: in capitals, with `_` for anything that is no letter and no digit.
fn capitals(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential() -> v1::Credential {
        let fields = [("access_token", "CANARY-1"), ("shop-key", "CANARY-2")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let request_auth =
            Some(v1::RequestAuth { base_url: "https://shop.test".to_owned(), ..Default::default() });
        v1::Credential { provider: "shopify".to_owned(), fields, request_auth, ..Default::default() }
    }

    fn named(prefix: Option<&str>, names: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let names: Vec<_> =
            names.iter().map(|(name, field)| ((*name).to_owned(), (*field).to_owned())).collect();
        let credential = credential();
        let variables = variables(&credential, prefix, &names).map_err(|failure| format!("{failure:?}"))?;
        Ok(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn every_field_has_a_variable() {
        let own = [
            "SHOPIFY_ACCESS_TOKEN=CANARY-1",
            "SHOPIFY_SHOP_KEY=CANARY-2",
            "SHOPIFY_BASE_URL=https://shop.test",
        ];
        assert_eq!(named(None, &[]).expect("variables"), own);
        let bare = ["TOKEN=CANARY-1", "AGAIN=CANARY-1", "SHOP_KEY=CANARY-2", "BASE_URL=https://shop.test"];
        let two = [("TOKEN", "access_token"), ("AGAIN", "access_token")];
        assert_eq!(named(Some(""), &two).expect("variables"), bare);
    }

    #[test]
    fn what_is_no_variable_is_refused_without_a_value() {
        let refused = [
            named(None, &[("TOKEN", "password")]),
            named(None, &[("2ND", "access_token")]),
            named(None, &[("A B", "access_token")]),
            named(None, &[("SHOPIFY_SHOP_KEY", "access_token")]),
            named(Some("a-"), &[]),
        ];
        for told in refused.map(|refused| refused.expect_err("refused")) {
            assert!(told.starts_with("Usage(") && !told.contains("CANARY"), "{told}");
        }
        let mut credential = credential();
        credential.fields.insert("zero".to_owned(), "CANARY\0".to_owned());
        let told = format!("{:?}", variables(&credential, None, &[]).map(drop));
        assert!(told.contains("zero byte") && !told.contains("CANARY"), "{told}");
    }
}
