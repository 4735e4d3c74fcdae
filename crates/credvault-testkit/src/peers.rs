//! Programs of others that tests run as peers. `scripts/test` installs them; `CREDVAULT_TEST_PEERS` names the Python
//! environment that they are in, without it `target/tools/venv` is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a peer may take to start, or to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program of this name, or `None` after saying that the test has not run. With `CI=true` that is a failure.
#[expect(clippy::print_stderr, reason = "a run without the peer must say so")]
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("CREDVAULT_TEST_PEERS").map(PathBuf::from);
    let folder =
        given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/venv"));
    let program = folder.join("bin").join(name);
    if program.is_file() {
        return Some(program);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is not installed");
    eprintln!("NOT RUN: {} is not there; scripts/test installs it", program.display());
    None
}

/// A port on loopback that is free at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process, such as `STOP`.
pub(crate) fn signal(child: &Child, name: &str) {
    let status =
        std::process::Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(status.unwrap().success(), "kill -{name}");
}

/// Sends a request by plain HTTP: the status and the JSON of the answer, or the error if there is none.
pub(crate) fn try_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request =
        format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let cut = || std::io::Error::other("the answer was cut off");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
