//! The pages for people say what the program does: each table of a page has a row for each thing in the code, and none
//! for what the code does not have. That the commands in the pages work is what `scripts/documents` tries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use credvault_domain::{Action, ActionKind, EventType, LimitKind, Reason};
use credvault_proto::DESCRIPTORS;
use prost_reflect::DescriptorPool;
use serde_json::Value;

use crate::harness::Process;

/// The folder of the project.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Reads a page by its path in the project.
pub fn page(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file with this ending below a folder of the project, without what builds leave there.
pub fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The pages that people read, as paths in the project.
pub fn pages() -> Vec<String> {
    let top = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
    let in_docs = files("docs", "md").into_iter();
    let in_docs = in_docs.map(|path| path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned());
    top.map(str::to_owned).into_iter().chain(in_docs).collect()
}

/// The part of a page below a heading, up to the next heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let after =
        page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    after.split("\n## ").next().unwrap()
}

/// The rows of all tables of a text, as cells without their blanks; without the rows of headings.
pub fn rows(text: &str) -> Vec<Vec<&str>> {
    let mut rows: Vec<Vec<&str>> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        if line.starts_with("|---") {
            rows.pop();
        } else {
            rows.push(line.trim_matches('|').split('|').map(str::trim).collect());
        }
    }
    rows
}

/// What stands between backticks.
pub fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What stands between backticks in a column of all tables of a text.
pub fn quoted_in(text: &str, column: usize) -> BTreeSet<String> {
    rows(text).iter().flat_map(|row| quoted(row[column])).map(str::to_owned).collect()
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_metric_has_its_row() {
    let mut counted = BTreeSet::new();
    for path in files("src", "rs").into_iter().chain(files("crates", "rs")) {
        let code = std::fs::read_to_string(&path).unwrap();
        for after in ["counter!(", "gauge!(", "histogram!("].iter().flat_map(|call| code.split(call).skip(1))
        {
            let name = after.trim_start().strip_prefix('"').and_then(|after| after.split('"').next());
            counted.extend(name.filter(|name| name.starts_with("credvault_")).map(str::to_owned));
        }
    }
    assert!(counted.len() > 15, "{counted:?}");
    let mut listed = quoted_in(&page("docs/metrics.md"), 0);
    listed.retain(|name| name.starts_with("credvault_"));
    assert_eq!(counted, listed);
}

#[test]
fn every_setting_has_its_row() {
    let mut settings = credvault::settings::RawSettings::default();
    settings.identity.issuers.push(Default::default());
    settings.audit.witnesses.push(Default::default());
    let mut keys = BTreeSet::new();
    collect("", &serde_json::to_value(settings).unwrap(), &mut keys);
    // The headings of the keys of issuers and witnesses are rows as well.
    keys.extend(["identity.issuers", "audit.witnesses"].map(str::to_owned));
    assert!(keys.len() > 40);
    assert_eq!(keys, quoted_in(section(&page("docs/configuration.md"), "Every setting"), 0));
}

/// The keys of all values, as the page spells them: `section.key` and `section.list[].key`.
fn collect(prefix: &str, value: &Value, keys: &mut BTreeSet<String>) {
    let first = value.as_array().and_then(|items| items.first()).filter(|first| first.is_object());
    if let Some(object) = value.as_object().filter(|object| !object.is_empty()) {
        for (name, value) in object {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            collect(&key, value, keys);
        }
    } else if let Some(first) = first {
        collect(&format!("{prefix}[]"), first, keys);
    } else {
        keys.insert(prefix.to_owned());
    }
}

#[test]
fn every_table_that_a_backup_lacks_has_its_row() {
    let left_out = set(credvault_store::LEFT_OUT_TABLES.iter().map(|(table, _)| *table));
    let page = page("docs/backup.md");
    assert_eq!(left_out, quoted_in(section(&page, "What a backup does not have"), 0));
}

#[test]
fn every_reason_has_its_row() {
    let reasons = set(Reason::ALL.iter().map(|reason| reason.as_str()));
    assert_eq!(reasons, quoted_in(&page("docs/errors.md"), 1));
}

#[test]
fn every_reason_is_in_the_protos() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let wire = pool.get_enum_by_name("credvault.v1.ErrorReason").unwrap();
    let named = |name: &str| name.strip_prefix("ERROR_REASON_").unwrap().to_owned();
    let mut wire: BTreeSet<_> = wire.values().map(|value| named(value.name())).collect();
    assert!(wire.remove("UNSPECIFIED"));
    assert_eq!(wire, set(Reason::ALL.iter().map(|reason| reason.as_str())));
}

