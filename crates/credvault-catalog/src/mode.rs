//! A way to authenticate at a provider: how its credential is got, and what its settings and secrets must be. A mode is
//! data that was checked when it was loaded; it holds no value of any connection.

mod calls;
mod checks;
mod destinations;
mod discovered;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use credvault_domain::{Destinations, FieldName};
use serde::Deserialize;

use crate::credential_test::CredentialTest;
use crate::delivery::Delivery;
use crate::derived::Derived;
use crate::discovery::Discovery;
use crate::field::Field;
use crate::oauth::{CodeGrant, OAuth, Refresh};
use crate::request_auth::RequestTemplates;
use crate::revocation::RevocationCall;
use crate::rotation::{KeyRotation, Mint};
use crate::scopes::Scopes;
use crate::template::Template;

/// A way to authenticate at a provider.
#[derive(Debug)]
pub struct Mode {
    /// The mode's name for people.
    pub display_name: String,
    /// The kind of credential, for people. What the vault does follows from [`Mode::acquisition`].
    pub kind: ModeKind,
    /// How a connection gets its credential.
    pub acquisition: Acquisition,
    /// The call that revokes a token, if the provider has one.
    pub revocation: Option<RevocationCall>,
    /// The call that tests a credential, if the provider has one.
    pub test: Option<CredentialTest>,
    /// How the credential itself is replaced, if the file says something about it.
    pub rotation: Option<KeyRotation>,
    /// What the file says to people about the credential's life.
    pub(crate) remarks: Remarks,
    /// What is not confirmed about it.
    pub(crate) doubts: Doubts,
    /// Whether the requests of callers contain a value of the platform's app.
    pub request_names_app: bool,
    /// The secrets of the app that the requests of callers contain, by the names that audit records have. A fetch of
    /// such a mode needs the permission for them.
    pub request_app_secrets: Vec<String>,
    /// Where its endpoints are found, if the provider's file does not name them.
    pub discovery: Option<Discovery>,
    pub(crate) additional_fields: bool,
    pub(crate) config: BTreeMap<FieldName, Field>,
    pub(crate) secrets: BTreeMap<FieldName, Field>,
    pub(crate) derived: BTreeMap<String, Derived>,
    pub(crate) request: RequestTemplates,
    pub(crate) places: OnceLock<Places>,
}

/// What kind of credential a mode has.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ModeKind {
    /// Keys or tokens that stay the same until they are replaced.
    Static,
    /// A key that signs requests for short-lived tokens, such as a Google service account.
    ServiceAccount,
    /// OAuth 2.0, authorization code (RFC 6749, section 4.1).
    Oauth2Code,
    /// OAuth 2.0, client credentials (RFC 6749, section 4.4).
    Oauth2ClientCredentials,
}

/// How a connection gets its credential, and what may happen to it afterwards.
#[derive(Debug)]
pub enum Acquisition {
    /// A caller stores it, and it stays the same until a caller replaces it.
    Static,
    /// It has tokens of the provider's token endpoint: by consent, by refresh, or both.
    Tokens(Box<OAuth>),
    /// The provider posts it to the vault after a consent, and it stays the same from then on.
    Delivered(Box<Delivery>),
}

/// What a provider file says to people about the life of a credential. The vault acts on none of it.
#[derive(Default, Debug)]
pub(crate) struct Remarks {
    /// How long the credential or the consent lasts, as the end of a sentence.
    pub(crate) lasts: Option<String>,
    /// Why there is no call that revokes a token, in sentences.
    pub(crate) no_revocation: Option<String>,
    /// Why there is no call that tests a credential, in sentences.
    pub(crate) no_test: Option<String>,
    /// Why no caller chooses scopes, in sentences.
    pub(crate) no_scopes: Option<String>,
}

