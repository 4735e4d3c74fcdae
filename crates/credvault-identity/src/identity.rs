//! The three checks in their order: certificate, tenant, policy.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use credvault_domain::{Action, Present, Reach, ServiceId, TenantId, TenantScope, TenantSource, UserId};

use crate::question::Circumstances;
use crate::{Error, Facts, Issuers, PeerCertificate, Permit, Policies, Resource, Trust};

/// The tenant that was vouched for, and the user if one was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedTenant {
    /// The tenant.
    pub tenant: TenantId,
    /// The user within it.
    pub user: Option<UserId>,
    /// What vouched for them.
    pub source: TenantSource,
}

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The service, from the certificate of its connection.
    pub service: ServiceId,
    /// The tenant and user, if the call names one.
    pub tenant: Option<VerifiedTenant>,
    /// The address that the connection comes from.
    pub source: IpAddr,
}

impl Caller {
    /// What vouched for the tenant.
    pub fn tenant_source(&self) -> TenantSource {
        self.tenant.as_ref().map_or(TenantSource::None, |tenant| tenant.source)
    }

    /// The verified user.
    pub fn user(&self) -> Option<&UserId> {
        self.tenant.as_ref()?.user.as_ref()
    }

    fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            source: self.source,
            tenant_source: self.tenant_source().as_str(),
            user: self.user().map(UserId::as_str),
        }
    }
}

/// What a call presents besides its certificate.
#[derive(Clone, Copy, Default, Debug)]
pub struct Presented<'a> {
    /// The `authorization` header.
    pub authorization: Option<&'a str>,
    /// The `x-tenant-id` header.
    pub tenant: Option<&'a str>,
    /// The `x-user-id` header.
    pub user: Option<&'a str>,
}

/// Checks callers.
#[derive(Debug)]
pub struct Identity {
    trust: Arc<Trust>,
    issuers: Issuers,
    policies: ArcSwap<Policies>,
}

impl Identity {
    /// Checks callers against these.
    pub fn new(trust: Arc<Trust>, issuers: Issuers, policies: Policies) -> Self {
        Self { trust, issuers, policies: ArcSwap::from_pointee(policies) }
    }

    /// The trust domains.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The issuers of tokens.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Replaces the policies, for the calls that begin from now on.
    pub fn replace_policies(&self, policies: Policies) {
        self.policies.store(Arc::new(policies));
    }

    /// Says who calls. A header names the tenant only for services that policy permits `AssertTenant` for it.
    ///
    /// # Errors
    /// The certificate does not count, the token does not verify, or what is presented disagrees.
    pub async fn authenticate(
        &self,
        peer: &PeerCertificate,
        checked: &AtomicU64,
        source: IpAddr,
        presented: Presented<'_>,
        present: Present,
    ) -> Result<Caller, Error> {
        let service = self.trust.service(peer, checked, present)?.clone();
        let tenant = header("x-tenant-id", presented.tenant, TenantId::parse)?;
        let user = header("x-user-id", presented.user, UserId::parse)?;
        let mut caller = Caller { service, tenant: None, source };
        match (presented.authorization, tenant) {
            (Some(authorization), tenant) => {
                let verified = self.issuers.verify(authorization, &caller.service, present).await?;
                if tenant.is_some_and(|tenant| tenant != verified.tenant) {
                    return Err(Error::Mismatch("x-tenant-id"));
                }
                if user.is_some() && user != verified.user {
                    return Err(Error::Mismatch("x-user-id"));
                }
                caller.tenant = Some(verified);
            }
            (None, Some(tenant)) => {
                let claimed = VerifiedTenant { tenant, user, source: TenantSource::Header };
                let resource = Resource::Tenant(&claimed.tenant);
                let circumstances = Circumstances {
                    source,
                    tenant_source: TenantSource::Header.as_str(),
                    user: claimed.user.as_ref().map(UserId::as_str),
                };
                let policies = self.policies.load();
                policies.decide(
                    &caller.service,
                    Action::AssertTenant,
                    resource,
                    circumstances,
                    Facts::default(),
                )?;
                caller.tenant = Some(claimed);
            }
            (None, None) if user.is_some() => return Err(Error::TenantMissing),
            (None, None) => {}
        }
        Ok(caller)
    }

