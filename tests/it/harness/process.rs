//! The program itself, in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// `credvault serve`, started. Killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub public_address: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a vault of the configuration in `folder` and waits until it serves; or gives what it said instead.
    pub fn serve(folder: &Path, settings: &[&str]) -> Result<Self, String> {
        let mut command = Self::command();
        command.arg("serve").arg("--config").arg(folder.join("credvault.toml"));
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = lines.by_ref().map(Result::unwrap).find_map(|line| {
            log.lock().unwrap().push_str(&format!("{line}\n"));
            let event: Value = serde_json::from_str(&line).ok()?;
            let address = |name: &str| event[name].as_str()?.parse().ok();
            let served = event["message"] == "serving";
            served.then_some((address("address")?, address("admin_address")?, address("public_address")))
        });
        let Some((address, admin_address, public_address)) = serving else {
            child.wait().unwrap();
            return Err(log.lock().unwrap().clone());
        };
        let sink = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Ok(Self { child, address, admin_address, public_address, log, reader: Some(reader) })
    }

    /// The program, away from any configuration of the machine.
    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_credvault"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CREDVAULT_")) {
            command.env_remove(name);
        }
        // How wide the terminal is that the tests were started from.
        command.env_remove("COLUMNS");
        command
    }

    /// Runs the program to its end.
    pub fn run(folder: &Path, arguments: &[&str]) -> Output {
        Self::command().current_dir(folder).args(arguments).output().unwrap()
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Everything that it logged, once it has ended, and whether it ended well.
    pub fn wait(mut self) -> (bool, String) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        (status.success(), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
