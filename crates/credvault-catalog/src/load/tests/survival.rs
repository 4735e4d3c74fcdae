//! What every embedded file must say so that an operator knows whether a connection survives: where the provider's
//! documentation is, how a credential is tested, and for grants what becomes of the refresh token, how long its predecessor
//! works, how the grant is revoked, how long it lasts, and which scopes there are. A fact that is not known stands at the
//! mode, as unconfirmed by what it is about: no other sentence counts for it.

use super::*;
use crate::mode::ModeKind;
use crate::oauth::Rotation;

/// The provider that stands for those without a file. It has no documentation of its own, and its modes no test.
const STANDS_FOR_OTHERS: &str = "generic";

/// Whether the mode's credential is a grant of the account's owner, and not a key.
fn is_grant(mode: &Mode) -> bool {
    mode.kind == ModeKind::Oauth2Code || mode.secrets.contains_key("refresh_token")
}

/// Panics for each embedded mode of a grant that does not say a thing: `says` gets the mode and its table in the file.
fn every_grant_says(what: &str, says: impl Fn(&Mode, &toml::Value) -> bool) {
    let catalog = catalog();
    let mut silent = Vec::new();
    for (file, text) in EMBEDDED {
        let file: toml::Table = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        let provider = catalog.get(&ProviderId::parse(file["id"].as_str().expect("id")).expect("id"));
        let provider = provider.expect("it was loaded");
        for (name, mode) in
            provider.modes().filter(|(_, mode)| is_grant(mode) || mode.consent_scopes().is_some())
        {
            if !says(mode, &file["modes"][name.as_str()]) {
                silent.push(format!("{}.{name}", provider.id));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:?} do not say {what}");
}

#[test]
fn every_provider_has_documentation_and_a_mode() {
    for provider in catalog().iter() {
        assert!(provider.modes().next().is_some(), "{}", provider.id);
        let url = provider.documentation_url.as_deref();
        let public = url.is_some_and(|url| url.starts_with("https://") && !url.contains(' '));
        assert!(public || provider.id.as_str() == STANDS_FOR_OTHERS, "{}: {url:?}", provider.id);
    }
}

#[test]
fn every_mode_has_a_test_or_says_why_not() {
    for provider in catalog().iter() {
        for (name, mode) in provider.modes() {
            assert!(mode.test.is_some() || mode.remarks.no_test.is_some(), "{}.{name}", provider.id);
        }
    }
}

#[test]
fn every_file_says_what_is_not_confirmed_or_that_nothing_is() {
    for provider in catalog().iter() {
        let at_a_mode = provider.modes().any(|(_, mode)| mode.unconfirmed().next().is_some());
        assert!(at_a_mode || provider.unconfirmed.is_some(), "{}: unconfirmed = []", provider.id);
    }
}

#[test]
fn it_is_said_whether_a_refresh_token_works_twice() {
    let key = |file: &toml::Value, key: &str| file.get("refresh").is_some_and(|it| it.get(key).is_some());
    let refreshes = |mode: &Mode| mode.secrets.contains_key("refresh_token") && mode.refreshes();
    every_grant_says("whether a refresh gives a new refresh token", |mode, file| {
        !refreshes(mode) || key(file, "rotates") || mode.doubts.rotation.is_some()
    });
    every_grant_says("how long the previous refresh token works", |mode, file| {
        let rotates = mode.refresh().is_some_and(|refresh| refresh.policy.rotates == Rotation::Yes);
        !refreshes(mode) || !rotates || key(file, "grace_seconds") || mode.doubts.grace.is_some()
    });
    every_grant_says("how long it lasts without a refresh", |mode, _| {
        mode.refreshes() || !is_grant(mode) || mode.remarks.lasts.is_some()
    });
}

#[test]
fn it_is_said_how_a_grant_is_revoked() {
    every_grant_says("how it is revoked", |mode, _| {
        let said = mode.revocation.is_some() || mode.remarks.no_revocation.is_some();
        said || !is_grant(mode) || mode.doubts.revocation.is_some()
    });
}

#[test]
fn it_is_said_how_long_a_grant_lasts() {
    every_grant_says("how long it lasts", |mode, _| {
        let policy = mode.refresh().map(|refresh| refresh.policy);
        let timed = policy.is_some_and(|policy| policy.idle.is_some() || policy.consent.is_some());
        timed || !is_grant(mode) || mode.remarks.lasts.is_some() || mode.doubts.life.is_some()
    });
}

#[test]
fn it_is_said_which_scopes_a_grant_has() {
    every_grant_says("which scopes it has", |mode, file| {
        file.get("scopes").is_some() || mode.no_scopes().is_some() || mode.doubts.scopes.is_some()
    });
}

/// A sentence counts for what it is about, and for its own mode, alone.
#[test]
fn a_doubt_is_about_one_thing_of_one_mode() {
    let provider =
        parse("acme.toml", &format!("{SOUND}unconfirmed.life = 'How long it lasts.'\n")).expect("sound");
    let modes: Vec<_> = provider.modes().collect();
    let doubts: Vec<_> = modes[0].1.unconfirmed().collect();
    assert_eq!(doubts, [("life", "How long it lasts.")]);
    let message = broken(&format!("{SOUND}unconfirmed.revoked = 'Whether it is.'\n"));
    assert!(message.contains("expected one of"), "{message}");
}

#[test]
fn a_reason_why_something_is_missing_must_not_stand_beside_it() {
    let call = "{ call = { url = 'https://a.example' } }";
    let scopes = "{ default = ['read'] }";
    for (reason, table, given) in
        [("no_test", "test", call), ("no_revocation", "revoke", call), ("no_scopes", "scopes", scopes)]
    {
        let message = broken(&format!("{SOUND}{reason} = 'None.'\n{table} = {given}\n"));
        assert!(message.contains(&format!("{reason} must not be given beside {table}")), "{message}");
    }
    assert!(parse("acme.toml", &format!("{SOUND}lasts = 'a year'\nno_test = 'None.'\n")).is_ok());
}
