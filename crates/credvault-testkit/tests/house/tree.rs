//! The project's files as text: read once from a folder, or made up by a test. Knows paths, not Rust.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// Endings of the files that the rules look at.
const TEXT_ENDINGS: [&str; 9] = ["rs", "md", "proto", "toml", "cedar", "yaml", "yml", "sh", "mjs"];

/// Folders that hold nothing written for this project.
const SKIPPED_FOLDERS: [&str; 2] = ["target", "node_modules"];

/// Every text file of a project by its path from the root, with `/` between the folders.
#[derive(Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads the project in `root`. Hidden folders and build output are left out.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    /// A made-up project: pairs of path and text.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() && !name.starts_with('.') && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() && is_text(&path) {
                self.0.insert(path, fs::read_to_string(entry.path())?);
            }
        }
        Ok(())
    }

    /// The text of one file, if it exists.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// All files, sorted by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// All Rust files, sorted by path.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// The root files of all libraries and programs: `src/lib.rs` and `src/main.rs` of each package.
    pub(crate) fn crate_roots(&self) -> Vec<&str> {
        let root = |path: &str| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        self.rust().map(|(path, _)| path).filter(|path| root(path)).collect()
    }
}

/// Whether a file is code for tests, benchmarks or examples alone.
pub(crate) fn is_test_code(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "examples"))
}

fn is_text(path: &str) -> bool {
    path.starts_with("scripts/") || path.rsplit_once('.').is_some_and(|(_, end)| TEXT_ENDINGS.contains(&end))
}
