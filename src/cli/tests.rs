//! The command line as a whole: its examples, its RPCs, and how it finds out in which format to print.

use std::ffi::OsString;

use super::{program, rpcs, wants_yaml};

/// Every command without commands below it: the words that lead to it, and the end of its help.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    if command.get_subcommands().next().is_none() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.push((path.to_owned(), help));
    }
    for below in command.get_subcommands() {
        leaves(below, format!("{path} {}", below.get_name()).trim_start(), found);
    }
}

fn all_leaves() -> Vec<(String, String)> {
    let mut found = Vec::new();
    leaves(&program(), "", &mut found);
    found
}

/// The words of a line as a shell passes them to the program, up to where it sends the output.
fn words(line: &str) -> Vec<OsString> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("one").push(c),
        }
    }
    let own = words.iter().take_while(|word| ![">", ">>", "|"].contains(&word.as_str()));
    own.map(OsString::from).collect()
}

#[test]
fn every_example_is_a_command() {
    let mut number = 0;
    for (path, help) in all_leaves() {
        // Lines that continue.
        let help = help.replace(" \\\n     ", "");
        for example in help.lines().filter_map(|line| line.strip_prefix("  credvault ")) {
            let arguments = words(&format!("credvault {example}"));
            let parsed = program().try_get_matches_from(arguments);
            assert!(parsed.is_ok(), "{example}: {:?}", parsed.err());
            assert!(example.starts_with(&path), "{path} has the example {example}");
            number += 1;
        }
    }
    assert!(number >= 10, "{number}");
    for own in ["run", "doctor", "completions", "man"] {
        let leaf = all_leaves().into_iter().find(|(path, _)| path == own).expect("a command");
        assert!(leaf.1.contains("Examples:"), "{own}");
    }
}

#[test]
fn every_rpc_has_a_command() {
    let paths: Vec<String> = all_leaves().into_iter().map(|(path, _)| path).collect();
    let missing: Vec<_> =
        rpcs::COMMANDS.iter().filter(|(_, command)| !paths.iter().any(|path| path == command)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn yaml_is_found_wherever_the_option_is() {
    let yaml = |arguments: &[&str]| {
        let arguments = [&["credvault"][..], arguments].concat();
        wants_yaml(&program().try_get_matches_from(arguments).expect("parsed"))
    };
    assert!(yaml(&["connections", "list", "--output", "yaml"]) && yaml(&["doctor", "--output=yaml"]));
    assert!(!yaml(&["connections", "list", "--output", "json"]) && !yaml(&["connections", "list"]));
    assert!(!yaml(&["completions", "bash"]));
}
