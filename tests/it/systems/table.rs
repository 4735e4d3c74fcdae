//! The page that answers the five systems' documents is whole: each thing of the frozen list beside this file has its row
//! with an answer, and no row has a thing that the list does not know. What an answer names is there: in the contract, in
//! the code of the test beside it, in the catalog, or on the page that explains it.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::Path;

use credvault_domain::{Action, ActionKind};
use credvault_proto::DESCRIPTORS;
use prost_reflect::DescriptorPool;

use crate::documents::{ROOT, files, page, pages, quoted, quoted_in, rows};

const PAGE: &str = "docs/moving-in/answers.md";

/// What the documents have, in their own words: `## system`, `### kind`, and a line for each thing.
const LIST: &str = include_str!("headings.txt");

/// How many things the list has. It is frozen: the documents do not change.
const THINGS: usize = 694;

/// The systems, as they are called on the page.
const SYSTEMS: [&str; 5] = ["PixelPim", "Fluxori", "KPI ETL", "Kustomer", "Integrations module"];

/// The texts below each `## system` and `### kind`, with both names.
fn parts(text: &str) -> Vec<(&str, &str, &str)> {
    let mut parts = Vec::new();
    for system in text.split("\n## ").skip(1) {
        let (system, text) = system.split_once('\n').unwrap();
        for kind in text.split("\n### ").skip(1) {
            let (kind, text) = kind.split_once('\n').unwrap();
            parts.push((system, kind, text));
        }
    }
    parts
}

/// Adds a thing of a document, which must not be there yet.
fn add(things: &mut BTreeSet<String>, system: &str, kind: &str, words: &str) {
    let thing = format!("{system}, {kind}: {}", words.replace('`', ""));
    assert!(!things.contains(&thing), "twice: {thing}");
    things.insert(thing);
}

#[test]
fn every_thing_of_the_documents_has_its_row() {
    let mut listed = BTreeSet::new();
    for (system, kind, text) in parts(LIST) {
        text.lines().filter(|line| !line.is_empty()).for_each(|line| add(&mut listed, system, kind, line));
    }
    let page = page(PAGE);
    let mut answered = BTreeSet::new();
    for (system, kind, text) in parts(&page) {
        for row in rows(text) {
            let [words, answer] = row[..] else { panic!("{system}, {kind}: {row:?}") };
            assert!(!words.is_empty() && !answer.is_empty(), "{system}, {kind}: {row:?}");
            add(&mut answered, system, kind, words);
        }
    }
    let missing: Vec<_> = listed.difference(&answered).collect();
    let unknown: Vec<_> = answered.difference(&listed).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:#?}\nunknown: {unknown:#?}");
    assert_eq!(listed.len(), THINGS);
    let systems: BTreeSet<_> = parts(LIST).into_iter().map(|(system, ..)| system).collect();
    assert_eq!(systems, BTreeSet::from(SYSTEMS));
}

/// What an answer may name.
struct Names {
    /// RPCs, services and messages of the contract, and permissions of policies.
    contract: BTreeSet<String>,
    /// Fields of the contract, the providers' files, and what other pages name in backticks.
    words: BTreeSet<String>,
    /// The values of the contract's enums.
    values: Vec<String>,
    commands: BTreeSet<String>,
}

impl Names {
    fn read() -> Self {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let permissions = Action::ALL.iter().filter(|action| action.kind() == ActionKind::Permission);
        let mut contract: BTreeSet<_> = permissions.map(|action| action.as_str().to_owned()).collect();
        for service in pool.services() {
            contract.insert(service.name().to_owned());
            contract.extend(service.methods().map(|method| method.name().to_owned()));
        }
        let mut words = BTreeSet::new();
        for message in pool.all_messages() {
            contract.insert(message.name().to_owned());
            words.extend(message.fields().map(|field| field.name().to_owned()));
        }
        for path in files("crates/credvault-catalog/providers", "toml") {
            let text = read_to_string(path).unwrap();
            let word = |each: char| each.is_alphanumeric() || matches!(each, '_' | '.');
            words.extend(text.split(|each| !word(each)).map(str::to_owned));
            words.extend(text.split(|each| !word(each) || each == '.').map(str::to_owned));
        }
        for path in pages().into_iter().filter(|path| path != PAGE) {
            words.extend(quoted(&page(&path)).map(str::to_owned));
        }
        let values = pool
            .all_enums()
            .flat_map(|each| each.values().map(|value| value.name().to_owned()).collect::<Vec<_>>());
        let commands = page("docs/command-line.md");
        let commands = quoted_in(commands.split_once("\n## Exit codes\n").unwrap().0, 0);
        Self { contract, words, values: values.collect(), commands }
    }

    /// Whether there is something of this name. `code` is that of the files that the same answer names.
    fn have(&self, name: &str, code: &str) -> bool {
        let upper = |each: char| each.is_ascii_uppercase();
        if name.contains('/') && !name.starts_with('/') {
            return Path::new(ROOT).join(name).exists();
        }
        if name.starts_with(upper) && name.contains(|each: char| each.is_ascii_lowercase()) {
            return self.contract.contains(name);
        }
        if let Some(call) = name.strip_prefix("credvault ") {
            return self.commands.iter().any(|known| call == known || call.starts_with(&format!("{known} ")));
        }
        self.words.contains(name)
            || self.values.iter().any(|value| value == name || value.ends_with(&format!("_{name}")))
            || code.contains(&format!("fn {name}("))
    }
}

#[test]
fn what_an_answer_names_is_there() {
    let (names, page) = (Names::read(), page(PAGE));
    let (mut checked, mut wrong) = (0, Vec::new());
    for (system, kind, text) in parts(&page) {
        for row in rows(text) {
            let named: Vec<&str> = quoted(row[1]).collect();
            let paths = named.iter().filter(|name| name.ends_with(".rs"));
            let code: String =
                paths.filter_map(|path| read_to_string(Path::new(ROOT).join(path)).ok()).collect();
            let missing = named.iter().filter(|name| !names.have(name, &code));
            wrong.extend(missing.map(|name| format!("{system}, {kind}, {}: {name}", row[0])));
            checked += named.len();
        }
    }
    assert!(checked > 600, "{checked}");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn answers_lead_to_sections_that_are_there() {
    let page = page(PAGE);
    let parts = parts(&page);
    for (system, kind, text) in &parts {
        let sections = text.split("The rows under \"").skip(1).map(|after| after.split('"').next().unwrap());
        for section in sections {
            let there = parts.iter().any(|(other, name, _)| other == system && *name == section);
            assert!(there, "{system}, {kind}: no section {section}");
        }
    }
}
