//! `catalog`: providers that the operator adds. Its one value needs no check beyond its type; `config check` and the start
//! read the files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::value::resolve;

/// `catalog` as it was given, which is also what the program works with.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSection {
    /// A folder of provider files. A file replaces the embedded provider of the same id.
    pub folder: Option<PathBuf>,
}

impl CatalogSection {
    pub(super) fn resolve(&mut self, base: &Path) {
        self.folder.iter_mut().for_each(|path| resolve(path, base));
    }
}
