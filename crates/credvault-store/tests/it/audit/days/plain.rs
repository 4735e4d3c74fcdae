//! Plain counts of records that are all in memory.

use std::collections::{BTreeMap, BTreeSet};

use credvault_domain::{
    Action, AuditOutcome, ConnectionId, ProviderId, Reach, ServiceId, TenantScope, Timestamp, UserId,
};
use credvault_store::{AuditFilter, AuditGroup, AuditRecord, AuditSummary, Period};

use super::DAY_MICROS;

fn matches(record: &AuditRecord, of: &TenantScope, filter: &AuditFilter) -> bool {
    let reached = match of.reach() {
        Reach::User(user) => record.user.as_deref() == Some(user.as_str()),
        Reach::Shared => record.user.is_none() && record.owner_user.is_none(),
        Reach::AllUsers => true,
    };
    let is = |wanted: Option<&str>, value: Option<&str>| wanted.is_none() || wanted == value;
    reached
        && filter.start_time.is_none_or(|time| record.time >= time)
        && filter.end_time.is_none_or(|time| record.time < time)
        && is(filter.service.as_ref().map(ServiceId::as_str), record.service.as_deref())
        && is(filter.user.as_ref().map(UserId::as_str), record.user.as_deref())
        && is(filter.action.map(Action::as_str), Some(&record.action))
        && is(filter.provider.as_ref().map(ProviderId::as_str), record.provider.as_deref())
        && filter.outcome.is_none_or(|outcome| record.outcome == outcome)
        && filter.connection.is_none_or(|id| record.connection == Some(id))
}

fn key(record: &AuditRecord, group: AuditGroup) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match group {
        AuditGroup::Service => text(&record.service),
        AuditGroup::User => text(&record.user),
        AuditGroup::Action => record.action.clone(),
        AuditGroup::Connection => record.connection.map(|id| id.to_string()).unwrap_or_default(),
        AuditGroup::Provider => text(&record.provider),
        AuditGroup::Outcome => record.outcome.as_str().to_owned(),
        AuditGroup::Reason => text(&record.reason),
        AuditGroup::Purpose => text(&record.purpose),
        AuditGroup::TenantSource => record.tenant_source.clone(),
        AuditGroup::SourceAddress => text(&record.source_address),
        AuditGroup::Day => record.time.micros().div_euclid(DAY_MICROS).to_string(),
    }
}

pub fn plain_summary(
    all: &[AuditRecord],
    of: &TenantScope,
    filter: &AuditFilter,
    groups: &[AuditGroup],
) -> Vec<AuditSummary> {
    let mut counts: BTreeMap<Vec<String>, (i64, Timestamp, Timestamp)> = BTreeMap::new();
    if groups.is_empty() {
        counts.insert(Vec::new(), (0, Timestamp::default(), Timestamp::default()));
    }
    for record in all.iter().filter(|record| matches(record, of, filter)) {
        let keys = groups.iter().map(|group| key(record, *group)).collect();
        let one = counts.entry(keys).or_insert((0, record.time, record.time));
        if one.0 == 0 {
            *one = (0, record.time, record.time);
        }
        *one = (one.0 + 1, one.1.min(record.time), one.2.max(record.time));
    }
    let mut rows: Vec<_> = counts
        .into_iter()
        .map(|(keys, (count, first_time, last_time))| AuditSummary { keys, count, first_time, last_time })
        .collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.keys.cmp(&b.keys)));
    rows
}

/// Service, user, RPC and purpose; answered, refused and released; the first and the last time.
pub type Use = ([String; 4], (i64, i64, i64), (Timestamp, Timestamp));
type Counted = ((i64, i64, i64), (Timestamp, Timestamp));

pub fn plain_uses(all: &[AuditRecord], connection: ConnectionId, period: Period) -> Vec<Use> {
    let mut uses: BTreeMap<[String; 4], Counted> = BTreeMap::new();
    for record in all.iter().filter(|record| {
        record.connection == Some(connection) && (period.start..period.end).contains(&record.time)
    }) {
        if !["FetchCredential", "VerifyWebhook"].contains(&record.action.as_str()) {
            continue;
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let texts = [text(&record.service), text(&record.user), record.action.clone(), text(&record.purpose)];
        let one = uses.entry(texts).or_insert(((0, 0, 0), (record.time, record.time)));
        one.0.0 += i64::from(record.outcome == AuditOutcome::Ok);
        one.0.1 += i64::from(record.outcome == AuditOutcome::Denied);
        one.0.2 += i64::from(!record.released.is_empty());
        one.1 = (one.1.0.min(record.time), one.1.1.max(record.time));
    }
    uses.into_iter().map(|(texts, (counts, times))| (texts, counts, times)).collect()
}

pub fn plain_services(
    all: &[AuditRecord],
    connection: ConnectionId,
    period: Period,
) -> BTreeSet<(String, bool)> {
    let within = all.iter().filter(|record| (period.start..period.end).contains(&record.time));
    let mut services: BTreeMap<String, bool> = BTreeMap::new();
    for record in within {
        if let Some(service) = &record.service {
            *services.entry(service.clone()).or_default() |= record.connection == Some(connection);
        }
    }
    services.into_iter().collect()
}
