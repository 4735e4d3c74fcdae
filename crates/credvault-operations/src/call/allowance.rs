//! What a tenant allows its callers: from where they may call, how often, and how many bytes of answers they may hold.

use std::sync::Arc;

use credvault_domain::{ActionKind, ActionTarget, LimitKind, TenantId, TenantScope};
use credvault_identity::Denial;
use credvault_store::{Reporter, TenantRules};

use super::{Call, Origin};
use crate::Refusal;
use crate::inquiries::Payer;
use crate::limits::Counted;

/// The name of source rules in metadata and records, where a policy's name stands otherwise.
pub(crate) const SOURCE_RULES: &str = "source_rules";

impl Call {
    /// Holds a call against the tenant's source rules, finds out which namespace the caller works in, and counts the call.
    ///
    /// Administration has neither: its calls are the platform's, whatever a tenant's rules say.
    pub(super) async fn enter(&mut self) -> Result<(), Refusal> {
        if self.scope.is_some() {
            return Ok(());
        }
        self.check_source().await?;
        match self.action.target() {
            ActionTarget::Connection | ActionTarget::Namespace => {
                let scope = self.find_scope()?;
                if let (Origin::Service, Some(user)) = (self.origin, self.caller.user()) {
                    self.context.store.note_user(scope.tenant(), user);
                }
                self.count(&scope, 1)?;
                self.limit_answer(&scope);
                Ok(())
            }
            ActionTarget::NamedTenant | ActionTarget::Platform | ActionTarget::Catalog => Ok(()),
        }
    }

    /// Refuses a service that calls for a tenant from an address which the tenant's source rules do not allow, and learns of
    /// the tenant's limits. A browser continues the call that a service made from its own address.
    pub(crate) async fn check_source(&mut self) -> Result<(), Refusal> {
        let Some(rules) = self.rules().await? else { return Ok(()) };
        self.limits = self.limits.overridden(&rules.limits);
        let (service, address) = (&self.caller.service, self.caller.source_address);
        // A consent that an earlier release began has no address.
        let is_known = self.origin == Origin::Service || !address.is_unspecified();
        if !is_known || rules.sources.allow(service, address) {
            return Ok(());
        }
        Err(Refusal::Source(Denial {
            service: service.clone(),
            action: self.action,
            policies: vec![SOURCE_RULES.to_owned()],
            unevaluated: false,
            advice: Some(
                "the tenant allows its calls from other addresses only; call from one of those, or have an \
                 administrator change them (GetSourceRules, SetSourceRules)"
                    .to_owned(),
            ),
        }))
    }

    /// Has what an administrator causes at providers for a tenant count by that tenant's own limits, as its callers' does.
    pub(crate) async fn count_by_limits_of(&mut self, tenant: &TenantId) -> Result<(), Refusal> {
        if let Some(rules) = self.context.store.rules_of(tenant).await? {
            self.limits = self.limits.overridden(&rules.limits);
        }
        Ok(())
    }

    /// The rules of the tenant that the call is for.
    async fn rules(&self) -> Result<Option<Arc<TenantRules>>, Refusal> {
        match &self.caller.tenant {
            Some(verified) if !self.action.administers() => {
                Ok(self.context.store.rules_of(&verified.tenant).await?)
            }
            _ => Ok(None),
        }
    }

    /// Counts calls in the caller's namespace, and those that fetch as fetches, too.
    pub(crate) fn count(&self, scope: &TenantScope, calls: u32) -> Result<(), Refusal> {
        let kinds: &[LimitKind] = if self.action.kind() == ActionKind::Fetch {
            &[LimitKind::CallsPerSecond, LimitKind::FetchesPerSecond]
        } else {
            &[LimitKind::CallsPerSecond]
        };
        self.context.limits.count(&self.limits, kinds, self.counted(scope), calls)
    }

    /// How many fetches may come at once, if there is a limit.
    pub(crate) fn at_once(&self) -> Option<u64> {
        let scope = self.scope.as_ref()?;
        self.context.limits.at_once(&self.limits, self.counted(scope))
    }

    /// Counts a call to a provider that the caller causes, over all replicas. What the vault does by itself has rates of its
    /// own.
    pub(crate) async fn count_everywhere(&self, scope: &TenantScope, kind: LimitKind) -> Result<(), Refusal> {
        if self.origin == Origin::Vault {
            return Ok(());
        }
        let (limits, store) = (&self.context.limits, &self.context.store);
        limits.count_everywhere(store, scope, &self.limits, kind, self.counted(scope)).await
    }

    /// Counts a refresh that the caller insists on.
    pub(crate) async fn count_forced(&self, scope: &TenantScope) -> Result<(), Refusal> {
        self.count_everywhere(scope, LimitKind::RefreshesPerMinute).await
    }

    /// Who pays for a call to a provider that a report of the caller causes, and that continues without the caller.
    pub(crate) fn payer(&self, scope: &TenantScope) -> Payer {
        let reporter = Reporter { service: self.caller.service.clone(), tenant: scope.tenant().clone() };
        Payer { reporter, user: self.caller.user().cloned(), scope: scope.clone(), limits: self.limits }
    }

    fn counted<'a>(&'a self, scope: &'a TenantScope) -> Counted<'a> {
        Counted { tenant: scope.tenant(), user: self.caller.user(), service: &self.caller.service }
    }

    /// Has the answer take its room from the tenant's, too, if that is limited.
    fn limit_answer(&mut self, scope: &TenantScope) {
        let bytes = usize::try_from(self.limits.of(LimitKind::ResponseBytes)).unwrap_or(usize::MAX);
        if bytes > 0
            && let Some(answer) = &mut self.answer
        {
            answer.limit(self.context.tenant_rooms.of(scope.tenant().clone(), bytes));
        }
    }
}
