//! SoftHSM 2: a real PKCS#11 module whose tokens are files.
//!
//! The module reads where its tokens are from the environment, once in a process, and a process cannot safely change its
//! own. So a test that uses it runs in a process of its own: [`soft_hsm`] starts the test binary again for just that test.
//! That also keeps logins apart, which are a process's and not a session's.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::own_process;

/// Where distributions put the module.
const MODULES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

const CONFIGURATION: &str = "SOFTHSM2_CONF";

/// The PIN of a token's security officer.
const SO_PIN: &str = "CANARY-officer";

/// SoftHSM with a folder for tokens.
pub struct SoftHsm {
    folder: PathBuf,
    module: PathBuf,
}

/// SoftHSM for the test with this full name, such as `pkcs11::a_key_comes_back`. In the process that starts all tests it
/// is `None`, after the test has passed in a process of its own, and the test has nothing left to do.
///
/// Without SoftHSM the test says that it has not run, and fails where `CI` is `true`.
#[expect(clippy::print_stderr, reason = "a run without the peer must say so")]
pub fn soft_hsm(test: &str) -> Option<SoftHsm> {
    let Some(module) = MODULES.into_iter().map(PathBuf::from).find(|path| path.exists()) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "SoftHSM 2 is not installed");
        eprintln!("NOT RUN: {test} needs SoftHSM 2 (Debian: softhsm2); scripts/test installs it");
        return None;
    };
    if let Some(configuration) = std::env::var_os(CONFIGURATION) {
        let folder = Path::new(&configuration).parent().unwrap().to_owned();
        return Some(SoftHsm { folder, module });
    }
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("tokens")).unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    let tokens = folder.path().join("tokens");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&configuration, text).unwrap();
    own_process::run(test, |command| {
        command.env(CONFIGURATION, &configuration);
    });
    None
}

impl SoftHsm {
    /// The PKCS#11 module, a shared library.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// A folder for the files of this test. It is deleted afterwards.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a token. Call it before the module is used: a process sees only the tokens that were there when it began.
    pub fn token(&self, label: &str, pin: &str) {
        Self::util(&["--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", pin]);
    }

    /// Makes an AES key of 256 bits in a token: sensitive and not extractable.
    pub fn key(&self, token: &str, pin: &str, label: &str) {
        let mut key = [0; 32];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut key).unwrap();
        // softhsm2-util reads the file as a line of text: up to the first zero or line break.
        let key = key.map(|byte| byte | 0x80);
        let file = self.folder.join("key");
        std::fs::write(&file, key).unwrap();
        let (file, id) =
            (file.to_str().unwrap(), label.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
        Self::util(&[
            "--import", file, "--aes", "--token", token, "--label", label, "--id", &id, "--pin", pin,
        ]);
    }

    /// Takes all tokens away, as if the device was pulled out.
    pub fn pull_out(&self) {
        std::fs::remove_dir_all(self.folder.join("tokens")).unwrap();
    }

    /// Moves all tokens to where the module does not find them, as if the device was pulled out for a while.
    pub fn put_away(&self) {
        std::fs::rename(self.folder.join("tokens"), self.folder.join("away")).unwrap();
    }

    /// Moves the tokens back.
    pub fn bring_back(&self) {
        std::fs::rename(self.folder.join("away"), self.folder.join("tokens")).unwrap();
    }

    fn util(arguments: &[&str]) {
        let output = Command::new("softhsm2-util").args(arguments).output().unwrap();
        assert!(output.status.success(), "softhsm2-util: {}", String::from_utf8_lossy(&output.stderr));
    }
}
