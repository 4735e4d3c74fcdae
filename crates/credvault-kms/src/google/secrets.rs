//! Google Secret Manager as a store of secrets. Each connection is one secret, `<prefix><connection>`, and each payload is
//! a version of it. Google numbers versions, so it does not recognise a payload that is put twice; what is kept begins with
//! the payload's id, so that it can be found.
//!
//! The vault's service account needs the role `roles/secretmanager.admin` on the secrets of the prefix and
//! `secretmanager.secrets.create` and `.list` on the project; for secrets of others, `roles/secretmanager.secretAccessor` on
//! them.

mod name;
mod reason;

use std::fmt;
use std::path::PathBuf;

use credvault_crypto::{
    AdoptedSecret, Opened, SecretStore, SecretStoreError, StoreList, StoreReply, StoredReference,
};
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::paginator::ItemPaginator as _;
use google_cloud_secretmanager_v1::Error;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use google_cloud_secretmanager_v1::model::replication::user_managed::Replica;
use google_cloud_secretmanager_v1::model::replication::{Automatic, UserManaged};
use google_cloud_secretmanager_v1::model::secret_version::State;
use google_cloud_secretmanager_v1::model::{Replication, Secret, SecretPayload};
use tracing::instrument::WithSubscriber as _;

use super::access::{Access, KeptClient};
use super::answer::{corrupted, unexpected};
use super::checksum;
use crate::failure::Failure;
use crate::guarded::step_is_done;
use crate::kept;

/// Secrets on a page.
const PAGE: i32 = 10;
/// The id of a payload and the dot behind it.
const ID_BYTES: usize = 37;
/// Versions that hold a payload.
const ALIVE: &str = "state:ENABLED OR state:DISABLED";

/// Where the secrets are, and how to reach Google Secret Manager.
#[derive(Clone, Debug)]
pub struct GoogleSecretsSettings {
    /// The id of the project.
    pub project: String,
    /// What the names of the vault's secrets begin with, usually `credvault-`. No others begin so.
    pub prefix: String,
    /// The regions that new secrets are kept in, such as `europe-west3`; without any, Google chooses.
    pub locations: Vec<String>,
    /// Where the API is, unless at its public address: `https://…`, or `http://…` on the loopback interface.
    pub endpoint: Option<String>,
    /// A private file with a service account's key in JSON. Without it, Google's application default credentials are
    /// used: workload identity, the metadata server, or what the environment names.
    pub service_account: Option<PathBuf>,
}

/// A store of secrets in Google Secret Manager.
pub struct GoogleSecrets {
    project: String,
    prefix: String,
    locations: Vec<String>,
    /// The place, as `projects/<project>/secrets/<prefix>`.
    place: String,
    access: Access,
    client: KeptClient<SecretManagerService>,
}

impl fmt::Debug for GoogleSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleSecrets").field("place", &self.place).finish_non_exhaustive()
    }
}

impl GoogleSecrets {
    /// The store with these settings. It reads no file and calls nothing before its first use.
    ///
    /// # Errors
    /// [`SecretStoreError::Settings`]: a setting is of no use.
    pub fn new(settings: GoogleSecretsSettings) -> Result<Self, SecretStoreError> {
        let GoogleSecretsSettings { project, prefix, locations, endpoint, service_account } = settings;
        name::check(&project, &prefix, &locations)?;
        let access = Access { endpoint, service_account };
        access.check()?;
        let place = format!("projects/{project}/secrets/{prefix}");
        Ok(Self { project, prefix, locations, place, access, client: KeptClient::new() })
    }

    /// Makes a call, with a client that is kept from call to call.
    ///
    /// Nothing of it is traced: with `GOOGLE_CLOUD_RUST_LOGGING=true` in the environment the SDK traces whole requests
    /// and answers, and so the secrets in them.
    async fn call<T>(
        &self,
        make: impl AsyncFnOnce(&SecretManagerService) -> Result<T, SecretStoreError>,
    ) -> Result<T, SecretStoreError> {
        let made = async {
            let client = self.client.get_or(self.make_client()).await?;
            make(&client).await
        };
        let made = made.with_subscriber(tracing::Dispatch::none()).await;
        if matches!(made, Err(SecretStoreError::Denied(_))) {
            self.client.forget().await;
        }
        made
    }

    async fn make_client(&self) -> Result<SecretManagerService, Failure> {
        let builder = self.access.applied_to(SecretManagerService::builder())?;
        let unusable = |_| Failure::Unavailable("no client of Google Secret Manager can be made".to_owned());
        builder.build().await.map_err(unusable)
    }

