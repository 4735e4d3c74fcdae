//! A symmetric key in Google Cloud KMS as a key manager.

mod reason;
mod resource;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use credvault_crypto::{KeyManager, KeyManagerError, Opened, Reply, Versioning, WrapPlace};
use google_cloud_gax::paginator::ItemPaginator as _;
use google_cloud_kms_v1::client::KeyManagementService;
use google_cloud_kms_v1::model::CryptoKeyVersion;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState as State;
use tracing::instrument::WithSubscriber as _;

use super::access::{Access, KeptClient};
use super::answer::{corrupted, unexpected};
use super::checksum;
use crate::failure::Failure;

/// How often to ask whether a new version of the key is generated, which takes a hardware security module a moment.
const GENERATION_POLL: Duration = Duration::from_millis(250);

/// What the vault must know to use a key in Google Cloud KMS.
#[derive(Clone, Debug)]
pub struct GoogleKmsSettings {
    /// The key, as `projects/P/locations/L/keyRings/R/cryptoKeys/K`. Its purpose is symmetric encryption and decryption.
    pub key: String,
    /// Where the API is, unless at its public address: `https://…`, or `http://…` on the loopback interface.
    pub endpoint: Option<String>,
    /// A private file with a service account's key in JSON. Without it, Google's application default credentials are
    /// used: workload identity, the metadata server, or what the environment names.
    pub service_account: Option<PathBuf>,
}

/// A key in Google Cloud KMS. A wrapped key is what Google's `Encrypt` answers, which names the version of the key within.
pub struct GoogleKms {
    key: String,
    access: Access,
    client: KeptClient<KeyManagementService>,
}

