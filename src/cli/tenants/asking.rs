//! The question before a change of many connections that cannot be taken back: what a dry run says about it.

use crate::cli::affected::affected_text;
use crate::cli::whose::Whose;
use credvault_proto::v1;

/// How many services a question names.
const MOST_NAMED: usize = 10;

/// What a change would do.
#[derive(Default)]
pub(super) struct Prospect {
    connections: usize,
    services: Vec<v1::AffectedService>,
    /// How many more uses by services end.
    hidden: i32,
}

impl Prospect {
    /// Adds what a dry run says of connections.
    pub(super) fn add(&mut self, tried: &[v1::ConnectionChange]) {
        for change in tried {
            if change.outcome() == v1::ConnectionChangeOutcome::WouldChange {
                self.connections += 1;
                self.services.extend(change.affected_services.iter().cloned());
                self.hidden = self.hidden.saturating_add(change.hidden_affected_services);
            }
        }
    }

    /// Whether nothing would be changed.
    pub(super) fn is_empty(&self) -> bool {
        self.connections == 0
    }

    /// The question to a person, with what cannot be undone.
    pub(super) fn question(&self, tenants: &[String]) -> String {
        let whose = match tenants {
            [tenant] => Whose::with_id(tenant).text(),
            several => format!("of {} tenants", several.len()),
        };
        let (connections, secrets) = match self.connections {
            1 => ("1 connection".to_owned(), "its secret"),
            number => (format!("{number} connections"), "their secrets"),
        };
        let named = self.services.get(..MOST_NAMED).unwrap_or(&self.services);
        let unnamed = i32::try_from(self.services.len() - named.len()).unwrap_or(i32::MAX);
        let services = match affected_text(named, self.hidden.saturating_add(unnamed)) {
            none if none.is_empty() => "No service stops.".to_owned(),
            names => format!("These services stop: {names}."),
        };
        format!(
            "Disconnect {connections} {whose}: destroy {secrets}, and have the providers revoke them? {services} Only new \
             consents or credentials connect them again."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_counts_connections_and_names_services() {
        let service = |number: usize| v1::AffectedService {
            service: format!("report-{number}"),
            mapping: "orders".to_owned(),
            owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
            enabled: true,
        };
        let change = |outcome: v1::ConnectionChangeOutcome, number: usize| v1::ConnectionChange {
            outcome: outcome.into(),
            affected_services: (0..number).map(service).collect(),
            hidden_affected_services: 1,
            ..Default::default()
        };
        let (would, not) =
            (v1::ConnectionChangeOutcome::WouldChange, v1::ConnectionChangeOutcome::Inapplicable);
        let mut prospect = Prospect::default();
        prospect.add(&[change(not, 3)]);
        assert!(prospect.is_empty());
        prospect.add(&[change(would, 11), change(would, 0)]);
        let question = prospect.question(&["acme".to_owned()]);
        assert!(question.starts_with("Disconnect 2 connections of the tenant acme: destroy"), "{question}");
        assert!(question.contains("report-9/orders of tenant, 3 more."), "{question}");
        let several = prospect.question(&["acme".to_owned(), "globex".to_owned()]);
        assert!(several.contains("of 2 tenants"), "{several}");
    }
}
