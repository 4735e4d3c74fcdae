//! The configuration as it was given: every section, where each value came from, and what could not be read.

use std::path::Path;

use serde::Serialize;

use super::audit::AuditSection;
use super::broker::BrokerSection;
use super::catalog::CatalogSection;
use super::erasure::ErasureSection;
use super::identity::IdentitySection;
use super::keys::KeysSection;
use super::limits::LimitsSection;
use super::pages::PagesSection;
use super::problem::{Problems, SettingsError};
use super::public::PublicSection;
use super::root_key::RootKeySection;
use super::secret_stores::SecretsSection;
use super::server::ServerSection;
use super::store::StoreSection;
use super::telemetry::TelemetrySection;

/// The configuration as it was given, with defaults for what was left out.
#[derive(Serialize, Clone, Default, Debug)]
pub struct RawSettings {
    /// Addresses and the server's certificate.
    pub server: ServerSection,
    /// How much is served at once.
    pub limits: LimitsSection,
    /// The database, and how much each tenant may keep in it.
    pub store: StoreSection,
    /// What statements about erased tenants say of backups.
    pub erasure: ErasureSection,
    /// The name under which checkpoints of audit logs are signed, and the witnesses that cosign them.
    pub audit: AuditSection,
    /// The source of the root key.
    pub root_key: RootKeySection,
    /// A second root key, while the vault moves from one to another.
    pub other_root_key: RootKeySection,
    /// When tenant keys are rotated, and how.
    pub keys: KeysSection,
    /// Where secrets are kept beside the database.
    pub secrets: SecretsSection,
    /// Which authorities, policies and issuers of tokens the vault trusts.
    pub identity: IdentitySection,
    /// Providers that the operator adds.
    pub catalog: CatalogSection,
    /// Calls to providers, and how tokens are kept fresh.
    pub broker: BrokerSection,
    /// The port for browsers.
    pub public: PublicSection,
    /// What people see at that port.
    pub pages: PagesSection,
    /// Destinations of logs and traces.
    pub telemetry: TelemetrySection,
    /// Where each value came from, and what could not be read.
    #[serde(skip)]
    pub(super) problems: Problems,
}

impl RawSettings {
    /// Refuses what could not be read: a broken file, an unknown key, a value of the wrong type.
    ///
    /// # Errors
    /// All that could not be read.
    pub fn check_reading(&self) -> Result<(), SettingsError> {
        self.problems.clone().into_result()
    }

    /// Makes relative paths begin at `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.server.resolve(base);
        self.store.resolve(base);
        self.root_key.resolve(base);
        self.other_root_key.resolve(base);
        self.secrets.resolve(base);
        self.identity.resolve(base);
        self.catalog.resolve(base);
        self.pages.resolve(base);
    }
}
