//! `demo` and `dev`: what they print, and the folder that `dev` makes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::machinery::machinery;
use super::oversight::administered;
use super::{Commands, text};
use crate::harness::Process;

/// A process of `credvault dev`, ready to serve.
struct Dev {
    child: Child,
    printed: String,
}

impl Dev {
    fn start(folder: &Path) -> Self {
        let mut command = Process::command();
        let addresses = ["--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"];
        let mut child =
            command.current_dir(folder).arg("dev").args(addresses).stdout(Stdio::piped()).spawn().unwrap();
        let mut printed = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            printed.push_str(&format!("{line}\n"));
            if line.contains("VaultService/FetchCredential") {
                break;
            }
        }
        Self { child, printed }
    }

    /// The port, which the guide names.
    fn port(&self) -> u16 {
        let after = self.printed.split("Serving on localhost:").nth(1).unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    }

    fn stop(mut self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|file| !file.file_name().to_string_lossy().starts_with("vault.db"));
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

const OUTCOMES: [&str; 4] = [
    "1. Stored for the tenant demo",
    "shopify, version 1: https://demo-store.myshopify.com/admin/api/2026-10 with header X-Shopify-Access-Token",
    "PERMISSION_DENIED POLICY_DENIED",
    "NOT_FOUND CONNECTION_NOT_FOUND",
];

#[test]
fn demo_shows_the_four_outcomes_and_leaves_nothing_behind() {
    // A folder whose name means something in a URL.
    let folder = tempfile::Builder::new().prefix("100% of a? &+").tempdir().unwrap();
    let output = Process::command().arg("demo").env("TMPDIR", folder.path()).output().unwrap();
    let (code, printed) = text(&output);
    assert_eq!(code, 0, "{printed}");
    assert!(OUTCOMES.iter().all(|outcome| printed.contains(outcome)), "{printed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Neither works on a database that was meant for another vault.
#[test]
fn dev_refuses_the_database_of_the_environment_and_demo_ignores_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str, name: &str, value: &str| {
        let mut program = Process::command();
        program.current_dir(folder.path()).env("TMPDIR", folder.path()).env(name, value).arg(command);
        text(&program.output().unwrap())
    };
    let url = "postgres://app:CANARY@127.0.0.1:1/vault";
    for (name, value) in [
        ("CREDVAULT__STORE__URL", url),
        ("CREDVAULT__STORE__URL_FILE", "/CANARY"),
        ("CREDVAULT__STORE.MIGRATE_URL", url),
        ("CREDVAULT__ROOT_KEY__PASSPHRASE", "CANARY correct horse battery"),
    ] {
        let (code, refused) = run("dev", name, value);
        assert_eq!(code, 2, "{refused}");
        assert!(refused.contains(&format!("{name} is set")) && refused.contains("unset it"), "{refused}");
        assert!(!refused.contains("CANARY"), "{refused}");
        assert!(!folder.path().join("credvault-dev").exists());
    }
    let (code, printed) = run("demo", "CREDVAULT__STORE__URL", url);
    assert_eq!(code, 0, "{printed}");
}

#[test]
fn dev_names_the_flag_that_chooses_another_address_than_one_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let flags = ["--address", "--admin-address", "--public-address", "--simulator-address"];
    for flag in flags {
        let address = |each: &str| if each == flag { taken.as_str() } else { "127.0.0.1:0" };
        let mut command = vec!["dev", "--simulator"];
        command.extend(flags.into_iter().flat_map(|each| [each, address(each)]));
        let (code, printed) = text(&Process::run(folder.path(), &command));
        assert_eq!(code, 1, "{printed}");
        assert!(printed.contains(&format!("{taken} cannot be listened on: ")), "{printed}");
        assert!(printed.contains(&format!("; choose another address with {flag}\n")), "{printed}");
    }
}

