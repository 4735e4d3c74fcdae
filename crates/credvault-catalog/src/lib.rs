//! The provider catalog: for each third party, the ways to authenticate, what a credential consists of, and how
//! requests carry it. It makes no network calls and reads nothing but provider files. [`toml_files`] reads a folder of
//! them, and serves the languages of the pages, too.
//!
//! Providers are data, one file each: `providers/*.toml` are embedded, and operators add more in a folder. A new
//! provider like the known ones needs a file and no code; `docs/provider-files.md` describes the format. [`Catalog`]
//! holds all providers; a [`Mode`] checks the credentials of one way to authenticate and makes its requests.
//!
//! The modules stand on three floors, and each uses only those above it in this list. Values: what templates are filled
//! with, and how answers are looked at. Model: providers, modes and webhooks, checked. Loading: from files to the
//! model. The document for people is on top.

// Values.
mod shown;

mod template;

mod https_url;

mod spelling;

mod field;

mod derived;

mod values;

mod request_auth;

mod json_template;

mod call;

mod path;

mod condition;

mod lifetime;

// Model.
mod refusal;

mod setting_paths;

mod id_token;

mod token_response;

mod post_exchange;

mod credential_test;

mod revocation;

mod rotation;

mod scopes;

mod consent_page;

mod assertion;

mod oauth;

mod delivery;

mod schema;

mod discovery;

mod mode;

mod form;

mod public_keys;

mod webhook;

mod provider;

mod catalog;

// Loading.
mod folder;

mod load;

mod document;

pub use assertion::{Assertion, AssertionTemplates};
pub use call::{Body, Call, Method, ProviderRequest};
pub use catalog::Catalog;
pub use consent_page::ConsentPage;
pub use credential_test::{CredentialTest, Verdict};
pub use delivery::Delivery;
pub use discovery::Discovery;
pub use folder::{TomlFile, UnreadableFile, toml_files};
pub use form::{FormField, InputKind};
pub use id_token::{IdToken, IdTokenError};
pub use load::LoadError;
pub use mode::{Acquisition, Mode, ModeKind};
pub use oauth::{Authorize, CallbackSignature, CodeGrant, OAuth, Refresh, RefreshPolicy, Rotation};
pub use post_exchange::{Details, PostExchange};
pub use provider::{AppField, AppFieldKind, Provider, RateLimit};
pub use public_keys::PublicKeys;
pub use refusal::RefusalKind;
pub use request_auth::RequestAuth;
pub use revocation::RevocationCall;
pub use rotation::{KeyRotation, Mint, MintedFields, OldKeyEnd};
pub use scopes::Scopes;
pub use token_response::{Granted, TokenResponse};
pub use values::{App, Flow, Given, Missing};
pub use webhook::account::{AccountPath, AccountPlace, DeliveryAccount, KnownAccount, Match};
pub use webhook::handshake::Handshake;
pub use webhook::keys::{KeyEncoding, KeyPlace};
pub use webhook::signed::Signed;
pub use webhook::{Encoding, Scheme, TimestampForm, Webhook};