impl fmt::Debug for GoogleKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleKms")
            .field("key", &self.key)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl GoogleKms {
    /// The key manager with these settings. It reads no file and calls nothing before its first use.
    ///
    /// # Errors
    /// The name of the key or the endpoint is not of its form.
    pub fn new(settings: GoogleKmsSettings) -> Result<Self, KeyManagerError> {
        let GoogleKmsSettings { key, endpoint, service_account } = settings;
        resource::check_key(&key)?;
        let access = Access { endpoint, service_account };
        access.check()?;
        Ok(Self { key, access, client: KeptClient::new() })
    }

    /// Makes a call, with a client that is kept from call to call.
    ///
    /// Nothing of it is traced: with `GOOGLE_CLOUD_RUST_LOGGING=true` in the environment the SDK traces whole requests
    /// and answers, and so the keys in them.
    async fn call<T>(
        &self,
        make: impl AsyncFnOnce(&KeyManagementService) -> Result<T, KeyManagerError>,
    ) -> Result<T, KeyManagerError> {
        let made = async {
            let client = self.client.get_or(self.make_client()).await?;
            make(&client).await
        };
        let made = made.with_subscriber(tracing::Dispatch::none()).await;
        if matches!(made, Err(KeyManagerError::Denied(_))) {
            self.client.forget().await;
        }
        made
    }

    async fn make_client(&self) -> Result<KeyManagementService, Failure> {
        let builder = self.access.applied_to(KeyManagementService::builder())?;
        let unusable = |_| Failure::Unavailable("no client of Google Cloud KMS can be made".to_owned());
        builder.build().await.map_err(unusable)
    }

    /// The number of a version of our key, from its full name.
    fn number_of(&self, version: &str) -> Result<u64, KeyManagerError> {
        resource::version_number(&self.key, version)
            .ok_or_else(|| unexpected("it named a version of another key").into())
    }

    async fn encrypt(
        &self,
        client: &KeyManagementService,
        place: &WrapPlace<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, KeyManagerError> {
        let place = place.associated_data();
        let call = client.encrypt().set_name(&self.key);
        let call = call.set_plaintext_crc32c(checksum::of(plain)).set_plaintext(plain.to_vec());
        let call = call
            .set_additional_authenticated_data_crc32c(checksum::of(&place))
            .set_additional_authenticated_data(place);
        let answer = call.send().await.map_err(|error| reason::of(&error))?;
        let arrived =
            answer.verified_plaintext_crc32c && answer.verified_additional_authenticated_data_crc32c;
        if !arrived || answer.ciphertext_crc32c != Some(checksum::of(&answer.ciphertext)) {
            return Err(corrupted().into());
        }
        self.number_of(&answer.name)?;
        Ok(answer.ciphertext.to_vec())
    }

    async fn decrypt(
        &self,
        client: &KeyManagementService,
        place: &WrapPlace<'_>,
        wrapped: &[u8],
    ) -> Result<Opened, KeyManagerError> {
        let place = place.associated_data();
        let call = client.decrypt().set_name(&self.key);
        let call = call.set_ciphertext_crc32c(checksum::of(wrapped)).set_ciphertext(wrapped.to_vec());
        let call = call
            .set_additional_authenticated_data_crc32c(checksum::of(&place))
            .set_additional_authenticated_data(place);
        let answer = call.send().await.map_err(|error| reason::of_decrypt(&error))?;
        if answer.plaintext_crc32c != Some(checksum::of(&answer.plaintext)) {
            return Err(corrupted().into());
        }
        Ok(Opened::new(answer.plaintext.to_vec()))
    }

    async fn make_version(&self, client: &KeyManagementService) -> Result<Versioning, KeyManagerError> {
        let made = client.create_crypto_key_version().set_parent(&self.key);
        let mut made = made.send().await.map_err(|error| reason::of(&error))?;
        let number = self.number_of(&made.name)?;
        while made.state == State::PendingGeneration {
            tokio::time::sleep(GENERATION_POLL).await;
            let again = client.get_crypto_key_version().set_name(&made.name);
            made = again.send().await.map_err(|error| reason::of(&error))?;
        }
        let primary = client.update_crypto_key_primary_version().set_name(&self.key);
        let primary = primary.set_crypto_key_version_id(number.to_string());
        primary.send().await.map_err(|error| reason::of(&error))?;
        Ok(Versioning::Done)
    }

    async fn destroy_older(&self, client: &KeyManagementService) -> Result<Versioning, KeyManagerError> {
        let key = client.get_crypto_key().set_name(&self.key);
        let key = key.send().await.map_err(|error| reason::of(&error))?;
        let primary =
            key.primary.ok_or_else(|| KeyManagerError::Key("it has no primary version".to_owned()))?;
        let newest = self.number_of(&primary.name)?;
        let mut versions = client.list_crypto_key_versions().set_parent(&self.key).by_item();
        while let Some(version) = versions.next().await {
            let version = version.map_err(|error| reason::of(&error))?;
            if self.number_of(&version.name)? < newest && still_holds_a_key(&version) {
                let destroy = client.destroy_crypto_key_version().set_name(&version.name);
                destroy.send().await.map_err(|error| reason::of(&error))?;
            }
        }
        Ok(Versioning::Done)
    }
}

fn still_holds_a_key(version: &CryptoKeyVersion) -> bool {
    version.state == State::Enabled || version.state == State::Disabled
}

impl KeyManager for GoogleKms {
    fn kind(&self) -> &'static str {
        "google_kms"
    }

    fn key_name(&self) -> &str {
        &self.key
    }

    fn wrap<'a>(&'a self, place: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(
            self.call(async move |client: &KeyManagementService| self.encrypt(client, place, plain).await),
        )
    }

    fn unwrap<'a>(&'a self, place: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(
            self.call(async move |client: &KeyManagementService| self.decrypt(client, place, wrapped).await),
        )
    }

    /// Makes a version and then makes it the primary one, with which Google encrypts.
    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(self.call(async move |client: &KeyManagementService| self.make_version(client).await))
    }

    /// Schedules the destruction of all versions before the primary one. They decrypt nothing from then on, and Google
    /// destroys them after the time that is set in the key (30 days by default); until then an administrator can restore
    /// them.
    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(self.call(async move |client: &KeyManagementService| self.destroy_older(client).await))
    }
}
