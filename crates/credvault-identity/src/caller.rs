//! The caller of the vault: service, tenant and user, and the headers that it presents. A value only: `identity.rs`
//! verifies it.

use std::net::IpAddr;

use credvault_domain::{ServiceId, TenantId, TenantSource, UserId};

use crate::question::Circumstances;

/// A tenant and a user whose ids were verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedTenant {
    /// The verified tenant of the call.
    pub tenant: TenantId,
    /// The verified user within the tenant, if the call names one.
    pub user: Option<UserId>,
    /// The proof of tenant and user.
    pub source: TenantSource,
}

/// The caller of one RPC, or of a browser's request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The service, from the certificate of its connection.
    pub service: ServiceId,
    /// The tenant and user, if the call names one.
    pub tenant: Option<VerifiedTenant>,
    /// The network address of the connection's other end.
    pub source_address: IpAddr,
}

impl Caller {
    /// The proof of the tenant, `None` if the call names no tenant.
    pub fn tenant_source(&self) -> TenantSource {
        self.tenant.as_ref().map_or(TenantSource::None, |tenant| tenant.source)
    }

    /// The verified user, if the call names one.
    pub fn user(&self) -> Option<&UserId> {
        self.tenant.as_ref()?.user.as_ref()
    }

    pub(crate) fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            source: self.source_address,
            tenant_source: self.tenant_source().as_str(),
            user: self.user().map(UserId::as_str),
        }
    }
}

/// The headers that a call presents besides its certificate.
#[derive(Clone, Copy, Default, Debug)]
pub struct Presented<'a> {
    /// The value of the `authorization` header.
    pub authorization: Option<&'a str>,
    /// The value of the `x-tenant-id` header.
    pub tenant: Option<&'a str>,
    /// The value of the `x-user-id` header.
    pub user: Option<&'a str>,
}
