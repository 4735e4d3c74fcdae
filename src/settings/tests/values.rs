//! Which values a key takes: numbers, truth values, texts, none at all; and that every wrong one is reported.

use std::os::unix::ffi::OsStringExt as _;

use super::*;

/// A file with one setting.
fn file_with(key: &str, value: &str) -> String {
    let (section, name) = key.split_once('.').expect("a section");
    format!("[{section}]\n{name} = {value}\n")
}

#[test]
fn a_value_of_another_form_than_its_key_is_refused() {
    let number = "must be a whole number, written in digits";
    let truth = "must be true or false";
    let text = "must be a text, in quotes";
    for (key, value, rule) in [
        ("limits.calls", "0.4", number),
        ("limits.calls", "-0.5", number),
        ("limits.calls", "7.0", number),
        ("limits.calls", "true", number),
        ("limits.calls", "-7", number),
        ("limits.calls", "[7]", number),
        ("limits.calls", "'yes'", number),
        ("limits.calls", "'off'", number),
        ("limits.calls", "'+7'", number),
        ("server.reflection", "1", truth),
        ("server.reflection", "0.0", truth),
        ("server.reflection", "'yes'", truth),
        ("server.reflection", "'On'", truth),
        ("store.allow_unencrypted", "'1'", truth),
        ("store.owner_role", "7", text),
        ("root_key.passphrase", "1234567890123456", text),
        ("catalog.folder", "true", text),
        ("public.url", "0.4", text),
    ] {
        let error = load(&file_with(key, value), &[], &[]).expect_err(value).to_string();
        assert!(error.contains(&format!("{key}: {rule}")) && error.contains("line 2"), "{value}: {error}");
        let variable = format!("CREDVAULT__{}", key.replace('.', "__").to_uppercase());
        let Some(word) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) else { continue };
        for refused in [load("", &[(&variable, word)], &[]), load("", &[], &[(key, word)])] {
            let error = refused.expect_err(word).to_string();
            assert!(error.contains(&format!("{key}: {rule}")), "{word}: {error}");
        }
    }
    let issuer = "[[identity.issuers]]\nmax_lifetime_seconds = 0.4\n";
    let error = load(issuer, &[], &[]).expect_err("a float").to_string();
    assert!(error.contains(&format!("identity.issuers[0].max_lifetime_seconds: {number}")), "{error}");
    let yaml = load_file("c.yaml", "limits: { calls: yes }\nserver: { reflection: no }", &[], &[]);
    let yaml = yaml.expect_err("words").to_string();
    assert!(yaml.contains(number) && yaml.contains(truth), "{yaml}");
}

#[test]
fn numbers_and_truth_values_may_be_texts() {
    for (calls, reflection) in [("7", "true"), ("'7'", "'true'")] {
        let file =
            format!("{}{}", file_with("limits.calls", calls), file_with("server.reflection", reflection));
        let settings = load(&file, &[], &[]).expect("settings");
        assert_eq!((settings.limits.calls, settings.server.reflection), (7, true));
    }
    let variables = [("CREDVAULT__LIMITS__CALLS", "7"), ("CREDVAULT__STORE__ALLOW_UNENCRYPTED", "false")];
    let settings = load("[store]\nallow_unencrypted = true", &variables, &[]).expect("settings");
    assert_eq!((settings.limits.calls, settings.store.allow_unencrypted), (7, false));
}

#[test]
fn an_empty_text_gives_no_value() {
    let file = "[root_key]\nfile = ''\npassphrase = 'CANARY correct horse battery'\n[store]\nmigrate_url = ''\n\
                [catalog]\nfolder = ''\n[public]\nurl = 'https://a.example'\n[telemetry]\notlp_endpoint = ''\n";
    let settings = load(file, &[("CREDVAULT__PUBLIC__URL", "")], &[]).expect("settings");
    for key in
        ["root_key.file", "store.migrate_url", "catalog.folder", "public.url", "telemetry.otlp_endpoint"]
    {
        let shown = settings.shown().into_iter().find(|shown| shown.key == key).expect(key);
        assert_eq!(shown.value, "(unset)", "{key}");
    }
    // Where there is a default, an empty text is a value, and no role's name.
    let settings = read("credvault.toml", "[store]\nowner_role = ''", &[], &[]);
    let shown = settings.shown().into_iter().find(|shown| shown.key == "store.owner_role").expect("shown");
    assert_eq!(shown.value, "\"\"");
    let error = settings.check_store().expect_err("no name").to_string();
    assert!(error.contains("store.owner_role: must be 1 to 63 characters"), "{error}");
}

#[test]
fn a_variable_that_is_not_utf_8_is_refused_by_its_name() {
    let value = OsString::from_vec(b"CANARY\xff".to_vec());
    let variables = [("CREDVAULT__STORE__URL".into(), value.clone()), ("OTHER".into(), value)];
    let error = RawSettings::read(None, variables, &[]).check_store().expect_err("not UTF-8");
    let [problem] = error.problems() else { panic!("{error}") };
    let told = problem.to_string();
    assert!(told.starts_with("store.url: CREDVAULT__STORE__URL holds text that is not UTF-8"), "{told}");
    assert!(!format!("{told} {error:?}").contains("CANARY"), "{error:?}");
}

