//! What configuration accepts, which source wins, and what is reported. `values` holds values against the forms and rules
//! of their keys, `messages` messages against values, `stores` is about stores of secrets.

mod messages;
mod stores;
mod values;

use std::ffi::OsString;
use std::path::Path;

use secrecy::ExposeSecret as _;

use super::*;

/// What these sources give, whatever is wrong with it.
fn read(name: &str, file: &str, variables: &[(&str, &str)], overrides: &[(&str, &str)]) -> RawSettings {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join(name);
    std::fs::write(&path, file).expect("file");
    let own = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let variables = own(variables).into_iter().map(|(name, value)| (name.into(), value.into()));
    RawSettings::read(Some(&path), variables, &own(overrides))
}

fn load(
    file: &str,
    variables: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<RawSettings, SettingsError> {
    load_file("credvault.toml", file, variables, overrides)
}

/// What these sources give, checked; what must be given and is not about the test is filled in.
fn load_file(
    name: &str,
    file: &str,
    variables: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<RawSettings, SettingsError> {
    let mut settings = read(name, file, variables, overrides);
    for path in [&mut settings.server.certificate, &mut settings.server.key] {
        if path.as_os_str().is_empty() {
            *path = "server.pem".into();
        }
    }
    if settings.store.url.expose_secret().is_empty() {
        settings.store.url = "sqlite:vault.db".into();
    }
    let root_key = &mut settings.root_key;
    if root_key.environment_variable.is_none() && root_key.passphrase.is_none() {
        root_key.file.get_or_insert_with(|| "root.key".into());
    }
    settings.identity.trust_domains.entry("test.local".to_owned()).or_insert_with(|| "ca.pem".into());
    settings.check().map(|_| settings)
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let file = "[limits]\ncalls = 1\nhandshakes = 2\nconnections = 3";
    let variables =
        [("CREDVAULT__LIMITS__CALLS", "4"), ("CREDVAULT__LIMITS__HANDSHAKES", "5"), ("OTHER", "x")];
    let settings = load(file, &variables, &[("limits.calls", "6")]).expect("settings");
    let LimitsSection { calls, handshakes, connections, cache_seconds, .. } = settings.limits;
    assert_eq!((calls, handshakes, connections, cache_seconds), (6, 5, 3, 60));
}

#[test]
fn an_unknown_key_is_fatal_and_named_wherever_it_stands() {
    for result in [
        load("[limits]\nspeed = 1", &[], &[]),
        load("", &[("CREDVAULT__LIMITS__SPEED", "1")], &[]),
        load("", &[], &[("limits.speed", "1")]),
    ] {
        let error = result.expect_err("unknown key").to_string();
        assert!(error.contains("speed") && error.contains("calls"), "{error}");
    }
}

#[test]
fn a_secret_comes_from_a_file_and_is_shown_nowhere() {
    let secret = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(secret.path(), "007-CANARY-passphrase\n").expect("file");
    let path = secret.path().display().to_string();
    let file = ("CREDVAULT__ROOT_KEY__PASSPHRASE_FILE", path.as_str());
    let settings = load("", &[file], &[]).expect("settings");
    let passphrase = settings.root_key.passphrase.as_ref().expect("passphrase");
    assert_eq!(passphrase.expose_secret(), "007-CANARY-passphrase");
    let shown = format!("{settings:?} {}", serde_json::to_string(&settings).expect("json"));
    assert!(!shown.contains("CANARY"), "{shown}");
    let both = load("", &[file, ("CREDVAULT__ROOT_KEY__PASSPHRASE", "x")], &[]);
    let both = both.expect_err("twice").to_string();
    assert!(
        both.contains("CREDVAULT__ROOT_KEY__PASSPHRASE and CREDVAULT__ROOT_KEY__PASSPHRASE_FILE"),
        "{both}"
    );
}

#[test]
fn one_source_of_the_root_key_must_be_given() {
    for file in ["", "[root_key]\nfile = 'a'\nenvironment_variable = 'B'"] {
        let error = read("credvault.toml", file, &[], &[]).check().expect_err(file).to_string();
        assert!(error.contains("root_key: must have exactly one of file,"), "{error}");
    }
}

#[test]
fn root_keys_come_from_tables_of_the_file_and_a_second_one_from_anywhere() {
    let transit = "[root_key.transit]\naddress = 'https://bao.example:8200'\nkey = 'credvault'\n\
                   login = { method = 'token', file = 'token' }\n";
    let managed = read("credvault.toml", transit, &[], &[]);
    let section = managed.root_key.transit.as_ref().expect("transit");
    assert_eq!((section.mount.as_str(), section.namespace.as_ref()), ("transit", None));
    assert!(managed.check_reading().is_ok());
    for (variables, flags) in [
        (&[("CREDVAULT__OTHER_ROOT_KEY__FILE", "other.key")][..], &[][..]),
        (&[][..], &[("other_root_key.file", "other.key")][..]),
    ] {
        let settings = load("", variables, flags).expect("settings");
        assert!(settings.other_root_key.file.is_some());
    }
    assert!(!load("", &[], &[]).expect("settings").other_root_key.is_given());
    let wrong = "[root_key.aws_kms]\nkey = 'alias/credvault'\n";
    let error = read("credvault.toml", wrong, &[], &[]).check().expect_err("alias").to_string();
    assert!(error.contains("root_key.aws_kms.key") && error.contains("ARN"), "{error}");
    let unknown = load("[root_key.pkcs11]\nmodul = 'x'", &[], &[]).expect_err("unknown").to_string();
    assert!(unknown.contains("modul"), "{unknown}");
}

#[test]
fn relative_paths_begin_at_the_files_folder() {
    let file = "[server]\nkey = 'a/b.key'\n[root_key]\nfile = '/c'\n[store]\nurl = 'sqlite:d.db?x=1'";
    let settings = load(file, &[], &[]).expect("settings");
    let url = settings.store.url.expose_secret();
    assert!(url.starts_with("sqlite:/") && url.ends_with("/d.db?x=1"), "{url}");
    assert!(settings.server.key.is_absolute() && settings.server.key.ends_with("a/b.key"));
    assert_eq!(settings.root_key.file.as_deref(), Some(Path::new("/c")));
}

/// Every setting by its key, as text, with its default.
fn keys(prefix: &str, value: &serde_json::Value, found: &mut Vec<String>) {
    let settings = value.as_object().filter(|settings| !settings.is_empty());
    let Some(settings) = settings else { return found.push(prefix.to_owned()) };
    for (name, value) in settings {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        keys(&key, value, found);
    }
}

#[test]
fn numbers_outside_of_their_bounds_are_refused_by_name() {
    let mut all = Vec::new();
    let defaults = serde_json::to_value(RawSettings::default()).expect("json");
    keys("", &defaults, &mut all);
    // Zero has a meaning of its own for these, which docs/configuration.md tells.
    let zero = [
        "server.drain_seconds",
        "server.worker_threads",
        "limits.rate_per_second",
        "limits.rate_burst",
        "limits.tenant_calls_per_second",
        "limits.tenant_fetches_per_second",
        "limits.exchanges_per_minute",
        "limits.tests_per_minute",
        "limits.tenant_response_bytes",
        "limits.cache_seconds",
        "limits.connections_per_address",
        "limits.handshakes_per_address",
        "public.connections_per_address",
        "store.tenant_connection_quota",
        "store.user_connection_quota",
        "store.max_clock_skew_seconds",
        "broker.refreshes_per_second",
        "broker.forced_refreshes_per_minute",
        "broker.rejection_calls_per_minute",
        "broker.test_interval_hours",
        "keys.rotate_after_days",
        "keys.rotate_after_uses",
        "keys.retire_after_days",
        "keys.records_per_second",
        "audit.retention_days",
    ];
    let mut numbers = 0;
    for key in all {
        let number = key.split('.').try_fold(&defaults, |value, name| value.get(name));
        if !number.is_some_and(serde_json::Value::is_number) {
            continue;
        }
        numbers += 1;
        let with = |value: &str| load("", &[], &[(&key, value)]);
        assert_eq!(with("0").is_ok(), zero.contains(&key.as_str()), "{key} = 0");
        for value in ["-1", "99999999999999999999", "9223372036854775807"] {
            let error = with(value).expect_err(&key).to_string();
            assert!(error.contains(&key), "{key}: {error}");
        }
    }
    assert!(numbers > 18, "{numbers}");
}

#[test]
fn all_problems_are_reported_at_once_with_the_origin_of_each_value() {
    let file = "[limits]\ncalls = 0\nspeed = 1\n\n[[identity.issuers]]\nkind = 'robot'\n[public]\norigins = [1, 'x']\n";
    let variables = [
        ("CREDVAULT__STORE__UNDELETE_DAYS", "99999999999"),
        ("CREDVAULT__BROKER__TEST_INTERVAL_HOURS", "often"),
    ];
    let flags = [("server.address", "localhost"), ("limits.default_deadline_seconds", "61")];
    let error = read("credvault.toml", file, &variables, &flags).check().expect_err("much is wrong");
    let told: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    for (key, rule, origin) in [
        ("server.address", "must be an IP address and a port", "--set"),
        ("server.certificate", "must be given", "(not given)"),
        ("limits.calls", "must be between 1 and 1000000; the default is 2048", "credvault.toml, line 2"),
        ("limits.speed", "unknown key", "credvault.toml, line 3"),
        ("limits.default_deadline_seconds", "must be between 1 and 60", "--set"),
        ("identity.issuers[0].kind", "must be one of user, assertion", "credvault.toml, line 6"),
        ("identity.issuers[0].name", "must be given", "(not given)"),
        ("store.undelete_days", "must be between 1 and 3650", "given by CREDVAULT__STORE__UNDELETE_DAYS"),
        ("broker.test_interval_hours", "must be", "given by CREDVAULT__BROKER__TEST_INTERVAL_HOURS"),
        ("root_key", "exactly one of", "(not given)"),
    ] {
        let one = told.iter().find(|text| text.starts_with(&format!("{key}: ")));
        let one = one.unwrap_or_else(|| panic!("{key}: {told:?}"));
        assert!(one.contains(rule) && one.contains(origin), "{one}");
    }
}

#[test]
fn every_setting_is_shown_with_its_value_and_its_origin() {
    let file = "[store]\nurl = 'postgres://app:CANARY@h/db'\n[[identity.issuers]]\nname = 'clerk'\n";
    let variables = [("CREDVAULT__LIMITS__CALLS", "7")];
    let settings =
        read("credvault.yaml", "public: { url: 'https://a.example' }", &variables, &[("limits.calls", "8")]);
    let of = |settings: &RawSettings, key: &str| {
        let shown = settings.shown().into_iter().find(|shown| shown.key == key);
        shown.map(|Shown { value, origin, .. }| (value, origin.to_string())).expect(key)
    };
    assert_eq!(of(&settings, "limits.calls"), ("8".to_owned(), "--set".to_owned()));
    assert!(of(&settings, "public.url").1.ends_with("credvault.yaml"));
    let settings = read("credvault.toml", file, &variables, &[]);
    assert_eq!(of(&settings, "limits.calls"), ("7".to_owned(), "CREDVAULT__LIMITS__CALLS".to_owned()));
    let (url, origin) = of(&settings, "store.url");
    assert!(url == "(secret)" && origin.ends_with("credvault.toml, line 2"), "{url} {origin}");
    assert_eq!(of(&settings, "identity.issuers[0].name").0, "clerk");
    for unset in ["store.migrate_url", "root_key.file", "server.key", "identity.policies", "public.origins"] {
        assert_eq!(of(&settings, unset), ("(unset)".to_owned(), "default".to_owned()), "{unset}");
    }
    let mut all = Vec::new();
    keys("", &serde_json::to_value(RawSettings::default()).expect("json"), &mut all);
    let shown: Vec<_> = RawSettings::default().shown().into_iter().map(|shown| shown.key).collect();
    assert_eq!(shown, all);
}

#[test]
fn an_origin_of_pages_is_one_site_and_no_pattern() {
    let file =
        "[public]\norigins = ['https://app.example.com', 'https://*.example.com', 'https://a;b.example.com']";
    let error = read("credvault.toml", file, &[], &[]).check().expect_err("two are no origins");
    let told: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    let about =
        |index: usize| told.iter().any(|problem| problem.contains(&format!("public.origins[{index}]")));
    assert_eq!([0, 1, 2].map(about), [false, true, true], "{told:?}");
}

#[test]
fn a_database_elsewhere_without_tls_is_refused_by_its_key() {
    let file = "[store]\nurl = 'postgres://app:CANARY@db.example/vault'";
    let error = load(file, &[], &[]).expect_err("no TLS").to_string();
    assert!(error.starts_with("store.url: would reach PostgreSQL without TLS"), "{error}");
    assert!(!error.contains("CANARY"), "{error}");
    load(file, &[], &[("store.allow_unencrypted", "true")]).expect("the network in between is safe");
}

#[test]
fn a_migration_needs_the_settings_of_the_database_alone() {
    let url = [("CREDVAULT__STORE__URL", "sqlite:vault.db")];
    assert!(read("credvault.toml", "", &url, &[]).check().is_err());
    assert!(read("credvault.toml", "", &url, &[]).check_store().is_ok());
    let refused = read("credvault.toml", "[store]\nmax_connections = 0", &url, &[]).check_store();
    let refused = refused.expect_err("no connection").to_string();
    assert!(refused.contains("store.max_connections"), "{refused}");
}
