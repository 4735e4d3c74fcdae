//! What a provider says of a credential that it accepts, and what the connection's row keeps of that: whether the credential was
//! tested before it was stored or afterwards.

use std::collections::BTreeMap;

use credvault_domain::Timestamp;
use sea_orm::ActiveValue::Set;
use serde_json::{Value, json};

use crate::Error;
use crate::connections::row::text_map;
use crate::connections::writer::ConnectionRow;

/// What a provider said of a credential that it accepts.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Accepted {
    /// The account's id at the provider, if it says so.
    pub account: Option<String>,
    /// Settings that the provider has confirmed by that, with their values.
    pub settings: BTreeMap<String, String>,
}

/// Keeps in a row what the provider said at `now`. The account that was known stays, and another one stands beside it.
///
/// # Errors
/// The row's settings were altered.
pub(crate) fn keep(
    row: &mut ConnectionRow,
    (account, settings): (Option<&str>, &BTreeMap<String, String>),
    now: Timestamp,
) -> Result<(), Error> {
    let columns = &mut row.columns;
    let known: &Option<String> = columns.external_account_id.as_ref();
    let known = known.clone();
    let confirmed: &Value = columns.confirmed_settings.as_ref();
    let mut confirmed = text_map(confirmed.clone())?;
    confirmed.extend(settings.clone());
    let other = account.filter(|account| known.as_deref().is_some_and(|known| known != *account));
    columns.last_verified_time = Set(Some(now.micros()));
    columns.found_account_id = Set(other.map(str::to_owned));
    columns.external_account_id = Set(known.or_else(|| account.map(str::to_owned)));
    if let Some(account) = account {
        columns.confirmed_account_id = Set(Some(account.to_owned()));
    }
    columns.confirmed_settings = Set(json!(confirmed));
    Ok(())
}
