//! The services that the end of a connection breaks, as commands print them.

use super::failure::Failure;
use super::lookup::owner_text;
use super::output::Output;
use credvault_proto::v1;

/// Names the services in one cell: `report/orders of user u1`, and how many more there are.
pub(super) fn affected_text(services: &[v1::AffectedService], hidden: i32) -> String {
    let name = |one: &v1::AffectedService| {
        let off = if one.enabled { "" } else { " (off)" };
        format!("{}/{} of {}{off}", one.service, one.mapping, owner_text(one.owner.as_ref()))
    };
    let mut names: Vec<String> = services.iter().map(name).collect();
    match (hidden, names.is_empty()) {
        (..=0, _) => {}
        (hidden, true) => names.push(format!("{hidden} that this caller may not see")),
        (hidden, false) => names.push(format!("{hidden} more")),
    }
    names.join(", ")
}

/// Prints a line about the services, if there are any.
pub(super) fn print_affected(
    services: &[v1::AffectedService],
    hidden: i32,
    output: &mut Output,
) -> Result<(), Failure> {
    match affected_text(services, hidden) {
        none if none.is_empty() => Ok(()),
        names => output.line(&format!("This breaks services: {names}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_and_those_that_are_not_shown_are_counted() {
        let owner = Some(v1::Owner { kind: v1::OwnerKind::User.into(), user_id: "u1".to_owned() });
        let one = v1::AffectedService {
            service: "report".to_owned(),
            mapping: "orders".to_owned(),
            owner,
            enabled: false,
        };
        assert_eq!(affected_text(&[], 0), "");
        assert_eq!(affected_text(&[], 2), "2 that this caller may not see");
        assert_eq!(affected_text(&[one], 2), "report/orders of user u1 (off), 2 more");
    }
}
