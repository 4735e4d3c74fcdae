//! Stores the credential that a consent has given. No other copy of it exists.

use std::time::Duration;

use credvault_domain::Connection;
use credvault_store::{Consent, NewCredential, Recorded, Write};
use tokio::time::Instant;

use super::error::ConsentError;
use super::target::Target;
use crate::broker::Broker;

/// For how long it is tried to store a credential while the database fails. Afterwards the owner must consent again.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two attempts to store a credential.
const STORE_PAUSE: Duration = Duration::from_millis(500);

impl Broker {
    /// Stores a credential and ends its authorization.
    pub(super) async fn store_consented(
        &self,
        target: Target<'_>,
        credential: &NewCredential,
        consent: &Consent,
        write: &Write,
    ) -> Result<Recorded<Connection>, ConsentError> {
        let deadline = Instant::now() + STORE_TIMEOUT;
        loop {
            let (credentials, id) = (self.store().credentials(), target.connection.id);
            match credentials.authorize(target.scope, id, credential, consent, write).await {
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    tracing::warn!(connection = %id, %error, "a consent could not be stored yet; it is tried again");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                stored => return Ok(stored?),
            }
        }
    }
}
