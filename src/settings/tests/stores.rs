//! Stores of secrets: what each kind takes, what is refused, and what is shown.

use std::time::Duration;

use credvault_domain::TenantId;

use super::*;

const AWS: &str = "[secrets]\nstore = 'eu'\n[secrets.stores.eu]\nkind = 'aws_secrets_manager'\nregion = 'eu-central-1'\n\
                   adopt = ['customers/{tenant}/*']\ntimeout_ms = 700\n";

/// The problems of a section `secrets`, as text.
fn refused(file: &str) -> String {
    load(file, &[], &[]).expect_err(file).to_string()
}

#[test]
fn each_kind_has_its_keys_and_defaults() {
    let file = format!(
        "{AWS}[secrets.stores.bao]\nkind = 'openbao'\naddress = 'https://bao.example:8200'\n\
         login = {{ method = 'token', file = 'token' }}\n\
         [secrets.stores.google]\nkind = 'google_secret_manager'\nproject = 'p-1'\nlocations = ['europe-west3']\n"
    );
    let raw = load(&file, &[], &[]).expect("settings");
    let secrets = raw.secrets.check(&mut Problems::default());
    assert_eq!((secrets.default.as_deref(), secrets.stores.len()), (Some("eu"), 3));
    assert_eq!((secrets.cache.as_secs(), secrets.adopted_cache.as_secs()), (3600, 60));
    let eu = &secrets.stores["eu"];
    assert_eq!((eu.timeout, eu.calls_at_once.get()), (Duration::from_millis(700), 32));
    let SecretPlace::Aws { prefix, region, .. } = &eu.place else { panic!("{:?}", eu.place) };
    assert_eq!((prefix.as_str(), region.as_deref()), ("credvault/", Some("eu-central-1")));
    let acme = TenantId::parse("acme").expect("id");
    assert!(eu.adopt.allows(&acme, "customers/acme/x") && !eu.adopt.allows(&acme, "customers/globex/x"));
    let SecretPlace::OpenBao { mount, prefix, login, .. } = &secrets.stores["bao"].place else {
        panic!("bao")
    };
    assert_eq!((mount.as_str(), prefix.as_str()), ("secret", "credvault"));
    let LoginSection::Token { file } = login else { panic!("{login:?}") };
    assert!(file.is_absolute(), "it begins at the file's folder");
    assert!(
        matches!(&secrets.stores["google"].place, SecretPlace::Google { prefix, .. } if prefix == "credvault-")
    );
    assert!(secrets.stores.iter().all(|(name, store)| name == "eu" || store.adopt.is_empty()));
}

#[test]
fn without_stores_secrets_are_in_the_database() {
    let secrets = load("", &[], &[]).expect("settings").secrets.check(&mut Problems::default());
    assert!(secrets.default.is_none() && secrets.stores.is_empty());
}