#[test]
fn every_limit_of_a_tenant_has_its_row() {
    let limits = set(LimitKind::ALL.iter().map(|limit| limit.as_str()));
    let page = page("docs/limits.md");
    assert_eq!(limits, quoted_in(section(&page, "Limits of a tenant"), 0));
    // The settings of the defaults are in the table of settings, which another test holds against the code.
    let configuration = self::page("docs/configuration.md");
    for setting in quoted_in(section(&page, "Limits of a tenant"), 1) {
        assert!(configuration.contains(&format!("| `{setting}` |")), "{setting}");
    }
}

#[test]
fn every_action_has_its_row() {
    let page = page("docs/policies.md");
    let mut listed = BTreeSet::new();
    let mut service = "";
    for row in rows(section(&page, "Actions")) {
        // A table with three columns has the RPCs, by service and group; one with two has the permissions.
        if let [first, group, actions] = row[..] {
            service = quoted(first).next().unwrap_or(service);
            listed.extend(quoted(actions).map(|action| format!("{service} {group} {action}")));
        } else {
            listed.insert(format!("Permission {}", row[0]));
        }
    }
    let group = |action: &Action| match action.kind() {
        ActionKind::Fetch => format!("{} `Fetching` {}", action.service(), action.as_str()),
        ActionKind::Read => format!("{} `Reading` {}", action.service(), action.as_str()),
        ActionKind::Change => format!("{} `Changing` {}", action.service(), action.as_str()),
        ActionKind::Permission => format!("Permission `{}`", action.as_str()),
    };
    assert_eq!(Action::ALL.iter().map(group).collect::<BTreeSet<_>>(), listed);
}

#[test]
fn every_event_has_its_row() {
    let page = page("docs/events.md");
    // Sent by TestEventEndpoint only, never written for a change.
    let types = EventType::ALL.iter().map(|kind| kind.as_str()).chain(["endpoint.test"]);
    assert_eq!(set(types), quoted_in(section(&page, "What is sent"), 0));
}

#[test]
fn every_command_and_exit_code_has_its_row() {
    let page = page("docs/command-line.md");
    let (before, codes) = page.split_once("\n## Exit codes\n").unwrap();
    let mut commands = BTreeSet::new();
    for command in subcommands(&[]) {
        let below = subcommands(&[&command]);
        // One that works without a command below has a second line about those.
        let second = format!("\n       credvault {command} <COMMAND>");
        if below.is_empty() || help(&[&command]).contains(&second) {
            commands.insert(command.clone());
        }
        commands.extend(below.into_iter().map(|name| format!("{command} {name}")));
    }
    assert_eq!(commands, quoted_in(before, 0));
    let help = help(&[]);
    let stated = help.split("Exit codes: ").nth(1).unwrap();
    let code = |text: &str| text.split_whitespace().next().unwrap().to_owned();
    let listed: Vec<String> = rows(codes).iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(stated.split(';').map(code).collect::<Vec<_>>(), listed);
}

/// What `--help` of a command prints.
fn help(command: &[&str]) -> String {
    let output = Process::run(Path::new(ROOT), &[command, &["--help"]].concat());
    String::from_utf8(output.stdout).unwrap()
}

