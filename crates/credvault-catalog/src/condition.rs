//! Conditions on a provider's answer: its status, and the value at a path of its JSON body.

use serde_json::Value;

use crate::path::Path;

/// A condition on an answer. It holds if all of its parts hold.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) status: Option<u16>,
    pub(crate) body: Option<(Path, Test)>,
}

/// What a condition asks of the value at a path. Null counts as absent.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// There is a value, whatever it is.
    Present,
    /// There is no value.
    Absent,
    /// The value is one of these, or a list that contains one of these.
    OneOf(Vec<Value>),
    /// There is a value, and it is none of these.
    NoneOf(Vec<Value>),
    /// The value is a whole number in this range, both ends included.
    Between(i64, i64),
    /// The value is a text that contains this one. Case is ignored.
    Contains(String),
}

impl Condition {
    /// A condition on the status alone.
    pub(crate) fn status(status: u16) -> Self {
        Self { status: Some(status), body: None }
    }

    /// The condition that the member `error` is one of `codes` (RFC 6749, section 5.2).
    pub(crate) fn error(codes: &[&str]) -> Self {
        let codes = codes.iter().map(|code| Value::from(*code)).collect();
        Self { status: None, body: Some((Path::member("error"), Test::OneOf(codes))) }
    }

    /// Whether the condition can hold only for an answer that has a body.
    pub(crate) fn needs_body(&self) -> bool {
        self.body.as_ref().is_some_and(|(_, test)| !matches!(test, Test::Absent))
    }

    fn holds(&self, status: u16, body: &Value) -> bool {
        self.status.is_none_or(|expected| expected == status)
            && self.body.as_ref().is_none_or(|(path, test)| test.holds(path.of(body)))
    }
}

impl Test {
    fn holds(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return matches!(self, Self::Absent) };
        match self {
            Self::Present => true,
            Self::Absent => false,
            Self::OneOf(these) => match value {
                Value::Array(items) => items.iter().any(|item| these.contains(item)),
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_)) => these.contains(other),
            },
            Self::NoneOf(these) => !these.contains(value),
            Self::Between(first, last) => value.as_i64().is_some_and(|code| (*first..=*last).contains(&code)),
            Self::Contains(text) => {
                value.as_str().is_some_and(|found| found.to_lowercase().contains(&text.to_lowercase()))
            }
        }
    }
}

/// Whether at least one of the conditions holds.
pub(crate) fn any_holds(conditions: &[Condition], status: u16, body: &Value) -> bool {
    conditions.iter().any(|condition| condition.holds(status, body))
}

/// Whether an answer is a success: its status is 2xx, and all conditions hold.
pub(crate) fn is_success(conditions: &[Condition], status: u16, body: &Value) -> bool {
    (200..300).contains(&status) && conditions.iter().all(|condition| condition.holds(status, body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at_code(test: Test) -> Condition {
        Condition { status: None, body: Some((Path::member("code"), test)) }
    }

    #[test]
    fn each_test_looks_at_what_stands_there() {
        let cases = [
            (Test::Present, json!({"code": 0}), true),
            (Test::Present, json!({"code": null}), false),
            (Test::Absent, json!({"code": null}), true),
            (Test::Absent, json!({"other": 1}), true),
            (Test::Absent, json!({"code": false}), false),
            (Test::OneOf(vec![json!(1)]), json!({"code": 1}), true),
            (Test::OneOf(vec![json!(1)]), json!({"code": [2, 1]}), true),
            (Test::OneOf(vec![json!(1)]), json!({"code": "1"}), false),
            (Test::NoneOf(vec![json!(0)]), json!({"code": 40105}), true),
            (Test::NoneOf(vec![json!(0)]), json!({"code": 0}), false),
            (Test::NoneOf(vec![json!(0)]), json!({}), false),
            (Test::Between(200, 299), json!({"code": 200}), true),
            (Test::Between(200, 299), json!({"code": 299}), true),
            (Test::Between(200, 299), json!({"code": 300}), false),
            (Test::Between(200, 299), json!({"code": "250"}), false),
            (Test::Contains("Revoked".to_owned()), json!({"code": "was REVOKED"}), true),
            (Test::Contains("revoked".to_owned()), json!({"code": 5}), false),
        ];
        for (test, body, expected) in cases {
            let message = format!("{test:?} of {body}");
            assert_eq!(any_holds(&[at_code(test)], 200, &body), expected, "{message}");
        }
    }

    #[test]
    fn status_and_body_must_both_hold() {
        let both = Condition { status: Some(401), ..at_code(Test::Present) };
        assert!(any_holds(std::slice::from_ref(&both), 401, &json!({"code": 1})));
        assert!(!any_holds(std::slice::from_ref(&both), 400, &json!({"code": 1})));
        assert!(!any_holds(&[both], 401, &Value::Null));
    }
}
