//! What configuration accepts, and which source wins.

use super::*;

fn load(
    file: &str,
    variables: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("credvault.toml");
    std::fs::write(&path, file).expect("file");
    let own = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    Settings::load(Some(&path), own(variables), &own(overrides))
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let file = "[limits]\ncalls = 1\nhandshakes = 2\nconnections = 3";
    let variables =
        [("CREDVAULT__LIMITS__CALLS", "4"), ("CREDVAULT__LIMITS__HANDSHAKES", "5"), ("OTHER", "x")];
    let settings = load(file, &variables, &[("limits.calls", "6")]).expect("settings");
    let Limits { calls, handshakes, connections, cache_seconds, .. } = settings.limits;
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
    assert!(matches!(both, Err(SettingsError::Twice(_))));
}

#[test]
fn one_source_of_the_root_key_must_be_given() {
    assert!(load("", &[], &[]).expect("settings").root_key.source().is_err());
    let two = load("[root_key]\nfile = 'a'\nenvironment = 'B'", &[], &[]).expect("settings");
    assert!(two.root_key.source().is_err());
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