    /// The full name of what is below the project's secrets.
    fn full(&self, name: &str) -> String {
        format!("projects/{}/secrets/{name}", self.project)
    }

    async fn keep(
        &self,
        client: &SecretManagerService,
        (connection, payload): (&str, &str),
        sealed: &[u8],
    ) -> Result<String, SecretStoreError> {
        let text = kept::text_of(sealed, kept::MAX_BYTES - ID_BYTES)?;
        let text = format!("{payload}.{text}");
        let secret = format!("{}{connection}", self.prefix);
        let version = match self.add(client, &secret, &text).await {
            Err(SecretStoreError::NotFound) => {
                self.create(client, &secret).await?;
                self.add(client, &secret, &text).await?
            }
            added => added?,
        };
        Ok(format!("{secret}/versions/{version}"))
    }

    /// Adds a version, and gives its number.
    async fn add(
        &self,
        client: &SecretManagerService,
        secret: &str,
        text: &str,
    ) -> Result<u64, SecretStoreError> {
        let payload = SecretPayload::new().set_data_crc32c(checksum::of(text.as_bytes()));
        let payload = payload.set_data(text.as_bytes().to_vec());
        let add = client.add_secret_version().set_parent(self.full(secret)).set_payload(payload);
        let added = add.send().await.map_err(|error| reason::of(&error))?;
        Ok(number_of(&added.name)?)
    }

    async fn create(&self, client: &SecretManagerService, secret: &str) -> Result<(), SecretStoreError> {
        let replicas = self.locations.iter().map(|location| Replica::new().set_location(location));
        let replication = if self.locations.is_empty() {
            Replication::new().set_automatic(Automatic::new())
        } else {
            Replication::new().set_user_managed(UserManaged::new().set_replicas(replicas))
        };
        let create = client.create_secret().set_parent(format!("projects/{}", self.project));
        let create = create.set_secret_id(secret).set_secret(Secret::new().set_replication(replication));
        match create.send().await {
            Ok(_) => Ok(()),
            // Another replica was faster.
            Err(error) if has_code(&error, Code::AlreadyExists) => Ok(()),
            Err(error) => Err(reason::of(&error)),
        }
    }

    /// What a version holds, and its number.
    async fn payload(
        &self,
        client: &SecretManagerService,
        version: &str,
    ) -> Result<(Opened, u64), SecretStoreError> {
        let accessed = match client.access_secret_version().set_name(version).send().await {
            Ok(accessed) => accessed,
            // Google refuses a version that is destroyed in the same words as one that is disabled.
            Err(error) if has_code(&error, Code::FailedPrecondition) => {
                let gone = self.is_destroyed(client, version).await?;
                return Err(if gone { SecretStoreError::NotFound } else { reason::of(&error) });
            }
            Err(error) => return Err(reason::of(&error)),
        };
        let payload = accessed.payload.ok_or_else(|| unexpected("it holds no secret"))?;
        if payload.data_crc32c.is_some_and(|given| given != checksum::of(&payload.data)) {
            return Err(corrupted().into());
        }
        Ok((Opened::new(payload.data.to_vec()), number_of(&accessed.name)?))
    }

    async fn is_destroyed(
        &self,
        client: &SecretManagerService,
        version: &str,
    ) -> Result<bool, SecretStoreError> {
        let found = client.get_secret_version().set_name(version).send().await;
        Ok(found.map_err(|error| reason::of(&error))?.state == State::Destroyed)
    }

    async fn take_away(&self, client: &SecretManagerService, version: &str) -> Result<(), SecretStoreError> {
        match client.destroy_secret_version().set_name(version).send().await {
            Ok(_) => Ok(()),
            Err(error) if has_code(&error, Code::NotFound) => Ok(()),
            Err(error) if has_code(&error, Code::FailedPrecondition) => {
                let gone = self.is_destroyed(client, version).await?;
                if gone { Ok(()) } else { Err(reason::of(&error)) }
            }
            Err(error) => Err(reason::of(&error)),
        }
    }

    /// The numbers of a secret's versions that are not destroyed, the newest first; none if it is not there.
    async fn alive(&self, client: &SecretManagerService, secret: &str) -> Result<Vec<u64>, SecretStoreError> {
        let versions = client.list_secret_versions().set_parent(self.full(secret)).set_filter(ALIVE);
        let mut versions = versions.by_item();
        let mut numbers = Vec::new();
        while let Some(version) = versions.next().await {
            step_is_done();
            match version {
                Ok(version) if version.state != State::Destroyed => numbers.push(number_of(&version.name)?),
                Ok(_) => {}
                Err(error) if has_code(&error, Code::NotFound) => return Ok(Vec::new()),
                Err(error) => return Err(reason::of(&error)),
            }
        }
        Ok(numbers)
    }