/// What a provider file does not know for sure about the life of a credential: a sentence for each thing that decides
/// whether a connection survives.
#[derive(Deserialize, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Doubts {
    /// How long the credential or the consent lasts.
    pub(crate) life: Option<String>,
    /// Whether and how the provider revokes it.
    pub(crate) revocation: Option<String>,
    /// Whether a refresh gives a new refresh token.
    pub(crate) rotation: Option<String>,
    /// How long the previous refresh token works after a refresh.
    pub(crate) grace: Option<String>,
    /// Which scopes there are.
    pub(crate) scopes: Option<String>,
}

/// What is known about a mode's destinations before there is a connection.
#[derive(Debug)]
pub(crate) struct Places {
    /// The settings that decide to which host a secret is sent, each with its default.
    pub(crate) settings: Destinations,
    /// The beginning of every URL that the mode fills, up to the end of its authority.
    pub(crate) authorities: Vec<Template>,
}

impl Mode {
    /// How tokens are got and refreshed. `None` if the mode has no token endpoint.
    pub fn oauth(&self) -> Option<&OAuth> {
        match &self.acquisition {
            Acquisition::Tokens(oauth) => Some(oauth),
            Acquisition::Static | Acquisition::Delivered(_) => None,
        }
    }

    /// The authorization code grant. `None` if the mode has no consent by code.
    pub fn code_grant(&self) -> Option<&CodeGrant> {
        self.oauth()?.code.as_ref()
    }

    /// How a new access token is got. `None` if tokens of this mode cannot be refreshed.
    pub fn refresh(&self) -> Option<&Refresh> {
        self.oauth()?.refresh.as_ref()
    }

    /// Whether access tokens of this mode can be refreshed.
    pub fn refreshes(&self) -> bool {
        self.refresh().is_some()
    }

    /// How the provider delivers a credential. `None` if it does not.
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.acquisition {
            Acquisition::Delivered(delivery) => Some(delivery),
            Acquisition::Static | Acquisition::Tokens(_) => None,
        }
    }

    /// How another key is made at the provider. `None` if it has no call for that.
    pub fn mint(&self) -> Option<&Mint> {
        self.rotation.as_ref()?.mint.as_ref()
    }

    /// The call that ends what a connection has at the provider: its grant, or its key. `None` if there is none, or none that
    /// says which key it ends.
    pub fn ending_call(&self) -> Option<&RevocationCall> {
        let of_key = || self.mint()?.revoke.as_ref().filter(|revoke| revoke.names_key());
        self.revocation.as_ref().or_else(of_key)
    }

    /// How the mode's keys are made, if what ends is its key: there is no grant beside that.
    pub fn ended_key(&self) -> Option<&Mint> {
        self.mint().filter(|_| self.revocation.is_none())
    }

    /// Where people find the secret fields that the mode requires, as the file says it.
    pub fn places_of_secrets(&self) -> Vec<&str> {
        let required = self.secrets.values().filter(|field| field.required);
        required.filter_map(|field| field.description.as_deref()).collect()
    }

    /// What is not confirmed about the life of the credential: what it is about, and the sentence.
    pub fn unconfirmed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Doubts { life, revocation, rotation, grace, scopes } = &self.doubts;
        let all = [
            ("life", life),
            ("revocation", revocation),
            ("rotation", rotation),
            ("grace", grace),
            ("scopes", scopes),
        ];
        all.into_iter().filter_map(|(about, fact)| Some((about, fact.as_deref()?)))
    }

    /// Why no caller chooses scopes, in sentences. `None` if callers do, or the file does not say.
    pub fn no_scopes(&self) -> Option<&str> {
        self.remarks.no_scopes.as_deref()
    }

    /// The scopes that a consent asks for. `None` if the mode has no consent.
    pub fn consent_scopes(&self) -> Option<&Scopes> {
        match &self.acquisition {
            Acquisition::Static => None,
            Acquisition::Tokens(oauth) => oauth.code.as_ref().map(|_| &oauth.scopes),
            Acquisition::Delivered(delivery) => Some(&delivery.scopes),
        }
    }
}
