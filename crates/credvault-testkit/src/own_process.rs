//! A test in a process of its own, for what a process has only once: its environment, logins, a global subscriber.

use std::process::Command;

/// Starts the test binary again for the test with this full name, such as `pkcs11::a_key_comes_back`, in an environment
/// that `prepare` changes. Returns what it printed.
///
/// # Panics
/// The test does not pass there, or there is no test of this name.
pub fn run(test: &str, prepare: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    prepare(&mut command);
    let output = command.output().unwrap();
    let printed =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    // A wrong name would run no test, and pass.
    let passed = output.status.success() && printed.contains("1 passed");
    assert!(passed, "{test}: {printed}");
    printed
}
