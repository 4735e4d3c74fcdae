//! Which column and member of theirs is what of ours, as TOML. [`System::map`](crate::System::map) has one for each system;
//! the operator's file amends it: the columns that it names replace ours, and its kinds are tried first.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::members::Members;
use crate::name::plain;

/// A map is not written as maps are. The message is without the text of the map; [`MapError::cause`] has it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the map cannot be used")]
pub struct MapError(toml::de::Error);

impl MapError {
    /// What the parser says. Its message quotes the text, in which a secret may stand.
    pub fn cause(&self) -> &toml::de::Error {
        &self.0
    }
}

/// Which column and member of theirs is what of ours.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Map {
    /// The table that is read if none is named.
    pub table: Option<String>,
    /// Whether every row has a user, so that one without is refused and does not become the tenant's.
    pub users_required: Option<bool>,
    /// Columns, and their values in lower case, that say that a row is not in use.
    pub inactive: BTreeMap<String, Vec<String>>,
    /// Which columns they have.
    pub columns: Columns,
    /// Their kinds of credentials, the first that fits.
    pub kinds: Vec<Kind>,
}

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Names of columns. Of several names of one thing, the first that a row has is used.
        #[derive(Deserialize, Clone, Default, Debug)]
        #[serde(deny_unknown_fields, default)]
        pub struct Columns {
            $($(#[$doc])* pub $name: Vec<String>,)*
            /// Columns that become labels: the column, and the label's key.
            pub labels: BTreeMap<String, String>,
        }

        impl Columns {
            /// These columns, with those of `other` instead where it names some.
            fn amended(mut self, other: Self) -> Self {
                $(if !other.$name.is_empty() { self.$name = other.$name; })*
                self.labels.extend(other.labels);
                self
            }
        }
    };
}

columns! {
    /// The id of the row.
    id,
    /// The tenant, by the platform's own id.
    tenant,
    /// The user who owns the credential. Without one, the tenant does, unless the map requires users.
    user,
    /// What kind of credential it is: all of these that a row has, with `/` between them.
    kind,
    /// The name of the account.
    account,
    /// The credential: a JSON object, or a sealed one.
    credentials,
    /// Columns each of which is sealed by itself.
    sealed,
    /// A JSON object of settings.
    settings,
    /// Whether it is in use.
    active,
    /// Set where the row counts as deleted.
    deleted,
    /// Whether it is the user's current one.
    current,
    /// The account's id at the provider.
    external_account,
    /// Where a secret store keeps the credential.
    reference,
    /// The nonce, if it has a column of its own.
    iv,
    /// The tag, if it has a column of its own.
    tag,
    /// The salt of the row.
    salt,
}

/// A kind of credential of theirs, and what it becomes.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// What the columns `kind` say, in lower case. Without it, the kind fits every row.
    pub name: Option<String>,
    /// Members that the credential must have for this kind to fit.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Our provider, by its id.
    pub provider: String,
    /// The provider's auth mode.
    #[serde(default)]
    pub auth_mode: String,
    /// The name of the account, where no column says it.
    pub account_name: Option<String>,
    /// Their member, or the path into one, such as `team.id`; and our secret field.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Their member, and our setting.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Our setting, and its values: theirs, in lower case, and ours.
    #[serde(default)]
    pub values: BTreeMap<String, BTreeMap<String, String>>,
    /// Our setting, and the text from which on its value is left out.
    #[serde(default)]
    pub cut: BTreeMap<String, String>,
    /// Members that may be a JSON document, which is stored as its text.
    #[serde(default)]
    pub documents: Vec<String>,
    /// Our secret field that the whole JSON document becomes.
    pub whole: Option<String>,
    /// Their member that names the account at the provider.
    pub external_account: Option<String>,
    /// Members that are left behind.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// It is the platform's app at the provider, and no connection.
    #[serde(default)]
    pub app: Option<AppMembers>,
}

