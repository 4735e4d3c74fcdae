//! What the rows of sessions hold: terms as JSON, hashes of what browsers bring, and the proof that a row was made by the vault.

use credvault_crypto::{TenantKey, sha256};
use credvault_domain::{ConnectAction, ConnectTerms, ProviderId, TenantId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::entity::connect_session::Model;

/// Terms as they are stored. A field that another release does not know would be a right that it does not hold, so it is
/// refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTerms {
    providers: Vec<String>,
    actions: Vec<String>,
    manages_shared: bool,
    origin: Option<String>,
    return_url: Option<String>,
    language: String,
}

/// Terms as the text of a row.
///
/// # Errors
/// [`Error::Unavailable`], which does not happen: all of it is text.
pub(super) fn stored(terms: &ConnectTerms) -> Result<String, Error> {
    let ConnectTerms { providers, actions, manages_shared, origin, return_url, language } = terms;
    let stored = StoredTerms {
        providers: providers.iter().map(|provider| provider.as_str().to_owned()).collect(),
        actions: actions.iter().map(|action| action.as_str().to_owned()).collect(),
        manages_shared: *manages_shared,
        origin: origin.clone(),
        return_url: return_url.clone(),
        language: language.clone(),
    };
    Ok(serde_json::to_string(&stored).map_err(|error| sea_orm::DbErr::Json(error.to_string()))?)
}

/// Reads what [`stored`] wrote.
///
/// # Errors
/// [`Error::Integrity`] if it is something else.
pub(super) fn terms(text: &str) -> Result<ConnectTerms, Error> {
    let stored: StoredTerms = serde_json::from_str(text).map_err(|_| Error::Integrity)?;
    let StoredTerms { providers, actions, manages_shared, origin, return_url, language } = stored;
    let actions = actions.iter().map(|action| ConnectAction::from_stored(action).ok_or(Error::Integrity));
    Ok(ConnectTerms {
        providers: providers.into_iter().map(ProviderId::from_stored).collect(),
        actions: actions.collect::<Result<_, _>>()?,
        manages_shared,
        origin,
        return_url,
        language,
    })
}

/// How a row names the token that opens it. A token is too random to be guessed.
pub(super) fn token_hash(token: &str) -> Vec<u8> {
    sha256(&[b"credvault connect token", token.as_bytes()]).to_vec()
}

/// How a row names the browser that has opened it.
pub(super) fn browser_hash(browser: &str) -> Vec<u8> {
    sha256(&[b"credvault connect browser", browser.as_bytes()]).to_vec()
}

/// The keyed hash of all that decides whose a session is, what it may do, until when, and in which browser.
pub(super) fn proof(key: &TenantKey, tenant: &TenantId, row: &Model) -> Vec<u8> {
    let parts: [&[u8]; 11] = [
        b"connect session",
        row.id.as_bytes(),
        &row.token_hash,
        row.browser_hash.as_deref().unwrap_or_default(),
        row.service.as_bytes(),
        row.user_id.as_bytes(),
        row.tenant_source.as_bytes(),
        row.source_address.as_bytes(),
        row.terms.as_bytes(),
        &row.create_time.to_be_bytes(),
        &row.expire_time.to_be_bytes(),
    ];
    key.fingerprint(tenant, &parts).to_vec()
}
