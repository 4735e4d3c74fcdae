//! Permission: policy is asked here and, about the items of lists, in `list.rs`. Only this file gives a [`Permit`]. What policy
//! says about a call that is not made is asked here, too, and gives none.

use std::sync::Arc;

use credvault_domain::{
    Action, Connection, ConnectionId, Owner, Permit, Reach, TenantId, TenantScope, TrustDomain, UserId,
    Violations,
};
use credvault_identity::{Explanation, Facts, NeverAsked, Policies, PolicyQuestion};
use credvault_store::Weighed as _;

use super::{Call, Origin, Subject};
use crate::Refusal;

impl Call {
    /// Finds out which namespace the caller works in.
    pub(crate) fn find_scope(&mut self) -> Result<Arc<TenantScope>, Refusal> {
        let identity = &self.context.identity;
        let scope = match self.origin {
            Origin::Page(..) => identity.personal_scope(&self.caller)?,
            Origin::Service | Origin::Browser(_) | Origin::Vault => identity.scope(&self.caller)?,
        };
        let scope = Arc::new(scope);
        self.scope = Some(Arc::clone(&scope));
        Ok(scope)
    }

    /// Asks policy whether the caller may do this in a namespace.
    ///
    /// # Errors
    /// Policy does not permit it.
    pub fn permit(&self, scope: &TenantScope, facts: Facts<'_>) -> Result<Permit, Refusal> {
        if self.origin == Origin::Vault {
            return Ok(self.permit_own_work(scope));
        }
        Ok(self.context.identity.authorize(&self.caller, self.action, scope.tenant(), facts)?)
    }

    /// Asks policy whether the caller may read the catalog.
    ///
    /// # Errors
    /// Policy does not permit it.
    pub fn permit_catalog(&self, facts: Facts<'_>) -> Result<Permit, Refusal> {
        Ok(self.context.identity.authorize_catalog(&self.caller, self.action, facts)?)
    }

    /// Asks policy whether the caller may administer a tenant; none means the platform.
    ///
    /// # Errors
    /// Policy does not permit it, or the service calls too often.
    pub fn administer(
        &mut self,
        tenant: Option<TenantId>,
        facts: Facts<'_>,
    ) -> Result<(Permit, TenantScope), Refusal> {
        // Before policy is asked, so that a refusal is on record with the tenant that it was about.
        self.subject.tenant.clone_from(&tenant);
        let (scope, permit) = self.context.identity.administer(&self.caller, self.action, tenant, facts)?;
        self.context.limits.count_administration(&self.caller.service, scope.tenant())?;
        self.subject.tenant = Some(scope.tenant().clone());
        Ok((permit, scope))
    }

    /// Finds a connection in the caller's namespace and asks policy about it.
    ///
    /// # Errors
    /// There is no such connection, or policy does not permit the call.
    pub async fn connection(&mut self, id: ConnectionId) -> Result<(Permit, Connection), Refusal> {
        let scope = self.scope()?;
        self.subject.connection = Some(id);
        let connection = self.context.store.connections().get(&scope, id).await?;
        self.subject.found(&connection);
        self.room(connection.weight()).await?;
        let permit = self.permit(&scope, Facts::of(&connection))?;
        Ok((permit, connection))
    }

    /// Finds a connection in a namespace that the caller was permitted to administer, and asks policy about it.
    ///
    /// # Errors
    /// There is no such connection there, or policy does not permit the call.
    pub(crate) async fn administered_connection(
        &mut self,
        scope: &TenantScope,
        id: ConnectionId,
    ) -> Result<(Permit, Connection), Refusal> {
        self.subject.connection = Some(id);
        let connection = self.context.store.connections().get_any(scope, id).await?;
        self.subject.found(&connection);
        self.room(connection.weight()).await?;
        let permit = self.permit(scope, Facts::of(&connection))?;
        Ok((permit, connection))
    }

    /// What the policies in use say about a call that might be made.
    pub(crate) fn explain(&self, question: &PolicyQuestion) -> Result<Explanation, NeverAsked> {
        self.context.identity.explain(question)
    }

