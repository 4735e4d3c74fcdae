//! Whether a connection would serve a fetch now, judged by what is stored of it. Calls no provider and opens nothing.

use credvault_domain::{ConnectionState, Reason, Timestamp};
use credvault_store::ConnectionStanding;

use crate::Context;

/// Why a connection would not serve a fetch.
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
    /// Its credential does not work, for a reason of the public contract, since this instant.
    Credential(String, Timestamp),
}

impl Fault {
    /// The reason that a fetch would be refused with.
    pub fn reason(&self) -> &str {
        match self {
            Self::Deleted(_) => Reason::ConnectionNotFound.as_str(),
            Self::Disabled => Reason::ConnectionDisabled.as_str(),
            Self::NoCredential => Reason::CredentialNotConfigured.as_str(),
            Self::Uncatalogued => Reason::ProviderUnknown.as_str(),
            Self::Credential(reason, _) => reason,
        }
    }

    /// Since when, if that is known.
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Deleted(time) | Self::Credential(_, time) => Some(*time),
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
    let ended = connection.expire_time.filter(|time| !mode.refreshes() && *time <= context.now());
    ended.map(|time| Fault::Credential(Reason::CredentialExpired.as_str().to_owned(), time))
}
