//! What a change of many connections prints: each connection of one tenant, or the counts of many tenants.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::cli::affected::affected_text;
use crate::cli::failure::Failure;
use crate::cli::lookup::word;
use crate::cli::output::{Format, Output};
use crate::cli::rpcs::in_commands;
use crate::cli::whose::Whose;
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
    pub(super) fn of(
        tenant: String,
        kind: v1::ConnectionChangeKind,
        changes: &[v1::ConnectionChange],
        reason: String,
    ) -> Self {
        let hidden = |change: &v1::ConnectionChange| {
            usize::try_from(change.hidden_affected_services).unwrap_or_default()
        };
        let broken = changes.iter().map(|change| change.affected_services.len() + hidden(change));
        Self { tenant, counts: counts(kind, changes), broken_services: broken.sum(), reason }
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
    (kind, whose): (v1::ConnectionChangeKind, &Whose),
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    if format == Format::Json {
        return output.json_list("ConnectionChange", all);
    }
    if all.is_empty() {
        return output.line(&whose.none());
    }
    let headings = ["ID", "PROVIDER", "ACCOUNT", "OUTCOME", "REASON", "BREAKS"];
    output.table::<Failure>(&headings, &all.iter().map(|one| row(kind, one)).collect::<Vec<_>>())?;
    // A sentence is too long for a column, and is the same for many.
    let sentences: BTreeSet<(&str, &str)> = all.iter().filter_map(sentence).collect();
    for (reason, sentence) in sentences {
        output.line::<Failure>(&format!("{reason}: {}", in_commands(sentence)))?;
    }
    let counts = counts_text(&counts(kind, all));
    output.line(&format!("{} connections {}: {counts}", all.len(), whose.text()))
}

/// The reason of a refusal, and what the vault says about it.
fn sentence(change: &v1::ConnectionChange) -> Option<(&str, &str)> {
    let status = change.status.as_ref().filter(|status| !status.message.is_empty())?;
    Some((reason(change), status.message.as_str()))
}

fn reason(change: &v1::ConnectionChange) -> &str {
    change.error.as_ref().map_or("", |error| error.reason.as_str())
}

fn row(kind: v1::ConnectionChangeKind, change: &v1::ConnectionChange) -> Vec<String> {
    let (id, provider, account) = match &change.connection {
        Some(connection) => (&*connection.id, &*connection.provider, &*connection.account_name),
        None => ("", "", ""),
    };
    let breaks = affected_text(&change.affected_services, change.hidden_affected_services);
    let cells = [id, provider, account].map(str::to_owned);
    cells.into_iter().chain([outcome(kind, change), reason(change).to_owned(), breaks]).collect()
}

/// The outcome in one word. A test changes nothing, and a refresh makes a token.
fn outcome(kind: v1::ConnectionChangeKind, change: &v1::ConnectionChange) -> String {
    let own = [
        (v1::ConnectionChangeKind::Test, v1::ConnectionChangeOutcome::Changed, "works"),
        (v1::ConnectionChangeKind::Test, v1::ConnectionChangeOutcome::WouldChange, "would be tested"),
        (v1::ConnectionChangeKind::Refresh, v1::ConnectionChangeOutcome::Changed, "refreshed"),
    ];
    if let Some((_, _, word)) =
        own.iter().find(|(of, outcome, _)| (*of, *outcome) == (kind, change.outcome()))
    {
        return (*word).to_owned();
    }
    word(change.outcome().as_str_name(), "CONNECTION_CHANGE_OUTCOME_")
}

fn counts(kind: v1::ConnectionChangeKind, changes: &[v1::ConnectionChange]) -> Counts {
    let mut counts = Counts::new();
    for change in changes {
        *counts.entry(outcome(kind, change)).or_default() += 1;
    }
    counts
}

fn counts_text(counts: &Counts) -> String {
    let counts: Vec<String> = counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_works_or_is_refused_with_a_sentence() {
        let changed = v1::ConnectionChange {
            outcome: v1::ConnectionChangeOutcome::Changed.into(),
            ..Default::default()
        };
        assert_eq!(outcome(v1::ConnectionChangeKind::Test, &changed), "works");
        assert_eq!(outcome(v1::ConnectionChangeKind::Disable, &changed), "changed");
        let status = tonic_types::pb::Status {
            message: "the connection has no credential; PutCredential stores one".to_owned(),
            ..Default::default()
        };
        let refused = v1::ConnectionChange {
            outcome: v1::ConnectionChangeOutcome::Refused.into(),
            status: Some(status),
            ..Default::default()
        };
        let mut output = Output::stdout().keeping();
        let of = (v1::ConnectionChangeKind::Test, &Whose::with_id("acme"));
        print_changes(&[changed, refused], of, Format::Table, &mut output).expect("printed");
        let text = output.into_text();
        assert!(text.contains("`credvault connections put` stores one"), "{text}");
        assert!(text.contains("2 connections of the tenant acme: 1 refused, 1 works"), "{text}");
    }
}