    /// The policies in use, and the trust domains whose services can call. They are the same for many questions.
    pub(crate) fn policies_in_use(&self) -> (Arc<Policies>, Vec<TrustDomain>) {
        let identity = &self.context.identity;
        (identity.policies(), identity.trust().domains())
    }

    /// The permission for a change that this very request has made before, and whose subject is gone: policy was asked then,
    /// and the store changes nothing, but answers from its memory of the first request.
    pub(crate) fn permit_repetition(&self, scope: &TenantScope) -> Permit {
        self.permit_own_work(scope)
    }

    #[expect(clippy::disallowed_methods, reason = "the vault's own work, and what was permitted before")]
    fn permit_own_work(&self, scope: &TenantScope) -> Permit {
        let (_, permit) = self.context.identity.own_work(scope.tenant().clone());
        permit
    }

    /// Asks policy whether the caller may have what is kept inside otherwise: in the namespace that owns it, for the platform's
    /// secrets are not the calling tenant's to permit.
    pub(crate) fn permit_release(
        &self,
        owner: &TenantId,
        facts: Facts<'_>,
    ) -> Result<Permit, credvault_identity::Error> {
        self.context.identity.authorize(&self.caller, Action::FetchRefreshToken, owner, facts)
    }

    /// Asks policy whether the caller may have a connection refer to a secret that others keep in a store.
    pub(crate) fn permit_reference(
        &self,
        scope: &TenantScope,
        connection: &Connection,
    ) -> Result<Permit, Refusal> {
        let (action, facts) = (Action::ReferToSecret, Facts::of(connection));
        Ok(self.context.identity.authorize(&self.caller, action, scope.tenant(), facts)?)
    }

    /// Refuses to touch what belongs to a user whom the scope does not reach. The call's record names that user, whether
    /// there is anything or not.
    pub(crate) fn reach(&mut self, scope: &TenantScope, user: Option<&UserId>) -> Result<(), Refusal> {
        let Some(user) = user else { return Ok(()) };
        self.subject.owner_user = Some(user.clone());
        if !scope.reaches(user) {
            let identity = &self.context.identity;
            let tenant = scope.tenant();
            let _ = identity.authorize(&self.caller, Action::AccessOtherUsers, tenant, Facts::default())?;
        }
        Ok(())
    }

    /// Refuses what tells users apart to a caller who does not reach all of them.
    pub(crate) fn reach_all(&self, scope: &TenantScope) -> Result<(), Refusal> {
        if *scope.reach() != Reach::AllUsers {
            let identity = &self.context.identity;
            let other_users = Action::AccessOtherUsers;
            let _ = identity.authorize(&self.caller, other_users, scope.tenant(), Facts::default())?;
        }
        Ok(())
    }

    /// The owner of something new: the one that the request names, or the verified user, or the namespace that the call works
    /// in.
    pub(crate) fn owner(&mut self, scope: &TenantScope, named: Option<Owner>) -> Result<Owner, Refusal> {
        let owner = match (named, self.caller.user()) {
            (Some(owner), _) => owner,
            (None, _) if scope.tenant().is_platform() => Owner::Platform,
            (None, Some(user)) => Owner::User(user.clone()),
            (None, None) => Owner::Tenant,
        };
        self.check_owner(scope, &owner)?;
        Ok(owner)
    }

    /// Refuses an owner that has nothing in the namespace that the call works in, or is out of its reach.
    pub(crate) fn check_owner(&mut self, scope: &TenantScope, owner: &Owner) -> Result<(), Refusal> {
        self.reach(scope, owner.user())?;
        let platform = scope.tenant().is_platform();
        if (*owner == Owner::Platform) == platform {
            return Ok(());
        }
        let rule = if platform {
            "must be OWNER_KIND_PLATFORM in a call that names no tenant"
        } else {
            "must not be OWNER_KIND_PLATFORM in a call for a tenant; leave the tenant out of the call instead"
        };
        Err(Violations::of("owner.kind", rule).into())
    }

    /// Sets what the call is about, as its request names it.
    pub(crate) fn about(&mut self, subject: Subject) {
        self.subject = subject;
    }
}
