//! Usage: what services report about their calls to providers, and sums of that with the vault's own counts.

use std::collections::HashSet;
use std::time::Duration;

use credvault_domain::{
    ConnectionId, Day, EndpointName, Reason, Timestamp, UsageCounts, UsageGroup, Violations,
};
use credvault_identity::Facts;
use credvault_store::{
    PAGE_BYTES, Reachable, Recorded, RepeatKey, Reported, UsageFilter, UsageItem, UsageSums, UsedConnection,
};

use crate::{Call, Paging, Parsed, Refusal, Repeat};

/// How many days back a report may reach: far less than counts are kept.
const MAX_AGE_DAYS: i64 = 30;
/// How far ahead the clock of a reporting service may be.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// How many bytes the rejection of one item takes in the answer at most.
const REJECTION_BYTES: usize = 48;

/// An item of a report as it was sent.
#[derive(Clone, Debug)]
pub struct Item {
    /// The connection that was used.
    pub connection: ConnectionId,
    /// The provider's endpoint that was called.
    pub endpoint: EndpointName,
    /// What happened with it.
    pub counts: UsageCounts,
    /// When; `None` means now.
    pub time: Option<Timestamp>,
}

/// A report: its items, and the id by which a repetition is recognised.
#[derive(Debug)]
pub struct Report {
    /// The items, which count or are rejected one by one.
    pub items: Parsed<Vec<Item>>,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
}

/// What became of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How many items count.
    pub accepted: usize,
    /// The places of the items that do not count, in order, and why.
    pub rejected: Vec<(usize, Reason)>,
    /// Whether an earlier request with this id was counted already.
    pub before: bool,
}

/// `ReportUsage`: counts what a service did, once for each request id.
///
/// # Errors
/// Policy does not permit reports, the request is wrong, or the report could not be made durable.
pub async fn report(call: &mut Call, report: Report) -> Result<Recorded<Outcome>, Refusal> {
    let Report { items, repeat } = report;
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    let repeat =
        repeat?.ok_or_else(|| Violations::of("request_id", "must be given: a UUID for this report"))?;
    let items = items?;
    call.room(items.len() * REJECTION_BYTES).await?;
    let context = call.context.clone();
    let usage = context.store.usage();
    let ids: HashSet<ConnectionId> = items.iter().map(|item| item.connection).collect();
    let reachable = usage.reachable(&scope, ids).await?;
    let (accepted, mut outcome) = sorted_out(call, &reachable, items)?;
    if !accepted.is_empty() {
        let (service, user) = (call.caller().service.clone(), call.caller().user().cloned());
        let key = RepeatKey { service, user, id: repeat.id, payload: repeat.payload };
        let reported = usage.report(&scope, &permit, &key, &reachable, accepted).await?;
        outcome.before = reported == Reported::Before;
    }
    call.recorded(&permit, outcome).await
}

/// Items that count, and those that do not with the reason. A connection out of reach is one that does not exist.
fn sorted_out(
    call: &Call,
    reachable: &Reachable,
    items: Vec<Item>,
) -> Result<(Vec<UsageItem>, Outcome), Refusal> {
    let (scope, now) = (call.scope()?, call.context.now());
    let (mut accepted, mut rejected) = (Vec::with_capacity(items.len()), Vec::new());
    let mut shown = call.shown(&scope);
    for (index, Item { connection, endpoint, counts, time }) in items.into_iter().enumerate() {
        let Some(UsedConnection { provider, owner }) = reachable.get(connection) else {
            rejected.push((index, Reason::ConnectionNotFound));
            continue;
        };
        if !shown.shows(Some(provider), owner.as_ref()) {
            rejected.push((index, Reason::PolicyDenied));
        } else if let Some(day) = day(time, now) {
            accepted.push(UsageItem { connection, endpoint, day, counts });
        } else {
            rejected.push((index, Reason::FieldsInvalid));
        }
    }
    let outcome = Outcome { accepted: accepted.len(), rejected, before: false };
    Ok((accepted, outcome))
}

