//! What a pass over connections learns of the stores: one that does not answer is not asked again in the same pass, and how
//! long a connection rests after what went wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_crypto::SecretStoreError;

use super::failed;
use crate::Error;

/// How long a connection rests whose store does not answer.
pub(super) const REST: Duration = Duration::from_secs(30);
/// How long it rests if this process has no such store: another replica may have it.
const UNKNOWN_REST: Duration = Duration::from_secs(600);
/// How long it rests if a store refuses a secret, or a secret does not open: until people have changed something, it would
/// be so again. A change of the connection, or a move, has it looked at before.
const REFUSED_REST: Duration = Duration::from_secs(6 * 3600);

/// What a pass has learned of the stores.
#[derive(Default)]
pub(crate) struct Pass {
    /// The stores that did not answer.
    away: BTreeSet<String>,
}

impl Pass {
    /// Refuses a store that did not answer in this pass.
    ///
    /// # Errors
    /// [`SecretStoreError::Unavailable`].
    pub(super) fn may_ask(&self, name: &str) -> Result<(), Error> {
        if self.away.contains(name) {
            let why = "it did not answer a moment ago, and was not asked again".to_owned();
            return Err(failed(name)(SecretStoreError::Unavailable(why)));
        }
        Ok(())
    }

    /// How long a connection rests after an error of a store, or of one of its secrets. `None` for any other error: it says
    /// nothing about the connection.
    pub(super) fn rest(&mut self, error: &Error) -> Option<Duration> {
        if is_away(error)
            && let Error::SecretStore { store, .. } = error
        {
            self.away.insert(store.clone());
            return Some(REST);
        }
        if matches!(error, Error::SecretStore { problem: SecretStoreError::Settings(_), .. }) {
            return Some(UNKNOWN_REST);
        }
        let is_of_secret = matches!(
            error,
            Error::SecretStore { .. }
                | Error::Integrity
                | Error::TooLarge
                | Error::ReferenceBroken { .. }
                | Error::ReferenceDenied { .. }
        );
        is_of_secret.then_some(REFUSED_REST)
    }
}

/// Whether a store did not answer.
pub(super) fn is_away(error: &Error) -> bool {
    matches!(error, Error::SecretStore { problem: SecretStoreError::Unavailable(_), .. })
}
