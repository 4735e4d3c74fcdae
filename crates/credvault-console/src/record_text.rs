//! Records of the audit log as lines of text: of JSON for programs, of CSV for spreadsheets. The console's exports and `credvault
//! audit export` write the same.

use credvault_proto::v1;
use serde_json::Value;

/// A record as its columns. Destructured, so that a field that is added to records is not forgotten here.
fn columns(event: &v1::AuditEvent) -> [(&'static str, Value); 20] {
    let v1::AuditEvent {
        id,
        time,
        service,
        user_id,
        tenant_source,
        action,
        connection_id,
        provider,
        version,
        purpose,
        changed_fields,
        outcome: _,
        reason,
        policies,
        trace_id,
        source_address,
        released_fields,
        owner_user_id,
        tenant_id,
        index,
    } = event;
    [
        ("id", id.as_str().into()),
        ("time", time.as_ref().map(ToString::to_string).into()),
        ("service", service.as_str().into()),
        ("user_id", user_id.as_str().into()),
        ("owner_user_id", owner_user_id.as_str().into()),
        ("tenant_source", tenant_source.as_str().into()),
        ("action", action.as_str().into()),
        ("connection_id", connection_id.as_str().into()),
        ("provider", provider.as_str().into()),
        ("version", (*version).into()),
        ("purpose", purpose.as_str().into()),
        ("outcome", event.outcome().as_str_name().into()),
        ("reason", reason.as_str().into()),
        ("changed_fields", changed_fields.clone().into()),
        ("released_fields", released_fields.clone().into()),
        ("policies", policies.clone().into()),
        ("trace_id", trace_id.as_str().into()),
        ("source_address", source_address.as_str().into()),
        ("tenant_id", tenant_id.as_str().into()),
        ("index", (*index).into()),
    ]
}

/// A record as one line of JSON, without a line feed: the names and values of protobuf's JSON, each field whatever its value,
/// and whole numbers as numbers. A record without a place in the log has no `index`.
pub fn json_line(event: &v1::AuditEvent) -> String {
    let has_value = |(name, value): &(&str, Value)| *name != "index" || !value.is_null();
    let member = |(name, value): (&str, Value)| format!("{}:{value}", Value::from(camel_case(name)));
    let members: Vec<_> = columns(event).into_iter().filter(has_value).map(member).collect();
    format!("{{{}}}", members.join(","))
}

/// The name of a field in protobuf's JSON.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |before, word| {
        let (letter, rest) = word.split_at(word.len().min(1));
        format!("{before}{}{rest}", letter.to_uppercase())
    })
}

/// The columns of CSV in one line, without a line feed: the names that the protos have.
pub fn csv_heading() -> String {
    columns(&v1::AuditEvent::default()).map(|(name, _)| name).join(",")
}

/// A record as one line of CSV, without a line feed. Lists have blanks between their items.
pub fn csv_line(event: &v1::AuditEvent) -> String {
    columns(event).map(|(name, value)| cell(&plain(name, &value))).join(",")
}

fn plain(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if name == "outcome" => text.trim_start_matches("AUDIT_OUTCOME_").to_lowercase(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// A cell as RFC 4180 has it. What a spreadsheet would take for a formula gets an apostrophe in front: a caller chooses the
/// purpose and the ids of users, and must not run anything where an auditor reads them.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_is_never_a_formula() {
        for (text, expected) in [
            ("", ""),
            ("order sync", "order sync"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("-2,3", "\"'-2,3\""),
            ("@SUM(A1)", "'@SUM(A1)"),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    #[test]
    fn a_record_is_one_line_with_every_column() {
        let event = v1::AuditEvent {
            id: "i".to_owned(),
            time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            purpose: "a\nb".to_owned(),
            outcome: v1::AuditOutcome::Denied.into(),
            changed_fields: vec!["a".to_owned(), "b".to_owned()],
            source_address: "127.0.0.1".to_owned(),
            tenant_id: "acme".to_owned(),
            index: Some(7),
            ..Default::default()
        };
        let line = csv_line(&event);
        assert_eq!(line, "i,1970-01-01T00:00:00Z,,,,,,,,0,\"a\nb\",denied,,a b,,,,127.0.0.1,acme,7");
        assert!(csv_heading().starts_with("id,time,service,user_id,owner_user_id,"), "{}", csv_heading());
        let line = json_line(&event);
        assert!(!line.contains('\n') && line.starts_with("{\"id\":\"i\",\"time\":\"1970-"), "{line}");
        let parsed: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(parsed.as_object().map(serde_json::Map::len), Some(20));
        assert_eq!((&parsed["version"], &parsed["ownerUserId"]), (&Value::from(0), &Value::from("")));
        assert_eq!(parsed["outcome"], "AUDIT_OUTCOME_DENIED");
        let unplaced = v1::AuditEvent { index: None, ..event };
        assert!(!json_line(&unplaced).contains("index") && csv_line(&unplaced).ends_with(",acme,"));
    }
}
