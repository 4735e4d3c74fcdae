//! The files of a SQLite database: only their owner and group reach them, and one process at a time has them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Why a database file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Others could read or write it.
    #[error(
        "the database file {path} has mode {mode:03o}: only its owner and group may reach it; run `chmod 600 {path}`"
    )]
    Mode {
        /// The path of the file.
        path: PathBuf,
        /// The permission bits of the file.
        mode: u32,
    },
    /// Another process has it.
    #[error(
        "the database file {path} is in use by another process ({holder}): SQLite serves one at a time. End that one, \
         or use PostgreSQL for several"
    )]
    InUse {
        /// The path of the file.
        path: PathBuf,
        /// What the other one says of itself.
        holder: String,
    },
    /// The file, or the one beside it that is locked, cannot be opened.
    #[error("the file {path} cannot be opened: {source}")]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// A database file that is this process's. The operating system lets go of it when the process ends, however it ends.
pub(crate) type Held = Arc<Lock>;

/// An open file with the lock on it.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do, but for a child that is being started and has the handle until it runs its own program. If
        // this fails, that is how it ends.
        let _ = self.0.unlock();
    }
}

/// What this process holds. Several stores of one process share the lock, as they share SQLite's own.
static HELD: Mutex<Option<HashMap<PathBuf, Weak<Lock>>>> = Mutex::new(None);

/// Takes a database file that exists for this process. The lock is on a file beside it: closing any other handle of the
/// database's own file would disturb the locks of SQLite.
pub(crate) fn hold(path: &Path) -> Result<Held, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    // One name for one file, whatever links lead to it.
    let path = path.canonicalize().map_err(failed)?;
    check_mode(&path)?;
    // What was written last stands in these, until it is moved.
    for beside in ["-wal", "-shm"] {
        check_mode(&beside_of(&path, beside))?;
    }
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let held = held.get_or_insert_default();
    if let Some(file) = held.get(&path).and_then(Weak::upgrade) {
        return Ok(file);
    }
    let file = Arc::new(Lock(lock(&path)?));
    held.insert(path, Arc::downgrade(&file));
    Ok(file)
}

/// Refuses a file that the world can reach; one that is not there is not.
fn check_mode(path: &Path) -> Result<(), FileError> {
    let metadata = match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(FileError::Io { path: path.to_owned(), source }),
        Ok(metadata) => metadata,
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 == 0 { Ok(()) } else { Err(FileError::Mode { path: path.to_owned(), mode }) }
}

/// The file beside a database whose name ends in this.
fn beside_of(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn lock(database: &Path) -> Result<File, FileError> {
    let path = beside_of(database, ".lock");
    let failed = |source| FileError::Io { path: path.clone(), source };
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // It only helps to find the other one, which may be about to write it.
            let _ = (&file).take(100).read_to_string(&mut holder);
            let holder = if holder.is_empty() { "it does not say which".to_owned() } else { holder };
            return Err(FileError::InUse { path: database.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let written = file.set_len(0).and_then(|()| file.rewind());
    written.and_then(|()| write!(file, "process {}", std::process::id())).map_err(failed)?;
    Ok(file)
}
