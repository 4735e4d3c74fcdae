//! What a change of many connections prints: each connection of one tenant, or the counts of many tenants.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::affected::affected_text;
use crate::cli::failure::Failure;
use crate::cli::lookup::word;
use crate::cli::output::{Format, Output};
use credvault_proto::v1;

/// How many connections had which outcome.
type Counts = BTreeMap<String, usize>;

/// What became of the connections of one tenant.
#[derive(Debug)]
pub(super) struct TenantOutcome {
    tenant: String,
    counts: Counts,
    /// How many uses by services end.
    broken_services: usize,
    /// Why the work at this tenant has stopped; empty if it has not.
    reason: String,
}

impl TenantOutcome {
    /// Counts the changes of one tenant.
    pub(super) fn of(tenant: String, changes: &[v1::ConnectionChange], reason: String) -> Self {
        let hidden = |change: &v1::ConnectionChange| {
            usize::try_from(change.hidden_affected_services).unwrap_or_default()
        };
        let broken = changes.iter().map(|change| change.affected_services.len() + hidden(change));
        Self { tenant, counts: counts(changes), broken_services: broken.sum(), reason }
    }

    fn row(&self) -> Vec<String> {
        let total: usize = self.counts.values().sum();
        let (counts, broken) = (counts_text(&self.counts), self.broken_services.to_string());
        vec![self.tenant.clone(), total.to_string(), counts, broken, self.reason.clone()]
    }
}

/// Prints what became of each tenant.
pub(super) fn print_tenants(
    all: &[TenantOutcome],
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    if format == Format::Json {
        let object = |one: &TenantOutcome| {
            let TenantOutcome { tenant, counts, broken_services, reason } = one;
            json!({ "tenantId": tenant, "outcomes": counts, "brokenServices": broken_services, "reason": reason })
        };
        let all: Vec<_> = all.iter().map(object).collect();
        return output.values(&all);
    }
    let headings = ["TENANT", "CONNECTIONS", "OUTCOMES", "BREAKS SERVICES", "REASON"];
    output.table(&headings, &all.iter().map(TenantOutcome::row).collect::<Vec<_>>())
}

/// Prints each connection, and below how many had which outcome.
pub(super) fn print_changes(
    all: &[v1::ConnectionChange],
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    if format == Format::Json {
        return output.json_list("ConnectionChange", all);
    }
    let headings = ["ID", "PROVIDER", "ACCOUNT", "OUTCOME", "REASON", "BREAKS"];
    output.table::<Failure>(&headings, &all.iter().map(row).collect::<Vec<_>>())?;
    output.line(&format!("{} connections: {}", all.len(), counts_text(&counts(all))))
}

fn row(change: &v1::ConnectionChange) -> Vec<String> {
    let (id, provider, account) = match &change.connection {
        Some(connection) => (&*connection.id, &*connection.provider, &*connection.account_name),
        None => ("", "", ""),
    };
    let reason = change.error.as_ref().map_or("", |error| error.reason.as_str());
    let breaks = affected_text(&change.affected_services, change.hidden_affected_services);
    let cells = [id, provider, account].map(str::to_owned);
    cells.into_iter().chain([outcome(change), reason.to_owned(), breaks]).collect()
}

fn outcome(change: &v1::ConnectionChange) -> String {
    word(change.outcome().as_str_name(), "CONNECTION_CHANGE_OUTCOME_")
}

fn counts(changes: &[v1::ConnectionChange]) -> Counts {
    let mut counts = Counts::new();
    for change in changes {
        *counts.entry(outcome(change)).or_default() += 1;
    }
    counts
}

fn counts_text(counts: &Counts) -> String {
    let counts: Vec<String> = counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    counts.join(", ")
}
