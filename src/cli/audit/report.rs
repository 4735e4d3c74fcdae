//! What a verification has found: names and values, in lines for people or as one JSON object.

use serde_json::{Map, Value};

use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};

/// Names with their values. Some have several values.
#[derive(Default)]
pub(super) struct Report(Vec<(&'static str, Value)>);

impl Report {
    pub(super) fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }

    /// Adds a value that may be absent.
    pub(super) fn add_some(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    pub(super) fn print(self, format: Format, output: &mut Output) -> Result<(), Failure> {
        match format {
            Format::Json => {
                let members: Map<String, Value> =
                    self.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                output.value(&members)
            }
            Format::Table => {
                let pairs = self.0.iter().map(|(name, value)| (name.replace('_', " "), text(value)));
                output.block(&pairs.collect::<Vec<_>>())
            }
        }
    }
}

/// A value for people. What is absent has no line.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_names_and_programs_one_object() {
        let report = || {
            let mut report = Report::default();
            report.add("first_index", 7_u64);
            report.add("complete", true);
            report.add("continues", vec![3_u64, 5]);
            report.add_some("reason", None::<String>);
            report
        };
        let printed = |format| {
            let mut output = Output::stdout().keeping();
            report().print(format, &mut output).expect("printed");
            output.into_text()
        };
        let text = printed(Format::Table);
        for expected in ["first index", "complete", "yes", "3, 5"] {
            assert!(text.contains(expected), "{text}");
        }
        let json: Value = serde_json::from_str(&printed(Format::Json)).expect("JSON");
        assert_eq!(json, serde_json::json!({ "first_index": 7, "complete": true, "continues": [3, 5] }));
    }
}
