//! Puts each member of a row into its place, as its kind says: settings, secrets, expiry, account.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map as JsonMap, Value};

use crate::entry::{Entry, Holder};
use crate::map::Kind;
use crate::members::{Members, is_nothing};
use crate::name::{plain, shown, shown_path};
use crate::record::text;
use crate::time::{CONSENTED, ENDS, End, STORED, end, instant, instant_or_day};

/// Members of an OAuth answer that nothing depends on.
const LEFT_BEHIND: [&str; 5] = ["token_type", "scope", "scopes", "grant_type", "refresh_token_expires_in"];

/// What a kind makes of the members.
pub(crate) struct Placed {
    config: JsonMap<String, Value>,
    secrets: BTreeMap<String, SecretString>,
    expires: Option<i64>,
    consented: Option<i64>,
    external_account_id: Option<String>,
}

impl Placed {
    /// Puts the members of a row of this kind into their places. The error names a member, and none of its values.
    pub(crate) fn of(kind: &Kind, members: &Members<'_>) -> Result<Self, String> {
        all_known(kind, members)?;
        let mut placed = Self {
            config: JsonMap::new(),
            secrets: BTreeMap::new(),
            expires: expiry(kind, members)?,
            consented: members.consents(&CONSENTED).find_map(instant_or_day),
            external_account_id: kind.external_account.as_ref().and_then(|name| members.text(name)),
        };
        for (ours, theirs) in by_field(&kind.config) {
            let Some((theirs, value)) = one_of(members, "config", ours, &theirs)? else { continue };
            let value = match value.is_boolean() && !kind.values.contains_key(ours) {
                true => value.clone(),
                // Ids are texts of ours, even if they have digits only.
                false => kind.value(ours, &text_of(kind, theirs, value)?).into(),
            };
            placed.config.insert(ours.to_owned(), value);
        }
        for (ours, theirs) in by_field(&kind.secrets) {
            if let Some((theirs, value)) = one_of(members, "secrets", ours, &theirs)? {
                placed.secrets.insert(ours.to_owned(), text_of(kind, theirs, value)?.into());
            }
        }
        if let Some(whole) = kind.whole.as_ref().filter(|_| !members.is_empty()) {
            placed.secrets.insert(whole.clone(), members.whole().into());
        }
        Ok(placed)
    }

    /// The connection that these members make.
    pub(crate) fn entry(self, source: String, kind: &Kind, holder: Holder) -> Entry {
        let Self { config, secrets, expires, consented, external_account_id } = self;
        Entry {
            source,
            tenant: None,
            holder,
            provider: kind.provider.clone(),
            auth_mode: kind.auth_mode.clone(),
            account_name: kind.account_name.clone().unwrap_or_else(|| "default".to_owned()),
            config,
            secrets,
            expires,
            consented,
            external_account_id,
            labels: BTreeMap::new(),
            disabled: false,
            default: false,
        }
    }
}

/// Their members by the field of ours that they fill.
fn by_field(table: &BTreeMap<String, String>) -> BTreeMap<&str, Vec<&str>> {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (theirs, ours) in table {
        fields.entry(ours.as_str()).or_default().push(theirs.as_str());
    }
    fields
}

/// The member that fills a field of ours. The error names two that would with different values, and how to choose.
fn one_of<'n, 'm>(
    members: &'m Members<'_>,
    table: &str,
    ours: &str,
    theirs: &[&'n str],
) -> Result<Option<(&'n str, &'m Value)>, String> {
    members.one_of(theirs).map_err(|two| {
        let [first, second] = two.map(shown_path);
        format!(
            "the row has {first} and {second} with different values, and both are {ours} here; choose with --map: a kind \
             that has one of them in its {table}, and the other one in its ignored"
        )
    })
}

/// Refuses a member that the kind does not know, so that nothing is lost unseen.
fn all_known(kind: &Kind, members: &Members<'_>) -> Result<(), String> {
    match members.of_document().find_map(|(name, value)| unknown(kind, "", name, value)) {
        None => Ok(()),
        Some(unknown) => Err(format!(
            "its credential has the member {unknown}, which the map does not know; add it to the kind's secrets, config \
             or ignored"
        )),
    }
}

/// The first name that the kind does not know, of a member or of what stands within it. `within` is the path to it, which
/// the kind knows, with a full stop at its end.
fn unknown(kind: &Kind, within: &str, name: &str, value: &Value) -> Option<String> {
    let path = format!("{within}{name}");
    let is = |other: &&str| plain(other) == plain(name);
    let left_behind = ENDS.iter().chain(&STORED).chain(&CONSENTED).chain(&LEFT_BEHIND).any(is);
    if left_behind || kind.whole.is_some() || kind.mentions(&path) || is_nothing(value) {
        return None;
    }
    match value.as_object().filter(|_| kind.reaches_into(&path)) {
        Some(members) => {
            let within = format!("{path}.");
            members.iter().find_map(|(name, value)| unknown(kind, &within, name, value))
        }
        None => Some(format!("{within}{}", shown(name))),
    }
}

/// When the token ends, by the first of [`ENDS`] that the row has. A lifetime counts from when the row got the token; if
/// the row does not say when, the end is not known.
fn expiry(kind: &Kind, members: &Members<'_>) -> Result<Option<i64>, String> {
    let mut names = ENDS.iter().filter(|name| !kind.ignores(name));
    let Some((name, value)) = names.find_map(|name| Some((name, members.expiry(name)?))) else {
        return Ok(None);
    };
    match end(name, value) {
        Some(End::At(instant)) => Ok(Some(instant)),
        Some(End::After(seconds)) => {
            let stored = members.each(&STORED).find_map(instant);
            Ok(stored.and_then(|stored| stored.checked_add(seconds)))
        }
        None => Err(format!(
            "{name} is no instant and no lifetime; write an instant in seconds since the epoch or as ISO 8601 (expires_in: \
             a number of seconds), or add it to the kind's ignored"
        )),
    }
}

/// The text of a member, or the document where the kind takes one.
fn text_of(kind: &Kind, name: &str, value: &Value) -> Result<String, String> {
    let document = || kind.takes_document(name).then(|| value.to_string());
    text(value).or_else(document).ok_or_else(|| {
        let name = shown_path(name);
        format!("{name} is an object or a list; it must be a text, or stand in the kind's documents")
    })
}
