//! Calls that might be made, as domain types, and what the policies say about them, as messages.

use std::net::{IpAddr, Ipv4Addr};

use credvault_domain::{
    Action, ConnectionId, ProviderId, Purpose, ServiceId, TenantId, TenantSource, UserId, Violations,
};
use credvault_identity::{DecidingPolicy, Explanation, PolicyDecision, PolicyQuestion};

use super::parse::{optional, owner};
use super::render::owner_of;
use credvault_proto::v1;

/// What may vouch for the tenant of a call that a service makes.
const SOURCES: [TenantSource; 4] =
    [TenantSource::None, TenantSource::Token, TenantSource::Assertion, TenantSource::Header];

/// The question that a request asks.
pub(crate) fn policy_question(request: &v1::ExplainPolicyRequest) -> Result<PolicyQuestion, Violations> {
    let mut violations = Violations::default();
    let service = ServiceId::parse(&request.service).map_err(|rule| format!("must be a SPIFFE ID: {rule}"));
    let service = violations.note("service", service);
    let action = Action::ALL.iter().copied().find(|action| action.as_str() == request.action);
    let rule = "must be the name of an RPC or a permission; `credvault config show --policy-schema` lists all of them";
    let action = violations.note("action", action.ok_or(rule));
    let tenant = violations.collect(optional("tenant_id", &request.tenant_id, TenantId::parse)).flatten();
    let tenant_source = violations.collect(tenant_source(&request.tenant_source)).flatten();
    let user = violations.collect(optional("user_id", &request.user_id, UserId::parse)).flatten();
    let provider = violations.collect(optional("provider", &request.provider, ProviderId::parse)).flatten();
    let owner = violations.collect(owner(request.owner.clone())).flatten();
    let purpose = violations.collect(optional("purpose", &request.purpose, Purpose::parse)).flatten();
    let source_address = violations.collect(source_address(&request.source_address));
    violations.collect(optional_connection_id(&request.connection_id));
    if !request.connection_id.is_empty() {
        let rule = "must be left out beside connection_id: the connection has its own";
        for (field, given) in [("provider", provider.is_some()), ("owner", owner.is_some())] {
            if given {
                violations.add(field, rule);
            }
        }
    }
    match (service, action, source_address) {
        (Some(service), Some(action), Some(source_address)) if violations.is_empty() => Ok(PolicyQuestion {
            service,
            action,
            tenant,
            tenant_source,
            user,
            source_address,
            provider,
            owner,
            purpose,
        }),
        _ => Err(violations),
    }
}

/// The connection that a request names, if it names one.
pub(crate) fn optional_connection_id(text: &str) -> Result<Option<ConnectionId>, Violations> {
    optional("connection_id", text, str::parse)
}

fn tenant_source(text: &str) -> Result<Option<TenantSource>, Violations> {
    if text.is_empty() {
        return Ok(None);
    }
    let known = SOURCES.into_iter().find(|source| source.as_str() == text);
    let rule = "must be none, token, assertion or header";
    known.map(Some).ok_or_else(|| Violations::of("tenant_source", rule))
}

fn source_address(text: &str) -> Result<IpAddr, Violations> {
    if text.is_empty() {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| Violations::of("source_address", "must be an IPv4 or IPv6 address"))
}

/// What the policies say, with the question that they were asked.
pub(crate) fn explained_policy(question: &PolicyQuestion, said: &Explanation) -> v1::ExplainPolicyResponse {
    v1::ExplainPolicyResponse {
        permitted: said.denial().is_none(),
        decisions: said.decisions.iter().map(decision).collect(),
        not_given: said.not_given.iter().map(|fact| (*fact).to_owned()).collect(),
        provider: question.provider.as_ref().map(ToString::to_string).unwrap_or_default(),
        owner: question.owner.as_ref().map(owner_of),
    }
}

fn decision(decision: &PolicyDecision) -> v1::PolicyDecision {
    let PolicyDecision { action, policies, denial } = decision;
    v1::PolicyDecision {
        action: action.as_str().to_owned(),
        permitted: denial.is_none(),
        policies: policies.iter().map(deciding_policy).collect(),
        denial: denial.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

pub(super) fn deciding_policy(policy: &DecidingPolicy) -> v1::DecidingPolicy {
    let DecidingPolicy { id, file, forbids, annotations, unevaluated } = policy;
    let effect = if *forbids { v1::PolicyEffect::Forbid } else { v1::PolicyEffect::Permit };
    v1::DecidingPolicy {
        id: id.clone(),
        file: file.clone(),
        effect: effect.into(),
        annotations: annotations.clone(),
        unevaluated: *unevaluated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::ExplainPolicyRequest {
        v1::ExplainPolicyRequest {
            service: "spiffe://one.test/sync".to_owned(),
            action: "FetchCredential".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn a_request_becomes_a_question_with_its_defaults() {
        let question = policy_question(&request()).expect("right");
        assert_eq!((question.action, question.tenant_source), (Action::FetchCredential, None));
        assert_eq!(question.source_address.to_string(), "127.0.0.1");
        assert!(question.tenant.is_none() && question.owner.is_none());
    }

    #[test]
    fn every_wrong_field_is_named_and_none_is_repeated() {
        let wrong = v1::ExplainPolicyRequest {
            service: "CANARY".to_owned(),
            action: "CANARY".to_owned(),
            tenant_id: "CANARY/".to_owned(),
            tenant_source: "session".to_owned(),
            user_id: "CANARY\n".to_owned(),
            provider: "CANARY".to_owned(),
            purpose: "CANARY\n".to_owned(),
            source_address: "CANARY".to_owned(),
            ..Default::default()
        };
        let violations = policy_question(&wrong).expect_err("wrong");
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        let expected = [
            "service",
            "action",
            "tenant_id",
            "tenant_source",
            "user_id",
            "provider",
            "purpose",
            "source_address",
        ];
        assert_eq!(fields, expected);
        assert!(violations.iter().all(|violation| !violation.rule.contains("CANARY")));
        let both = v1::ExplainPolicyRequest {
            connection_id: "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".to_owned(),
            provider: "shopify".to_owned(),
            owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
            ..request()
        };
        let violations = policy_question(&both).expect_err("too much");
        assert!(violations.iter().map(|violation| violation.field.as_str()).eq(["provider", "owner"]));
    }
}
