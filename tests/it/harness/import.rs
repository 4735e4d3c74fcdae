//! `credvault import` as tests run it.

use serde_json::Value;

use super::builder::DOMAIN;
use super::{Process, TestVault};

/// What a run of `credvault import` did.
pub struct Imported {
    pub code: i32,
    /// How many rows had each outcome; null if the program did not come so far.
    pub counts: Value,
    /// All that it printed, reported and noted in a file `journal`.
    pub shown: String,
}

impl Imported {
    /// How many rows had this outcome.
    pub fn counted(&self, outcome: &str) -> u64 {
        self.counts[outcome].as_u64().unwrap_or_else(|| panic!("{outcome}: {} {}", self.code, self.shown))
    }

    /// The code, and how many rows were created, unchanged and refused.
    pub fn outcome(&self) -> (i32, [u64; 3]) {
        (self.code, ["created", "unchanged", "refused"].map(|outcome| self.counted(outcome)))
    }
}

impl TestVault {
    /// Writes a profile of a service, such as `app.toml`, into the vault's folder.
    pub fn write_profile(&self, service: &str) {
        self.write_leaf(service, &self.authority.service(&format!("spiffe://{DOMAIN}/{service}")));
        self.write("authority.pem", self.authority.pem());
        let lines = [
            format!("address = 'https://localhost:{}'", self.address().port()),
            "authority = 'authority.pem'".to_owned(),
            format!("certificate = '{service}.pem'"),
            format!("key = '{service}.key'"),
        ];
        self.write(&format!("{service}.toml"), &lines.join("\n"));
    }

    /// Runs `credvault import` as a service, in the vault's folder, with the file `input` there as standard input, if there
    /// is one. It shows no secret with `CANARY` in it.
    pub async fn import(&self, service: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Imported {
        self.write_profile(service);
        let folder = self.folder.path();
        let mut command = Process::command();
        command.current_dir(folder).envs(variables.iter().copied()).arg("import").args(arguments);
        command.args(["--output", "json", "--report", "report.jsonl"]);
        command.args(["--profile", &format!("{service}.toml")]);
        if let Ok(input) = std::fs::File::open(folder.join("input")) {
            command.stdin(input);
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let counts = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let mut shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        for file in ["report.jsonl", "journal"] {
            shown.push_str(&std::fs::read_to_string(folder.join(file)).unwrap_or_default());
        }
        assert!(!shown.contains("CANARY"), "{shown}");
        Imported { code: output.status.code().unwrap(), counts, shown }
    }
}