#[test]
fn every_wrong_entry_and_every_unknown_key_is_reported() {
    let file = "[broker]\nallowed_networks = ['CANARY 1', '10.0.0.0/8', 'CANARY 2']\n\
                [public]\norigins = ['CANARY 3', 'CANARY 4']\n\
                [identity.trust_domains]\n'CANARY 5' = 'a.pem'\n'CANARY 6' = 'b.pem'\n\
                [limits]\n'CANARY 7' = 1\n'CANARY 8' = 2\n";
    let error = load(file, &[], &[]).expect_err("much is wrong");
    let told: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    for (key, count) in [
        ("broker.allowed_networks[0]", 1),
        ("broker.allowed_networks[2]", 1),
        ("public.origins[0]", 1),
        ("public.origins[1]", 1),
        ("identity.trust_domains", 2),
        ("a key", 2),
    ] {
        let of_key = told.iter().filter(|text| text.starts_with(&format!("{key}: ")));
        assert_eq!(of_key.count(), count, "{key}: {told:?}");
    }
    assert_eq!(told.len(), 8, "{told:?}");
    for line in [6, 7, 9, 10] {
        assert!(told.iter().any(|text| text.ends_with(&format!("line {line})"))), "{line}: {told:?}");
    }
    assert!(!format!("{told:?}").contains("CANARY"), "{told:?}");
}

#[test]
fn issuers_differ_in_their_names_and_in_their_claims() {
    let issuer = |name: &str, claim: &str| {
        format!(
            "[[identity.issuers]]\nname = '{name}'\nissuer = '{claim}'\njwks_file = 'a'\naudiences = ['b']\n"
        )
    };
    let both = |name: &str, claim: &str| format!("{}{}", issuer("CANARY a", "CANARY b"), issuer(name, claim));
    load(&both("other", "another"), &[], &[]).expect("two issuers");
    for (file, key) in [(both("CANARY a", "c"), "name"), (both("c", "CANARY b"), "issuer")] {
        let error = load(&file, &[], &[]).expect_err(key).to_string();
        let rule = format!("identity.issuers[1].{key}: must not be that of identity.issuers[0]");
        assert!(error.contains(&rule) && !error.contains("CANARY"), "{error}");
    }
}

#[test]
fn a_burst_needs_a_rate() {
    let error = load("[limits]\nrate_burst = 5", &[], &[]).expect_err("no rate").to_string();
    assert!(error.contains("limits.rate_burst: needs limits.rate_per_second"), "{error}");
    load("[limits]\nrate_burst = 5\nrate_per_second = 2", &[], &[]).expect("both");
}

#[test]
fn a_database_url_that_cannot_be_used_is_refused_and_not_repeated() {
    let (no_url, no_postgres) = ("is not a URL; percent-encode", "must begin with postgres://");
    for (key, url, rule) in [
        ("store.url", "postgres://app:CANARY#1@localhost/db", no_url),
        ("store.url", "postgres://app:CANARY/1@localhost/db", no_url),
        ("store.url", "sqlite://CANARY:x/vault.db", no_url),
        ("store.migrate_url", "postgres://admin:CANARY#1@localhost/db", no_url),
        ("store.migrate_url", "mysql://admin:CANARY@localhost/db", no_postgres),
        ("store.migrate_url", "sqlite:CANARY.db", no_postgres),
        ("store.migrate_url", "CANARY", no_postgres),
    ] {
        for unencrypted in ["true", "false"] {
            let flags = [(key, url), ("store.allow_unencrypted", unencrypted)];
            let error = load("", &[], &flags).expect_err(url);
            let [problem] = error.problems() else { panic!("{error}") };
            let told = format!("{problem} {error:?}");
            assert!(told.starts_with(&format!("{key}: {rule}")) && !told.contains("CANARY"), "{told}");
        }
    }
    load("", &[], &[("store.url", "postgres://app:CANARY%231@localhost/db")]).expect("encoded");
}

#[test]
fn a_collector_is_reached_by_plain_http_without_a_user() {
    for sound in ["http://otel-collector:4317", "http://[::1]:4317", "http://127.0.0.1:4317/"] {
        load("", &[], &[("telemetry.otlp_endpoint", sound)]).expect(sound);
    }
    for refused in [
        "https://collector.example:4317",
        "http://user:CANARY@collector:4317",
        "http://CANARY@collector:4317",
        "http://",
        "collector:4317",
        "CANARY",
    ] {
        let error = load("", &[], &[("telemetry.otlp_endpoint", refused)]).expect_err(refused).to_string();
        let rule = "telemetry.otlp_endpoint: must begin with http://";
        assert!(error.contains(rule) && !error.contains("CANARY"), "{error}");
    }
}

#[test]
fn the_page_has_the_bounds_of_every_number() {
    let page = include_str!("../../../docs/configuration.md");
    let mut bounded = 0;
    for row in page.lines().filter(|line| line.starts_with("| `") && !line.contains("[]")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (key, bounds) = (cells[0].trim_matches('`'), cells[2]);
        let is_refused = |value: u64| load("", &[], &[(key, &value.to_string())]).is_err();
        let Some((least, most)) = bounds.split_once(" to ") else {
            assert!(bounds.is_empty(), "{row}");
            continue;
        };
        let (least, most): (u64, u64) = (least.parse().expect(key), most.parse().expect(key));
        assert!(!is_refused(least) && !is_refused(most) && is_refused(most + 1), "{key}");
        assert!(least == 0 || is_refused(least - 1), "{key}");
        bounded += 1;
    }
    let mut all = Vec::new();
    let defaults = serde_json::to_value(RawSettings::default()).expect("json");
    keys("", &defaults, &mut all);
    let of = |key: &String| key.split('.').try_fold(&defaults, |value, name| value.get(name));
    let numbers = all.iter().filter(|key| of(key).is_some_and(serde_json::Value::is_number)).count();
    // The others have the bounds of 32 bits.
    assert_eq!(bounded, numbers - 6);
}
