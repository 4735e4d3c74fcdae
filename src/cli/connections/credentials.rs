//! `connections put|versions|rollback|destroy-version`: the credential of one connection, and its earlier versions.

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::cli::args::{ConfirmArgs, pair};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::lookup::{request_id, settings, time_text, word};
use crate::cli::named::NamedArgs;
use crate::cli::output::{Format, Output};
use crate::cli::secret_input::SecretArgs;
use crate::cli::shown;
use crate::cli::times::coming;
use crate::grpc::struct_of;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum CredentialCommand {
    /// Store a new version of a connection's credential, which fetches return from then on.
    Put(PutArgs),
    /// List the versions of a connection's credential, newest first, without secrets.
    Versions(NamedArgs),
    /// Store the content of an earlier version as a new one.
    Rollback(RollbackArgs),
    /// Permanently destroy the secret of one version. The provider may still accept it: `disconnect` has it revoked.
    DestroyVersion(DestroyArgs),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct PutArgs {
    #[command(flatten)]
    one: NamedArgs,
    #[command(flatten)]
    secrets: SecretArgs,
    /// A secret that others keep in an external store, by the store's name in the settings and the secret's name there.
    #[arg(long, value_name = "STORE/NAME", conflicts_with_all = ["secrets", "secret_file", "prompt"])]
    reference: Option<String>,
    /// The version of that secret; without it, always the newest.
    #[arg(long, value_name = "VERSION", requires = "reference", default_value = "")]
    reference_version: String,
    /// The field that the whole of that secret is the value of; without it, the secret is a JSON object of texts.
    #[arg(long, value_name = "FIELD", requires = "reference", default_value = "")]
    reference_field: String,
    /// Ask the provider first, and store nothing if it does not accept the credential.
    #[arg(long)]
    verify: bool,
    /// The version that must be current; 0 if there must be none.
    #[arg(long, value_name = "VERSION")]
    expected_version: Option<i64>,
    /// The day or instant, in UTC, at which the credential expires, or in how much time, such as 12h or 90d.
    #[arg(long, value_name = "TIME", value_parser = coming)]
    expires: Option<prost_types::Timestamp>,
    /// A setting that is not secret. Repeatable; all of them together replace those that are stored.
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RollbackArgs {
    #[command(flatten)]
    one: NamedArgs,
    /// The version whose content is stored again.
    version: i64,
    /// The version that must be current.
    #[arg(long, value_name = "VERSION")]
    expected_version: Option<i64>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct DestroyArgs {
    #[command(flatten)]
    one: NamedArgs,
    /// The version whose secret is destroyed.
    version: i64,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

pub(super) async fn run(command: CredentialCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        CredentialCommand::Put(arguments) => put(arguments, output).await,
        CredentialCommand::Versions(one) => versions(&one, output).await,
        CredentialCommand::Rollback(RollbackArgs { one, version, expected_version }) => {
            let (client, connection_id) = one.connect().await?;
            let request_id = request_id()?;
            let request =
                v1::RollbackCredentialRequest { connection_id, version, expected_version, request_id };
            let stored = client.vault().rollback_credential(request).await?.into_inner();
            print(stored.version, one.format(), output)
        }
        CredentialCommand::DestroyVersion(DestroyArgs { one, version, confirm }) => {
            confirm.ask(&format!(
                "Destroy version {version} of {} for good? That cannot be undone.",
                one.name()
            ))?;
            let (client, connection_id) = one.connect().await?;
            let request_id = request_id()?;
            let request = v1::DestroyCredentialVersionRequest { connection_id, version, request_id };
            let destroyed = client.vault().destroy_credential_version(request).await?.into_inner();
            print(destroyed.version, one.format(), output)
        }
    }
}

async fn put(arguments: PutArgs, output: &mut Output) -> Result<(), Failure> {
    if !arguments.secrets.is_given() && arguments.reference.is_none() {
        let ways = "--prompt, --secrets FILE, --secret-file FIELD=FILE or --reference STORE/NAME";
        return Err(Failure::Usage(format!("the credential must be given, with {ways}")));
    }
    let (files, reference) = (arguments.secrets.in_files()?, arguments.reference()?);
    let (client, connection_id) = arguments.one.connect().await?;
    let fields = match arguments.secrets.prompts() {
        true => {
            let (provider, mode) = provider_and_mode(&client, &connection_id).await?;
            arguments.secrets.or_typed(files, &client, &provider, &mode).await?
        }
        false => files,
    };
    let expiry = arguments.expires.map(v1::credential_input::Expiry::ExpireTime);
    let config = (!arguments.config.is_empty()).then(|| struct_of(&settings(&arguments.config)));
    let request = v1::PutCredentialRequest {
        connection_id,
        credential: Some(v1::CredentialInput { fields, expiry }),
        expected_version: arguments.expected_version,
        request_id: request_id()?,
        verify: arguments.verify,
        config,
        reference,
    };
    let stored = client.vault().put_credential(request).await?.into_inner();
    print(stored.version, arguments.one.format(), output)
}

impl PutArgs {
    /// The secret of an external store, if the command line names one.
    fn reference(&self) -> Result<Option<v1::SecretReference>, Failure> {
        let Some(named) = &self.reference else { return Ok(None) };
        let rule = "--reference must be STORE/NAME, such as vault/shops/main";
        let (store, name) = named.split_once('/').ok_or_else(|| Failure::Usage(rule.to_owned()))?;
        Ok(Some(v1::SecretReference {
            store: store.to_owned(),
            name: name.to_owned(),
            version: self.reference_version.clone(),
            field: self.reference_field.clone(),
        }))
    }
}

/// The provider and the auth mode of a connection, which say what its secret fields are.
async fn provider_and_mode(client: &Client, id: &str) -> Result<(String, String), Failure> {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    let found = client.connections().get_connection(request).await?.into_inner().connection;
    let found = found.context("the vault answered without a connection")?;
    Ok((found.provider, found.auth_mode))
}

async fn versions(one: &NamedArgs, output: &mut Output) -> Result<(), Failure> {
    let (client, connection_id) = one.connect().await?;
    let mut request =
        v1::ListCredentialVersionsRequest { connection_id, page_size: 500, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = client.vault().list_credential_versions(request.clone()).await?.into_inner();
        all.extend(page.versions);
        if page.next_page_token.is_empty() {
            return print_all(&all, one.format(), output);
        }
        request.page_token = page.next_page_token;
    }
}

fn print(version: Option<v1::CredentialVersion>, format: Format, output: &mut Output) -> Result<(), Failure> {
    let version = version.context("the vault answered without a version")?;
    shown::one("CredentialVersion", &version, format, output, |output| {
        output.table(&HEADINGS, &[row(&version)])
    })
}

fn print_all(versions: &[v1::CredentialVersion], format: Format, output: &mut Output) -> Result<(), Failure> {
    shown::list("CredentialVersion", versions, format, output, &HEADINGS, row)
}

const HEADINGS: [&str; 6] = ["VERSION", "STATE", "STORED", "EXPIRES", "HINTS", "NOTES"];

fn row(version: &v1::CredentialVersion) -> Vec<String> {
    let state = word(version.state().as_str_name(), "CREDENTIAL_VERSION_STATE_");
    let hints: Vec<String> = version.hints.iter().map(|(field, hint)| format!("{field}={hint}")).collect();
    vec![
        version.version.to_string(),
        if version.current { format!("{state}, current") } else { state },
        time_text(version.create_time.as_ref()),
        time_text(version.expire_time.as_ref()),
        hints.join(" "),
        notes(version).join(", "),
    ]
}

/// What else there is to know of a version.
fn notes(version: &v1::CredentialVersion) -> Vec<String> {
    let mut notes = Vec::new();
    if version.rolled_back_from > 0 {
        notes.push(format!("repeats version {}", version.rolled_back_from));
    }
    match (version.store.as_str(), version.adopted) {
        ("", _) => {}
        (store, true) => notes.push(format!("others keep it in {store}")),
        (store, false) => notes.push(format!("in {store}")),
    }
    if let Some(time) = &version.key_revoke_time {
        notes.push(format!("its key ends {}", time_text(Some(time))));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_where_it_comes_from_and_where_it_is() {
        let version = v1::CredentialVersion {
            version: 3,
            state: v1::CredentialVersionState::Live.into(),
            current: true,
            rolled_back_from: 1,
            store: "eu".to_owned(),
            hints: [("token".to_owned(), "ab…yz".to_owned())].into(),
            ..Default::default()
        };
        assert_eq!(
            row(&version),
            ["3", "live, current", "-", "-", "token=ab…yz", "repeats version 1, in eu"]
        );
        let adopted = v1::CredentialVersion { adopted: true, rolled_back_from: 0, current: false, ..version };
        assert_eq!(
            (row(&adopted)[1].as_str(), notes(&adopted)),
            ("live", vec!["others keep it in eu".to_owned()])
        );
        assert!(notes(&v1::CredentialVersion::default()).is_empty());
    }
}
