//! What the files that the settings name hold: catalog, authorities, policies, issuers' keys, the server's certificate,
//! the pages' pictures and languages. `config check` and the start read them in this one way, and report all problems at
//! once.

use std::sync::Arc;

use credvault_catalog::Catalog;
use credvault_identity::Identity;

use super::{design, identity};
use crate::grpc::{Tls, certificates, check_pair, private_key};
use crate::pages::Design;
use crate::reload::FileContents;
use crate::settings::{Problems, Settings, SettingsError};
use credvault_domain::chain;

/// What the files hold, ready to serve with.
pub(crate) struct Inputs {
    pub(super) catalog: Arc<Catalog>,
    pub(super) identity: Arc<Identity>,
    pub(super) tls: Arc<Tls>,
    pub(super) design: Arc<Design>,
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
        let design = design::load(&settings.pages, &mut problems);
        let identity = identity::load(&settings.identity, &files, &mut problems);
        let tls =
            server(&files, &mut problems).zip(identity.as_ref()).and_then(|((chain, key), identity)| {
                problems.take("server.key", Tls::new(Arc::clone(identity.trust()), chain, key))
            });
        match (catalog, identity, tls, design) {
            (Some(catalog), Some(identity), Some(tls), Some(design)) if problems.is_empty() => Ok(Self {
                catalog: Arc::new(catalog),
                identity: Arc::new(identity),
                tls: Arc::new(tls),
                design,
                files,
            }),
            _ => Err(problems.into_error()),
        }
    }
}

/// The server's certificate chain and key, each sound and together a pair.
fn server<'a>(files: &'a FileContents, problems: &mut Problems) -> Option<(&'a [u8], &'a [u8])> {
    let chain = files.chain.as_deref().map_err(Clone::clone);
    let chain = chain.and_then(|chain| certificates(chain).map(|_| chain));
    let chain = problems.take("server.certificate", chain);
    let key = files.key.as_deref().map_err(Clone::clone);
    let key = key.and_then(|key| private_key(key).map(|_| key));
    let key = problems.take("server.key", key);
    let (chain, key) = (chain?, key?);
    problems.take("server.key", check_pair(chain, key))?;
    Some((chain, key))
}
