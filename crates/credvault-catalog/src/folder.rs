//! A folder of TOML files: operators keep providers in one, and the languages of the pages in another. It reads texts and
//! does not parse them.

use std::path::{Path, PathBuf};

/// A file of a folder, with what stands in it.
#[derive(Debug)]
pub struct TomlFile {
    /// The path of the folder, and the file's name.
    pub path: PathBuf,
    /// The whole text, which need not be TOML.
    pub text: String,
}

/// A folder, or a file in it, that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read: {source}")]
pub struct UnreadableFile {
    /// The path of the folder or file.
    pub path: PathBuf,
    /// The operating system's reason for it.
    pub source: std::io::Error,
}

/// Reads the files of a folder whose names end with `.toml`, in the order of their names.
///
/// # Errors
/// The folder, or one of these files, cannot be read.
pub fn toml_files(folder: &Path) -> Result<Vec<TomlFile>, UnreadableFile> {
    let unreadable = |source| UnreadableFile { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok(TomlFile { path, text }),
        Err(source) => Err(UnreadableFile { path, source }),
    };
    paths.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_names_and_others_are_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["b.toml", "a.toml", "notes.txt", "toml"] {
            std::fs::write(folder.path().join(name), name).expect("file");
        }
        let files = toml_files(folder.path()).expect("files");
        let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
        assert_eq!(texts, ["a.toml", "b.toml"]);
        assert_eq!(files[0].path, folder.path().join("a.toml"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let missing = toml_files(&folder.path().join("none")).expect_err("no folder");
        assert!(missing.to_string().contains("none cannot be read: "), "{missing}");
        std::fs::create_dir(folder.path().join("c.toml")).expect("a folder with the name of a file");
        let no_file = toml_files(folder.path()).expect_err("no file");
        assert!(no_file.to_string().contains("c.toml cannot be read: "), "{no_file}");
    }
}
