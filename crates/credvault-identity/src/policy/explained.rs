//! What policies say about a call that might be made, for the people who write them. No call stands behind the question, so
//! no permission comes of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cedar_policy::Effect;
use credvault_domain::{
    Action, ActionTarget, Owner, ProviderId, Purpose, ServiceId, TenantId, TenantSource, UserId,
};

use super::Policies;
use super::narrowed::denial;
use crate::caller::VerifiedTenant;
use crate::question::{Facts, Resource};
use crate::schema::{Tells, Told, resources, tells};
use crate::{Caller, Denial};

/// A call that might be made: who calls, and what the call is about.
#[derive(Clone, Debug)]
pub struct PolicyQuestion {
    /// The service that would call.
    pub service: ServiceId,
    /// The RPC or the permission.
    pub action: Action,
    /// The tenant that the call is about; none means the platform.
    pub tenant: Option<TenantId>,
    /// What vouches for the tenant: by default a header, and nothing for calls of administrators.
    pub tenant_source: Option<TenantSource>,
    /// The verified user of the call, if it has one.
    pub user: Option<UserId>,
    /// The address that the call comes from.
    pub source_address: IpAddr,
    /// The provider of the connection.
    pub provider: Option<ProviderId>,
    /// The owner of the connection.
    pub owner: Option<Owner>,
    /// The purpose that the caller gives.
    pub purpose: Option<Purpose>,
}

/// What the policies say about a call that might be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The decisions about the permissions that the call needs besides, and then the one about its own action.
    pub decisions: Vec<PolicyDecision>,
    /// The facts that policies may look at for this action and that the question lacks, by the names of the API.
    pub not_given: Vec<&'static str>,
}

impl Explanation {
    /// The first decision that denies the call, if one does.
    pub fn denial(&self) -> Option<&Denial> {
        self.decisions.iter().find_map(|decision| decision.denial.as_ref())
    }
}

/// What the policies say about one action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyDecision {
    /// The RPC or the permission.
    pub action: Action,
    /// The policies that permit it, or that forbid it or cannot be evaluated; empty if no policy permits it.
    pub policies: Vec<DecidingPolicy>,
    /// Why it is denied; `None` if it is permitted.
    pub denial: Option<Denial>,
}

/// A policy that decides, as its file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecidingPolicy {
    /// Its `@id`, or the name of its file and its number there.
    pub id: String,
    /// The name of the file that it stands in.
    pub file: String,
    /// Whether it is a `forbid`; otherwise it is a `permit`.
    pub forbids: bool,
    /// Its other annotations, such as `advice`.
    pub annotations: BTreeMap<String, String>,
    /// Whether it denies because it cannot be evaluated.
    pub unevaluated: bool,
}

/// Why the vault never asks a question: a fact is missing, or is one too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{fact} {rule}")]
pub struct NeverAsked {
    /// The fact, by its name in the API.
    pub fact: &'static str,
    /// The rule that it breaks, as the end of a sentence about it.
    pub rule: &'static str,
}

impl PolicyQuestion {
    /// The caller of such a call.
    fn caller(&self) -> Result<Caller, NeverAsked> {
        let source = match self.tenant_source {
            Some(source) => source,
            None if self.action.service() == "AdminService" => TenantSource::None,
            None => TenantSource::Header,
        };
        let vouched = self.tenant.clone().filter(|_| source != TenantSource::None);
        if self.user.is_some() && vouched.is_none() {
            let rule = "needs a tenant that is vouched for: name the tenant, and what vouches for it if that is none";
            return Err(NeverAsked { fact: "user_id", rule });
        }
        let user = self.user.clone();
        let tenant = vouched.map(|tenant| VerifiedTenant { tenant, user, source });
        Ok(Caller { service: self.service.clone(), tenant, source_address: self.source_address })
    }

    /// The permissions without which the vault does not ask about the action.
    fn permissions(&self, caller: &Caller, namespace: &TenantId) -> Vec<Action> {
        let mut needed = Vec::new();
        if caller.tenant_source() == TenantSource::Header {
            needed.push(Action::AssertTenant);
        }
        let in_namespace = matches!(self.action.target(), ActionTarget::Connection | ActionTarget::Namespace);
        if in_namespace && namespace.is_platform() {
            needed.push(Action::ActForPlatform);
        }
        if let Some(Owner::User(user)) = self.owner.as_ref().filter(|_| in_namespace)
            && caller.user() != Some(user)
        {
            needed.push(Action::AccessOtherUsers);
        }
        needed.retain(|permission| *permission != self.action);
        needed
    }

