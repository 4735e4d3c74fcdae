//! What policy is asked.

use std::net::IpAddr;

use credvault_domain::{Connection, Owner, ProviderId, Purpose, TenantId};

/// Whose space the call is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource<'a> {
    /// A tenant's.
    Tenant(&'a TenantId),
    /// The platform's own.
    Platform,
}

impl<'a> Resource<'a> {
    /// The space of a scope's tenant.
    pub fn of(tenant: &'a TenantId) -> Self {
        if tenant.is_platform() { Self::Platform } else { Self::Tenant(tenant) }
    }
}

/// What is known of the thing that a call is about.
#[derive(Clone, Copy, Default, Debug)]
pub struct Facts<'a> {
    /// The provider.
    pub provider: Option<&'a ProviderId>,
    /// The owner.
    pub owner: Option<&'a Owner>,
    /// What the caller wants it for.
    pub purpose: Option<&'a Purpose>,
}

impl<'a> Facts<'a> {
    /// All that policy can know of a connection.
    pub fn of(connection: &'a Connection) -> Self {
        Self { provider: Some(&connection.provider), owner: Some(&connection.owner), purpose: None }
    }

    /// All that policy can know of a provider.
    pub fn of_provider(provider: &'a ProviderId) -> Self {
        Self { provider: Some(provider), ..Self::default() }
    }
}

/// A permission that was given.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Permit {
    /// The policies that permitted it, for the audit record.
    pub policies: Vec<String>,
}

/// What is known of the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) source: IpAddr,
    pub(crate) tenant_source: &'static str,
    pub(crate) user: Option<&'a str>,
}
