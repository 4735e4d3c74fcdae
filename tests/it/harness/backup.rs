//! `credvault backup`, `backup verify` and `restore` as tests run them.

use std::path::PathBuf;
use std::process::Output;

use credvault_testkit::{Postgres, PostgresDatabase};
use serde_json::Value;

use super::{Process, TestVault};

/// What a run of one of the commands did.
pub struct Ran {
    pub code: i32,
    /// What it printed as JSON; null if it failed.
    pub result: Value,
    pub error: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let error = String::from_utf8(output.stderr.clone()).unwrap();
        let shown = [output.stdout.clone(), output.stderr.clone()].concat();
        assert!(!String::from_utf8_lossy(&shown).contains("CANARY"), "{error}");
        Self {
            code: output.status.code().unwrap_or(-1),
            result: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            error,
        }
    }

    /// The result of a run that has done what it should.
    pub fn done(self) -> Value {
        assert_eq!(self.code, 0, "{}", self.error);
        self.result
    }

    /// The message of a run that was refused with a code.
    pub fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}", self.error);
        self.error
    }
}

/// Settings that lead to another database than the configuration's, as flags.
#[derive(Clone)]
pub struct Place {
    pub flags: Vec<String>,
    /// The database, if it is PostgreSQL's.
    pub postgres: Option<PostgresDatabase>,
}

impl TestVault {
    /// Runs the program in the vault's folder, on the vault's own database.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let folder = self.folder.path().to_owned();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let run = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Ran::of(&Process::run(&folder, &arguments))
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// Backs the vault up into a file of its folder.
    pub async fn back_up(&self, file: &str) -> Ran {
        self.run(&["backup", "--config", "credvault.toml", "--to", file, "--output", "json"]).await
    }

    /// Verifies a backup with the vault's root key.
    pub async fn verify(&self, file: &str, more: &[&str]) -> Ran {
        let arguments = ["backup", "verify", file, "--config", "credvault.toml", "--output", "json"];
        self.run(&[&arguments[..], more].concat()).await
    }

    /// Restores a backup into another database.
    pub async fn restore(&self, file: &str, to: &Place, more: &[&str]) -> Ran {
        let mut arguments = vec!["restore", "--from", file, "--config", "credvault.toml", "--output", "json"];
        for flag in &to.flags {
            arguments.extend(["--set", flag.as_str()]);
        }
        if !more.contains(&"--erasures") {
            arguments.push("--no-later-erasures");
        }
        self.run(&[arguments.as_slice(), more].concat()).await
    }

    /// A new SQLite file in the vault's folder.
    pub fn sqlite_place(&self, name: &str) -> Place {
        let path: PathBuf = self.folder.path().join(name);
        let flags = vec![format!("store.url=sqlite://{}", path.display()), "store.migrate_url=".to_owned()];
        Place { flags, postgres: None }
    }

    /// Begins to serve what was restored, in place of the vault's own database.
    pub async fn start_on(&mut self, place: &Place) {
        let file = self.folder.path().join("credvault.toml");
        let flags = place.flags.iter().map(|flag| flag.split_once('=').unwrap());
        let flags: Vec<_> = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        self.settings = credvault::settings::RawSettings::read(Some(&file), [], &flags);
        self.database.clone_from(&place.postgres);
        self.start().await;
    }
}

/// A new PostgreSQL database, with roles of its own.
pub async fn postgres_place() -> Place {
    let database = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
    let flags = vec![
        format!("store.url={}", database.url),
        format!("store.migrate_url={}", database.migrate_url),
        format!("store.owner_role={}", database.owner_role),
    ];
    Place { flags, postgres: Some(database) }
}
