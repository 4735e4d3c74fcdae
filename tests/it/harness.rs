//! A real vault for each test, and real clients that call it. Read this page first.
//!
//! A test is a plain function of a [`VaultBuilder`]; [`on_both`](crate::on_both) lists the functions that run on SQLite
//! and on PostgreSQL:
//!
//! ```ignore
//! on_both![a_disabled_connection_is_refused];
//!
//! async fn a_disabled_connection_is_refused(builder: VaultBuilder) {
//!     // The settings must stand before the server starts.
//!     let vault = builder.settings(|settings, _| settings.limits.rate_per_second = 100).start().await;
//!     // A client with the certificate of the service `app`, acting for the new tenant `acme`.
//!     let app = vault.app("acme").await;
//!     let connection = app.create(generic("main", "CANARY secret")).await.unwrap();
//!     assert_eq!(app.token(by_id(&connection.id)).await.unwrap(), "CANARY secret");
//!
//!     let disable = v1::DisableConnectionRequest { connection_id: connection.id.clone(), ..Default::default() };
//!     app.connections().disable_connection(disable).await.unwrap();
//!     let refused = app.fetch(by_id(&connection.id)).await.unwrap_err();
//!     assert_eq!(refusal(&refused), "FailedPrecondition CONNECTION_DISABLED");
//! }
//! ```
//!
//! - [`VaultBuilder`] makes certificates, policies, a configuration file and a migrated database, and starts one server.
//!   [`start_with_provider`](VaultBuilder::start_with_provider) starts a provider beside it: a [`Connected`].
//!   [`secret_store`](VaultBuilder::secret_store) has it know an external store, a [`Peer`](stores::Peer).
//! - [`TestVault`] is the running vault: its clients, its clock, its database with all rights.
//! - What each service may do is in `policies.cedar`. `app` may do everything for tenants, `operator` administers.
//! - The clock stands still until a test calls `vault.clock.advance(..)`.
//! - Every secret contains the word `CANARY`, so that a leak can be searched for.
//! - A test never sleeps to show that something does not happen. It lets the same work do something later that must
//!   happen, waits for that with [`eventually`], and then counts.

pub mod backup;
pub mod browser;
mod builder;
pub mod client;
mod import;
mod process;
pub mod provider;
pub mod receiver;
mod requests;
pub mod stores;
mod vault;

use std::net::SocketAddr;
use std::time::Duration;

pub use builder::{DOMAIN, POLICIES, VaultBuilder};
pub use client::{Client, refusal};
pub use import::Imported;
pub use process::Process;
pub use requests::{by_id, by_provider, generic, input, owned_by};
pub use vault::{TestVault, write};

/// Runs each listed test, an `async fn(VaultBuilder)`, on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name($crate::harness::VaultBuilder::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name($crate::harness::VaultBuilder::postgres()).await;
            }
        }
    )*};
}

/// Sends an HTTP GET and returns the status and the body.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Polls until `holds` is true. Fails after a minute, because machines may be slow.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "{what} did not happen");
        ticks.tick().await;
    }
}
