//! Where backups and exports go to, and where backups come from. A file is private, and has its name only once it is whole and on the disk.

use std::fs::File;
use std::io::{IsTerminal as _, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use credvault_crypto::SystemRandom;
use credvault_domain::Random as _;

use crate::cli::failure::Failure;

/// What stands for standard input or output in place of a file.
const STREAM: &str = "-";

/// Whether a path stands for standard input or output.
pub(in crate::cli) fn is_stream(path: &Path) -> bool {
    path == Path::new(STREAM)
}

/// Standard output, without a buffer that would look for ends of lines.
pub(super) fn open_stdout() -> Result<File, Failure> {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        let rule = "--to - writes the backup to standard output, which is a terminal; send it to a program or name a file";
        return Err(Failure::Usage(rule.to_owned()));
    }
    let handle = stdout.as_fd().try_clone_to_owned().context("standard output cannot be written")?;
    Ok(File::from(handle))
}

/// A file that is being written under another name. Dropped before [`Unfinished::finish`], it is removed; what a killed
/// process leaves has a name that no backup has, and no end.
#[derive(Debug)]
pub(in crate::cli) struct Unfinished {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Unfinished {
    pub(in crate::cli) fn create(path: &Path) -> Result<Self, Failure> {
        if path.exists() {
            let rule = format!("{} is there already; name another file", path.display());
            return Err(Failure::Usage(rule));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name =
            name.ok_or_else(|| Failure::Usage(format!("{} must be the name of a file", path.display())))?;
        // Of its own for each attempt: in a container, every process has the same number.
        let mut number = [0; 8];
        SystemRandom.fill(&mut number).context("there is no randomness for the name of a file")?;
        let number = u64::from_ne_bytes(number);
        let unfinished = path.with_file_name(format!(".{name}.{number:016x}.unfinished"));
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&unfinished);
        let file = file.with_context(|| format!("{} cannot be written", unfinished.display()))?;
        Ok(Self { file, unfinished, path: path.to_owned(), finished: false })
    }

    pub(in crate::cli) fn writer(&mut self) -> &mut (dyn Write + Send) {
        &mut self.file
    }

    /// Gives the file its name, once all of it has reached the disk.
    pub(in crate::cli) fn finish(mut self) -> Result<(), Failure> {
        let failed = || format!("{} cannot be written", self.path.display());
        self.file.sync_all().with_context(failed)?;
        std::fs::rename(&self.unfinished, &self.path).with_context(failed)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        folder.with_context(failed)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // Without its end it is no backup, whether it can be removed or not.
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}

/// A backup to read, and how many bytes it has, if that is known.
pub(super) fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if is_stream(path) {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let unreadable = |error| Failure::Usage(format!("{} cannot be read: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    Ok((Box::new(file), Some(bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_has_its_name_only_once_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vault.backup");
        let files = || std::fs::read_dir(folder.path()).expect("a folder").count();
        let mut unfinished = Unfinished::create(&path).expect("created");
        unfinished.writer().write_all(b"half").expect("written");
        assert!(!path.exists());
        drop(unfinished);
        assert_eq!(files(), 0);
        let mut whole = Unfinished::create(&path).expect("created");
        whole.writer().write_all(b"whole").expect("written");
        whole.finish().expect("finished");
        assert_eq!(std::fs::read(&path).expect("a backup"), b"whole");
        assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(files(), 1);
        assert!(matches!(Unfinished::create(&path), Err(Failure::Usage(_))));
    }
}
