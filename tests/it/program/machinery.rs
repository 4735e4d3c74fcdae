//! What all commands have in common: variables, names, formats, widths, pages; and the commands that are about the command
//! line itself: `run`, `doctor`, completions.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Commands, text};
use crate::harness::Process;

/// The program in the folder of a running vault, which variables name.
fn program(commands: &Commands<'_>) -> Command {
    let mut command = Process::command();
    let address = commands.address.split(' ').next_back().unwrap();
    command.current_dir(commands.folder).env("CREDVAULT_ADDRESS", address);
    command
}

fn run(commands: &Commands<'_>, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = program(commands);
    text(&command.args(arguments).envs(variables.iter().copied()).output().unwrap())
}

/// The command line against a running vault, whose connection to Shopify is `id`.
pub(super) fn machinery(commands: &Commands<'_>, id: &str) {
    variables_stand_in_for_options(commands);
    names_stand_in_for_ids(commands, id);
    formats_and_widths(commands);
    a_child_gets_fields_and_decides_the_end(commands);
    the_doctor_finds_what_is_wrong(commands);
    completions_ask_the_vault(commands);
}

fn variables_stand_in_for_options(commands: &Commands<'_>) {
    let list = ["connections", "list"];
    // An empty variable counts as unset.
    let empty =
        [("CREDVAULT_PROFILE", ""), ("CREDVAULT_TENANT", ""), ("CREDVAULT_USER", ""), ("CREDVAULT_KEY", "")];
    let (code, listed) = run(commands, &list, &empty);
    assert!(code == 0 && listed.contains("shopify"), "{listed}");
    let (code, other) = run(commands, &list, &[("CREDVAULT_TENANT", "globex")]);
    assert!(code == 0 && !other.contains("shopify"), "{other}");
    // An option wins over its variable.
    let (code, own) =
        run(commands, &[&list[..], &["--tenant", "demo"]].concat(), &[("CREDVAULT_TENANT", "globex")]);
    assert!(code == 0 && own.contains("shopify"), "{own}");
    let (code, refused) = run(commands, &list, &[("CREDVAULT_ADDRESS", "http://localhost:7443")]);
    assert!(code == 2 && refused.contains("must begin with https://"), "{refused}");

    // With everything named, no profile is needed.
    let elsewhere = tempfile::tempdir().unwrap();
    let file = |name: &str| commands.folder.join("credvault-dev").join(name);
    let mut command = program(commands);
    command.current_dir(elsewhere.path()).args(list).env("CREDVAULT_TENANT", "demo");
    command.env("CREDVAULT_AUTHORITY", file("ca.pem")).env("CREDVAULT_CERTIFICATE", file("app.pem"));
    let (code, advice) = text(&command.output().unwrap());
    assert!(code == 2 && advice.contains("CREDVAULT_PROFILE"), "{advice}");
    let (code, listed) = text(&command.env("CREDVAULT_KEY", file("app.key")).output().unwrap());
    assert!(code == 0 && listed.contains("shopify"), "{listed}");
}

fn names_stand_in_for_ids(commands: &Commands<'_>, id: &str) {
    for name in ["shopify/main", "shopify", id] {
        let (code, shown) = run(commands, &["connections", "get", name], &[]);
        assert!(code == 0 && shown.contains(id) && shown.contains("account:"), "{name}: {shown}");
    }
    let (code, missing) = run(commands, &["connections", "get", "shopify/other"], &[]);
    assert!(code == 4 && missing.contains("connections list"), "{missing}");
    let (code, mistyped) = run(commands, &["connections", "get", "shopfy"], &[]);
    assert!(code == 4 && mistyped.contains("shopify is like it"), "{mistyped}");
    assert!(mistyped.contains("PROVIDER/ACCOUNT"), "{mistyped}");
    let (code, twice) = run(commands, &["fetch", "shopify/main", "--account", "main"], &[]);
    assert!(code == 2 && twice.contains("--account"), "{twice}");
    let (code, reported) = run(commands, &["usage", "report", "shopify/main", "orders.list"], &[]);
    assert_eq!((code, reported.trim()), (0, "counted"));
    // A deletion of another connection does not make this one deleted.
    let purge = ["connections", "purge", "shopify/main", "--yes"];
    assert_eq!(run(commands, &purge, &[]).0, 4);
}

fn formats_and_widths(commands: &Commands<'_>) {
    let (code, yaml) = run(commands, &["connections", "list", "--output", "yaml"], &[]);
    assert!(code == 0 && yaml.starts_with("---\nitems:\n") && yaml.contains("provider: shopify"), "{yaml}");

    let page = |more: &[&str]| {
        let list = ["connections", "list", "--output", "json", "--page-size", "1"];
        let (code, listed) = run(commands, &[&list[..], more].concat(), &[]);
        assert_eq!(code, 0, "{listed}");
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
        (listed["items"][0]["id"].clone(), listed["nextPageToken"].as_str().unwrap().to_owned())
    };
    let (first, token) = page(&[]);
    let (second, _) = page(&["--page-token", &token]);
    assert!(!token.is_empty() && first != second, "{token}");
    let (_, table) = run(commands, &["connections", "list", "--page-size", "1"], &[]);
    assert!(table.contains("more with --page-token "), "{table}");

    for command in [&["connections", "list"][..], &["connections", "get", "shopify"], &["fetch", "shopify"]] {
        let (_, narrow) = run(commands, command, &[("COLUMNS", "80")]);
        // A tag is one word, to be copied.
        let mut lines = narrow.lines().filter(|line| !line.starts_with("tag: "));
        assert!(lines.all(|line| line.chars().count() <= 80), "{narrow}");
        assert!(narrow.contains("shopify") && !narrow.contains('\x1b'), "{narrow}");
    }
    let (_, narrow) = run(commands, &["connections", "list"], &[("COLUMNS", "80")]);
    assert!(narrow.contains("a wider terminal shows"), "{narrow}");
}

