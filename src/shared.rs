//! What ports and jobs of a running vault have in common.

use std::sync::Arc;

use credvault_broker::Broker;
use credvault_domain::Clock;
use credvault_identity::Identity;
use credvault_operations::Context;
use credvault_store::Store;

/// The parts that ports and jobs share; each is cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) identity: Arc<Identity>,
    pub(crate) broker: Broker,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) context: Arc<Context>,
}
