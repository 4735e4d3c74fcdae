//! The broken rules of a request, field by field. Never repeats a value, which may be a secret.

/// One rule that a field of a request breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The path of the field as the request spells it, e.g. `credential.fields[access_token]`.
    pub field: String,
    /// The rule, as the end of a sentence about the field: "must not be empty". Never holds the value.
    pub rule: String,
}

/// The largest number of violations in one answer.
const MAX_VIOLATIONS: usize = 32;

/// All broken rules of a request. Collected, so that a form can mark every wrong field at once.
#[derive(Clone, PartialEq, Eq, Default, Debug, thiserror::Error)]
#[error("{}", summary(.0))]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// A collection of a single violation.
    pub fn of(field: impl Into<String>, rule: impl Into<String>) -> Self {
        let mut violations = Self::default();
        violations.add(field, rule);
        violations
    }

    /// Adds a violation, unless it is already there or the collection is full: the answer must fit into the headers that
    /// clients accept.
    pub fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        let violation = Violation { field: field.into(), rule: rule.into() };
        if self.0.len() < MAX_VIOLATIONS && !self.0.contains(&violation) {
            self.0.push(violation);
        }
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|Violation { field, rule }| self.add(field, rule));
    }

    /// Whether no rule is broken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The violations in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    /// `Ok` if no rule is broken.
    ///
    /// # Errors
    /// The collection itself, if it holds anything.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// What was read, or `None` if it was wrong; its violations are added to these.
    pub fn collect<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        result.map_err(|wrong| self.extend(wrong)).ok()
    }

    /// Returns the value of `result`, or adds its error under `field`.
    pub fn note<T, E: std::fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|rule| self.add(field, rule.to_string())).ok()
    }
}

fn summary(violations: &[Violation]) -> String {
    let shown: Vec<String> = violations.iter().take(5).map(|v| format!("{} {}", v.field, v.rule)).collect();
    match violations.len().saturating_sub(5) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
