//! The commands in groups, as `credvault help` shows them. The library knows one list only, too long to read.

use std::fmt::Write as _;

use clap::Command;

use super::examples::WIDTH;

/// Where the texts about commands begin.
const INDENT: usize = 16;

/// The groups, with the commands of each in the order in which they are shown. `dev` and `demo` are not in every build.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Try it", &["dev", "demo"]),
    ("Run a vault", &["serve", "migrate", "config", "backup", "restore"]),
    (
        "Connections and credentials",
        &[
            "providers",
            "connections",
            "consents",
            "fetch",
            "fetch-many",
            "run",
            "webhook",
            "services",
            "requirements",
            "usage",
            "sync",
        ],
    ),
    (
        "Administration",
        &[
            "tenants",
            "users",
            "apps",
            "events",
            "audit",
            "rates",
            "limits",
            "sources",
            "policy",
            "keys",
            "secrets",
            "tools",
            "dependants",
            "import",
            "console",
        ],
    ),
    ("This program", &["doctor", "completions", "man", "help"]),
];

/// The program with a help that lists its commands in groups.
pub(super) fn with_groups(program: Command) -> Command {
    let listed = listed(&program);
    program.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{listed}Options:\n{{options}}{{after-help}}"
    ))
}

fn listed(program: &Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let shown: Vec<String> = names.iter().filter_map(|name| line(program, name)).collect();
        if !shown.is_empty() {
            // A text takes everything.
            let _ = writeln!(text, "{heading}:\n{}\n", shown.join("\n"));
        }
    }
    text
}

/// A command with the text about it; `None` if the program does not have it.
fn line(program: &Command, name: &str) -> Option<String> {
    let about = match program.find_subcommand(name) {
        Some(command) => command.get_about()?.to_string(),
        // The library makes it later.
        None if name == "help" => "Print this, or the help of a command".to_owned(),
        None => return None,
    };
    let mut lines = vec![format!("  {name:<width$}", width = INDENT - 2)];
    let mut is_begun = false;
    for word in about.split_whitespace() {
        let last = lines.last_mut()?;
        if is_begun && last.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{}{word}", " ".repeat(INDENT)));
            continue;
        }
        if is_begun {
            last.push(' ');
        }
        last.push_str(word);
        is_begun = true;
    }
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::program;

    #[test]
    fn every_command_is_in_one_group() {
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let program = program();
        for command in program.get_subcommands() {
            let times = grouped.iter().filter(|name| **name == command.get_name()).count();
            assert_eq!(times, 1, "{}", command.get_name());
        }
        for name in grouped {
            let optional = ["dev", "demo", "help"].contains(&name);
            assert!(optional || program.find_subcommand(name).is_some(), "{name} is no command");
        }
    }

    #[test]
    fn the_help_fits_eighty_columns_and_names_groups() {
        let help = program().render_help().to_string();
        for heading in
            ["Run a vault:", "Connections and credentials:", "Administration:", "Options:", "Exit codes:"]
        {
            assert!(help.contains(&format!("\n{heading}")), "{heading}: {help}");
        }
        let listed = listed(&program());
        assert!(listed.lines().all(|line| line.chars().count() <= WIDTH), "{listed}");
        assert!(listed.contains("\n  doctor        Look for what is wrong"), "{listed}");
    }
}
