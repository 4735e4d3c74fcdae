//! The other end of a connection: the service that its certificate names, and what its connection holds.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use credvault_identity::PeerCertificate;
use credvault_operations::room::Account;

use super::answer::Unsent;

/// The other end of a connection.
pub(crate) struct Peer {
    pub(crate) certificate: PeerCertificate,
    /// The generation of bundles that the certificate was last verified against.
    pub(crate) checked: AtomicU64,
    pub(crate) address: IpAddr,
    /// The account that its responses take their memory from.
    pub(super) account: Account,
    /// The responses that it has not read yet.
    pub(super) unsent: Arc<Unsent>,
}
