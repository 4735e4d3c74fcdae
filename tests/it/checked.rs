//! The object that policy was asked about is the object that is used, and policy is asked about every one: after a
//! refresh, in lists, and where a browser finishes what a service began.

mod browsers;
mod lists;
mod refreshed;

use crate::harness::{Client, TestVault, VaultBuilder};

/// The policies of all tests, and more for the service `narrow`.
fn with_policies(builder: VaultBuilder, narrow: &str) -> VaultBuilder {
    let service = "principal == Service::\"spiffe://test.local/narrow\"";
    builder.policies(&narrow.replace("NARROW", service))
}

async fn narrow(vault: &TestVault) -> Client {
    vault.client("narrow").await.acting_for("acme", None)
}
