//! Commands against a running vault, each in a process of its own.

mod administered;
mod connected;
mod credentials;
mod diagnosed;
mod failing;
mod owned;
mod proved;
mod recorded;
mod updated;
mod watched;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Process, TestVault};

/// Where commands run: the folder of a vault, with the profiles of the app, which acts for `acme`, and of the operator.
pub struct Shell(PathBuf);

impl Shell {
    pub async fn of(vault: &TestVault) -> Self {
        vault.tenant("acme").await;
        for (service, more) in [("app", "tenant = 'acme'\n"), ("operator", "")] {
            vault.write_leaf(service, &vault.authority.service(&format!("spiffe://test.local/{service}")));
            let port = vault.address().port();
            let profile = format!(
                "address = 'https://localhost:{port}'\nauthority = 'ca.pem'\ncertificate = '{service}.pem'\n\
                 key = '{service}.key'\n{more}"
            );
            vault.write(&format!("{service}.toml"), &profile);
        }
        Self(vault.folder.path().to_owned())
    }

    /// Runs a command of the app, which must end with this code, and gives what it prints. No secret is in that.
    pub fn app(&self, code: i32, arguments: &[&str]) -> String {
        self.run("app", code, arguments)
    }

    /// The same for a command of the operator.
    pub fn operator(&self, code: i32, arguments: &[&str]) -> String {
        self.run("operator", code, arguments)
    }

    /// What a command of a service that succeeds prints as JSON.
    pub fn json(&self, service: &str, arguments: &[&str]) -> Value {
        let printed = self.run(service, 0, &[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// What a command of the app that succeeds prints where it is to show secrets.
    pub fn revealed(&self, arguments: &[&str]) -> String {
        let output = Process::run(&self.0, &[arguments, &["--profile", "app.toml"]].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a terminal shows of a command of the app that succeeds, where a person types this answer at each prompt.
    pub fn typed(&self, answer: &str, arguments: &[&str]) -> String {
        let mut python = Command::new("python3");
        python.args(["-c", include_str!("commands/person.py"), answer]);
        python.arg(Process::command().get_program()).args(arguments).args(["--profile", "app.toml"]);
        let output = python.current_dir(&self.0).output().expect("python3 plays a person at a terminal");
        let shown = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {shown}");
        shown
    }

    fn run(&self, service: &str, code: i32, arguments: &[&str]) -> String {
        let profile = format!("{service}.toml");
        let output = Process::run(&self.0, &[arguments, &["--profile", &profile]].concat());
        let printed = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
        assert!(!printed.contains("CANARY"), "{arguments:?}: {printed}");
        printed
    }
}
