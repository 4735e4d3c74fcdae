//! AWS Secrets Manager as a store of secrets. Each connection is one secret, `<prefix><connection>`, and each payload is a
//! version of it, whose id and staging label are the payload's id: AWS keeps what has a label. `AWSCURRENT` stays on a
//! version that holds nothing, for AWS never lets that label go.
//!
//! The vault's role needs `secretsmanager:CreateSecret`, `PutSecretValue`, `GetSecretValue`, `DescribeSecret`,
//! `UpdateSecretVersionStage` and `DeleteSecret` on the secrets of the prefix, and `secretsmanager:ListSecrets`; for secrets
//! of others, `GetSecretValue` on them.

mod reason;

use std::fmt;
use std::path::PathBuf;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use credvault_crypto::{
    AdoptedSecret, Opened, SecretStore, SecretStoreError, StoreList, StoreReply, StoredReference,
};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;

use self::reason::{code, failure};
use super::access::Access;
use crate::kept;

/// What the version with `AWSCURRENT` holds.
const NOTHING: &str = "credvault: what is kept is in the other versions";
const DESCRIPTION: &str = "Sealed by credvault, one version for each payload. Deleted with its connection.";
/// A secret has 20 labels at most, one of which is AWS's own.
const MOST_PAYLOADS: usize = 19;
/// Secrets on a page.
const PAGE: i32 = 50;
const MAX_PREFIX_BYTES: usize = 100;
/// AWS has no longer name, and no longer ARN.
const MAX_NAME_BYTES: usize = 512;

/// Where the secrets are, and how to reach AWS Secrets Manager.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AwsSecretsSettings {
    /// What the names of the vault's secrets begin with, usually `credvault/`. No others begin so.
    pub prefix: String,
    /// The region; without it, that of AWS's usual chain.
    pub region: Option<String>,
    /// Another endpoint, such as that of a VPC. Plain `http` only on this machine.
    pub endpoint: Option<String>,
    /// The profile in the files of AWS's programs.
    pub profile: Option<String>,
    /// A file in the format of `~/.aws/credentials`, instead of that one.
    pub credentials_file: Option<PathBuf>,
}

/// A store of secrets in AWS Secrets Manager.
pub struct AwsSecrets {
    client: Client,
    prefix: String,
    /// The place, as `<region>/<prefix>`.
    place: String,
}

impl fmt::Debug for AwsSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSecrets").field("place", &self.place).finish_non_exhaustive()
    }
}

impl AwsSecrets {
    /// A store that was not called yet.
    ///
    /// # Errors
    /// [`SecretStoreError::Settings`]: a setting is of no use.
    pub async fn connect(settings: AwsSecretsSettings) -> Result<Self, SecretStoreError> {
        let wrong = |text: &str| SecretStoreError::Settings(text.to_owned());
        let prefix = settings.prefix;
        if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES || !prefix.bytes().all(is_of_names) {
            return Err(wrong("the prefix takes 1 to 100 letters, digits and - / _ + = . @"));
        }
        let access = Access {
            region: settings.region.as_deref(),
            endpoint: settings.endpoint.as_deref(),
            profile: settings.profile.as_deref(),
            credentials_file: settings.credentials_file.as_deref(),
        };
        let config = access.config().await?;
        let region = config.region().map(ToString::to_string);
        let region = region.ok_or_else(|| wrong("the region is not known: set it, or AWS_REGION"))?;
        Ok(Self { client: Client::new(&config), place: format!("{region}/{prefix}"), prefix })
    }

    async fn keep(&self, connection: &str, payload: &str, sealed: &[u8]) -> Result<String, SecretStoreError> {
        kept::check_ids(&[connection, payload])?;
        let text = kept::text_of(sealed, kept::MAX_BYTES)?;
        let name = format!("{}{connection}", self.prefix);
        match self.add(&name, payload, &text).await {
            Err(SecretStoreError::NotFound) => {
                self.create(&name).await?;
                self.add(&name, payload, &text).await?;
            }
            added => added?,
        }
        Ok(format!("{name}#{payload}"))
    }