/// The names in the list of commands that `--help` of a command prints.
fn subcommands(command: &[&str]) -> Vec<String> {
    let help = help(command);
    let list = match command {
        // The program itself lists its commands in groups.
        [] => help.split("\nOptions:\n").next(),
        _ => help.split("\nCommands:\n").nth(1).and_then(|after| after.split("\n\n").next()),
    };
    let list = list.unwrap_or_default();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

#[test]
fn the_readme_is_short_and_begins_with_a_command() {
    let readme = page("README.md");
    assert!(readme.len() < 9_000, "{} bytes", readme.len());
    let first = readme.lines().position(|line| line == "```sh").unwrap();
    assert!(first < 25, "the first command stands in line {first}");
}

#[test]
fn the_index_names_every_page_with_its_reader() {
    let index = page("docs/README.md");
    for path in files("docs", "md") {
        // The catalog writes `providers.md`.
        let name = path.strip_prefix(Path::new(ROOT).join("docs")).unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name}");
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().skip(1).find(|line| !line.is_empty()).unwrap();
        assert!(
            name == "providers.md" || first.starts_with("For "),
            "{name} does not say who its reader is: {first}"
        );
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (mut checked, mut broken) = (0, Vec::new());
    for path in pages() {
        let text = page(&path);
        let folder = Path::new(&path).parent().unwrap();
        for link in text.split("](").skip(1).map(|after| after.split(')').next().unwrap()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            checked += 1;
            let target = if file.is_empty() { PathBuf::from(&path) } else { folder.join(file) };
            let target = Path::new(ROOT).join(target);
            if !target.exists() || !(heading.is_empty() || has_heading(&target, heading)) {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(checked > 130, "{checked}");
    assert_eq!(broken, Vec::<String>::new());
}

/// Whether a page has an anchor of this name, or a heading that GitHub would give it.
fn has_heading(path: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    if text.contains(&format!("<a id=\"{name}\">")) {
        return true;
    }
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    headings.any(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let title = title.chars().filter(|each| each.is_alphanumeric() || matches!(each, ' ' | '-' | '_'));
        title.collect::<String>().replace(' ', "-") == name
    })
}

#[test]
fn no_table_is_cut_in_two() {
    for path in pages() {
        let text = page(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (number, pair) in lines.windows(2).enumerate() {
            let begins = !pair[0].starts_with('|') && pair[1].starts_with('|');
            let has_heading = lines.get(number + 2).is_some_and(|line| line.starts_with("|---"));
            assert!(!begins || has_heading, "{path}, line {}: a table without a heading", number + 2);
        }
    }
}

#[test]
fn every_limit_is_where_its_row_says() {
    let page = page("docs/limits.md");
    let (mut checked, mut wrong) = (0, Vec::new());
    let mut code = String::new();
    for row in rows(&page) {
        let [_, _, place, ..] = row[..] else { continue };
        let (paths, names): (Vec<&str>, Vec<&str>) = quoted(place).partition(|each| each.contains('/'));
        // A row without a path speaks of the file in the row before.
        if !paths.is_empty() {
            code = paths
                .iter()
                .filter_map(|path| std::fs::read_to_string(Path::new(ROOT).join(path)).ok())
                .collect();
        }
        checked += names.len();
        let words: BTreeSet<&str> = code.split(|each: char| !each.is_alphanumeric() && each != '_').collect();
        let moved = names.iter().filter(|name| !words.contains(**name));
        wrong.extend(moved.map(|name| format!("{name} is not in {paths:?}")));
    }
    assert!(checked > 200, "{checked}");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_path_that_a_page_names_exists() {
    const FOLDERS: [&str; 9] =
        ["benches/", "clients/", "crates/", "deploy/", "docs/", "examples/", "scripts/", "src/", "tests/"];
    let (mut checked, mut missing) = (0, Vec::new());
    for path in pages() {
        let text = page(&path);
        let named = quoted(&text).filter(|name| FOLDERS.iter().any(|folder| name.starts_with(folder)));
        // Patterns, commands, and what `deploy/prepare` makes.
        let named =
            named.filter(|name| !name.contains(['*', ' ', '{']) && !name.starts_with("deploy/secrets"));
        let named = named.inspect(|_| checked += 1);
        let missing_here = named.filter(|name| !Path::new(ROOT).join(name).exists());
        missing.extend(missing_here.map(|name| format!("{path}: {name}")));
    }
    assert!(checked > 300, "{checked}");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_program_in_rust_is_the_example() {
    let page = page("docs/clients.md");
    let program = page.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(program, std::fs::read_to_string(Path::new(ROOT).join("examples/first_fetch.rs")).unwrap());
}