/// Members that name an app.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct AppMembers {
    /// The id of the OAuth client.
    pub client_id: String,
    /// The secret of that client.
    pub client_secret: String,
    /// Where browsers return to.
    pub redirect_uri: Option<String>,
}

impl Map {
    /// Reads a map.
    ///
    /// # Errors
    /// It is not TOML, or has a key that maps do not have.
    pub fn parse(text: &str) -> Result<Self, MapError> {
        toml::from_str(text).map_err(MapError)
    }

    /// This map, amended by another one.
    #[must_use]
    pub fn amended(mut self, other: Self) -> Self {
        self.table = other.table.or(self.table);
        self.users_required = other.users_required.or(self.users_required);
        self.inactive.extend(other.inactive);
        self.columns = self.columns.amended(other.columns);
        self.kinds.splice(..0, other.kinds);
        self
    }

    /// The first kind that fits.
    pub(crate) fn kind(&self, name: &str, members: &Members<'_>) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.fits(name, members))
    }

    /// A member that a kind of another credential requires, which fits too, and that `kind` does not know.
    pub(crate) fn second<'m>(&self, name: &str, kind: &Kind, members: &'m Members<'_>) -> Option<&'m str> {
        let requires =
            |other: &Kind, member: &str| other.requires.iter().any(|name| plain(name) == plain(member));
        let is_another = |other: &Kind| {
            (&other.provider, &other.auth_mode) != (&kind.provider, &kind.auth_mode)
                && other.fits(name, members)
        };
        let is_other =
            |member: &str| self.kinds.iter().any(|other| is_another(other) && requires(other, member));
        let known = |member: &str| kind.whole.is_some() || kind.mentions(member) || kind.reaches_into(member);
        members.of_document().map(|(member, _)| member).find(|member| !known(member) && is_other(member))
    }

    /// Whether there are kinds of this name, whatever they require.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.kinds.iter().any(|kind| kind.is_named(name))
    }

    /// What the kinds of this name require, in words: `a and b, or c`.
    pub(crate) fn required(&self, name: &str) -> String {
        let named = self.kinds.iter().filter(|kind| kind.is_named(name));
        named.map(|kind| kind.requires.join(" and ")).collect::<Vec<_>>().join(", or ")
    }
}

impl Kind {
    fn is_named(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|own| plain(own) == plain(name))
    }

    /// Whether a row of this name with these members is of the kind.
    pub(crate) fn fits(&self, name: &str, members: &Members<'_>) -> bool {
        self.is_named(name) && self.requires.iter().all(|member| members.get(member).is_some())
    }

    /// Whether the kind knows a member, or a path into one.
    pub(crate) fn mentions(&self, member: &str) -> bool {
        self.names().any(|name| plain(name) == plain(member))
    }

    /// Whether the kind knows what stands within a member.
    pub(crate) fn reaches_into(&self, member: &str) -> bool {
        let start = format!("{}.", plain(member));
        self.names().any(|name| plain(name).starts_with(&start))
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.secrets.keys().chain(self.config.keys()).chain(&self.ignored).chain(&self.external_account)
    }

    /// Whether the kind leaves a member behind.
    pub(crate) fn ignores(&self, member: &str) -> bool {
        self.ignored.iter().any(|name| plain(name) == plain(member))
    }

    /// Whether a member may be a JSON document.
    pub(crate) fn takes_document(&self, member: &str) -> bool {
        self.documents.iter().any(|name| plain(name) == plain(member))
    }

    /// Our value of a setting.
    pub(crate) fn value(&self, setting: &str, theirs: &str) -> String {
        let ours = self.values.get(setting).and_then(|values| values.get(&theirs.trim().to_lowercase()));
        let ours = ours.map_or(theirs, String::as_str);
        let end = self.cut.get(setting).and_then(|from| ours.find(from.as_str()));
        end.and_then(|end| ours.get(..end)).unwrap_or(ours).to_owned()
    }
}
