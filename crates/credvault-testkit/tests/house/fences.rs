//! Dependencies against the rules of `deny.toml`, for machines without cargo-deny: which crates are banned, which may be
//! used by whom, licences, sources, requirements of any version. Reads what `cargo tree` prints; knows no advisories.

mod licenses;

use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// What the program and its build need, one package a line: its depth, `|`, the package, `|`, its licence.
const CARGO_TREE: [&str; 12] = [
    "tree",
    "--workspace",
    "--locked",
    "--offline",
    "--edges",
    "normal,build",
    "--prefix",
    "depth",
    "--format",
    "|{p}|{l}",
    "--charset",
    "ascii",
];

/// Dependencies of the project that break a rule of `deny.toml`.
pub(crate) fn broken_fences(tree: &Tree) -> Vec<String> {
    let rules = tree.get("deny.toml").expect("the project has a deny.toml");
    let mut offenders = offenders(rules, &cargo_tree());
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let any_version = text.lines().filter(|line| line.contains("= \"*\""));
        offenders.extend(any_version.map(|line| format!("{path}: any version will do: {line}")));
    }
    offenders
}

fn cargo_tree() -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).args(CARGO_TREE);
    command.args(["--target", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)]);
    let output = command.output().expect("cargo can be started");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names of packages are UTF-8")
}

/// The packages of a tree, and who depends on whom.
#[derive(Default)]
struct Dependencies<'a> {
    /// Each package, with its version and its source, and its licence.
    packages: BTreeMap<&'a str, &'a str>,
    /// Pairs of names: the first depends on the second.
    uses: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Dependencies<'a> {
    fn parse(printed: &'a str) -> Self {
        let mut found = Self::default();
        let mut above: Vec<&str> = Vec::new();
        for line in printed.lines().filter(|line| !line.is_empty()) {
            let mut parts = line.splitn(3, '|');
            let mut part = || parts.next().unwrap_or_else(|| panic!("cargo tree printed: {line}"));
            let (depth, package, license) = (part(), part(), part());
            above.truncate(depth.parse().expect("a depth"));
            let name = name_of(package);
            found.uses.extend(above.last().map(|user| (*user, name)));
            found.packages.insert(package, license.trim_end_matches(" (*)"));
            above.push(name);
        }
        found
    }

    fn versions_of(&self, name: &str) -> usize {
        self.packages.keys().filter(|package| name_of(package) == name).count()
    }
}

fn name_of(package: &str) -> &str {
    package.split(' ').next().unwrap_or_default()
}

fn offenders(rules: &str, printed: &str) -> Vec<String> {
    let rules: toml::Table = rules.parse().expect("deny.toml is TOML");
    let dependencies = Dependencies::parse(printed);
    let mut offenders = Vec::new();
    for ban in rules["bans"]["deny"].as_array().expect("a list of bans") {
        let (name, reason) =
            (ban["crate"].as_str().unwrap_or_default(), ban["reason"].as_str().unwrap_or_default());
        if ban.get("deny-multiple-versions").is_some() {
            if dependencies.versions_of(name) > 1 {
                offenders.push(format!("{name} is there in several versions: {reason}"));
            }
        } else if let Some(wrappers) = ban.get("wrappers").map(texts) {
            let users = dependencies.uses.iter().filter(|(_, used)| *used == name).map(|(user, _)| *user);
            let strangers = users.filter(|user| !wrappers.contains(user));
            offenders.extend(strangers.map(|user| format!("{user} depends on {name}: {reason}")));
        } else if dependencies.versions_of(name) > 0 {
            offenders.push(format!("{name} is there: {reason}"));
        }
    }
    let allowed = texts(&rules["licenses"]["allow"]);
    for (package, license) in &dependencies.packages {
        if !licenses::is_allowed(license, &allowed) {
            offenders.push(format!("{package} has the licence {license:?}"));
        }
        if source_of(package).is_some_and(|source| !source.starts_with('/')) {
            offenders.push(format!("{package} does not come from crates.io"));
        }
    }
    offenders
}

fn texts(list: &toml::Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(toml::Value::as_str).collect()
}

/// The source that stands in brackets behind a package that is not from crates.io: the path of our own.
fn source_of(package: &str) -> Option<&str> {
    let package = package.trim_end_matches(" (proc-macro)");
    package.split_once(" (").map(|(_, source)| source.trim_end_matches(')'))
}

#[cfg(test)]
mod tests {
    use super::offenders;

    const RULES: &str = r#"
[bans]
deny = [
    { crate = "openssl", reason = "ring is the one provider" },
    { crate = "rustls", deny-multiple-versions = true, reason = "one version" },
    { crate = "ring", reason = "only keys", wrappers = ["keys", "rustls"] },
]
[licenses]
allow = ["MIT", "ISC"]
"#;

    #[test]
    fn what_keeps_the_rules_is_no_offender() {
        let tree = "0|app v0.1.0 (/app)|MIT\n1|keys v0.1.0 (/keys)|MIT\n2|ring v0.17.0|MIT AND ISC\n1|rustls v0.23.0|MIT\n\
                    2|ring v0.17.0|MIT AND ISC (*)\n1|derive v1.0.0 (proc-macro)|MIT\n\n0|keys v0.1.0 (/keys)|MIT (*)\n";
        assert_eq!(offenders(RULES, tree), Vec::<String>::new());
    }

    #[test]
    fn each_broken_rule_names_its_offender() {
        let tree = "0|app v0.1.0 (/app)|MIT\n1|ring v0.17.0|MIT\n1|openssl v0.10.0|MIT\n1|rustls v0.22.0|MIT\n\
                    1|rustls v0.23.0|MIT\n1|copyleft v1.0.0|GPL-3.0\n1|fork v1.0.0 (https://git.example/fork#1)|MIT\n";
        assert_eq!(
            offenders(RULES, tree),
            [
                "openssl is there: ring is the one provider",
                "rustls is there in several versions: one version",
                "app depends on ring: only keys",
                "copyleft v1.0.0 has the licence \"GPL-3.0\"",
                "fork v1.0.0 (https://git.example/fork#1) does not come from crates.io",
            ]
        );
    }
}
