//! The stores of secrets as the settings name them, ready to be used behind their guards.

use std::sync::Arc;

use credvault_crypto::{SecretStore, SecretStoreError, SecretStores, StoreEntry};
#[cfg(feature = "aws")]
use credvault_kms::{AwsSecrets, AwsSecretsSettings};
#[cfg(feature = "google")]
use credvault_kms::{GoogleSecrets, GoogleSecretsSettings};
use credvault_kms::{GuardSettings, GuardedStore};
#[cfg(feature = "transit")]
use credvault_kms::{OpenBaoSecrets, OpenBaoSecretsSettings, OpenBaoSettings};

#[cfg(feature = "transit")]
use super::openbao::login;
use crate::settings::{SecretPlace, Secrets};

/// A store of secrets that cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("secrets.stores.{name}: {source}")]
pub struct SecretStoreSettingsError {
    /// The name of the store.
    name: String,
    /// What is wrong with it.
    source: SecretStoreError,
}

/// The stores of secrets. None is called.
///
/// # Errors
/// A store cannot be used as it is configured.
pub(crate) async fn secret_stores(secrets: &Secrets) -> Result<SecretStores, SecretStoreSettingsError> {
    let mut stores = SecretStores {
        default: secrets.default.clone(),
        cache: secrets.cache,
        adopted_cache: secrets.adopted_cache,
        keep_removed: secrets.keep_removed,
        by_name: Default::default(),
    };
    for (name, store) in &secrets.stores {
        let failed = |source| SecretStoreSettingsError { name: name.clone(), source };
        let inner = made(store.place.clone()).await.map_err(failed)?;
        let guard = GuardSettings { timeout: store.timeout, calls_at_once: store.calls_at_once };
        let guarded: Arc<dyn SecretStore> = Arc::new(GuardedStore::new(inner, guard));
        tracing::info!(name, kind = guarded.kind(), place = guarded.place(), "a store of secrets");
        stores.by_name.insert(name.clone(), StoreEntry { store: guarded, adopt: store.adopt.clone() });
    }
    Ok(stores)
}

async fn made(place: SecretPlace) -> Result<Arc<dyn SecretStore>, SecretStoreError> {
    Ok(match place {
        #[cfg(feature = "transit")]
        SecretPlace::OpenBao { address, namespace, ca_file, mount, prefix, login: method } => {
            let openbao = OpenBaoSettings { address, namespace, ca_file, login: login(method) };
            Arc::new(OpenBaoSecrets::connect(OpenBaoSecretsSettings { openbao, mount, prefix }).await?)
        }
        #[cfg(feature = "aws")]
        SecretPlace::Aws { prefix, region, endpoint, profile, credentials_file } => {
            let settings = AwsSecretsSettings { prefix, region, endpoint, profile, credentials_file };
            Arc::new(AwsSecrets::connect(settings).await?)
        }
        #[cfg(feature = "google")]
        SecretPlace::Google { project, prefix, locations, endpoint, service_account } => {
            let settings = GoogleSecretsSettings { project, prefix, locations, endpoint, service_account };
            Arc::new(GoogleSecrets::new(settings)?)
        }
        #[cfg(not(all(feature = "transit", feature = "aws", feature = "google")))]
        left_out => {
            let kind = left_out.kind();
            let rule = format!("this build of credvault was made without the feature for {kind}");
            return Err(SecretStoreError::Settings(rule));
        }
    })
}