#[test]
fn what_is_wrong_with_a_store_is_named_by_its_key_and_line() {
    for (file, problem, line) in [
        ("[secrets]\nstore = 'CANARY'\n", "secrets.store: must be database, or the name", 2),
        ("[secrets.stores.eu]\nkind = 'CANARY'\n", "secrets.stores.eu.kind: must be one of openbao, aws", 2),
        (
            "[secrets.stores.eu]\nkind = 'openbao'\nmount = 'a'\n",
            "secrets.stores.eu.address: must be given",
            0,
        ),
        ("[secrets.stores.eu]\nkind = 'openbao'\nmount = 'a'\n", "secrets.stores.eu.login: must be given", 0),
        (
            "[secrets.stores.eu]\nkind = 'google_secret_manager'\n",
            "secrets.stores.eu.project: must be given",
            0,
        ),
        ("[secrets.stores.eu]\nregion = 'CANARY'\n", "secrets.stores.eu.kind: must be openbao,", 0),
        (
            "[secrets.stores.eu]\nkind = 'aws_secrets_manager'\nproject = 'CANARY'\n",
            "secrets.stores.eu.project: is of no use for this kind of store",
            3,
        ),
        (
            "[secrets.stores.eu]\nkind = 'openbao'\nregoin = 'CANARY'\n",
            "secrets.stores.eu.regoin: unknown key",
            3,
        ),
        (
            "[secrets.stores.eu]\nkind = 'aws_secrets_manager'\ntimeout_ms = 0\n",
            "secrets.stores.eu.timeout_ms: must be between 1 and 60000",
            3,
        ),
        (
            "[secrets.stores.eu]\nkind = 'aws_secrets_manager'\ncalls_at_once = 1001\n",
            "secrets.stores.eu.calls_at_once: must be between 1 and 1000",
            3,
        ),
        (
            "[secrets.stores.eu]\nkind = 'aws_secrets_manager'\nadopt = ['{tenant}', 'CANARY/*']\n",
            "secrets.stores.eu.adopt[1]: must be a name",
            3,
        ),
        ("[secrets.stores.'CANARY x']\nkind = 'openbao'\n", "secrets.stores: a store's name must be", 1),
        ("[secrets.stores.database]\nkind = 'openbao'\n", "secrets.stores: a store's name must be", 1),
    ] {
        let told = refused(file);
        let Some(one) = told.lines().find(|told| told.starts_with(problem)) else {
            panic!("{problem}: {told}")
        };
        assert!(!told.contains("CANARY"), "{told}");
        assert!(line == 0 || one.ends_with(&format!("line {line})")), "{line}: {one}");
    }
}

#[test]
fn a_store_comes_from_variables_and_flags_too_and_is_shown_key_by_key() {
    let variables = [("CREDVAULT__SECRETS__STORES__EU__TIMEOUT_MS", "900")];
    let settings = load(AWS, &variables, &[("secrets.stores.eu.profile", "vault")]).expect("settings");
    let of = |key: &str| {
        let shown = settings.shown().into_iter().find(|shown| shown.key == key);
        shown.map(|Shown { value, origin, .. }| (value, origin.to_string())).expect(key)
    };
    assert_eq!(of("secrets.stores.eu.profile"), ("vault".to_owned(), "--set".to_owned()));
    let variable = "CREDVAULT__SECRETS__STORES__EU__TIMEOUT_MS";
    assert_eq!(of("secrets.stores.eu.timeout_ms"), ("900".to_owned(), variable.to_owned()));
    assert_eq!(of("secrets.stores.eu.kind").0, "aws_secrets_manager");
    assert_eq!(of("secrets.stores.eu.address").0, "(unset)");
}

#[test]
fn two_stores_have_no_place_in_common() {
    let aws = |name: &str, prefix: &str, more: &str| {
        format!(
            "[secrets.stores.{name}]\nkind = 'aws_secrets_manager'\nregion = 'eu-central-1'\nprefix = '{prefix}'\n{more}"
        )
    };
    for (one, other) in
        [("credvault/", "credvault/"), ("credvault/", "credvault/eu/"), ("credvault/a/", "credvault/")]
    {
        let shared = refused(&(aws("eu", one, "") + &aws("frankfurt", other, "")));
        assert!(
            shared.contains("secrets.stores.frankfurt.prefix: must not be that of secrets.stores.eu"),
            "{shared}"
        );
    }
    for (prefix, more) in [("credvault-2/", ""), ("credvault/", "profile = 'other'\n")] {
        load(&(aws("eu", "credvault/", "") + &aws("frankfurt", prefix, more)), &[], &[]).expect("apart");
    }
    let bao = |name: &str, prefix: &str| {
        format!(
            "[secrets.stores.{name}]\nkind = 'openbao'\naddress = 'https://bao.example:8200'\nprefix = '{prefix}'\n\
             login = {{ method = 'token', file = 'token' }}\n"
        )
    };
    load(&(bao("a", "credvault") + &bao("b", "credvault2")), &[], &[]).expect("folders of their own");
    let shared = refused(&(bao("a", "credvault") + &bao("b", "credvault/eu")));
    assert!(shared.contains("secrets.stores.b.prefix"), "{shared}");
}