    /// Adds a version. With the id and the text of one that is there, AWS does nothing.
    async fn add(&self, name: &str, payload: &str, text: &str) -> Result<(), SecretStoreError> {
        let add = self.client.put_secret_value().secret_id(name).client_request_token(payload);
        let add = add.secret_string(text).version_stages(payload);
        add.send().await.map(|_| ()).map_err(|error| failure(&error))
    }

    async fn create(&self, name: &str) -> Result<(), SecretStoreError> {
        let create = self.client.create_secret().name(name).description(DESCRIPTION).secret_string(NOTHING);
        match create.send().await {
            Ok(_) => Ok(()),
            // Another replica was faster.
            Err(error) if code(&error) == Some("ResourceExistsException") => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }

    async fn look_up(&self, reference: &str) -> Result<Vec<u8>, SecretStoreError> {
        let (name, payload) = parts(reference)?;
        let get = self.client.get_secret_value().secret_id(name).version_id(payload);
        let found = get.send().await.map_err(|error| failure(&error))?;
        // AWS gives a version without its label, too, as long as it has it.
        if !found.version_stages().iter().any(|stage| stage == payload) {
            return Err(SecretStoreError::NotFound);
        }
        kept::bytes_in(found.secret_string().ok_or_else(kept::foreign)?)
    }

    /// Takes the label off a version, after which AWS drops it.
    async fn take_away(&self, reference: &str) -> Result<(), SecretStoreError> {
        let (name, payload) = parts(reference)?;
        let update = self.client.update_secret_version_stage().secret_id(name);
        let update = update.version_stage(payload).remove_from_version_id(payload);
        let Err(error) = update.send().await.map_err(|error| failure(&error)) else { return Ok(()) };
        // AWS answers with a wrong parameter if the label is not there, and to other things.
        let may_be_gone = matches!(error, SecretStoreError::Unusable(_));
        if error == SecretStoreError::NotFound || (may_be_gone && !self.has_label(name, payload).await?) {
            return Ok(());
        }
        Err(error)
    }

    async fn find_reference(
        &self,
        connection: &str,
        payload: &str,
    ) -> Result<Option<String>, SecretStoreError> {
        kept::check_ids(&[connection, payload])?;
        let name = format!("{}{connection}", self.prefix);
        let is_there = self.has_label(&name, payload).await?;
        Ok(is_there.then(|| format!("{name}#{payload}")))
    }

    async fn has_label(&self, name: &str, payload: &str) -> Result<bool, SecretStoreError> {
        let described = self.client.describe_secret().secret_id(name).send().await;
        match described.map_err(|error| failure(&error)) {
            Ok(described) => {
                let versions = described.version_ids_to_stages();
                let stages = versions.and_then(|versions| versions.get(payload));
                Ok(stages.is_some_and(|stages| stages.iter().any(|stage| stage == payload)))
            }
            Err(SecretStoreError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn take_all_away(&self, connection: &str) -> Result<(), SecretStoreError> {
        kept::check_ids(&[connection])?;
        let delete = self.client.delete_secret().secret_id(format!("{}{connection}", self.prefix));
        let deleted = delete.force_delete_without_recovery(true).send().await;
        match deleted.map_err(|error| failure(&error)) {
            Ok(_) | Err(SecretStoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn page(&self, page: Option<String>) -> Result<StoreList, SecretStoreError> {
        let ours = Filter::builder().key(FilterNameStringType::Name).values(&self.prefix).build();
        let list = self.client.list_secrets().filters(ours).max_results(PAGE).set_next_token(page);
        let listed = list.send().await.map_err(|error| failure(&error))?;
        let mut references = Vec::new();
        for secret in listed.secret_list() {
            let name = secret.name().unwrap_or_default();
            let connection = name.strip_prefix(self.prefix.as_str());
            let Some(connection) = connection.filter(|connection| kept::is_id(connection)) else { continue };
            let versions = secret.secret_versions_to_stages().into_iter().flatten();
            let payloads = versions.filter(|(id, stages)| kept::is_id(id) && stages.contains(id));
            references.extend(payloads.map(|(payload, _)| StoredReference {
                reference: format!("{name}#{payload}"),
                connection: connection.to_owned(),
                payload: Some(payload.clone()),
            }));
        }
        Ok(StoreList { references, next: listed.next_token })
    }

    async fn adopt(&self, name: &str, version: Option<&str>) -> Result<AdoptedSecret, SecretStoreError> {
        let is_name = |name: &str| name.bytes().all(|byte| is_of_names(byte) || byte == b':');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !is_name(name) {
            let rule = "a name there has letters, digits and - / _ + = . @, or it is an ARN";
            return Err(SecretStoreError::Unusable(rule.to_owned()));
        }
        let is_version = |id: &str| {
            (32..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !version.is_none_or(is_version) {
            return Err(SecretStoreError::NotFound);
        }
        let get = self.client.get_secret_value().secret_id(name);
        let get = get.set_version_id(version.map(str::to_owned));
        let found = get.send().await.map_err(|error| failure(&error))?;
        let text = found.secret_string.map(String::into_bytes);
        let value = text.or_else(|| found.secret_binary.map(Blob::into_inner)).map(Opened::new);
        let answered = value.zip(found.version_id);
        let (value, version) =
            answered.ok_or_else(|| SecretStoreError::Unavailable("its answer holds no secret".to_owned()))?;
        kept::adopted(value, version)
    }
}

/// The name of the secret and the payload in a reference.
fn parts(reference: &str) -> Result<(&str, &str), SecretStoreError> {
    let parts = reference.split_once('#');
    let parts = parts.filter(|(name, payload)| name.bytes().all(is_of_names) && kept::is_id(payload));
    parts.ok_or(SecretStoreError::NotFound)
}

/// Whether names of secrets may have a character.
fn is_of_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-/_+=.@".contains(&byte)
}

impl SecretStore for AwsSecrets {
    fn kind(&self) -> &'static str {
        "aws_secrets_manager"
    }

    fn place(&self) -> &str {
        &self.place
    }

    fn most_payloads(&self) -> Option<usize> {
        Some(MOST_PAYLOADS)
    }

    fn put<'a>(&'a self, connection: &'a str, payload: &'a str, sealed: &'a [u8]) -> StoreReply<'a, String> {
        Box::pin(self.keep(connection, payload, sealed).with_subscriber(Dispatch::none()))
    }

    fn get<'a>(&'a self, reference: &'a str) -> StoreReply<'a, Vec<u8>> {
        Box::pin(self.look_up(reference).with_subscriber(Dispatch::none()))
    }

    fn find<'a>(&'a self, connection: &'a str, payload: &'a str) -> StoreReply<'a, Option<String>> {
        Box::pin(self.find_reference(connection, payload).with_subscriber(Dispatch::none()))
    }

    fn remove<'a>(&'a self, reference: &'a str) -> StoreReply<'a, ()> {
        Box::pin(self.take_away(reference).with_subscriber(Dispatch::none()))
    }

    fn forget<'a>(&'a self, connection: &'a str) -> StoreReply<'a, ()> {
        Box::pin(self.take_all_away(connection).with_subscriber(Dispatch::none()))
    }

    fn list<'a>(&'a self, page: Option<&'a str>) -> StoreReply<'a, StoreList> {
        Box::pin(self.page(page.map(str::to_owned)).with_subscriber(Dispatch::none()))
    }

    fn adopted<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> StoreReply<'a, AdoptedSecret> {
        Box::pin(self.adopt(name, version).with_subscriber(Dispatch::none()))
    }
}
