//! The provider catalog: for each third party, which ways to authenticate there are, what a credential consists of,
//! and how a request carries it.
//!
//! Providers are data, one file each (`providers/*.toml`, embedded; more from a folder of the operator's). A new one
//! like them needs a file and no code. [`Catalog`] holds them all; a [`Mode`] checks and uses the credentials of one way.

mod path;

mod condition;

mod life;

mod answer;

mod call;

mod catalog;

mod file;

mod flows;

mod locate;

mod oauth;

mod handoff;

mod provider;

mod mode;

mod field;

mod template;

mod schema;

mod request_auth;

mod derived;

mod webhook;

mod public_keys;

mod document;

pub use answer::{Details, Granted, RefusalKind, Verdict};
pub use call::{App, Body, Flow, Method, ProviderRequest};
pub use catalog::{Catalog, LoadError};
pub use handoff::HandOff;
pub use mode::{Assertion, Given, Missing, Mode, ModeKind};
pub use oauth::{Authorize, CallbackSignature, OAuth, Renewal, Rotation, Scopes};
pub use provider::{AppField, Provider, RateLimit};
pub use public_keys::PublicKeys;
pub use request_auth::RequestAuth;
pub use webhook::{
    AccountPath, AccountPlace, DeliveryAccount, Encoding, Handshake, KeyEncoding, KeyPlace, KnownAccount,
    Match, Scheme, Signed, TimestampForm, Webhook,
};
