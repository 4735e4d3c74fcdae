//! Calls to a key manager that are on their way: many callers that want the same key share one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use credvault_domain::TenantId;
use tokio::sync::OnceCell;

use crate::{Error, KeyManagerError, KeyVersion, TenantKey};

/// The wrapped key that is asked for.
type Asked = (TenantId, KeyVersion, Vec<u8>);
/// What comes of it, for each of those who wait.
type Outcome = Result<Arc<TenantKey>, Shared>;

/// The calls that are on their way.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Asked, Arc<OnceCell<Outcome>>>>);

/// An error that several callers get.
#[derive(Clone)]
enum Shared {
    Integrity,
    KeyManager { key: String, source: KeyManagerError },
}

impl Flights {
    /// Waits for the call for this key, which `asking` makes unless there is one. If its first caller goes away, one of
    /// those who wait makes the call.
    pub(super) async fn join(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
        asking: impl Future<Output = Result<Arc<TenantKey>, Error>>,
    ) -> Result<Arc<TenantKey>, Error> {
        let asked = (tenant.clone(), version, wrapped.to_vec());
        let flight = Arc::clone(
            self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(asked.clone()).or_default(),
        );
        let outcome = flight.get_or_init(async || asking.await.map_err(shared)).await.clone();
        // The flight that has landed, and not another one that has begun since.
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(&asked).is_some_and(|current| Arc::ptr_eq(current, &flight)) {
            flights.remove(&asked);
        }
        outcome.map_err(|error| match error {
            Shared::Integrity => Error::Integrity,
            Shared::KeyManager { key, source } => Error::KeyManager { key, source },
        })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an unwrapping that fails otherwise is of no key, either")]
fn shared(error: Error) -> Shared {
    match error {
        Error::KeyManager { key, source } => Shared::KeyManager { key, source },
        _ => Shared::Integrity,
    }
}
