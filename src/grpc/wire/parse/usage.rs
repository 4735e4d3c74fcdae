//! Reports of usage and questions about it, into domain types.

use std::collections::HashMap;

use credvault_domain::{
    Day, EndpointName, MAX_ITEM_COUNT, NameError, ProviderId, ServiceId, Timestamp, UsageCounts, UsageGroup,
    UserId, Violations,
};
use credvault_operations::Parsed;
use credvault_operations::usage::{Filter, Item, Question, Report};
use credvault_store::UsageFilter;

use super::{optional, repeat, required, timestamp};
use credvault_proto::v1;

/// How many items a report has at most.
const MAX_ITEMS: usize = 5_000;
/// How many items that are wrong are named at once.
const MAX_NAMED: usize = 16;

pub(crate) fn usage_report(request: v1::ReportUsageRequest) -> Report {
    let repeat = repeat(&request.request_id, &request);
    Report { items: items(request.items), repeat }
}

fn items(items: Vec<v1::UsageItem>) -> Parsed<Vec<Item>> {
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        return Err(Violations::of("items", "must be 1 to 5,000"));
    }
    let (mut violations, mut wrong, mut parsed) = (Violations::default(), 0, Vec::with_capacity(items.len()));
    let mut endpoints = HashMap::new();
    for (index, sent) in items.into_iter().enumerate() {
        match item(index, sent, &mut endpoints) {
            Ok(item) => parsed.push(item),
            Err(found) if wrong < MAX_NAMED => {
                wrong += 1;
                violations.collect::<()>(Err(found));
            }
            Err(_) => break,
        }
    }
    violations.into_result().map(|()| parsed)
}

/// Parses an item. `endpoints` has the names that were parsed before: most items of a report name the same few.
fn item(
    index: usize,
    item: v1::UsageItem,
    endpoints: &mut HashMap<String, EndpointName>,
) -> Result<Item, Violations> {
    let v1::UsageItem { connection_id, endpoint, calls, errors, rate_limit_hits, time } = item;
    let field = |name: &str| format!("items[{index}].{name}");
    let count = |name: &str, count: i64| {
        if (0..=MAX_ITEM_COUNT).contains(&count) {
            Ok(count)
        } else {
            Err(Violations::of(field(name), "must be 0 to 1,000,000"))
        }
    };
    if endpoint.is_empty() {
        return Err(Violations::of(field("endpoint"), "must be given"));
    }
    let connection = match connection_id.parse() {
        Ok(connection) => connection,
        Err(_) => required(&field("connection_id"), &connection_id, str::parse)?,
    };
    let time = time.map(|time| timestamp(&field("time"), time)).transpose()?;
    let endpoint = match endpoints.get(&endpoint) {
        Some(known) => known.clone(),
        None => {
            let parsed = EndpointName::parse(&endpoint);
            let parsed = parsed.map_err(|rule| Violations::of(field("endpoint"), rule.to_string()))?;
            endpoints.insert(endpoint, parsed.clone());
            parsed
        }
    };
    let counts = UsageCounts {
        calls: count("calls", calls)?,
        errors: count("errors", errors)?,
        rate_limit_hits: count("rate_limit_hits", rate_limit_hits)?,
        ..UsageCounts::default()
    };
    Ok(Item { connection, endpoint, counts, time })
}

pub(crate) fn usage_question(request: &v1::GetUsageRequest) -> Parsed<Question> {
    let mut violations = Violations::default();
    let groups = violations.collect(groups(&request.group_by)).unwrap_or_default();
    let filter = violations.collect(filter(request.filter.clone().unwrap_or_default()));
    violations.into_result()?;
    let filter = filter.ok_or_else(|| Violations::of("filter", "must be one"))?;
    Ok(Question { filter, groups })
}

fn filter(filter: v1::UsageFilter) -> Result<Filter, Violations> {
    let v1::UsageFilter { start_day, end_day, connection_id, provider, endpoint, user_id, service } = filter;
    let mut violations = Violations::default();
    let service_id = |text: &str| match text {
        ServiceId::VAULT => Ok(ServiceId::vault()),
        text => ServiceId::parse(text)
            .map_err(|_| NameError("must be a SPIFFE ID, spiffe://domain/path, or `vault`")),
    };
    let start = violations.collect(optional("filter.start_day", &start_day, day)).flatten();
    let end = violations.collect(optional("filter.end_day", &end_day, day)).flatten();
    let rest = UsageFilter {
        start: Day::from_number(0),
        end: Day::from_number(0),
        connection: violations
            .collect(optional("filter.connection_id", &connection_id, str::parse))
            .flatten(),
        provider: violations.collect(optional("filter.provider", &provider, ProviderId::parse)).flatten(),
        endpoint: violations.collect(optional("filter.endpoint", &endpoint, EndpointName::parse)).flatten(),
        user: violations.collect(optional("filter.user_id", &user_id, UserId::parse)).flatten(),
        service: violations.collect(optional("filter.service", &service, service_id)).flatten(),
    };
    violations.into_result().map(|()| Filter { start, end, rest })
}

/// A day such as `2026-11-21`.
fn day(text: &str) -> Result<Day, NameError> {
    let rule = NameError("must be a day such as 2026-11-21");
    let mut parts = text.splitn(3, '-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits);
        part.filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?.parse::<u16>().ok()
    };
    let date = || {
        let (year, month, day) = (number(4)?, number(2)?, number(2)?);
        let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
        time::Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()
    };
    let midnight = { date }().ok_or(rule)?.midnight().assume_utc().unix_timestamp();
    Timestamp::from_seconds(midnight, 0).map(Day::of).ok_or(rule)
}

fn groups(groups: &[i32]) -> Result<Vec<UsageGroup>, Violations> {
    let parsed: Option<Vec<_>> = groups.iter().map(|group| usage_group(*group)).collect();
    let sorted = parsed.map(|mut groups| {
        groups.sort_unstable();
        groups
    });
    let unique = |groups: &Vec<UsageGroup>| groups.windows(2).all(|pair| pair.first() != pair.last());
    sorted
        .filter(unique)
        .ok_or_else(|| Violations::of("group_by", "must have groups that the protos name, each once"))
}

fn usage_group(group: i32) -> Option<UsageGroup> {
    match v1::UsageGroup::try_from(group).ok()? {
        v1::UsageGroup::Unspecified => None,
        v1::UsageGroup::Connection => Some(UsageGroup::Connection),
        v1::UsageGroup::Provider => Some(UsageGroup::Provider),
        v1::UsageGroup::Endpoint => Some(UsageGroup::Endpoint),
        v1::UsageGroup::User => Some(UsageGroup::User),
        v1::UsageGroup::Service => Some(UsageGroup::Service),
        v1::UsageGroup::Day => Some(UsageGroup::Day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_calendar_days_in_one_spelling() {
        assert_eq!(day("1970-01-02"), Ok(Day::from_number(1)));
        assert_eq!(day("2024-02-29"), Ok(Day::from_number(19_782)));
        for text in ["2023-02-29", "2024-2-29", "24-02-29", "+024-02-29", "2024-02-29T", "", "today"] {
            assert!(day(text).is_err(), "{text}");
        }
    }
}
