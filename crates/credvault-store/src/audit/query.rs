//! Queries of the audit log: records newest first, and counts by what they have in common.

use std::collections::HashMap;

use credvault_domain::{ConnectionId, TenantScope, Timestamp};
use futures::stream;

use super::counting::Counting;
use super::days::{Alike, day_of};
use super::filter::AuditFilter;
use super::record::AuditRecord;
use super::scan::Scan;
use crate::page::uuid_position;
use crate::{Audit, Error, Listed, Page};

/// What records are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditGroup {
    /// Grouped by the calling service.
    Service,
    /// Grouped by the verified user.
    User,
    /// Grouped by the RPC.
    Action,
    /// Grouped by the connection.
    Connection,
    /// Grouped by the provider.
    Provider,
    /// Grouped by the call's outcome.
    Outcome,
    /// Why it was refused or failed.
    Reason,
    /// The day in UTC, as days since 1970-01-01.
    Day,
    /// What the callers wanted it for.
    Purpose,
    /// What vouched for the tenant.
    TenantSource,
    /// The network address of the callers.
    SourceAddress,
}

/// A count of records with the same keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditSummary {
    /// The values of the groups asked for, in their order; empty where records have none.
    pub keys: Vec<String>,
    /// How many records there are.
    pub count: i64,
    /// The first of them.
    pub first_time: Timestamp,
    /// The last of them.
    pub last_time: Timestamp,
}

impl AuditGroup {
    /// Whether kept counts of days have it.
    const fn is_of_days(self) -> bool {
        match self {
            Self::Service
            | Self::User
            | Self::Action
            | Self::Connection
            | Self::Provider
            | Self::Outcome
            | Self::Reason
            | Self::Purpose
            | Self::TenantSource
            | Self::Day => true,
            Self::SourceAddress => false,
        }
    }
}

/// The most rows of a summary.
const SUMMARY_ROWS: usize = 1000;
/// The most combinations of groups that are counted: a tenant with many users must not fill the memory.
const MAX_COMBINATIONS: usize = 100_000;

impl Audit<'_> {
    /// A page of the records in a scope's reach, newest first: of one user's, its own calls; of what is shared, calls
    /// without a user about no user's connection. A suspended tenant's log can be read.
    ///
    /// # Errors
    /// The page token is wrong, a part of the log does not open, or the database fails.
    pub async fn list(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Listed<AuditRecord>, Error> {
        self.store.await_sequencer().await?;
        let reading = self.store.query_any(scope.tenant()).await?;
        let before = uuid_position(page.position(scope.tenant(), &reading)?)?;
        let mut scan = Scan::begin(&reading, (scope, filter), before).await?;
        let mut found = scan.recent(self.store, (scope, filter), Some(page.limit())).await?;
        // Enough are there that are newer than all that may follow.
        let limit = usize::try_from(page.limit()).unwrap_or(usize::MAX);
        while let Some(highest) = scan.highest().await? {
            if found.len() >= limit && found.keys().rev().nth(limit - 1).is_some_and(|id| *id > highest) {
                break;
            }
            scan.open_next(&mut found).await?;
        }
        let rows = stream::iter(found.into_values().rev().map(Ok));
        let position = |last: &AuditRecord| last.id.as_bytes().to_vec();
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }

    /// Counts the records in a scope's reach, most first, at most 1,000 rows. Days with kept counts are not read again.
    ///
    /// # Errors
    /// [`Error::TooManyAuditGroups`] if there are more than 100,000 combinations; a part of the log does not open; the database
    /// fails.
    pub async fn summarize(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        groups: &[AuditGroup],
    ) -> Result<Vec<AuditSummary>, Error> {
        self.store.await_sequencer().await?;
        let reading = self.store.query_snapshot(scope.tenant()).await?;
        let log = Counting::begin(self.store, &reading, scope).await?;
        let mut counts = Counts::new(groups);
        let in_groups = groups.iter().all(|group| group.is_of_days());
        log.count(filter, in_groups, &mut |alike| counts.add(&alike)).await?;
        Ok(counts.summaries())
    }
}

/// Counts by the values of groups.
struct Counts<'a> {
    groups: &'a [AuditGroup],
    counts: HashMap<Vec<String>, (i64, Timestamp, Timestamp)>,
}

impl<'a> Counts<'a> {
    fn new(groups: &'a [AuditGroup]) -> Self {
        let mut counts = HashMap::new();
        if groups.is_empty() {
            // The one count of all of them is there even if it is zero.
            counts.insert(Vec::new(), (0, Timestamp::default(), Timestamp::default()));
        }
        Self { groups, counts }
    }

    fn add(&mut self, alike: &Alike) -> Result<(), Error> {
        let Alike { record, count: more, last_time } = alike;
        let keys: Vec<_> = self.groups.iter().map(|group| key(record, *group)).collect();
        if self.counts.len() >= MAX_COMBINATIONS && !self.counts.contains_key(&keys) {
            return Err(Error::TooManyAuditGroups);
        }
        let (count, first, last) = self.counts.entry(keys).or_insert((0, record.time, *last_time));
        if *count == 0 {
            (*first, *last) = (record.time, *last_time);
        }
        *count += more;
        (*first, *last) = ((*first).min(record.time), (*last).max(*last_time));
        Ok(())
    }

    fn summaries(self) -> Vec<AuditSummary> {
        let summary =
            |(keys, (count, first_time, last_time))| AuditSummary { keys, count, first_time, last_time };
        let mut summaries: Vec<_> = self.counts.into_iter().map(summary).collect();
        summaries.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.keys.cmp(&b.keys)));
        summaries.truncate(SUMMARY_ROWS);
        summaries
    }
}

fn key(record: &AuditRecord, group: AuditGroup) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match group {
        AuditGroup::Service => text(&record.service),
        AuditGroup::User => text(&record.user),
        AuditGroup::Action => record.action.clone(),
        AuditGroup::Connection => record.connection.as_ref().map(ConnectionId::to_string).unwrap_or_default(),
        AuditGroup::Provider => text(&record.provider),
        AuditGroup::Outcome => record.outcome.as_str().to_owned(),
        AuditGroup::Reason => text(&record.reason),
        AuditGroup::Purpose => text(&record.purpose),
        AuditGroup::TenantSource => record.tenant_source.clone(),
        AuditGroup::SourceAddress => text(&record.source_address),
        AuditGroup::Day => day_of(record.time.micros()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use credvault_domain::{AuditEvent, TenantId};

    use super::super::record::of_log;
    use super::*;

    #[test]
    fn a_summary_has_a_bound_and_counts_on_within_it() {
        let event = AuditEvent::of(TenantId::platform(), credvault_domain::Action::FetchCredential);
        let record = of_log((&event).into(), None).expect("a record");
        let groups = [AuditGroup::User];
        let mut counts = Counts::new(&groups);
        let user =
            |number: usize| Alike::from(AuditRecord { user: Some(format!("u{number}")), ..record.clone() });
        for number in 0..MAX_COMBINATIONS {
            counts.add(&user(number)).expect("room");
        }
        assert!(counts.add(&user(7)).is_ok());
        assert!(matches!(counts.add(&user(MAX_COMBINATIONS)), Err(Error::TooManyAuditGroups)));
        let rows = counts.summaries();
        assert_eq!((rows.len(), rows[0].count, rows[0].keys[0].as_str()), (SUMMARY_ROWS, 2, "u7"));
    }
}
