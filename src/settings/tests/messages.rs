//! No message repeats a value, whichever place of a file, a variable or a flag is broken.

use super::*;

const TOML: &str = r#"[server]
address = "CANARY-1"
[limits]
calls = "CANARY-2"
[store]
url = "postgres://app:CANARY-3@host/db"
owner_role = 'CANARY-4'
[root_key]
passphrase = "CANARY-5 and more"
[identity]
trust_domains = { "CANARY-6" = "CANARY-7" }
policies = ["CANARY-8", "CANARY-9"]
[[identity.issuers]]
name = "CANARY-10"
kind = "CANARY-11"
[telemetry]
log_level = "CANARY-12"
"#;

const YAML: &str = r#"server:
  address: CANARY-1
limits: { calls: CANARY-2 }
store:
  url: "postgres://app:CANARY-3@host/db"
  owner_role: 'CANARY-4'
root_key:
  passphrase: CANARY-5 and more
identity:
  policies:
    - CANARY-8
    - "CANARY-9"
telemetry: {log_level: CANARY-12}
"#;

/// Whatever is broken where, by a character more or less, the message does not repeat what was given.
#[test]
fn no_message_repeats_a_line_of_the_configuration() {
    let mut refused = 0;
    for (name, text) in [("c.toml", TOML), ("c.yaml", YAML)] {
        for place in 0..text.len() {
            let words = [
                "\"",
                "'",
                "=",
                ":",
                "[",
                "{",
                "\n",
                "#",
                "\t",
                "\\",
                "CANARY ",
                "\n\"CANARY\" = 1\n",
                "\nCANARY: 1\n",
            ];
            for broken in credvault_testkit::broken_at(text, place, &words) {
                // The mutation itself must not have taken the word apart.
                let Err(error) = load_file(name, &broken, &[], &[]) else { continue };
                refused += 1;
                let message = format!("{error} {error:?}");
                assert!(!message.contains("CANARY") && !message.contains("postgres:"), "{broken}: {message}");
            }
        }
    }
    assert!(refused > 5_000, "{refused}");
}

#[test]
fn no_message_repeats_a_variable_or_a_flag() {
    let mut all = Vec::new();
    keys("", &serde_json::to_value(RawSettings::default()).expect("json"), &mut all);
    let mut refused = 0;
    for key in all {
        let variable = format!("CREDVAULT__{}", key.replace('.', "__").to_uppercase());
        for value in ["CANARY", "CANARY, more", "[CANARY", "{CANARY: 1}", "-1 CANARY", "\"CANARY"] {
            let results = [load("", &[(&variable, value)], &[]), load("", &[], &[(&key, value)])];
            for error in results.into_iter().filter_map(Result::err) {
                refused += 1;
                let message = format!("{error} {error:?}");
                assert!(!message.contains("CANARY"), "{message}");
                assert!(
                    message.contains(&key) || message.contains(key.rsplit('.').next().unwrap_or("")),
                    "{key}: {message}"
                );
            }
        }
    }
    assert!(refused > 100, "{refused}");
    for flag in [
        ("postgres://app:CANARY@h/db?a", "b"),
        ("store.CANARY", "x"),
        ("CANARY", "x"),
        ("store.url[CANARY", "x"),
    ] {
        let error = load("", &[], &[flag]).expect_err(flag.0).to_string();
        assert!(!error.contains("CANARY"), "{error}");
    }
}

#[test]
fn a_broken_file_is_named_with_its_line() {
    let twice = load("[store]\nurl = 'a'\nurl = 'b'", &[], &[]).expect_err("twice").to_string();
    assert!(twice.contains("credvault.toml, line 3, is not TOML"), "{twice}");
    let open = load_file("c.yaml", "store:\n  url: \"a\n\n", &[], &[]).expect_err("open").to_string();
    assert!(open.contains("c.yaml, line ") && open.contains("is not YAML"), "{open}");
    let format = load_file("c.json", "{}", &[], &[]).expect_err("format").to_string();
    assert!(format.contains("c.json"), "{format}");
}
