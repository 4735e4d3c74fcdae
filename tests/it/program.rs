//! The program: its commands, what they print, and with which code they end.

mod configuration;
mod dev;

use std::process::Output;

use crate::harness::Process;

fn text(output: &Output) -> (i32, String) {
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
}

#[test]
fn completions_help_and_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script) = text(&Process::run(folder.path(), &["completions", shell]));
        assert_eq!(code, 0);
        assert!(script.contains("connections"));
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
