//! What every embedded file must say so that an operator knows whether a connection survives: where the provider's
//! documentation is, how a credential is tested, and for grants what becomes of the refresh token, how the grant is
//! revoked, and how long it lasts. A fact that is not known stands among the unconfirmed ones.

use super::*;
use crate::mode::ModeKind;
use crate::provider::Provider;

/// The provider that stands for those without a file. It has no documentation of its own, and its modes no test.
const STANDS_FOR_OTHERS: &str = "generic";

/// Whether an unconfirmed fact speaks of one of these words.
fn doubts(provider: &Provider, words: &[&str]) -> bool {
    let about = |fact: &String| words.iter().any(|word| fact.to_lowercase().contains(word));
    provider.unconfirmed.iter().any(about)
}

/// Whether the mode's credential is a grant of the account's owner, and not a key.
fn is_grant(mode: &Mode) -> bool {
    mode.kind == ModeKind::Oauth2Code || mode.secrets.contains_key("refresh_token")
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
fn it_is_said_whether_a_refresh_token_works_twice() {
    let catalog = catalog();
    for (file, text) in EMBEDDED {
        let file: toml::Table = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        let provider = catalog.get(&ProviderId::parse(file["id"].as_str().expect("id")).expect("id"));
        let provider = provider.expect("it was loaded");
        for (name, mode) in provider.modes().filter(|(_, mode)| mode.secrets.contains_key("refresh_token")) {
            let stated =
                file["modes"][name.as_str()].get("refresh").is_none_or(|it| it.get("rotates").is_some());
            assert!(stated || doubts(provider, &["refresh token"]), "{}.{name}", provider.id);
            assert!(mode.refresh().is_some() || mode.remarks.lasts.is_some(), "{}.{name}", provider.id);
        }
    }
}

#[test]
fn it_is_said_how_a_grant_is_revoked() {
    for provider in catalog().iter() {
        for (name, mode) in provider.modes().filter(|(_, mode)| is_grant(mode)) {
            let said = mode.revocation.is_some() || mode.remarks.no_revocation.is_some();
            assert!(said || doubts(provider, &["revoke", "revocation"]), "{}.{name}", provider.id);
        }
    }
}

#[test]
fn it_is_said_how_long_a_grant_lasts() {
    for provider in catalog().iter() {
        for (name, mode) in provider.modes().filter(|(_, mode)| is_grant(mode)) {
            let policy = mode.refresh().map(|refresh| refresh.policy);
            let timed = policy.is_some_and(|policy| policy.idle.is_some() || policy.consent.is_some());
            let said = timed || mode.remarks.lasts.is_some();
            assert!(said || doubts(provider, &[" last", "expires", " ends "]), "{}.{name}", provider.id);
        }
    }
}

#[test]
fn a_reason_why_there_is_no_call_must_not_stand_beside_the_call() {
    let call = "{ call = { url = 'https://a.example' } }";
    for (reason, table) in [("no_test", "test"), ("no_revocation", "revoke")] {
        let message = broken(&format!("{SOUND}{reason} = 'None.'\n{table} = {call}\n"));
        assert!(message.contains(&format!("{reason} must not be given beside {table}")), "{message}");
    }
    assert!(parse("acme.toml", &format!("{SOUND}lasts = 'a year'\nno_test = 'None.'\n")).is_ok());
}
