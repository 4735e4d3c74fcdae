//! The question that policy answers: the resource, the facts about it, and the caller's circumstances. Knows no Cedar.

use std::net::IpAddr;

use credvault_domain::{Connection, Owner, Permit, ProviderId, Purpose, TenantId};

/// The namespace that a call is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource<'a> {
    /// The namespace of a tenant.
    Tenant(&'a TenantId),
    /// The platform's own namespace.
    Platform,
}

impl<'a> Resource<'a> {
    /// The namespace of a scope's tenant.
    pub fn of(tenant: &'a TenantId) -> Self {
        if tenant.is_platform() { Self::Platform } else { Self::Tenant(tenant) }
    }
}

/// The known facts about the object of a call.
#[derive(Clone, Copy, Default, Debug)]
pub struct Facts<'a> {
    /// The provider of the connection.
    pub provider: Option<&'a ProviderId>,
    /// The owner of the connection.
    pub owner: Option<&'a Owner>,
    /// The purpose that the caller gave.
    pub purpose: Option<&'a Purpose>,
}

impl<'a> Facts<'a> {
    /// The facts of a connection.
    pub fn of(connection: &'a Connection) -> Self {
        Self { provider: Some(&connection.provider), owner: Some(&connection.owner), purpose: None }
    }

    /// The facts of a provider in the catalog.
    pub fn of_provider(provider: &'a ProviderId) -> Self {
        Self { provider: Some(provider), ..Self::default() }
    }
}

/// The facts about the caller, besides its service id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) source: IpAddr,
    pub(crate) tenant_source: &'static str,
    pub(crate) user: Option<&'a str>,
}

/// A permission that these policies have given.
#[expect(clippy::disallowed_methods, reason = "this crate is the one that asks policy")]
pub(crate) fn make_permit(policies: Vec<String>) -> Permit {
    Permit::assume_permitted(policies)
}
