//! Something about an answer: its status, and what stands at a place of its body.

use serde_json::Value;

use crate::path::Path;

/// All parts that are given must hold.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) status: Option<u16>,
    pub(crate) body: Option<(Path, Test)>,
}

/// What is asked of a value. All but [`Test::Absent`] want it to be there; null is not there.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    There,
    Absent,
    /// It is one of these, or a list with one of these in it.
    Any(Vec<Value>),
    /// It is none of these.
    Except(Vec<Value>),
    /// It is a whole number from the first to the second.
    Between(i64, i64),
    /// It is a text with this in it, whatever its case.
    Contains(String),
}

impl Condition {
    /// The status alone.
    pub(crate) fn status(status: u16) -> Self {
        Self { status: Some(status), body: None }
    }

    /// One of these texts at `error` (RFC 6749, section 5.2).
    pub(crate) fn error(any: &[&str]) -> Self {
        let any = any.iter().map(|text| Value::from(*text)).collect();
        Self { status: None, body: Some((Path::member("error"), Test::Any(any))) }
    }

    /// Whether it holds only if something stands in the body.
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
            Self::There => true,
            Self::Absent => false,
            Self::Any(any) => match value {
                Value::Array(items) => items.iter().any(|item| any.contains(item)),
                other => any.contains(other),
            },
            Self::Except(these) => !these.contains(value),
            Self::Between(first, last) => value.as_i64().is_some_and(|code| (*first..=*last).contains(&code)),
            Self::Contains(text) => {
                value.as_str().is_some_and(|found| found.to_lowercase().contains(&text.to_lowercase()))
            }
        }
    }
}

pub(crate) fn any(conditions: &[Condition], status: u16, body: &Value) -> bool {
    conditions.iter().any(|condition| condition.holds(status, body))
}

/// Whether an answer is a success: 2xx, and everything that the provider's file wants beside.
pub(crate) fn succeeded(conditions: &[Condition], status: u16, body: &Value) -> bool {
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
            (Test::There, json!({"code": 0}), true),
            (Test::There, json!({"code": null}), false),
            (Test::Absent, json!({"code": null}), true),
            (Test::Absent, json!({"other": 1}), true),
            (Test::Absent, json!({"code": false}), false),
            (Test::Any(vec![json!(1)]), json!({"code": 1}), true),
            (Test::Any(vec![json!(1)]), json!({"code": [2, 1]}), true),
            (Test::Any(vec![json!(1)]), json!({"code": "1"}), false),
            (Test::Except(vec![json!(0)]), json!({"code": 40105}), true),
            (Test::Except(vec![json!(0)]), json!({"code": 0}), false),
            (Test::Except(vec![json!(0)]), json!({}), false),
            (Test::Between(200, 299), json!({"code": 200}), true),
            (Test::Between(200, 299), json!({"code": 299}), true),
            (Test::Between(200, 299), json!({"code": 300}), false),
            (Test::Between(200, 299), json!({"code": "250"}), false),
            (Test::Contains("Revoked".to_owned()), json!({"code": "was REVOKED"}), true),
            (Test::Contains("revoked".to_owned()), json!({"code": 5}), false),
        ];
        for (test, body, expected) in cases {
            let message = format!("{test:?} of {body}");
            assert_eq!(any(&[at_code(test)], 200, &body), expected, "{message}");
        }
    }

    #[test]
    fn status_and_body_must_both_hold() {
        let both = Condition { status: Some(401), ..at_code(Test::There) };
        assert!(any(std::slice::from_ref(&both), 401, &json!({"code": 1})));
        assert!(!any(std::slice::from_ref(&both), 400, &json!({"code": 1})));
        assert!(!any(&[both], 401, &Value::Null));
    }
}
