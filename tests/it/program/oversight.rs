//! The commands of administrators: what they print, what they refuse, and how a change continues.

use serde_json::Value;

use super::Commands;

/// A command of the operator that ends with this code, and what it prints.
fn operator(commands: &Commands<'_>, code: i32, arguments: &[&str]) -> String {
    let profile = ["--profile", "credvault-dev/operator.toml"];
    let (ended, printed) = commands.run(&[arguments, &profile].concat());
    assert_eq!(ended, code, "{arguments:?}: {printed}");
    printed
}

/// The tenant `demo` with its connection to Shopify, `id`, as its administrator sees and changes it.
pub(super) fn administered(commands: &Commands<'_>, id: &str) {
    limits_and_sources(commands);
    let set = ["services", "set", "kpi-report", "on", "--connection", id];
    assert_eq!(commands.run(&set).0, 0);
    connections_are_found(commands, id);
    many_are_changed(commands, id);
    one_is_disabled_and_deleted(commands, id);
    assert_eq!(commands.run(&["services", "delete", "kpi-report", "--yes"]).0, 0);
    assert!(operator(commands, 0, &["users", "list", "demo"]).starts_with("USER "));
    operator(commands, 4, &["users", "list", "nowhere"]);
    for tenant in [&["demo"][..], &[]] {
        let rates = operator(commands, 0, &[&["rates", "show"], tenant].concat());
        let whose = if tenant.is_empty() { "of all tenants" } else { "of the tenant demo" };
        assert!(rates.contains(whose), "{rates}");
        assert!(rates.contains("\nPROVIDER ") || rates.starts_with("none "), "{rates}");
    }
    operator(commands, 5, &["rates", "show", "--days", "401"]);
}

fn limits_and_sources(commands: &Commands<'_>) {
    let shown = operator(commands, 0, &["limits", "set", "demo", "refreshes_per_minute=600"]);
    assert!(shown.contains("refreshes_per_minute") && shown.contains("600"), "{shown}");
    assert!(operator(commands, 0, &["limits", "show", "demo"]).contains("600"));
    operator(commands, 0, &["limits", "set", "demo", "refreshes_per_minute=default"]);
    operator(commands, 2, &["limits", "set", "demo", "speed=1"]);

    let shown = operator(commands, 0, &["sources", "set", "demo", "--allow", "127.0.0.0/8"]);
    assert!(shown.contains("127.0.0.0/8"), "{shown}");
    assert_eq!(operator(commands, 0, &["sources", "show", "demo"]), shown);
    let shown = operator(commands, 0, &["sources", "set", "demo", "--allow-all"]);
    assert!(shown.contains("every address"), "{shown}");
    operator(commands, 2, &["sources", "set", "demo"]);
}

fn connections_are_found(commands: &Commands<'_>, id: &str) {
    let found = |flags: &[&str]| {
        let list = ["tenants", "connections", "demo", "--output", "json"];
        let listed = operator(commands, 0, &[&list, flags].concat());
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed["items"].as_array().unwrap().iter().any(|connection| connection["id"] == id)
    };
    for flags in [
        &["--provider", "shopify", "--state", "connected", "--health", "ok"][..],
        &["--created-since", "2020-01-01", "--id", id],
        &["--account", "main"],
    ] {
        assert!(found(flags), "{flags:?}");
    }
    for flags in [
        &["--disabled"][..],
        &["--created-before", "2020-01-01T00:00:00Z"],
        &["--ends-within", "1"],
        &["--unused-days", "1"],
        &["--auth-mode", "oauth2_code"],
        &["--owned-by", "u1"],
    ] {
        assert!(!found(flags), "{flags:?}");
    }
    operator(commands, 2, &["tenants", "connections", "demo", "--created-before", "soon"]);
}

