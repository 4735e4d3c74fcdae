//! The three checks of a caller in their order: certificate, tenant, policy. The only maker of a `TenantScope`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use credvault_domain::{Action, Permit, Present, Reach, TenantId, TenantScope, TenantSource, UserId};

use crate::caller::{Caller, Presented, VerifiedTenant};
use crate::question::{Circumstances, make_permit};
use crate::{
    Error, Explanation, Facts, Issuers, NeverAsked, PeerCertificate, Policies, PolicyQuestion, Resource,
    Trust,
};

/// Verifies callers and decides what they may do.
#[derive(Debug)]
pub struct Identity {
    trust: Arc<Trust>,
    issuers: Issuers,
    policies: ArcSwap<Policies>,
}

impl Identity {
    /// Verifies callers against these trust domains, issuers and policies.
    pub fn new(trust: Arc<Trust>, issuers: Issuers, policies: Policies) -> Self {
        Self { trust, issuers, policies: ArcSwap::from_pointee(policies) }
    }

    /// The trust domains whose certificates count.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The issuers of tokens.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Replaces the policies, for calls that begin after this one returns.
    pub fn replace_policies(&self, policies: Policies) {
        self.policies.store(Arc::new(policies));
    }

    /// Verifies the caller. A header without a token names the tenant only for services to which policy permits
    /// `AssertTenant` for this tenant.
    ///
    /// # Errors
    /// The certificate is refused, the token does not verify, or token and headers disagree.
    pub async fn authenticate(
        &self,
        peer: &PeerCertificate,
        checked: &AtomicU64,
        source_address: IpAddr,
        presented: Presented<'_>,
        present: Present,
    ) -> Result<Caller, Error> {
        let service = self.trust.service(peer, checked, present)?.clone();
        let tenant = header("x-tenant-id", presented.tenant, TenantId::parse)?;
        let user = header("x-user-id", presented.user, UserId::parse)?;
        let mut caller = Caller { service, tenant: None, source_address };
        match (presented.authorization, tenant) {
            (Some(authorization), tenant) => {
                let verified = self.issuers.verify(authorization, &caller.service, present).await?;
                // A header that disagreed could make a proxy or a log take the call for another tenant's.
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
                self.check_delegate(&caller, &claimed)?;
                caller.tenant = Some(claimed);
            }
            (None, None) if user.is_some() => return Err(Error::TenantMissing),
            (None, None) => {}
        }
        Ok(caller)
    }

    /// Whether policy permits the service to name this tenant without a token.
    fn check_delegate(&self, caller: &Caller, claimed: &VerifiedTenant) -> Result<(), Error> {
        let circumstances = Circumstances {
            source: caller.source_address,
            tenant_source: claimed.source.as_str(),
            user: claimed.user.as_ref().map(UserId::as_str),
        };
        let resource = Resource::Tenant(&claimed.tenant);
        let policies = self.policies.load();
        let asked = Action::AssertTenant;
        policies.decide(&caller.service, asked, resource, circumstances, Facts::default()).map(drop)
    }

    /// Refuses a service to which no policy permits this action for any target. The caller of this function has not looked
    /// anything up yet, so the refusal reveals nothing.
    ///
    /// # Errors
    /// [`Error::Denied`] if no policy can permit it.
    pub fn admit(&self, caller: &Caller, action: Action) -> Result<(), Error> {
        Ok(self.policies.load().admit(&caller.service, action)?)
    }

    /// The scope of the caller's verified tenant. It reaches the rows of all users if policy permits `AccessOtherUsers`,
    /// otherwise those of the verified user and shared rows, and without a user shared rows only. A caller without a
    /// tenant gets the platform's namespace, which has no users, if policy permits `ActForPlatform`.
    ///
    /// # Errors
    /// [`Error::TenantMissing`] if the caller has no tenant and may not act for the platform.
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

    /// The scope of a connect page: the rows of the caller's verified user, and what is shared, whatever else policy lets the
    /// service reach. A service that may not name the tenant any more has none.
    ///
    /// # Errors
    /// [`Error::TenantMissing`] without a verified user, [`Error::Denied`] if the service may not name the tenant.
    pub fn personal_scope(&self, caller: &Caller) -> Result<TenantScope, Error> {
        let (Some(verified), Some(user)) = (&caller.tenant, caller.user()) else {
            return Err(Error::TenantMissing);
        };
        if verified.source == TenantSource::Header {
            self.check_delegate(caller, verified)?;
        }
        Ok(make_scope(verified.tenant.clone(), Reach::User(user.clone())))
    }

    /// The namespace and the permission of what the vault does by itself for a tenant: no call asks for it, so no policy
    /// decides.
    pub fn own_work(&self, tenant: TenantId) -> (TenantScope, Permit) {
        (make_scope(tenant, Reach::AllUsers), make_permit(Vec::new()))
    }

    /// Decides whether the caller may do this in the namespace of this tenant, or of the platform.
    ///
    /// # Errors
    /// [`Error::Denied`] with the policies that decided.
    pub fn authorize(
        &self,
        caller: &Caller,
        action: Action,
        namespace: &TenantId,
        facts: Facts<'_>,
    ) -> Result<Permit, Error> {
        self.ask(caller, action, Resource::of(namespace), facts)
    }

    /// Decides whether the caller may read the catalog, with or without a tenant.
    ///
    /// # Errors
    /// [`Error::Denied`] with the policies that decided.
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

    /// Decides whether the caller may administer the tenant that its request names, or the platform if it names none.
    /// Returns the scope for that.
    ///
    /// # Errors
    /// [`Error::Denied`] with the policies that decided.
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

    /// What the policies in use say about a call that might be made. No permission comes of it.
    ///
    /// # Errors
    /// The vault never asks such a question.
    pub fn explain(&self, question: &PolicyQuestion) -> Result<Explanation, NeverAsked> {
        self.policies.load().explain(question)
    }

    /// The policies in use, for questions about several calls that are answered alike.
    pub fn policies(&self) -> Arc<Policies> {
        self.policies.load_full()
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

#[expect(clippy::disallowed_methods, reason = "this crate verifies tenants, and no other may")]
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
