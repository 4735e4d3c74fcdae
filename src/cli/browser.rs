//! Opens an address in the browser of the person at the terminal.

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::process::{Command, Stdio};

use super::environment::variable;

/// Begins to open the address, and says whether a program for that was found. Only at a terminal on a machine with a screen:
/// a script, or a session on a server, has no browser to open.
pub(super) fn open(address: &str) -> bool {
    let screen = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].iter().any(|name| variable(name).is_some());
    if !screen || !std::io::stderr().is_terminal() {
        return false;
    }
    // `xdg-open` honours BROWSER, too; where there is none, the variable names the program.
    begin(OsStr::new("xdg-open"), address)
        || variable("BROWSER").is_some_and(|program| begin(&program, address))
}

/// Starts a program with the address, and says whether there is such a program.
fn begin(program: &OsStr, address: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    // The address stands on the terminal, too, whatever becomes of the program.
    std::thread::spawn(move || child.wait());
    true
}
