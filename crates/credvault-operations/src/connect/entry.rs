//! What a person has filled in, as the operations of this crate take it.

use std::collections::BTreeMap;

use credvault_catalog::{FormField, InputKind, Mode};
use credvault_domain::{
    AccountName, ConnectAction, ConnectTerms, Labels, Owner, ProviderId, SecretFields, Violations,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::limit::SessionLimit;
use super::reach::allow;
use crate::call::Subject;
use crate::connections::{Create, chosen_mode};
use crate::credentials::GivenCredential;
use crate::{Call, Parsed, Refusal};

/// The label of connections that were added on a page of the vault's.
pub const ADDED_ON: &str = "added_on";
/// Its value for the connect page.
pub const CONNECT_PAGE: &str = "connect_page";

/// A form for another connection, as a person has filled it in.
pub struct Entry {
    /// The provider's id in the catalog.
    pub provider: String,
    /// The auth mode; empty for the provider's only one.
    pub auth_mode: String,
    /// The name of the account among its owner's; empty for `default`.
    pub account_name: String,
    /// Whether all users of the tenant shall share it.
    pub shared: bool,
    /// The values of the form's fields, settings and secrets, by the fields' names. An empty one was left out.
    pub values: BTreeMap<String, SecretString>,
}

crate::debug_without_content!(Entry);

/// How a connection gets its credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// The person has filled it in.
    Values,
    /// The provider gives it after a consent.
    Consent,
}

/// The values of a form, taken apart.
pub(super) struct Values {
    /// The settings, by name.
    pub(super) config: Map<String, Value>,
    /// The secrets, as a credential takes them.
    pub(super) credential: GivenCredential,
}

/// The name of the form's field that a violation is about; `None` if it is about something else, such as `account_name`.
pub fn input_of(place: &str) -> Option<&str> {
    let setting = place.strip_prefix("config.");
    setting.or_else(|| place.strip_prefix("credential.fields[")?.strip_suffix(']'))
}

impl Entry {
    /// The connection that the person wants, held against the session.
    ///
    /// # Errors
    /// The session does not permit it, or the form is not one of the auth mode.
    pub(super) fn wanted(self, call: &mut Call, terms: &ConnectTerms, way: Way) -> Result<Create, Refusal> {
        allow(terms, ConnectAction::Add)?;
        let provider =
            ProviderId::parse(&self.provider).map_err(|rule| Violations::of("provider", rule.to_string()))?;
        call.about(Subject::provider(&provider));
        if !terms.shows(&provider) {
            return Err(SessionLimit::Provider.into());
        }
        if self.shared && !terms.manages_shared {
            return Err(SessionLimit::Shared.into());
        }
        let known = call.context.catalog.get(&provider).ok_or(Refusal::ProviderUnknown)?;
        let (auth_mode, mode) = chosen_mode(known, &self.auth_mode)?;
        check_way(mode, way)?;
        let Values { config, credential } = values(mode, self.values, way)?;
        let name = AccountName::parse(&self.account_name);
        Ok(Create {
            owner: Ok(self.shared.then_some(Owner::Tenant)),
            repeat: Ok(None),
            auth_mode: auth_mode.as_str().to_owned(),
            account_name: name.map_err(|rule| Violations::of("account_name", rule.to_string())),
            config,
            labels: Ok(Labels::from_stored([(ADDED_ON.to_owned(), CONNECT_PAGE.to_owned())].into())),
            external_account_id: Ok(None),
            rotation_period: Ok(None),
            credential: (way == Way::Values).then_some(credential),
            verify: true,
            enabled: true,
            provider,
        })
    }
}

/// Refuses an auth mode whose connections get their credential in another way.
pub(super) fn check_way(mode: &Mode, way: Way) -> Parsed<()> {
    let (fits, rule) = match way {
        Way::Values => (
            mode.can_be_filled_in(),
            "must be one whose values a person fills in; choose another way for this one",
        ),
        Way::Consent => {
            (mode.asks_consent(), "must be one that has a consent; fill in the values for this one")
        }
    };
    if fits { Ok(()) } else { Err(Violations::of("auth_mode", rule)) }
}