    /// Refuses a service that no policy permits this action at all, before anything is looked up for it.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn admit(&self, caller: &Caller, action: Action) -> Result<(), Error> {
        Ok(self.policies.load().admit(&caller.service, action)?)
    }

    /// The space that the caller works in. Its verified tenant's: all users' rows if policy permits `AccessOtherUsers`,
    /// else those of its verified user and what is shared, and without a user what is shared alone. Or without a tenant
    /// the platform's own, which no user has a part in, if policy permits `ActForPlatform`.
    ///
    /// # Errors
    /// [`Error::TenantMissing`] if it is neither.
    pub fn scope(&self, caller: &Caller) -> Result<TenantScope, Error> {
        let Some(verified) = &caller.tenant else {
            return match self.ask(caller, Action::ActForPlatform, Resource::Platform, Facts::default()) {
                Ok(_) => Ok(make_scope(TenantId::platform(), Reach::AllUsers)),
                Err(_) => Err(Error::TenantMissing),
            };
        };
        let others =
            self.ask(caller, Action::AccessOtherUsers, Resource::Tenant(&verified.tenant), Facts::default());
        let reach = match (others, &verified.user) {
            (Ok(_), _) => Reach::AllUsers,
            (Err(_), Some(user)) => Reach::User(user.clone()),
            (Err(_), None) => Reach::Shared,
        };
        Ok(make_scope(verified.tenant.clone(), reach))
    }

    /// The space of what the vault does by itself for a tenant, which no call asks for.
    pub fn own_work(&self, tenant: TenantId) -> TenantScope {
        make_scope(tenant, Reach::AllUsers)
    }

    /// Decides whether the caller may do this in the space of this tenant, or of the platform.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn authorize(
        &self,
        caller: &Caller,
        action: Action,
        space: &TenantId,
        facts: Facts<'_>,
    ) -> Result<Permit, Error> {
        self.ask(caller, action, Resource::of(space), facts)
    }

    /// Decides whether the caller may read the catalog, with or without a tenant.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn authorize_catalog(
        &self,
        caller: &Caller,
        action: Action,
        facts: Facts<'_>,
    ) -> Result<Permit, Error> {
        let resource =
            caller.tenant.as_ref().map_or(Resource::Platform, |verified| Resource::Tenant(&verified.tenant));
        self.ask(caller, action, resource, facts)
    }

    /// Decides whether the caller may administer a tenant that its request names (none: the platform), and gives the
    /// scope of that.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn administer(
        &self,
        caller: &Caller,
        action: Action,
        tenant: Option<TenantId>,
        facts: Facts<'_>,
    ) -> Result<(TenantScope, Permit), Error> {
        let tenant = tenant.unwrap_or_else(TenantId::platform);
        let permit = self.ask(caller, action, Resource::of(&tenant), facts)?;
        Ok((make_scope(tenant, Reach::AllUsers), permit))
    }

    fn ask(
        &self,
        caller: &Caller,
        action: Action,
        resource: Resource<'_>,
        facts: Facts<'_>,
    ) -> Result<Permit, Error> {
        self.policies.load().decide(&caller.service, action, resource, caller.circumstances(), facts)
    }
}

#[expect(clippy::disallowed_methods, reason = "this crate is the one that verifies tenants")]
fn make_scope(tenant: TenantId, reach: Reach) -> TenantScope {
    TenantScope::assume_verified(tenant, reach)
}

fn header<T>(
    name: &'static str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, credvault_domain::NameError>,
) -> Result<Option<T>, Error> {
    value.map(parse).transpose().map_err(|rule| Error::Header { header: name, rule: rule.to_string() })
}