fn a_child_gets_fields_and_decides_the_end(commands: &Commands<'_>) {
    let (_, token) = run(commands, &["fetch", "shopify", "--field", "access_token"], &[]);
    let script = "printf '%s %s ' \"$SHOPIFY_ACCESS_TOKEN\" \"$SHOPIFY_BASE_URL\"; tr '\\0' ' ' < /proc/$$/cmdline; exit 9";
    let (code, printed) = run(commands, &["run", "shopify/main", "--", "sh", "-c", script], &[]);
    assert_eq!(code, 9, "{printed}");
    assert!(printed.starts_with(&format!("{} https://demo-store", token.trim_end())), "{printed}");
    // It stands in the environment alone.
    assert_eq!(printed.matches(token.trim_end()).count(), 1, "{printed}");
    let named = ["run", "shopify", "--prefix", "", "--env", "TOKEN=access_token", "--", "printenv", "TOKEN"];
    assert_eq!(run(commands, &named, &[]), (0, token));
    let (code, missing) = run(commands, &["run", "shopify", "--env", "TOKEN=password", "--", "true"], &[]);
    assert!(code == 2 && missing.contains("it has access_token"), "{missing}");
    let (code, missing) = run(commands, &["run", "shopify", "--", "./no-such-program"], &[]);
    assert!(code == 2 && missing.contains("cannot be started"), "{missing}");
    assert_eq!(run(commands, &["run", "shopify", "true"], &[]).0, 2);

    // A signal reaches the program itself.
    let mut command = program(commands);
    command.args(["run", "shopify", "--", "sh", "-c", "echo ready; exec sleep 600"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(rustix::process::Signal::TERM.as_raw()));
}

/// The checks of the doctor that ended with this word.
fn ended(report: &str, word: &str) -> Vec<String> {
    let lines = report.lines().filter_map(|line| line.strip_prefix(word));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn the_doctor_finds_what_is_wrong(commands: &Commands<'_>) {
    let (code, well) = run(commands, &["doctor"], &[]);
    assert_eq!(code, 0, "{well}");
    let checks = ["profile", "authority", "certificate", "key", "port", "TLS", "answer", "clock", "policy"]
        .map(str::to_owned);
    assert_eq!(ended(&well, "ok"), checks, "{well}");
    assert!(well.contains("spiffe://dev.local/app, until"), "{well}");

    let file = |name: &str| commands.folder.join("credvault-dev").join(name).display().to_string();
    let wrong = |arguments: &[&str], checks: &[&str]| {
        let (code, report) = run(commands, &[&["doctor"][..], arguments].concat(), &[]);
        assert_eq!(code, 7, "{report}");
        assert_eq!(ended(&report, "WRONG"), checks, "{report}");
        assert_eq!(report.matches("what to do: ").count(), checks.len(), "{report}");
        report
    };
    wrong(&["--profile", "no-such.toml"], &["profile"]);
    wrong(&["--key", &file("reporter.key")], &["key"]);
    wrong(&["--authority", &file("app.pem")], &["TLS"]);
    wrong(&["--address", "http://localhost:7443"], &["address"]);
    wrong(&["--address", "https://localhost:1"], &["port"]);
    wrong(&["--tenant", "no-such-tenant"], &["answer"]);
    // The app is no administrator, and the operator works for no tenant.
    let operator = ["--profile", "credvault-dev/operator.toml"];
    assert_eq!(run(commands, &[&["doctor"][..], &operator].concat(), &[]).0, 0);
    let (certificate, key) = (file("app.pem"), file("app.key"));
    let app = ["--certificate", certificate.as_str(), "--key", key.as_str()];
    let denied = wrong(&[operator.as_slice(), &app].concat(), &["policy"]);
    assert!(denied.contains("POLICY_DENIED") && denied.contains("tenants list"), "{denied}");

    let (_, json) = run(commands, &["doctor", "--output", "json"], &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let good = json["items"].as_array().unwrap().iter().filter(|item| item["state"] == "good").count();
    assert_eq!(good, checks.len(), "{json}");
}

fn completions_ask_the_vault(commands: &Commands<'_>) {
    let complete = |words: &[&str]| {
        let line = [&["--", "credvault"][..], words].concat();
        run(commands, &line, &[("CREDVAULT_COMPLETE", "fish")])
    };
    let (code, names) = complete(&["connections", "get", "shop"]);
    assert!(code == 0 && names.contains("shopify/main"), "{names}");
    let (code, names) = complete(&["connections", "create", "wooc"]);
    assert!(code == 0 && names.contains("woocommerce"), "{names}");
    assert!(complete(&["connec"]).1.contains("connections"));
    let (code, tenants) = complete(&["tenants", "get", "de"]);
    assert!(code == 0 && tenants.contains("demo"), "{tenants}");
    let (code, actions) = complete(&["audit", "list", "--action", "Fetch"]);
    assert!(code == 0 && actions.contains("FetchCredential"), "{actions}");
    // A vault that cannot be reached suggests nothing, and says nothing.
    let away = [("CREDVAULT_COMPLETE", "fish"), ("CREDVAULT_ADDRESS", "https://localhost:1")];
    let (code, nothing) = run(commands, &["--", "credvault", "connections", "get", "shop"], &away);
    assert_eq!((code, nothing.as_str()), (0, ""));
}
