//! An app to be stored: which of its secrets stay, and what they are bound to.

use std::collections::BTreeMap;

use credvault_crypto::Binding;
use credvault_domain::{AppPlace, FieldName, SecretFields};
use secrecy::{ExposeSecret as _, SecretString};

/// The field of an app's secret.
pub(super) const SECRET: &str = "client_secret";
/// The field of the secret before, while both are live.
pub(super) const PREVIOUS: &str = "previous_client_secret";

/// An app to be stored.
#[derive(Clone, Debug)]
pub struct NewApp {
    /// The provider of the app, and the server there if it stands for many.
    pub place: AppPlace,
    /// The app's id at the provider.
    pub client_id: String,
    /// Its secret; `None` keeps what is stored, or means a public client.
    pub client_secret: Option<SecretString>,
    /// Whether the secret that is stored stays live beside the new one.
    pub keep_previous: bool,
    /// Where the provider sends browsers back to.
    pub redirect_uri: String,
    /// The scopes of a consent that names none.
    pub scopes: Vec<String>,
    /// Further values for the provider's file.
    pub settings: BTreeMap<String, String>,
    /// Further values that are secret. What is left out stays as it is stored.
    pub secrets: SecretFields,
}

impl NewApp {
    /// Whether a secret of the app that is stored is neither given anew nor the one that ends.
    pub(super) fn leaves_out_any_of(&self, before: &SecretFields) -> bool {
        before.iter().any(|(name, _)| match name.as_str() {
            SECRET => self.client_secret.is_none(),
            PREVIOUS => false,
            name => self.secrets.get(name).is_none(),
        })
    }

    /// What is sealed of the app: what is given over what was there before.
    pub(super) fn sealed_fields(&self, before: SecretFields) -> SecretFields {
        // A repeated secret is no second one.
        let same = |one: &SecretString, other: &SecretString| one.expose_secret() == other.expose_secret();
        let current = before.get(SECRET);
        let secret = self.client_secret.as_ref().or(current).cloned();
        let replaced = current.filter(|current| secret.as_ref().is_some_and(|secret| !same(secret, current)));
        let previous = match (self.keep_previous, replaced) {
            (false, _) => None,
            (true, Some(replaced)) => Some(replaced.clone()),
            (true, None) => before.get(PREVIOUS).cloned(),
        };
        let mut fields = before;
        fields.retain(|name| !matches!(name.as_str(), SECRET | PREVIOUS));
        for (name, value) in self.secrets.iter() {
            fields.set(name.clone(), value.clone());
        }
        for (name, value) in [(SECRET, secret), (PREVIOUS, previous)] {
            if let (Ok(name), Some(value)) = (FieldName::parse(name), value) {
                fields.set(name, value);
            }
        }
        fields
    }
}

/// What an app's secrets are bound to: where they belong, where browsers bring codes, what consents ask for, and the
/// settings that requests are filled from.
pub(super) fn bound(
    place: &AppPlace,
    client_id: &str,
    redirect_uri: &str,
    scopes: &[String],
    settings: &BTreeMap<String, String>,
) -> Binding {
    // No scope has a blank in it.
    let (place, scopes) = (place.to_stored(), scopes.join(" "));
    let mut facts = vec![
        ("provider", place.as_bytes()),
        ("client_id", client_id.as_bytes()),
        ("redirect_uri", redirect_uri.as_bytes()),
        ("scopes", scopes.as_bytes()),
    ];
    // The settings come last, so that no name among them is taken for one of those above.
    facts.extend(settings.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    Binding::of(&facts)
}