#[test]
fn dev_makes_a_private_folder_once_and_serves_the_program() {
    let place = tempfile::tempdir().unwrap();
    let dev = Dev::start(place.path());
    assert!(OUTCOMES.iter().all(|outcome| dev.printed.contains(outcome)), "{}", dev.printed);
    let folder = place.path().join("credvault-dev");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in std::fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    // The profile names the port that was asked for; this one was chosen by the system, and the guide says how to
    // reach it.
    let address = format!("--address https://localhost:{}", dev.port());
    assert!(dev.printed.contains(&format!("credvault connections list {address}\n")), "{}", dev.printed);
    let commands = Commands { folder: place.path(), address };
    let id = listed_and_fetched(&commands);
    a_consent_without_an_app_leaves_nothing_behind(&commands);
    created_and_deleted(&commands);
    services_and_requirements(&commands, &id);
    administered(&commands, &id);
    refused(&commands, &id);
    machinery(&commands, &id);

    // The second start uses what is there.
    let before = contents(&folder);
    dev.stop(Signal::INT);
    let again = Dev::start(place.path());
    assert_eq!(contents(&folder), before);
    assert!(again.printed.contains(&id), "the same connections");
    again.stop(Signal::INT);

    // It serves when the demo can no longer end as it did.
    let policies = String::from_utf8(before["policies.cedar"].clone()).unwrap();
    let forbidden =
        format!("{policies}\nforbid (principal, action == Action::\"FetchCredential\", resource);\n");
    std::fs::write(folder.join("policies.cedar"), forbidden).unwrap();
    let again = Dev::start(place.path());
    assert!(again.printed.contains("so the demo ends here"), "{}", again.printed);
    assert!(again.printed.contains("Serving on localhost:"), "{}", again.printed);
    // Its terminal was closed.
    again.stop(Signal::HUP);
    let unreachable = text(&Process::run(place.path(), &["connections", "list"]));
    assert_eq!(unreachable.0, 6, "{}", unreachable.1);
}

