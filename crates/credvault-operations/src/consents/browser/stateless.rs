//! A callback without a state: the browser's cookie says which consent it means.

use credvault_store::{AuthorizationError, Error as StoreError};

use super::found::{Found, Refused};
use super::{Browser, Browsers, Parameters};
use crate::Refusal;

impl Browsers {
    /// Ends what a callback without a state is about, as far as the browser's cookie says that: its open consent at this
    /// provider. Several for one connection are attempts at the same; of several connections none is ended, for the
    /// person may be busy with another one of them.
    pub(super) async fn stateless(&self, provider: &str, query: &Parameters, browser: &Browser) -> Refused {
        let open = match self.open(provider, browser).await {
            Ok(open) => open,
            Err(refusal) => return refusal.into(),
        };
        let Some(newest) = open.first() else { return AuthorizationError::Missing.into() };
        let one = open.iter().all(|found| found.connection.id == newest.connection.id);
        let refusal: Refusal = match (one, self.result(&newest.connection, query)) {
            (false, _) => AuthorizationError::Ambiguous.into(),
            // A code without a state is not this browser's for sure, so it is never exchanged.
            (true, Ok(Ok(()))) => AuthorizationError::Missing.into(),
            (true, Ok(Err(failure))) => failure.into(),
            (true, Err(refusal)) => refusal,
        };
        for found in &open {
            if !one {
                found.record(&refusal).await;
            } else if let Err(error) = found.decline(&refusal).await {
                return found.refused(error, browser).await;
            }
        }
        // One of the waiting pages opened this window. A message is sent only if all of them are the same page.
        let same = open.iter().all(|found| found.waiting() == newest.waiting());
        let waiting = newest.told(&refusal, browser).filter(|_| same).map(Box::new);
        Refused { refusal, waiting, trace: Some(newest.call.trace) }
    }

    /// The consents of this browser that wait for an answer of the provider.
    async fn open(&self, provider: &str, browser: &Browser) -> Result<Vec<Found>, Refusal> {
        let callback = self.0.broker.callback_at(provider);
        let (Some(callback), Some(cookie)) = (callback, &browser.id) else { return Ok(Vec::new()) };
        let mut open = Vec::new();
        for awaited in self.0.store.authorizations().open_of(cookie, &callback).await? {
            match self.reached(awaited, browser.address).await.map_err(|unreached| unreached.1) {
                Ok(found) => open.push(found),
                // The connection has gone, and with it what the consent was for.
                Err(Refusal::Store(StoreError::ConnectionNotFound)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(open)
    }
}
