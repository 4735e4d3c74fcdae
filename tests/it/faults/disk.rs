//! A small disk in memory, which a test fills. Mounting it needs the rights of root.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system of 24 MiB. Unmounted when dropped.
pub struct SmallDisk(TempDir);

/// Runs a program as root, through sudo if need be, and says whether it succeeded.
fn as_root(program: &str, arguments: &[&str], path: &Path) -> bool {
    let mut commands = [Command::new(program), Command::new("sudo")];
    commands[1].args(["-n", program]);
    commands
        .iter_mut()
        .any(|command| command.args(arguments).arg(path).output().is_ok_and(|output| output.status.success()))
}

impl SmallDisk {
    /// Mounts a disk; `None` if this machine does not permit it.
    #[expect(clippy::print_stderr, reason = "a run without the disk must say so")]
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=24m,mode=0777", "tmpfs"];
        if as_root("mount", &arguments, folder.path()) {
            return Some(Self(folder));
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "a file system in memory cannot be mounted");
        eprintln!("NOT RUN: a full disk needs a file system in memory, which only root may mount");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A folder that belongs to the user of PostgreSQL's server.
    pub fn folder_of_postgres(&self) -> PathBuf {
        let folder = self.path().join("tablespace");
        fs::create_dir(&folder).unwrap();
        // As another user, the tests run the server themselves.
        if rustix::process::geteuid().is_root() {
            let given = Command::new("chown").arg("postgres").arg(&folder).status().unwrap();
            assert!(given.success());
        }
        folder
    }

    /// Writes a file that takes all the room that there is.
    pub fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        for size in [64 * 1024, 4096] {
            let block = vec![7_u8; size];
            while ballast.write(&block).is_ok_and(|written| written > 0) {}
        }
    }

    /// Removes that file again.
    pub fn empty(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server that has not ended yet keeps it.
        as_root("umount", &["-l"], self.path());
    }
}
