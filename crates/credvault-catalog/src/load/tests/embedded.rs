//! The embedded files: which providers there are, and what holds for all of them.

use super::*;

/// The longest text beside a field that a customer still reads.
const MAX_HELP_BYTES: usize = 180;

#[test]
fn every_provider_of_the_five_systems_is_there() {
    let catalog = catalog();
    let ids: Vec<_> = catalog.iter().map(|provider| provider.id.as_str()).collect();
    assert_eq!(ids.len(), EMBEDDED.len());
    for id in [
        "amazon_ads",
        "amazon_sp_seller",
        "amazon_sp_vendor",
        "generic",
        "google_analytics",
        "google_sheets",
        "kustomer",
        "meta",
        "shopify",
        "slack",
        "takealot",
        "walmart_marketplace",
        "woocommerce",
        "xero",
    ] {
        assert!(ids.contains(&id), "{id}");
    }
}

#[test]
fn refresh_tokens_and_app_secrets_stay_in_the_vault() {
    for provider in catalog().iter() {
        for (name, mode) in provider.modes() {
            for field in mode.secrets.keys() {
                let inside = [
                    "refresh_token",
                    "webhook",
                    "signing_secret",
                    "client_secret",
                    "app_secret",
                    "private_key",
                ];
                if inside.iter().any(|word| field.as_str().contains(word))
                    && field.as_str() != "incoming_webhook_url"
                {
                    assert!(mode.is_vault_only(field), "{}.{name}.{field}", provider.id);
                }
            }
        }
    }
}

#[test]
fn schemas_mark_every_secret_as_write_only() {
    for provider in catalog().iter() {
        for (_, mode) in provider.modes() {
            let schema = mode.credential_schema();
            for (name, property) in schema["properties"].as_object().expect("properties") {
                assert_eq!(property["writeOnly"], json!(true), "{}.{name}", provider.id);
                assert!(property["title"].as_str().is_some_and(|title| !title.is_empty()));
            }
            assert!(mode.config_schema()["properties"].as_object().is_some());
        }
    }
}

#[test]
fn every_field_that_a_person_is_asked_for_says_where_its_value_is() {
    for provider in catalog().iter() {
        for (name, mode) in provider.modes() {
            let (settings, secrets) = (mode.settings_form(), mode.secrets_form());
            for field in settings.iter().chain(&secrets) {
                let place = format!("{}.{name}.{}", provider.id, field.name.as_str());
                let help = field.help.as_deref().unwrap_or_default();
                assert!(
                    help.ends_with('.') && help.trim() == help,
                    "{place} needs a description, a sentence"
                );
                assert!(help.len() <= MAX_HELP_BYTES, "the description of {place} is too long for a form");
            }
        }
    }
}

#[test]
fn no_provider_is_asked_by_the_implicit_or_the_password_grant() {
    // RFC 9700, sections 2.1.2 and 2.4.
    for (name, text) in EMBEDDED {
        for grant in
            [r#"response_type = "token"#, r#"response_type = "id_token"#, r#"grant_type = "password"#]
        {
            assert!(!text.contains(grant), "{name}: {grant}");
        }
    }
    assert!(EMBEDDED.iter().any(|(_, text)| text.contains(r#"response_type = "code"#)));
}

/// The provider says whether it accepts what a person fills in before it is stored, unless that would use up a refresh token, or
/// there is no call that says it.
#[test]
fn few_modes_are_stored_without_the_providers_verdict() {
    let catalog = catalog();
    let untried = catalog.iter().flat_map(|provider| {
        let modes = provider.modes().filter(|(_, mode)| mode.takes_values() && !mode.can_be_tried());
        modes.map(|(name, _)| format!("{}.{}", provider.id.as_str(), name.as_str()))
    });
    let without_a_call = [
        "amazon_s3.access_key",
        "dhl.api_key",
        "generic.basic",
        "generic.bearer",
        "generic.fields",
        "generic.header",
    ];
    assert_eq!(untried.collect::<Vec<_>>(), without_a_call);
}

#[test]
fn a_form_asks_for_no_access_token_that_the_vault_gets() {
    let catalog = catalog();
    let asked = |provider: &str, mode: &str| {
        let provider = catalog.get(&ProviderId::parse(provider).unwrap()).unwrap();
        let form = provider.mode(&AuthMode::parse(mode).unwrap()).unwrap().secrets_form();
        form.into_iter().map(|field| field.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(asked("amazon_sp_seller", "self_authorized"), ["lwa_client_secret", "refresh_token"]);
    assert_eq!(asked("shopify", "access_token"), ["access_token", "webhook_secret"]);
}
