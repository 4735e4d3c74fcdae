//! The program: its commands, what they print, and with which code they end.

mod configuration;
mod dev;
mod machinery;
mod oversight;

use std::path::Path;
use std::process::Output;

use crate::harness::Process;

fn text(output: &Output) -> (i32, String) {
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
}

/// The program's commands, called in a folder with the address of a running vault.
struct Commands<'a> {
    folder: &'a Path,
    address: String,
}

impl Commands<'_> {
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let address: Vec<&str> = self.address.split(' ').collect();
        text(&Process::run(self.folder, &[arguments, &address].concat()))
    }
}

#[test]
fn completions_help_and_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script) = text(&Process::run(folder.path(), &["completions", shell]));
        assert_eq!(code, 0);
        assert!(script.contains("CREDVAULT_COMPLETE"), "{script}");
    }
    let pages = folder.path().join("pages");
    assert_eq!(text(&Process::run(folder.path(), &["man", "pages"])).0, 0);
    for page in ["credvault.1", "credvault-connections-list.1", "credvault-run.1"] {
        assert!(std::fs::read_to_string(pages.join(page)).unwrap().contains(".SH NAME"), "{page}");
    }
    let (code, help) = text(&Process::run(folder.path(), &["--help"]));
    assert_eq!(code, 0);
    assert!(help.contains("Exit codes"));
    assert_eq!(text(&Process::run(folder.path(), &["nothing"])).0, 2);
    let (code, advice) = text(&Process::run(folder.path(), &["fetch", "shopify"]));
    assert_eq!(code, 2, "{advice}");
    assert!(advice.contains("credvault dev"), "{advice}");
    let (code, error) = text(&Process::run(folder.path(), &["serve", "--set", "CANARY"]));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("KEY=VALUE"), "{error}");
    assert!(!error.contains("CANARY"), "{error}");
    // A value that slipped out of its place is not shown, a misspelt name is.
    for slipped in [
        &["serve", "--set", "store.url", "postgres://app:CANARY@h/db"][..],
        &["serve", "--store.url=CANARY"],
        &["serve", "--set"],
        &["postgres://app:CANARY@h/db"],
        &["fetch", "shopify", "--output", "CANARY"],
        &["completions", "CANARY"],
    ] {
        let (code, error) = text(&Process::run(folder.path(), slipped));
        assert_eq!(code, 2, "{error}");
        assert!(!error.contains("CANARY"), "{error}");
    }
    let (code, error) = text(&Process::run(folder.path(), &["sevre"]));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("sevre"), "{error}");
}

#[test]
fn a_missing_file_and_an_address_in_the_clear_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let profile = "authority = 'ca.pem'\ncertificate = 'app.pem'\nkey = 'app.key'\n";
    let with_address = |address: &str| {
        std::fs::write(folder.path().join("p.toml"), format!("address = '{address}'\n{profile}")).unwrap();
    };
    let run = |arguments: &[&str]| {
        let (code, error) =
            text(&Process::run(folder.path(), &[arguments, &["--profile", "p.toml"]].concat()));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        error
    };
    with_address("https://localhost:7443");
    assert!(run(&["fetch", "shopify"]).contains("ca.pem cannot be read"));
    let in_the_clear = run(&["fetch", "shopify", "--address", "http://localhost:7443"]);
    assert!(in_the_clear.contains("must begin with https://"), "{in_the_clear}");
    for flag in [["--secrets", "missing.json"], ["--secret-file", "token=missing.json"]] {
        let missing = run(&[&["connections", "create", "generic"][..], &flag].concat());
        assert!(missing.contains("missing.json cannot be read"), "{missing}");
    }
    with_address("http://localhost:7443");
    assert!(run(&["connections", "list"]).contains("must begin with https://"));
}
