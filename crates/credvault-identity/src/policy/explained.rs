//! What policies say about a call that might be made, for the people who write them. No call stands behind the question, so
//! no permission comes of it.

use credvault_domain::{Action, TenantId};

use super::Policies;
use super::narrowed::denial;
use crate::question::{Facts, Resource};
use crate::schema::{Tells, Told, resources, tells};
use crate::{Caller, Denial};

/// What policies say about a call that might be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Explained {
    /// These policies permit it.
    Permitted(Vec<String>),
    /// A policy forbids it, or none permits it.
    Denied(Denial),
    /// The vault never asks this. The rest of a sentence about the action says what the question must have.
    NeverAsked(&'static str),
}

impl Policies {
    /// Decides about a call of this caller in the namespace of this tenant, or of the platform.
    pub fn explain(
        &self,
        caller: &Caller,
        action: Action,
        namespace: &TenantId,
        facts: Facts<'_>,
    ) -> Explained {
        let (service, resource) = (&caller.service, Resource::of(namespace));
        if let Some(rule) = never_asked(action, resource, facts) {
            return Explained::NeverAsked(rule);
        }
        let narrowed = self.narrow(service, action);
        if !narrowed.permits {
            return Explained::Denied(denial(service, action));
        }
        let answer = match &narrowed.always {
            Some(always) => always.clone(),
            None => self
                .question(&narrowed, action, resource, caller.circumstances(), facts)
                .map_err(|_| denial(service, action))
                .and_then(|request| narrowed.answer(service, action, &request)),
        };
        match answer {
            Ok(permit) => Explained::Permitted(permit.policies().to_vec()),
            Err(denial) => Explained::Denied(denial),
        }
    }
}

/// What a question must have about which the vault never asks; `None` if it may ask it.
fn never_asked(action: Action, resource: Resource<'_>, facts: Facts<'_>) -> Option<&'static str> {
    let (kind, rule) = match resource {
        Resource::Tenant(_) => ("Tenant", "is about the platform, so no tenant may be named"),
        Resource::Platform => ("Platform", "is about a tenant, which must be named"),
    };
    let Tells { provider, owner, purpose: _ } = tells(action);
    if !resources(action).contains(&kind) {
        return Some(rule);
    }
    if provider == Told::Always && facts.provider.is_none() {
        return Some("is about a provider, which must be named");
    }
    (owner == Told::Always && facts.owner.is_none()).then_some("is about an owner, which must be named")
}
