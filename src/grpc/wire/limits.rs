//! Limits and source rules of tenants, from requests and into responses.

use credvault_domain::{AddressRange, LimitKind, ServiceId, SourceRule, SourceRules, Violations};
use credvault_operations::Parsed;
use credvault_operations::tenants::{LimitState, LimitStates, Sources};
use prost_types::Timestamp as WireTimestamp;

use super::timestamp;
use credvault_proto::v1;

/// The limits that a request changes.
pub(crate) fn limit_changes(changes: Vec<v1::LimitChange>) -> Parsed<Vec<(LimitKind, Option<u64>)>> {
    let mut violations = Violations::default();
    let mut parsed: Vec<(LimitKind, Option<u64>)> = Vec::new();
    if changes.is_empty() {
        violations.add("changes", "must name a limit at least");
    }
    for (index, change) in changes.into_iter().enumerate() {
        let Some(kind) = kind(change.kind()) else {
            violations.add(format!("changes[{index}].kind"), "must be a limit that this vault knows");
            continue;
        };
        let value = change.value.map(u64::try_from);
        if !value.is_none_or(|value| value.is_ok_and(|value| kind.allows(value))) {
            violations.add(format!("changes[{index}].value"), kind.rule());
        }
        if parsed.iter().any(|(named, _)| *named == kind) {
            violations.add(format!("changes[{index}].kind"), "must be named once only");
        }
        parsed.push((kind, value.and_then(Result::ok)));
    }
    violations.into_result().map(|()| parsed)
}

/// The source rules that a request has.
pub(crate) fn source_rules(rules: Vec<v1::SourceRule>) -> Parsed<SourceRules> {
    let mut violations = Violations::default();
    let mut parsed = Vec::new();
    for (index, v1::SourceRule { range, service }) in rules.into_iter().enumerate() {
        let range = violations.note(&format!("rules[{index}].range"), AddressRange::parse(&range));
        let service = (!service.is_empty()).then(|| ServiceId::parse(&service)).transpose();
        let service = service.map_err(|rule| format!("must be a SPIFFE ID: {rule}"));
        let service = violations.note(&format!("rules[{index}].service"), service);
        parsed.extend(range.zip(service).map(|(range, service)| SourceRule { service, range }));
    }
    let rules = violations.note("rules", SourceRules::new(parsed));
    violations.into_result().map(|()| rules.unwrap_or_default())
}

/// All limits of a tenant, as both responses have them.
pub(crate) fn tenant_limits(states: LimitStates) -> (Vec<v1::TenantLimit>, Option<WireTimestamp>) {
    let LimitStates { limits, update_time } = states;
    (limits.into_iter().map(tenant_limit).collect(), update_time.map(timestamp))
}

/// The source rules of a tenant, as both responses have them.
pub(crate) fn sources(sources: Sources) -> (Vec<v1::SourceRule>, Option<WireTimestamp>) {
    let Sources { rules, update_time } = sources;
    let rule = |SourceRule { service, range }: &SourceRule| v1::SourceRule {
        range: range.to_string(),
        service: service.as_ref().map(|service| service.as_str().to_owned()).unwrap_or_default(),
    };
    (rules.iter().map(rule).collect(), update_time.map(timestamp))
}

fn tenant_limit(state: LimitState) -> v1::TenantLimit {
    let LimitState { kind, default, own, used } = state;
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    v1::TenantLimit {
        kind: wire_kind(kind).into(),
        default_value: number(default),
        override_value: own.map(number),
        value: number(own.unwrap_or(default)),
        in_use: used.map(number),
    }
}

fn wire_kind(kind: LimitKind) -> v1::LimitKind {
    match kind {
        LimitKind::Connections => v1::LimitKind::Connections,
        LimitKind::UserConnections => v1::LimitKind::UserConnections,
        LimitKind::CredentialVersions => v1::LimitKind::CredentialVersions,
        LimitKind::ResponseBytes => v1::LimitKind::ResponseBytes,
        LimitKind::CallsPerSecond => v1::LimitKind::CallsPerSecond,
        LimitKind::ServiceCallsPerSecond => v1::LimitKind::ServiceCallsPerSecond,
        LimitKind::FetchesPerSecond => v1::LimitKind::FetchesPerSecond,
        LimitKind::ExchangesPerMinute => v1::LimitKind::ExchangesPerMinute,
        LimitKind::RefreshesPerMinute => v1::LimitKind::RefreshesPerMinute,
        LimitKind::TestsPerMinute => v1::LimitKind::TestsPerMinute,
        LimitKind::UserSharePercent => v1::LimitKind::UserSharePercent,
        LimitKind::ServiceSharePercent => v1::LimitKind::ServiceSharePercent,
        LimitKind::AuditDays => v1::LimitKind::AuditDays,
    }
}

fn kind(kind: v1::LimitKind) -> Option<LimitKind> {
    LimitKind::ALL.iter().copied().find(|known| wire_kind(*known) == kind)
}

#[cfg(test)]
mod tests {
    use credvault_domain::Timestamp;

    use super::*;

    #[test]
    fn a_limit_has_its_name_in_the_protos_too() {
        for kind in LimitKind::ALL.iter().copied() {
            let name = format!("LIMIT_KIND_{}", kind.as_str().to_uppercase());
            assert_eq!(wire_kind(kind).as_str_name(), name);
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named_by_its_place() {
        let change = |kind: v1::LimitKind, value: Option<i64>| v1::LimitChange { kind: kind.into(), value };
        let changes = vec![
            change(v1::LimitKind::Connections, Some(5)),
            change(v1::LimitKind::Unspecified, Some(5)),
            change(v1::LimitKind::UserSharePercent, Some(0)),
            change(v1::LimitKind::Connections, None),
            change(v1::LimitKind::TestsPerMinute, Some(-1)),
        ];
        let wrong = limit_changes(changes).expect_err("wrong");
        let fields: Vec<_> = wrong.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["changes[1].kind", "changes[2].value", "changes[3].kind", "changes[4].value"]);
        assert!(limit_changes(Vec::new()).is_err());
        let changes =
            vec![change(v1::LimitKind::Connections, None), change(v1::LimitKind::TestsPerMinute, Some(0))];
        let parsed = [(LimitKind::Connections, None), (LimitKind::TestsPerMinute, Some(0))];
        assert_eq!(limit_changes(changes).expect("right"), parsed);

        let rule =
            |range: &str, service: &str| v1::SourceRule { range: range.into(), service: service.into() };
        let wrong = source_rules(vec![rule("10.0.0.7/8", ""), rule("10.0.0.0/8", "app")]).expect_err("wrong");
        let fields: Vec<_> = wrong.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["rules[0].range", "rules[1].service"]);
        let many = (0..101).map(|i| rule(&format!("10.0.0.{i}"), "")).collect();
        assert_eq!(source_rules(many).expect_err("many").iter().next().expect("one").field, "rules");
    }

    #[test]
    fn an_instant_that_never_was_is_absent() {
        let (rules, time) = sources(Sources { rules: SourceRules::default(), update_time: None });
        assert!(rules.is_empty() && time.is_none());
        let set =
            Sources { rules: SourceRules::default(), update_time: Some(Timestamp::from_micros(1_000_000)) };
        assert_eq!(sources(set).1.expect("time").seconds, 1);
    }
}