/// The day that an item counts for; `None` if it is in the future or too long ago.
fn day(time: Option<Timestamp>, now: Timestamp) -> Option<Day> {
    let time = time.unwrap_or(now);
    let day = Day::of(time.min(now));
    (time <= now.after(CLOCK_TOLERANCE) && day >= Day::of(now).before(MAX_AGE_DAYS)).then_some(day)
}

/// What a question about usage asks for.
#[derive(Clone, Debug)]
pub struct Question {
    /// The counts that are wanted.
    pub filter: Filter,
    /// What they are grouped by, in the order of the groups, each once.
    pub groups: Vec<UsageGroup>,
}

/// How many days a question is about if it does not say.
const DEFAULT_DAYS: i64 = 30;

/// A filter whose days may be left out.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The first day; by default 30 days before the end.
    pub start: Option<Day>,
    /// The last day; by default today.
    pub end: Option<Day>,
    /// The rest, with days that do not count.
    pub rest: UsageFilter,
}

/// What a question is answered with, and the days that it was about.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The first day of it.
    pub start: Day,
    /// The last day of it.
    pub end: Day,
    /// The sums of these days.
    pub sums: UsageSums,
}

/// `GetUsage`: sums of what the caller reaches. Policy is asked about the whole, and about each row that names a connection
/// or a provider; a total has no items that could be left out.
///
/// # Errors
/// Policy does not permit the question, or it is about users whom the caller does not reach.
pub async fn get(
    call: &mut Call,
    question: Parsed<Question>,
    paging: Parsed<Paging>,
) -> Result<Recorded<Answer>, Refusal> {
    let scope = call.scope()?;
    let page = call.page(Some(&scope), paging).await?;
    let Question { filter: Filter { start, end, rest }, groups } = question?;
    let end = end.unwrap_or_else(|| Day::of(call.context.now()));
    let start = start.unwrap_or_else(|| end.before(DEFAULT_DAYS - 1));
    if start > end {
        return Err(Violations::of("filter.start_day", "must not be after filter.end_day").into());
    }
    let filter = UsageFilter { start, end, ..rest };
    let context = call.context.clone();
    let usage = context.store.usage();
    let named = match filter.connection {
        Some(id) => usage.connection(&scope, id).await?,
        None => None,
    };
    call.subject.connection = filter.connection;
    let (provider, owner) = named.map_or((None, None), |named| (Some(named.provider), named.owner));
    let provider = provider.as_ref().or(filter.provider.as_ref());
    let permit = call.permit(&scope, Facts { provider, owner: owner.as_ref(), purpose: None })?;
    call.reach(&scope, filter.user.as_ref())?;
    if filter.user.is_none() && groups.contains(&UsageGroup::User) {
        call.reach_all(&scope)?;
    }
    call.room(PAGE_BYTES).await?;
    let mut sums = usage.sums(&scope, &filter, &groups, &page).await?;
    let mut shown = call.shown(&scope);
    sums.rows.items.retain(|row| match &row.provider {
        Some(provider) => shown.shows(Some(provider), row.owner.as_ref()),
        None => true,
    });
    call.recorded(&permit, Answer { start, end, sums }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_counts_for_its_own_day_within_the_last_days() {
        let hour = Duration::from_secs(3600);
        let now = Timestamp::from_micros(1_000 * 86_400_000_000 + 60_000_000);
        let today = Day::of(now);
        assert_eq!(day(None, now), Some(today));
        assert_eq!(day(Some(now.before(hour)), now), Some(today.before(1)));
        assert_eq!(day(Some(now.before(hour * 24 * 30)), now), Some(today.before(30)));
        assert_eq!(day(Some(now.before(hour * 24 * 31)), now), None);
        assert_eq!(day(Some(now.after(CLOCK_TOLERANCE)), now), Some(today));
        assert_eq!(day(Some(now.after(hour)), now), None);
    }
}