/// Takes the values of a form apart. Blanks around a value of one line go: they come with what people copy.
pub(super) fn values(mode: &Mode, values: BTreeMap<String, SecretString>, way: Way) -> Parsed<Values> {
    let (settings, secrets) = (mode.settings_form(), mode.secrets_form());
    let (mut config, mut given) = (Map::new(), Vec::new());
    let mut violations = Violations::default();
    for (name, value) in values {
        let field = |fields: &[FormField]| fields.iter().find(|field| field.name.as_str() == name).cloned();
        let (setting, secret) = (field(&settings), field(&secrets).filter(|_| way == Way::Values));
        let Some(field) = setting.as_ref().or(secret.as_ref()) else {
            violations.add("values", "has a field that this form does not have; load the page again");
            continue;
        };
        let text = typed(value.expose_secret(), field.kind);
        if text.is_empty() {
            continue;
        }
        if field.secret {
            given.push((name, SecretString::from(text)));
        } else if let Some(value) = violations.note(&format!("config.{name}"), setting_of(text, field.kind)) {
            config.insert(name, value);
        }
    }
    violations.into_result()?;
    let fields = SecretFields::parse("credential.fields", given);
    Ok(Values { config, credential: GivenCredential { fields, expiry: Ok(None) } })
}

fn typed(text: &str, kind: InputKind) -> &str {
    match kind {
        InputKind::Line | InputKind::Url | InputKind::Number | InputKind::Switch => text.trim(),
        InputKind::Text | InputKind::Json => text,
    }
}

/// A setting of its kind.
fn setting_of(text: &str, kind: InputKind) -> Result<Value, &'static str> {
    match kind {
        InputKind::Number => text.parse::<i64>().map(Value::from).map_err(|_| "must be a whole number"),
        InputKind::Switch => text.parse::<bool>().map(Value::from).map_err(|_| "must be true or false"),
        InputKind::Line | InputKind::Text | InputKind::Json | InputKind::Url => Ok(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use credvault_catalog::Catalog;
    use credvault_domain::AuthMode;

    use super::*;

    #[test]
    fn a_violation_names_the_field_of_the_form() {
        assert_eq!(input_of("config.store_url"), Some("store_url"));
        assert_eq!(input_of("credential.fields[consumer_key]"), Some("consumer_key"));
        for place in ["account_name", "credential.fields", "config", "auth_mode"] {
            assert_eq!(input_of(place), None, "{place}");
        }
    }

    #[test]
    fn settings_and_secrets_are_taken_apart_and_blanks_go() {
        let catalog = Catalog::load(None).expect("the embedded files are sound");
        let shop = catalog.get(&ProviderId::parse("woocommerce").expect("a name")).expect("it is there");
        let mode = shop.mode(&AuthMode::parse("key_pair").expect("a name")).expect("it is there");
        let filled = |pairs: &[(&str, &str)]| -> BTreeMap<String, SecretString> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
        };
        let form = filled(&[
            ("store_url", " https://shop.example.com\n"),
            ("consumer_key", "CANARY key\n"),
            ("webhook_secret", ""),
        ]);
        let taken = values(mode, form, Way::Values).expect("all of these are fields");
        assert_eq!(taken.config["store_url"], "https://shop.example.com");
        let fields = taken.credential.fields.expect("names of fields");
        assert_eq!(fields.get("consumer_key").map(|value| value.expose_secret()), Some("CANARY key"));
        assert!(fields.get("webhook_secret").is_none());
        // With a consent the provider gives the secrets, and a person none.
        let secret = filled(&[("consumer_key", "CANARY key")]);
        assert!(values(mode, secret, Way::Consent).is_err());
        let unknown = values(mode, filled(&[("CANARY", "x")]), Way::Values).map(drop);
        let text = unknown.expect_err("no such field").to_string();
        assert!(!text.contains("CANARY"), "{text}");
    }
}