/// Lists connections, fetches a credential, and returns the connection's id.
fn listed_and_fetched(commands: &Commands<'_>) -> String {
    let (code, table) = commands.run(&["connections", "list"]);
    assert_eq!(code, 0, "{table}");
    assert!(table.starts_with("of the tenant demo:\nPROVIDER "), "{table}");
    assert!(table.contains("woocommerce"), "{table}");
    let (code, listed) = commands.run(&["connections", "list", "--provider", "shopify", "--output", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let first = &listed["items"][0];
    let id = first["id"].as_str().unwrap().to_owned();
    assert_eq!(code, 0);
    assert_eq!(first["state"].as_str(), Some("CONNECTION_STATE_CONNECTED"));
    assert_eq!((&first["currentVersion"], &listed["nextPageToken"]), (&1.into(), &"".into()));
    let (code, hidden) = commands.run(&["fetch", "shopify"]);
    assert_eq!(code, 0, "{hidden}");
    assert!(hidden.contains("hidden"), "{hidden}");
    assert!(!hidden.contains("shpat_"), "{hidden}");
    let (_, field) = commands.run(&["fetch", &id, "--field", "access_token"]);
    assert!(field.starts_with("shpat_"), "{field}");
    assert_eq!(field.trim_end().len(), 38, "{field}");
    let fetched = |more: &[&str]| {
        let (_, json) = commands.run(&[&["fetch", "shopify/main", "--output", "json"][..], more].concat());
        serde_json::from_str::<Value>(&json).unwrap()["fields"]["access_token"].as_str().unwrap().to_owned()
    };
    assert_eq!(fetched(&["--reveal"]), field.trim_end());
    assert!(fetched(&[]).contains("hidden"));
    id
}

fn a_consent_without_an_app_leaves_nothing_behind(commands: &Commands<'_>) {
    let (code, printed) = commands.run(&["connections", "connect", "hubspot"]);
    assert_eq!(code, 5, "{printed}");
    assert!(printed.contains("`credvault apps put` stores it"), "{printed}");
    let (code, listed) = commands.run(&["connections", "list", "--provider", "hubspot", "--output", "json"]);
    assert_eq!(code, 0, "{listed}");
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()["items"], serde_json::json!([]), "{listed}");
}

/// Secrets come from files, and a name that is taken has an exit code of its own.
fn created_and_deleted(commands: &Commands<'_>) {
    std::fs::write(commands.folder.join("secrets.json"), r#"{"token": "CANARY"}"#).unwrap();
    let create = [
        "connections",
        "create",
        "generic",
        "--account",
        "mail",
        "--auth-mode",
        "bearer",
        "--secrets",
        "secrets.json",
    ];
    let (code, created) = commands.run(&[create.as_slice(), &["--output", "json"]].concat());
    assert_eq!(code, 0, "{created}");
    let created: Value = serde_json::from_str(&created).unwrap();
    let (code, taken) = commands.run(&create);
    assert_eq!(code, 5, "{taken}");
    assert!(taken.contains("CONNECTION_EXISTS"), "{taken}");
    let (code, shown) = commands.run(&["connections", "get", created["id"].as_str().unwrap()]);
    assert!(code == 0 && !shown.contains("customer: "), "nothing is wrong: {shown}");
    replaced_by_hand(commands, created["id"].as_str().unwrap());
    // What the vault says about the health comes below the table.
    let bare = ["connections", "create", "generic", "--account", "bare", "--auth-mode", "bearer"];
    let (code, bare) = commands.run(&[bare.as_slice(), &["--user", "u7", "--output", "json"]].concat());
    assert_eq!(code, 0, "{bare}");
    let bare: Value = serde_json::from_str(&bare).unwrap();
    listed_by_owner(commands);
    let (_, shown) = commands.run(&["connections", "get", bare["id"].as_str().unwrap()]);
    assert!(
        shown.contains("customer: No account at") && shown.contains("operator: NOT_CONNECTED"),
        "{shown}"
    );
    let (code, _) = commands.run(&["connections", "delete", bare["id"].as_str().unwrap(), "--yes"]);
    assert_eq!(code, 0);
    // Without a person to ask, a deletion has to be confirmed by the option.
    let (code, asked) = commands.run(&["connections", "delete", "generic/mail"]);
    assert!(code == 2 && asked.contains("Confirm with --yes"), "{asked}");
    let (code, deleted) = commands.run(&["connections", "delete", "generic/mail", "--yes"]);
    assert_eq!(code, 0, "{deleted}");
    let undo = format!("credvault connections undelete {}", created["id"].as_str().unwrap());
    assert!(deleted.contains("deleted") && deleted.contains(&undo), "{deleted}");
}

/// A key that only a person can replace has a time by which it is due.
fn replaced_by_hand(commands: &Commands<'_>, id: &str) {
    let (code, refused) = commands.run(&["connections", "rotate", id]);
    assert_eq!(code, 5, "{refused}");
    assert!(refused.contains("ROTATION_BY_HAND"), "{refused}");
    let due = || {
        let (code, listed) =
            commands.run(&["connections", "list", "--rotation-due-within", "11", "--output", "json"]);
        assert_eq!(code, 0, "{listed}");
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let items = listed["items"].as_array().unwrap().iter();
        items.map(|connection| connection["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (days, expected) in [("10", vec![id.to_owned()]), ("0", Vec::new())] {
        let (code, updated) = commands.run(&["connections", "update", id, "--rotation-days", days]);
        assert_eq!(code, 0, "{updated}");
        assert_eq!(due(), expected);
        let (_, shown) = commands.run(&["connections", "get", id]);
        assert_eq!(shown.contains("rotation: a person replaces the credential by "), days == "10", "{shown}");
    }
}

/// `--user` lists all that a call for this user reaches, `--owner-user` only what the user owns.
fn listed_by_owner(commands: &Commands<'_>) {
    let accounts = |flags: &[&str]| {
        let (code, listed) = commands.run(&[&["connections", "list", "--output", "json"], flags].concat());
        assert_eq!(code, 0, "{listed}");
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let account = |connection: &Value| connection["accountName"].as_str().unwrap().to_owned();
        listed["items"].as_array().unwrap().iter().map(account).collect::<Vec<_>>()
    };
    assert_eq!(accounts(&["--owner-user", "u7"]), ["bare"]);
    assert!(accounts(&["--user", "u7"]).contains(&"mail".to_owned()));
    assert!(accounts(&["--owner-user", "u8"]).is_empty());
}

/// The account name of a connection.
fn account(commands: &Commands<'_>, id: &str) -> String {
    let (_, shown) = commands.run(&["connections", "get", id, "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown["accountName"].as_str().unwrap().to_owned()
}

/// A service with its settings, and tools that require what is there and what is not.
fn services_and_requirements(commands: &Commands<'_>, id: &str) {
    let set = ["services", "set", "kpi-report", "on", "--connection", id, "--setting", "sheet=Orders"];
    let (code, printed) = commands.run(&set);
    assert!(code == 0 && printed.contains("connected"), "{printed}");
    // A connection by its name, and one that is not there.
    let (code, printed) = commands.run(&[
        "services",
        "set",
        "kpi-report",
        "--mapping",
        "ads",
        "--connection",
        "shopify/nobody",
    ]);
    assert!(code == 4 && printed.contains("no such account"), "{printed}");
    let named = format!("shopify/{}", account(commands, id));
    let (code, printed) =
        commands.run(&["services", "set", "kpi-report", "--mapping", "ads", "--connection", &named]);
    assert!(code == 0 && printed.contains("ads"), "{printed}");
    let (code, printed) = commands.run(&["services", "set", "kpi-report", "off"]);
    assert!(code == 0 && printed.contains("no       default  shopify"), "{printed}");
    let (_, listed) = commands.run(&["services", "list", "--connection", id, "--output", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let config = &listed["items"][0];
    assert_eq!(config["mappings"][1]["settings"]["sheet"], "Orders");
    assert!(!commands.run(&["services", "list", "--switched", "on"]).1.contains("kpi-report"));
    let (_, off) = commands.run(&["services", "list", "--switched", "off"]);
    assert!(off.contains("kpi-report"), "{off}");
    let (code, stale) = commands.run(&["services", "delete", "kpi-report", "--yes", "--etag", "\"1\""]);
    assert!(code != 0 && stale.contains("etag"), "{stale}");
    let etag = config["etag"].as_str().unwrap();
    let (code, printed) = commands.run(&["services", "delete", "kpi-report", "--yes", "--etag", etag]);
    assert!(code == 0 && printed.contains("kpi-report"), "{printed}");
    assert_eq!(commands.run(&["services", "delete", "kpi-report", "-y"]).0, 4);

    let operator = ["--profile", "credvault-dev/operator.toml"];
    let tools = |arguments: &[&str]| commands.run(&[&["tools"], arguments, &operator].concat());
    let (code, printed) = tools(&["put", "watch", "--requires", "shopify", "--uses", "slack"]);
    assert_eq!(code, 0, "{printed}");
    let (code, misspelt) = tools(&["put", "watch", "--requires", "shopfy"]);
    assert!(code == 5 && misspelt.contains("such as shopify"), "{misspelt}");
    let (code, printed) = commands.run(&["requirements", "check", "--tool", "watch"]);
    assert!(code == 0 && printed.contains("missing, optional"), "{printed}");
    let (code, printed) = commands.run(&["requirements", "check", "shopify@cookie"]);
    assert!(code == 5 && printed.contains("auth_modes"), "{printed}");
    let (code, printed) = commands.run(&["requirements", "check", "shopify/nobody"]);
    assert!(code == 5 && printed.contains("missing"), "{printed}");
    let (code, printed) = commands.run(&["requirements", "check", "quickbooks", "--tool", "watch"]);
    assert!(code == 5 && printed.contains("`credvault apps put`"), "{printed}");
    assert_eq!(tools(&["delete", "watch", "--yes"]).0, 0);
    assert_eq!(tools(&["list"]).1.trim(), "none");
}

fn refused(commands: &Commands<'_>, id: &str) {
    let (code, missing) = commands.run(&["fetch", "slack"]);
    assert_eq!(code, 4, "{missing}");
    assert!(missing.contains("CREDENTIAL_NOT_CONFIGURED"), "{missing}");
    let (code, foreign) = commands.run(&["fetch", id, "--tenant", "globex"]);
    assert_eq!(code, 4, "{foreign}");
    assert!(foreign.contains("CONNECTION_NOT_FOUND"), "{foreign}");
    let (code, denied) = commands.run(&["fetch", id, "--tenant", "not a tenant"]);
    assert_eq!(code, 5, "{denied}");
    assert!(denied.contains("x-tenant-id"), "{denied}");
}
