//! What administrators see of many connections, as messages.

use credvault_operations::tenants::{
    ChangedConnection, ConnectionSum, ConnectionSums, Outcome, ProviderCounts, TenantSums,
};
use credvault_store::ProviderOutcome;

use super::render::{connection_state, health_state};
use super::{affected_services, connection, fetch_error, item_status};
use credvault_proto::v1;

pub(crate) fn changed_connection(changed: ChangedConnection, trace: &str) -> v1::ConnectionChange {
    use v1::ConnectionChangeOutcome as Wire;
    let ChangedConnection { connection: after, outcome, affected } = changed;
    let (outcome, refusal) = match outcome {
        Outcome::Changed => (Wire::Changed, None),
        Outcome::Unchanged => (Wire::Unchanged, None),
        Outcome::Inapplicable => (Wire::Inapplicable, None),
        Outcome::WouldChange => (Wire::WouldChange, None),
        Outcome::Refused(refusal) => (Wire::Refused, Some(refusal)),
    };
    let (affected_services, hidden_affected_services) = affected_services(affected);
    v1::ConnectionChange {
        connection: Some(connection(after)),
        outcome: outcome.into(),
        error: refusal.as_ref().map(fetch_error),
        affected_services,
        hidden_affected_services,
        status: refusal.as_ref().map(|refusal| item_status(refusal, trace)),
    }
}

pub(crate) fn connection_counts(counted: ConnectionSums) -> v1::CountConnectionsResponse {
    let ConnectionSums { sums, by_tenant } = counted;
    let of_tenant = |TenantSums { tenant, sums }: TenantSums| v1::TenantConnectionCounts {
        tenant_id: tenant.as_str().to_owned(),
        counts: sums.into_iter().map(connection_count).collect(),
    };
    v1::CountConnectionsResponse {
        counts: sums.into_iter().map(connection_count).collect(),
        by_tenant: by_tenant.into_iter().map(of_tenant).collect(),
    }
}

fn connection_count(sum: ConnectionSum) -> v1::ConnectionCount {
    let ConnectionSum { state, health, count } = sum;
    v1::ConnectionCount { state: connection_state(state).into(), health: health_state(health).into(), count }
}

pub(crate) fn provider_rates(counts: &ProviderCounts) -> v1::ProviderRates {
    use ProviderOutcome as O;
    let of = |outcome| counts.of(outcome);
    let ended = of(O::ConsentCompleted) + of(O::ConsentDenied) + of(O::ConsentExpired) + of(O::ConsentFailed);
    let refreshes = of(O::RefreshSucceeded) + of(O::RefreshFailed) + of(O::RefreshEnded);
    v1::ProviderRates {
        provider: counts.provider.to_string(),
        day: counts.day.map(date).unwrap_or_default(),
        consents_begun: of(O::ConsentBegun),
        consents_completed: of(O::ConsentCompleted),
        consents_denied: of(O::ConsentDenied),
        consents_expired: of(O::ConsentExpired),
        consents_failed: of(O::ConsentFailed),
        refreshes_succeeded: of(O::RefreshSucceeded),
        refreshes_failed: of(O::RefreshFailed),
        refreshes_ended: of(O::RefreshEnded),
        tests_accepted: of(O::TestWorks),
        tests_rejected: of(O::TestRefused),
        tests_unknown: of(O::TestUnknown),
        consent_success_rate: share(of(O::ConsentCompleted), ended),
        refresh_success_rate: share(of(O::RefreshSucceeded), refreshes),
        test_success_rate: share(of(O::TestWorks), of(O::TestWorks) + of(O::TestRefused)),
    }
}

fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A day, in days since 1970, as YYYY-MM-DD.
fn date(day: i64) -> String {
    let seconds = day * 24 * 3600;
    let text = prost_types::Timestamp { seconds, nanos: 0 }.to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}