fn many_are_changed(commands: &Commands<'_>, id: &str) {
    let change = |code, arguments: &[&str]| {
        operator(commands, code, &[&["tenants", "change", "demo"], arguments].concat())
    };
    let breaks = "kpi-report/default of tenant";
    assert!(change(2, &["disable"]).contains("--all"));
    let shopify = ["--provider", "shopify"];
    let tried = change(0, &[&["disable", "--dry-run"], &shopify[..]].concat());
    assert!(tried.contains("would change") && tried.contains(breaks), "{tried}");
    let changed = change(0, &[&["disable"], &shopify[..]].concat());
    assert!(
        changed.contains(id) && changed.contains("1 connections of the tenant demo: 1 changed"),
        "{changed}"
    );
    assert!(changed.contains(breaks), "{changed}");
    assert!(change(0, &["enable", "--disabled"]).contains("1 connections of the tenant demo: 1 changed"));

    // A token is good where it comes from, and is not repeated where it is not.
    let wrong = change(2, &["disable", "--all", "--page-token", "CANARY"]);
    assert!(!wrong.contains("CANARY"), "{wrong}");
    assert!(
        change(2, &["disable", "--all", "--page-token", "1700000000.globex."]).contains("another tenant")
    );
    let refused = change(5, &["disable", "--all", "--page-token", "1700000000.demo.AAAA"]);
    assert!(refused.contains("PAGE_TOKEN_INVALID"), "{refused}");
    assert!(change(0, &["enable", "--all", "--page-token", "1700000000.demo."]).contains("unchanged"));

    let everywhere = |code, arguments: &[&str]| {
        operator(commands, code, &[&["tenants", "change-all"], arguments].concat())
    };
    assert!(everywhere(2, &["disable"]).contains("--all"));
    let disable = [&["disable", "--dry-run"], &shopify[..]].concat();
    let all = everywhere(0, &disable);
    assert!(all.contains("demo") && all.contains("1 would change") && all.contains("globex"), "{all}");
    let json = everywhere(0, &[&disable[..], &["--output", "json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    let demo = json["items"].as_array().unwrap().iter().find(|one| one["tenantId"] == "demo").unwrap();
    let counts = (demo["outcomes"]["would change"].as_u64(), demo["brokenServices"].as_u64());
    assert_eq!(counts, (Some(1), Some(1)));
    let rest = everywhere(0, &[&disable[..], &["--page-token", "1700000000.globex."]].concat());
    assert!(rest.contains("globex") && !rest.contains("demo"), "{rest}");
}

/// What ends the use of one connection says what it breaks, too.
fn one_is_disabled_and_deleted(commands: &Commands<'_>, id: &str) {
    let breaks = "This breaks services: kpi-report/default of tenant";
    let (code, disabled) = commands.run(&["connections", "update", id, "--disable"]);
    assert!(code == 0 && disabled.contains("disabled") && disabled.contains(breaks), "{disabled}");
    let (code, enabled) = commands.run(&["connections", "update", id, "--enable"]);
    assert!(code == 0 && !enabled.contains("breaks"), "{enabled}");
    assert_eq!(commands.run(&["connections", "update", id]).0, 2);

    let create = ["connections", "create", "generic", "--account", "brief", "--auth-mode", "bearer"];
    let flags = ["--secrets", "secrets.json", "--output", "json"];
    let (code, created) = commands.run(&[&create[..], &flags].concat());
    assert_eq!(code, 0, "{created}");
    let created: Value = serde_json::from_str(&created).unwrap();
    let brief = created["id"].as_str().unwrap();
    let set = ["services", "set", "kpi-report", "--mapping", "brief", "--connection", brief];
    assert_eq!(commands.run(&set).0, 0);
    let (code, deleted) = commands.run(&["connections", "delete", brief, "--yes"]);
    assert!(code == 0 && deleted.contains("This breaks services: kpi-report/brief of tenant"), "{deleted}");
    assert!(deleted.contains("may still accept"), "{deleted}");
    let (code, purged) = commands.run(&["connections", "purge", brief, "--revoke", "--yes"]);
    assert!(code == 0 && purged.contains("is removed.") && purged.contains("cannot revoke"), "{purged}");
    let gone = operator(commands, 0, &["users", "delete", "demo", "ghost", "--revoke", "--yes"]);
    assert!(gone.contains("0 connections were deleted."), "{gone}");
}
