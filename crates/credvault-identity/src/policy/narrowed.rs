//! The policies that can apply to one action of one service, and their decision. Narrowed once and cached: a decision over
//! all policies costs four times as much as an empty call.

use std::collections::HashSet;

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityUid,
    Policy, PolicySet, PrincipalConstraint, Request, ResourceConstraint, Schema,
};
use credvault_domain::{Action, Permit, ServiceId};

use super::cedar::{text, uid};
use crate::Denial;
use crate::question::make_permit;
use crate::schema::groups;

/// The policies that can apply to a service's action, with the entities that they need.
pub(super) struct Narrowed {
    policies: PolicySet,
    entities: Entities,
    pub(super) principal: EntityUid,
    pub(super) action: EntityUid,
    /// Whether any of them is a `permit` policy.
    pub(super) permits: bool,
    /// The decision, if it is the same for every question.
    pub(super) always: Option<Result<Permit, Denial>>,
}

impl Narrowed {
    /// Selects those of `all` that can apply when `service` calls `action`.
    pub(super) fn select(all: &[Policy], schema: &Schema, service: &ServiceId, action: Action) -> Self {
        let principal = uid("Service", service.as_str());
        let names = [vec![action.as_str()], groups(action)].concat();
        let matching =
            all.iter().filter(|policy| fits_principal(policy, &principal) && fits_action(policy, &names));
        let policies: Vec<_> = matching.cloned().collect();
        let permits = policies.iter().any(|policy| policy.effect() == Effect::Permit);
        let constant = policies.iter().all(looks_at_nothing_else);
        let entities = entities(service, principal.clone(), schema);
        let policies = PolicySet::from_policies(policies).expect("ids were unique when the set was parsed");
        let named = uid("Action", action.as_str());
        let mut narrowed = Self { policies, entities, principal, action: named, permits, always: None };
        narrowed.always = constant.then(|| narrowed.constant(service, action));
        narrowed
    }

    /// The policies that can apply.
    pub(super) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.policies()
    }

    /// The decision of the policies on a request.
    pub(super) fn answer(
        &self,
        service: &ServiceId,
        action: Action,
        request: &Request,
    ) -> Result<Permit, Denial> {
        let response = Authorizer::new().is_authorized(request, &self.policies, &self.entities);
        let diagnostics = response.diagnostics();
        let failed: Vec<_> = diagnostics
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(error)| {
                // The error itself repeats values of the policy and of the call, so it is not logged.
                let id = error.policy_id().to_string();
                tracing::error!(
                    policy = id,
                    action = action.as_str(),
                    "a policy cannot be evaluated, so it denies"
                );
                id
            })
            .collect();
        if !failed.is_empty() {
            return Err(Denial { policies: failed, unevaluated: true, ..denial(service, action) });
        }
        let policies: Vec<_> = diagnostics.reason().map(ToString::to_string).collect();
        match response.decision() {
            Decision::Allow => Ok(make_permit(policies)),
            Decision::Deny => {
                let advice = diagnostics.reason().find_map(|id| self.policies.annotation(id, "advice"));
                Err(Denial { policies, advice: advice.map(str::to_owned), ..denial(service, action) })
            }
        }
    }

    /// The decision of policies that look at neither resource nor context, asked about an arbitrary resource.
    fn constant(&self, service: &ServiceId, action: Action) -> Result<Permit, Denial> {
        let (principal, named) = (self.principal.clone(), self.action.clone());
        let anywhere = uid("Platform", "platform");
        match Request::new(principal, named, anywhere, Context::empty(), None) {
            Ok(request) => self.answer(service, action, &request),
            Err(_) => Err(denial(service, action)),
        }
    }
}

/// Whether a policy looks at service and action only. `false` also if that is unclear.
fn looks_at_nothing_else(policy: &Policy) -> bool {
    let conditions = policy.to_json().ok();
    let conditions = conditions.as_ref().and_then(|json| json.get("conditions")?.as_array());
    conditions.is_some_and(Vec::is_empty) && policy.resource_constraint() == ResourceConstraint::Any
}

/// The calling service with its attributes, and the schema's actions with their groups.
fn entities(service: &ServiceId, principal: EntityUid, schema: &Schema) -> Entities {
    let attributes = [
        ("trust_domain".to_owned(), text(service.trust_domain().as_str())),
        ("path".to_owned(), text(service.path())),
    ];
    let entity = Entity::new(principal, attributes.into(), HashSet::new());
    let entity = entity.expect("attributes that are texts cannot fail to evaluate");
    Entities::from_entities([entity], Some(schema))
        .expect("a service has just the attributes that the schema names")
}

fn fits_principal(policy: &Policy, principal: &EntityUid) -> bool {
    match policy.principal_constraint() {
        PrincipalConstraint::Eq(named) | PrincipalConstraint::In(named) => named == *principal,
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
        PrincipalConstraint::IsIn(_, named) => named == *principal,
    }
}

/// Whether a policy names the action or a group that the action is in.
pub(super) fn fits_action(policy: &Policy, names: &[&str]) -> bool {
    let named = |uid: &EntityUid| names.contains(&uid.id().unescaped());
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => named(&uid),
        ActionConstraint::In(uids) => uids.iter().any(named),
    }
}

/// A denial without policies or advice.
pub(super) fn denial(service: &ServiceId, action: Action) -> Denial {
    Denial { service: service.clone(), action, policies: Vec::new(), unevaluated: false, advice: None }
}