    async fn page(
        &self,
        client: &SecretManagerService,
        page: Option<&str>,
    ) -> Result<StoreList, SecretStoreError> {
        let list = client.list_secrets().set_parent(format!("projects/{}", self.project));
        let list = list.set_filter(format!("name:{}", self.prefix)).set_page_size(PAGE);
        let listed = list.set_page_token(page.unwrap_or_default()).send().await;
        let listed = listed.map_err(|error| reason::of(&error))?;
        step_is_done();
        let mut references = Vec::new();
        for secret in &listed.secrets {
            let secret = secret.name.rsplit('/').next().unwrap_or_default();
            let connection = secret.strip_prefix(self.prefix.as_str());
            let Some(connection) = connection.filter(|connection| kept::is_id(connection)) else { continue };
            references.extend(self.alive(client, secret).await?.into_iter().map(|number| StoredReference {
                reference: format!("{secret}/versions/{number}"),
                connection: connection.to_owned(),
                payload: None,
            }));
        }
        let next = Some(listed.next_page_token).filter(|next| !next.is_empty());
        Ok(StoreList { references, next })
    }
}

/// The payload's id, and the text behind it.
fn named(text: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(text).ok()?.split_once('.').filter(|(payload, _)| kept::is_id(payload))
}

fn has_code(error: &Error, code: Code) -> bool {
    error.status().is_some_and(|status| status.code == code)
}

/// The number at the end of a version's full name, which names its project by a number.
fn number_of(version: &str) -> Result<u64, Failure> {
    let number = version.rsplit_once("/versions/").and_then(|(_, number)| number.parse().ok());
    number.ok_or_else(|| unexpected("it names no version"))
}

impl SecretStore for GoogleSecrets {
    fn kind(&self) -> &'static str {
        "google_secret_manager"
    }

    fn place(&self) -> &str {
        &self.place
    }

    fn put<'a>(&'a self, connection: &'a str, payload: &'a str, sealed: &'a [u8]) -> StoreReply<'a, String> {
        Box::pin(self.call(async move |client: &SecretManagerService| {
            kept::check_ids(&[connection, payload])?;
            self.keep(client, (connection, payload), sealed).await
        }))
    }

    fn get<'a>(&'a self, reference: &'a str) -> StoreReply<'a, Vec<u8>> {
        Box::pin(self.call(async move |client: &SecretManagerService| {
            name::check_reference(reference)?;
            let (text, _) = self.payload(client, &self.full(reference)).await?;
            let (_, text) = named(&text).ok_or_else(kept::foreign)?;
            kept::bytes_in(text)
        }))
    }

    fn find<'a>(&'a self, connection: &'a str, payload: &'a str) -> StoreReply<'a, Option<String>> {
        Box::pin(self.call(async move |client: &SecretManagerService| {
            kept::check_ids(&[connection, payload])?;
            let secret = format!("{}{connection}", self.prefix);
            for number in self.alive(client, &secret).await? {
                let reference = format!("{secret}/versions/{number}");
                let found = self.payload(client, &self.full(&reference)).await;
                step_is_done();
                match found {
                    Ok((text, _)) if named(&text).is_some_and(|(id, _)| id == payload) => {
                        return Ok(Some(reference));
                    }
                    Ok(_) | Err(SecretStoreError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        }))
    }

    fn remove<'a>(&'a self, reference: &'a str) -> StoreReply<'a, ()> {
        Box::pin(self.call(async move |client: &SecretManagerService| {
            name::check_reference(reference)?;
            self.take_away(client, &self.full(reference)).await
        }))
    }

    fn forget<'a>(&'a self, connection: &'a str) -> StoreReply<'a, ()> {
        Box::pin(self.call(async move |client: &SecretManagerService| {
            kept::check_ids(&[connection])?;
            let secret = self.full(&format!("{}{connection}", self.prefix));
            match client.delete_secret().set_name(secret).send().await {
                Ok(()) => Ok(()),
                Err(error) if has_code(&error, Code::NotFound) => Ok(()),
                Err(error) => Err(reason::of(&error)),
            }
        }))
    }

    fn list<'a>(&'a self, page: Option<&'a str>) -> StoreReply<'a, StoreList> {
        Box::pin(self.call(async move |client: &SecretManagerService| self.page(client, page).await))
    }

    fn adopted<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> StoreReply<'a, AdoptedSecret> {
        Box::pin(self.call(async move |client: &SecretManagerService| {
            let version = name::of_version(&self.project, name, version)?;
            let (value, number) = self.payload(client, &version).await?;
            kept::adopted(value, number.to_string())
        }))
    }
}
