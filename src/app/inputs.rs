//! What the files that the settings name hold: catalog, authorities, policies, issuers' keys, the server's certificate.
//! `config check` and the start read them in this one way, and report all problems at once.

use std::sync::Arc;

use credvault_catalog::Catalog;
use credvault_identity::Identity;

use super::identity;
use crate::call::chain;
use crate::grpc::{self, Tls};
use crate::reload::FileContents;
use crate::settings::{Problems, Settings, SettingsError};

/// What the files hold, ready to serve with.
pub(crate) struct Inputs {
    pub(super) catalog: Arc<Catalog>,
    pub(super) identity: Arc<Identity>,
    pub(super) tls: Arc<Tls>,
    /// The files as they were read, to notice one that changes meanwhile.
    pub(super) files: FileContents,
}

impl Inputs {
    /// Reads all files.
    ///
    /// # Errors
    /// The `problems` that were found before, and every file that is missing or broken, by the key of its setting.
    pub(crate) fn read(settings: &Settings, mut problems: Problems) -> Result<Self, SettingsError> {
        let files = FileContents::read(settings);
        let catalog = Catalog::load(settings.catalog.folder.as_deref()).map_err(|error| chain(&error));
        let catalog = problems.take("catalog.folder", catalog);
        let identity = identity::load(&settings.identity, &files, &mut problems);
        let chain = problems.take("server.certificate", files.chain.clone());
        let key = problems.take("server.key", files.key.clone());
        let server = chain
            .zip(key)
            .filter(|(chain, key)| problems.take("server.key", grpc::check(chain, key)).is_some());
        let tls = identity.as_ref().zip(server).and_then(|(identity, (chain, key))| {
            problems.take("server.key", Tls::new(Arc::clone(identity.trust()), &chain, &key))
        });
        match (catalog, identity, tls) {
            (Some(catalog), Some(identity), Some(tls)) if problems.is_empty() => Ok(Self {
                catalog: Arc::new(catalog),
                identity: Arc::new(identity),
                tls: Arc::new(tls),
                files,
            }),
            _ => Err(problems.into_error()),
        }
    }
}
