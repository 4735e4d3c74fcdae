//! What a row becomes: a connection, an app, or a refusal.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;
use serde_json::{Map, Value};

/// Who owns a connection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Holder {
    /// A user of the tenant, by the platform's own id.
    User(String),
    /// The tenant as a whole.
    Tenant,
    /// The platform: a default that is shared by all tenants.
    Platform,
}

/// A connection that moves in.
pub struct Entry {
    /// Where it comes from, such as `pixelpim/42`.
    pub source: String,
    /// The tenant, if the row names one.
    pub tenant: Option<String>,
    /// Who owns the connection.
    pub holder: Holder,
    /// Our provider, by its id.
    pub provider: String,
    /// The provider's auth mode.
    pub auth_mode: String,
    /// The name of the account.
    pub account_name: String,
    /// Settings that are not secret.
    pub config: Map<String, Value>,
    /// The secret fields. None: the row has no credential, and the connection is created without one.
    pub secrets: BTreeMap<String, SecretString>,
    /// When the access token or the credential ends, in seconds since the epoch.
    pub expires: Option<i64>,
    /// When its owner consented, in seconds since the epoch, if the row says so.
    pub consented: Option<i64>,
    /// The account's id at the provider.
    pub external_account_id: Option<String>,
    /// Labels from columns of theirs.
    pub labels: BTreeMap<String, String>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Whether it is its owner's current one.
    pub default: bool,
}

/// An app of the platform at a provider. Only variables of the environment have one.
pub struct App {
    /// Where it comes from.
    pub source: String,
    /// Our provider, by its id.
    pub provider: String,
    /// The id of the OAuth client.
    pub client_id: String,
    /// The secret of that client.
    pub client_secret: SecretString,
    /// Where browsers return to, if the program said so.
    pub redirect_uri: Option<String>,
}

/// What a row has become.
#[derive(Debug)]
pub enum Converted {
    /// A connection that moves in.
    Entry(Box<Entry>),
    /// An app that moves in.
    App(App),
    /// Nothing, and why not.
    Refused(Refused),
    /// Nothing, for it is not in use there any more.
    LeftOut(Refused),
}

/// Why a row is refused. Without a value of the row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The row, such as `pixelpim/42`.
    pub source: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("source", &self.source).finish_non_exhaustive()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("source", &self.source).finish_non_exhaustive()
    }
}
