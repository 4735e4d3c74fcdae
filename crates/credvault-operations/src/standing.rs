//! Whether a connection works, judged by what is stored of it. Calls no provider and opens nothing.
//!
//! That is not whether a fetch is served. A fetch still gives out what the provider may take: a stored key in the state
//! ERROR, an access token until it expires. And a token that has to be renewed first may not be there, though nothing is
//! known to be wrong; once the vault has failed to renew one that has ended, that is a fault.

use credvault_domain::{ConnectionState, LastError, Reason, Timestamp};
use credvault_store::ConnectionStanding;

use crate::Context;

/// Why a connection does not work, or not for long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is deleted since this instant, and may be undeleted.
    Deleted(Timestamp),
    /// A caller has disabled it.
    Disabled,
    /// It has no credential.
    NoCredential,
    /// Its provider or auth mode is not in the catalog any more.
    Uncatalogued,
    /// Its credential does not work, as the provider said or as its time is over, for a reason of the public contract, since
    /// this instant. Of these, a fetch is refused for CREDENTIAL_EXPIRED alone; otherwise it is served as long as there is
    /// something to give out.
    Credential(String, Timestamp),
    /// Its access token has ended, and the vault cannot get another one at the moment; it tries again.
    Refresh(LastError),
}

impl Fault {
    /// The reason of the public contract.
    pub fn reason(&self) -> &str {
        match self {
            Self::Deleted(_) => Reason::ConnectionNotFound.as_str(),
            Self::Disabled => Reason::ConnectionDisabled.as_str(),
            Self::NoCredential => Reason::CredentialNotConfigured.as_str(),
            Self::Uncatalogued => Reason::ProviderUnknown.as_str(),
            Self::Credential(reason, _) => reason,
            Self::Refresh(error) => &error.reason,
        }
    }

    /// Since when, if that is known.
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Deleted(time) | Self::Credential(_, time) => Some(*time),
            Self::Refresh(error) => error.down_time,
            Self::Disabled | Self::NoCredential | Self::Uncatalogued => None,
        }
    }
}

/// What is wrong with a connection; `None` if it works as far as the vault knows.
pub(crate) fn fault(context: &Context, connection: &ConnectionStanding) -> Option<Fault> {
    if let Some(time) = connection.delete_time {
        return Some(Fault::Deleted(time));
    }
    if !connection.enabled {
        return Some(Fault::Disabled);
    }
    if connection.current_version == 0 {
        return Some(Fault::NoCredential);
    }
    let Ok(mode) = context.mode(&connection.provider, &connection.auth_mode) else {
        return Some(Fault::Uncatalogued);
    };
    if connection.state == ConnectionState::Error {
        let error = connection.error.as_ref();
        return error.map(|error| Fault::Credential(error.reason.clone(), error.time));
    }
    // What refreshes has an access token's end there, which a fetch moves.
    let over = |time: &Timestamp| *time <= context.now();
    let expired = connection.expire_time.filter(|time| !mode.refreshes() && over(time));
    // The next refresh of a grant that has ended is refused, so its owner does not have to wait for that.
    let ended = connection.grant_end.filter(over);
    let fault = |reason: Reason, time| Fault::Credential(reason.as_str().to_owned(), time);
    expired
        .map(|time| fault(Reason::CredentialExpired, time))
        .or_else(|| ended.map(|time| fault(Reason::ReauthorizationRequired, time)))
        .or_else(|| {
            let stops = |error: &&LastError| error.stops_fetches(context.now());
            connection.failing.as_ref().filter(stops).cloned().map(Fault::Refresh)
        })
}