    /// What policies may look at and the question lacks.
    fn not_given(&self, caller: &Caller) -> Vec<&'static str> {
        let Tells { provider, owner, purpose } = tells(self.action);
        let lacks = |told: Told, given: bool| told == Told::Maybe && !given;
        let facts = [
            ("user_id", caller.tenant.is_some() && caller.user().is_none()),
            ("provider", lacks(provider, self.provider.is_some())),
            ("owner", lacks(owner, self.owner.is_some())),
            ("purpose", lacks(purpose, self.purpose.is_some())),
        ];
        facts.into_iter().filter(|(_, lacking)| *lacking).map(|(name, _)| name).collect()
    }
}

impl Policies {
    /// What decides whether the call would be permitted: the permissions that it needs besides, and then its action.
    ///
    /// # Errors
    /// The vault never asks such a question.
    pub fn explain(&self, question: &PolicyQuestion) -> Result<Explanation, NeverAsked> {
        let caller = question.caller()?;
        let namespace = question.tenant.clone().unwrap_or_else(TenantId::platform);
        let PolicyQuestion { provider, owner, purpose, .. } = question;
        let facts = Facts { provider: provider.as_ref(), owner: owner.as_ref(), purpose: purpose.as_ref() };
        let besides = question.permissions(&caller, &namespace).into_iter();
        let decisions = besides
            .map(|action| (action, Facts::default()))
            .chain([(question.action, facts)])
            .map(|(action, facts)| self.explained(&caller, action, &namespace, facts))
            .collect::<Result<_, _>>()?;
        Ok(Explanation { decisions, not_given: question.not_given(&caller) })
    }

    fn explained(
        &self,
        caller: &Caller,
        action: Action,
        namespace: &TenantId,
        facts: Facts<'_>,
    ) -> Result<PolicyDecision, NeverAsked> {
        let (service, resource) = (&caller.service, Resource::of(namespace));
        check_asked(action, resource, facts)?;
        let narrowed = self.narrow(service, action);
        let answer = if !narrowed.permits {
            Err(denial(service, action))
        } else if let Some(always) = &narrowed.always {
            always.clone()
        } else {
            self.question(&narrowed, action, resource, caller.circumstances(), facts)
                .map_err(|_| denial(service, action))
                .and_then(|request| narrowed.answer(service, action, &request))
        };
        let (ids, denial) = match answer {
            Ok(permit) => (permit.policies().to_vec(), None),
            Err(denial) => (denial.policies.clone(), Some(denial)),
        };
        let unevaluated = denial.as_ref().is_some_and(|denial| denial.unevaluated);
        let policies = ids.into_iter().map(|id| self.deciding(id, unevaluated)).collect();
        Ok(PolicyDecision { action, policies, denial })
    }

    /// A policy as its file has it, by its id.
    pub(super) fn deciding(&self, id: String, unevaluated: bool) -> DecidingPolicy {
        let policy = self.all.iter().find(|policy| policy.id().to_string() == id);
        let annotations = policy.into_iter().flat_map(|policy| policy.annotations());
        let annotations = annotations.filter(|(name, _)| *name != "id");
        DecidingPolicy {
            file: self.files.get(&id).cloned().unwrap_or_default(),
            forbids: policy.is_some_and(|policy| policy.effect() == Effect::Forbid),
            annotations: annotations.map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
            unevaluated,
            id,
        }
    }
}

/// Refuses a question that the vault never asks.
fn check_asked(action: Action, resource: Resource<'_>, facts: Facts<'_>) -> Result<(), NeverAsked> {
    let (kind, rule) = match resource {
        Resource::Tenant(_) => ("Tenant", "must not be given: the action is about the platform"),
        Resource::Platform => ("Platform", "must be given: the action is about a tenant"),
    };
    if !resources(action).contains(&kind) {
        return Err(NeverAsked { fact: "tenant_id", rule });
    }
    let Tells { provider, owner, purpose: _ } = tells(action);
    if provider == Told::Always && facts.provider.is_none() {
        let rule = "must be given: the action is about a provider";
        return Err(NeverAsked { fact: "provider", rule });
    }
    if owner == Told::Always && facts.owner.is_none() {
        return Err(NeverAsked { fact: "owner", rule: "must be given: the action is about an owner" });
    }
    Ok(())
}
