//! The root keys as the settings name them, ready to be used: key managers behind their guards.

use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::{KeyManager, KeyManagerError, RootKeySource, RootKeySources};
use credvault_domain::Random;
#[cfg(feature = "aws")]
use credvault_kms::{AwsKms, AwsKmsSettings};
#[cfg(feature = "google")]
use credvault_kms::{GoogleKms, GoogleKmsSettings};
use credvault_kms::{GuardSettings, Guarded};
#[cfg(feature = "pkcs11")]
use credvault_kms::{IvSource, Pkcs11, Pkcs11Settings};
#[cfg(feature = "transit")]
use credvault_kms::{OpenBaoSettings, Transit, TransitSettings};

#[cfg(feature = "transit")]
use super::openbao::login;
use crate::settings::{Keys, ManagerSection, RootKey, RootKeys};

/// A key manager that cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("{section}.{setting}: {source}")]
pub struct ManagerError {
    /// The section of the settings.
    section: &'static str,
    /// The key manager's setting in it.
    setting: &'static str,
    /// What is wrong with it.
    source: KeyManagerError,
}

/// The sources of the root keys. No key manager is called.
///
/// # Errors
/// A key manager cannot be used as it is configured.
pub(crate) async fn sources(
    roots: &RootKeys,
    keys: &Keys,
    random: &Arc<dyn Random>,
) -> Result<RootKeySources, ManagerError> {
    let other = match &roots.other {
        Some(other) => Some(source("other_root_key", other, keys.manager_timeout, random).await?),
        None => None,
    };
    let main = source("root_key", &roots.main, keys.manager_timeout, random).await?;
    Ok(RootKeySources { main, other, lifetime: keys.cache })
}

async fn source(
    section: &'static str,
    root: &RootKey,
    timeout: Duration,
    random: &Arc<dyn Random>,
) -> Result<RootKeySource, ManagerError> {
    let manager = match root {
        RootKey::Local(source) => return Ok(source.clone()),
        RootKey::Managed(manager) => manager,
    };
    let failed = |source| ManagerError { section, setting: manager.setting(), source };
    let inner = made(manager.clone(), random).await.map_err(failed)?;
    let guard = GuardSettings { timeout, ..GuardSettings::default() };
    Ok(RootKeySource::Managed(Arc::new(Guarded::new(inner, guard))))
}

async fn made(
    manager: ManagerSection,
    random: &Arc<dyn Random>,
) -> Result<Arc<dyn KeyManager>, KeyManagerError> {
    Ok(match manager {
        #[cfg(feature = "transit")]
        ManagerSection::Transit(transit) => {
            let openbao = OpenBaoSettings {
                address: transit.address,
                namespace: transit.namespace,
                ca_file: transit.ca_file,
                login: login(transit.login),
            };
            let settings = TransitSettings { openbao, mount: transit.mount, key: transit.key };
            Arc::new(Transit::connect(settings).await?)
        }
        #[cfg(feature = "aws")]
        ManagerSection::AwsKms(aws) => {
            let settings = AwsKmsSettings {
                key: aws.key,
                region: None,
                endpoint: aws.endpoint,
                profile: aws.profile,
                credentials_file: aws.credentials_file,
            };
            Arc::new(AwsKms::connect(settings).await?)
        }
        #[cfg(feature = "google")]
        ManagerSection::GoogleKms(google) => Arc::new(GoogleKms::new(GoogleKmsSettings {
            key: google.key,
            endpoint: google.endpoint,
            service_account: google.service_account,
        })?),
        #[cfg(feature = "pkcs11")]
        ManagerSection::Pkcs11(pkcs11) => {
            let iv = if pkcs11.token_makes_iv { IvSource::Token } else { IvSource::Vault };
            let settings = Pkcs11Settings {
                module: pkcs11.module,
                token: pkcs11.token,
                pin_file: pkcs11.pin_file,
                key: pkcs11.key,
                iv,
            };
            Arc::new(Pkcs11::new(settings, Arc::clone(random))?)
        }
        #[cfg(not(all(feature = "transit", feature = "aws", feature = "google", feature = "pkcs11")))]
        left_out => {
            let rule =
                format!("this build of credvault was made without the feature for {}", left_out.setting());
            return Err(KeyManagerError::Settings(rule));
        }
    })
}
