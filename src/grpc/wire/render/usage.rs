//! What became of reports of usage, and its sums, as responses.

use credvault_domain::{Day, UsageCounts};
use credvault_operations::usage::{Answer, Outcome};
use credvault_store::UsageRow;

use credvault_proto::v1;

pub(crate) fn usage_outcome(outcome: Outcome) -> v1::ReportUsageResponse {
    let Outcome { accepted, rejected, before } = outcome;
    let place = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
    let rejected = rejected.into_iter().map(|(index, reason)| v1::RejectedUsageItem {
        index: place(index),
        reason: reason.as_str().to_owned(),
    });
    v1::ReportUsageResponse {
        accepted_items: place(accepted),
        rejected_items: rejected.collect(),
        counted_before: before,
    }
}

pub(crate) fn usage(answer: Answer) -> v1::GetUsageResponse {
    let Answer { start, end, sums } = answer;
    v1::GetUsageResponse {
        rows: sums.rows.items.into_iter().map(usage_row).collect(),
        total: Some(counts(&sums.total)),
        next_page_token: sums.rows.next_page_token,
        start_day: date(start),
        end_day: date(end),
    }
}

pub(crate) fn usage_row(row: UsageRow) -> v1::UsageRow {
    let UsageRow { connection, provider, owner: _, endpoint, user, service, day, counts: sums } = row;
    v1::UsageRow {
        connection_id: connection.map(|id| id.to_string()).unwrap_or_default(),
        provider: provider.map(|provider| provider.as_str().to_owned()).unwrap_or_default(),
        endpoint: endpoint.unwrap_or_default(),
        user_id: user.unwrap_or_default(),
        service: service.unwrap_or_default(),
        day: day.map(date).unwrap_or_default(),
        counts: Some(counts(&sums)),
    }
}

fn counts(counts: &UsageCounts) -> v1::UsageCounts {
    let UsageCounts { calls, errors, rate_limit_hits, fetches, refreshes } = *counts;
    v1::UsageCounts { calls, errors, rate_limit_hits, fetches, refreshes }
}

/// A day such as `2026-11-21`.
fn date(day: Day) -> String {
    let midnight = day.number().checked_mul(86_400);
    let midnight = midnight.and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    midnight.map(|midnight| midnight.date().to_string()).unwrap_or_default()
}
