//! Questions about who may use a connection and who did, as domain types, and the report about it, as messages.

use credvault_domain::{Purpose, ServiceId, Violations};
use credvault_identity::{Access, AccessNeeds, PurposeRule};
use credvault_operations::tenants::{AccessQuestion, AccessReport, KindAccess, ServiceAccess, Who, WhoMay};
use credvault_store::{AccessUse, ConnectionKind, UsesOf};
use prost_types::Timestamp as WireTimestamp;

use super::parse::{connection_id, timestamp as parse_timestamp};
use super::policy::deciding_policy;
use super::render::owner_of;
use super::timestamp;
use credvault_proto::v1;

pub(crate) fn access_question(request: &v1::GetAccessReportRequest) -> Result<AccessQuestion, Violations> {
    let mut violations = Violations::default();
    let of = violations.collect(uses_of(&request.connection_id, &request.service));
    let mut time = |field: &str, time: Option<WireTimestamp>| {
        time.and_then(|time| violations.collect(parse_timestamp(field, time)))
    };
    let (start, end) = (time("start_time", request.start_time), time("end_time", request.end_time));
    match of.filter(|_| violations.is_empty()) {
        Some(of) => Ok(AccessQuestion { of, start, end }),
        None => Err(violations),
    }
}

fn uses_of(connection: &str, service: &str) -> Result<UsesOf, Violations> {
    match (connection, service) {
        ("", "") => Err(Violations::of("connection_id", "must be given, or service in place of it")),
        (connection, "") => connection_id(connection).map(UsesOf::Connection),
        ("", service) => ServiceId::parse(service)
            .map(UsesOf::Service)
            .map_err(|rule| Violations::of("service", format!("must be a SPIFFE ID: {rule}"))),
        _ => {
            Err(Violations::of("service", "must be left out where connection_id is given, or leave that out"))
        }
    }
}

pub(crate) fn access_report(report: AccessReport) -> v1::GetAccessReportResponse {
    let AccessReport { connection, may, reach, uses, period } = report;
    let (provider, owner) = connection.map(|found| (found.provider, found.owner)).unzip();
    v1::GetAccessReportResponse {
        may: may.map(permissions),
        uses: uses.items.into_iter().map(access_use).collect(),
        next_page_token: uses.next_page_token,
        start_time: Some(timestamp(period.start)),
        end_time: Some(timestamp(period.end)),
        provider: provider.map(|provider| provider.to_string()).unwrap_or_default(),
        owner: owner.as_ref().map(owner_of),
        reach: reach.map(|kinds| v1::ServiceReach { connections: kinds.iter().map(reachable).collect() }),
    }
}

fn permissions(may: WhoMay) -> v1::AccessPermissions {
    let WhoMay { services, by_attributes, more } = may;
    v1::AccessPermissions {
        services: services.iter().map(service).collect(),
        policies_by_attributes: by_attributes.iter().map(deciding_policy).collect(),
        more_services: more,
    }
}

fn service(access: &ServiceAccess) -> v1::ServiceAccess {
    let ServiceAccess { who, used, actions } = access;
    let (service, any_service_of) = match who {
        Who::Service(service) => (service.to_string(), String::new()),
        Who::AnyOther(domain) => (String::new(), domain.to_string()),
    };
    v1::ServiceAccess { service, any_service_of, used: *used, actions: actions.iter().map(action).collect() }
}

fn reachable(access: &KindAccess) -> v1::ReachableConnections {
    let KindAccess { kind: ConnectionKind { provider, owner, count }, actions } = access;
    v1::ReachableConnections {
        provider: provider.to_string(),
        owner_kind: owner_of(owner).kind,
        connection_count: *count,
        actions: actions.iter().map(action).collect(),
    }
}

fn action(access: &Access) -> v1::ActionAccess {
    let Access { action, needs, policies } = access;
    let decided = v1::ActionAccess {
        action: action.as_str().to_owned(),
        permitted: needs.is_some(),
        policies: policies.iter().map(deciding_policy).collect(),
        ..Default::default()
    };
    let Some(AccessNeeds { tenant_sources, purpose, user_required, other_users, networks }) = needs else {
        return decided;
    };
    let (purpose_rule, purposes) = match purpose {
        PurposeRule::NotNeeded => (v1::PurposeRule::NotNeeded, Vec::new()),
        PurposeRule::Any => (v1::PurposeRule::Any, Vec::new()),
        PurposeRule::OneOf(purposes) => (v1::PurposeRule::OneOf, texts(purposes)),
    };
    v1::ActionAccess {
        tenant_sources: tenant_sources.iter().map(|source| source.as_str().to_owned()).collect(),
        purpose_rule: purpose_rule.into(),
        purposes,
        user_required: *user_required,
        other_users: *other_users,
        source_networks: networks.clone(),
        ..decided
    }
}

fn texts(purposes: &[Purpose]) -> Vec<String> {
    purposes.iter().map(|purpose| purpose.as_str().to_owned()).collect()
}

fn access_use(one: AccessUse) -> v1::AccessUse {
    let AccessUse {
        service,
        user,
        action,
        purpose,
        connection,
        provider,
        answered,
        denied,
        failed,
        released,
        first_time,
        last_time,
    } = one;
    v1::AccessUse {
        service,
        user_id: user,
        action,
        connection_id: connection.map(|id| id.to_string()).unwrap_or_default(),
        purpose,
        provider,
        answered_count: answered,
        denied_count: denied,
        failed_count: failed,
        released_count: released,
        first_time: Some(timestamp(first_time)),
        last_time: Some(timestamp(last_time)),
    }
}

#[cfg(test)]
mod tests {
    use credvault_domain::Timestamp;
    use credvault_store::Weighed as _;
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_wrong_field_is_named_and_none_is_repeated() {
        let never = WireTimestamp { seconds: i64::MAX, nanos: -1 };
        let wrong = v1::GetAccessReportRequest {
            connection_id: "CANARY".to_owned(),
            start_time: Some(never),
            end_time: Some(never),
            ..Default::default()
        };
        let violations = access_question(&wrong).expect_err("wrong");
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["connection_id", "start_time", "end_time"]);
        assert!(violations.iter().all(|violation| !violation.rule.contains("CANARY")));
        assert!(access_question(&v1::GetAccessReportRequest::default()).is_err());
    }

    #[test]
    fn a_report_is_about_a_connection_or_a_service() {
        let (id, service) = ("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e", "spiffe://one.test/sync");
        let of = |connection, service| uses_of(connection, service).ok();
        assert!(matches!(of(id, ""), Some(UsesOf::Connection(_))));
        assert!(matches!(of("", service), Some(UsesOf::Service(_))));
        assert!(of(id, service).is_none() && of("", "").is_none() && of("", "CANARY").is_none());
    }

    #[test]
    fn no_use_takes_more_than_the_store_counts() {
        for bytes in [0, 1, 130, 2048] {
            let text = || "x".repeat(bytes);
            let time = Timestamp::from_micros(-1_000_001);
            let one = AccessUse {
                service: text(),
                user: text(),
                action: text(),
                purpose: text(),
                connection: "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".parse().ok(),
                provider: text(),
                answered: i64::MIN,
                denied: i64::MIN,
                failed: i64::MIN,
                released: i64::MIN,
                first_time: time,
                last_time: time,
            };
            let weight = one.weight();
            // What stands around the use in its list: a tag and its length.
            assert!(access_use(one).encoded_len() + 6 <= weight, "{bytes}");
        }
    }
}
