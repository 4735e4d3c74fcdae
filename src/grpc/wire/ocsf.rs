//! A record of the audit log as an event of OCSF 1.3.0 (<https://schema.ocsf.io/1.3.0/classes/api_activity>): category Application
//! Activity (6), class API Activity (6003). What OCSF has no place for stands in `unmapped`.

use credvault_domain::{Action, ActionKind, ServiceId};
use serde_json::{Map, Value, json};

use credvault_proto::v1;

/// The version of the schema that events have.
const VERSION: &str = "1.3.0";
const CATEGORY: u32 = 6;
const CLASS: u32 = 6003;

/// What OCSF calls the effect of a call, with its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Activity {
    Unknown,
    Create,
    Read,
    Update,
    Delete,
    Other,
}

impl Activity {
    fn of(action: &str) -> Self {
        // A name that this release does not know is of an earlier or a later one.
        let Some(known) = Action::from_stored(action) else { return Self::Unknown };
        let begins = |words: &[&str]| words.iter().any(|word| action.starts_with(word));
        match known.kind() {
            ActionKind::Fetch | ActionKind::Read => Self::Read,
            ActionKind::Permission => Self::Other,
            ActionKind::Change if begins(&["Create", "Import"]) => Self::Create,
            ActionKind::Change if begins(&["Delete", "Purge", "Destroy", "Erase", "Disconnect"]) => {
                Self::Delete
            }
            ActionKind::Change => Self::Update,
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Create => 1,
            Self::Read => 2,
            Self::Update => 3,
            Self::Delete => 4,
            Self::Other => 99,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Create => "Create",
            Self::Read => "Read",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Other => "Other",
        }
    }
}

/// A record of this tenant's log as one line of JSON, without a line feed.
pub(super) fn ocsf_line(index: u64, event: &v1::AuditEvent, tenant: &str) -> String {
    let activity = Activity::of(&event.action);
    let (severity_id, severity, status_id, status) = match event.outcome() {
        v1::AuditOutcome::Ok => (1, "Informational", 1, "Success"),
        v1::AuditOutcome::Failed => (2, "Low", 2, "Failure"),
        v1::AuditOutcome::Denied => (3, "Medium", 2, "Failure"),
        v1::AuditOutcome::Unspecified => (0, "Unknown", 0, "Unknown"),
    };
    let mut line = json!({
        "activity_id": activity.number(),
        "activity_name": activity.name(),
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "type_uid": CLASS * 100 + activity.number(),
        "type_name": format!("API Activity: {}", activity.name()),
        "time": millis(event),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "message": format!("{} {}", event.action, event.outcome().as_str_name().trim_start_matches("AUDIT_OUTCOME_")),
        "metadata": metadata(index, event, tenant),
        "actor": actor(event),
        "api": api(event),
        "src_endpoint": source(event),
        "unmapped": unmapped(event),
    });
    if !event.reason.is_empty() {
        line["status_code"] = event.reason.as_str().into();
    }
    if !event.connection_id.is_empty() {
        let mut resource = json!({ "uid": event.connection_id, "type": "connection" });
        if !event.owner_user_id.is_empty() {
            resource["owner"] = user(&event.owner_user_id);
        }
        line["resources"] = json!([resource]);
    }
    line.to_string()
}

/// OCSF's times are milliseconds.
fn millis(event: &v1::AuditEvent) -> i64 {
    let time = event.time.unwrap_or_default();
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000))
}

fn metadata(index: u64, event: &v1::AuditEvent, tenant: &str) -> Value {
    json!({
        "version": VERSION,
        "product": { "name": "credvault", "vendor_name": "credvault", "version": env!("CARGO_PKG_VERSION") },
        "uid": event.id,
        "sequence": index,
        "log_name": "audit",
        "tenant_uid": tenant,
        "event_code": event.action,
        "correlation_uid": event.trace_id,
        "original_time": event.time.as_ref().map(ToString::to_string),
    })
}

/// The user of the call; without one the service, as the account of a system. At least one thing is known of each actor.
fn actor(event: &v1::AuditEvent) -> Value {
    let mut actor = Map::new();
    if !event.user_id.is_empty() {
        actor.insert("user".to_owned(), user(&event.user_id));
    } else if !event.service.is_empty() {
        let service = json!({ "uid": event.service, "type_id": 3, "type": "System" });
        actor.insert("user".to_owned(), service);
    }
    let service = if event.service.is_empty() { "unknown" } else { event.service.as_str() };
    actor.insert("app_name".to_owned(), service.into());
    if !event.service.is_empty() {
        actor.insert("app_uid".to_owned(), service.into());
    }
    Value::Object(actor)
}

fn user(id: &str) -> Value {
    json!({ "uid": id, "type_id": 1, "type": "User" })
}

fn api(event: &v1::AuditEvent) -> Value {
    let service = Action::from_stored(&event.action).map_or("credvault", Action::service);
    json!({
        "operation": event.action,
        "service": { "name": service },
        "version": "v1",
        "request": { "uid": event.trace_id },
    })
}

/// Where the call came from. The vault's own work has no address.
fn source(event: &v1::AuditEvent) -> Value {
    if !event.source_address.is_empty() {
        return json!({ "ip": event.source_address });
    }
    let name = if event.service == ServiceId::VAULT { ServiceId::VAULT } else { "unknown" };
    json!({ "name": name })
}

/// What OCSF has no place for, without what is empty.
fn unmapped(event: &v1::AuditEvent) -> Value {
    let texts = [
        ("outcome", event.outcome().as_str_name()),
        ("tenant_source", event.tenant_source.as_str()),
        ("provider", event.provider.as_str()),
        ("purpose", event.purpose.as_str()),
        ("owner_user_id", event.owner_user_id.as_str()),
    ];
    let lists = [
        ("changed_fields", &event.changed_fields),
        ("released_fields", &event.released_fields),
        ("policies", &event.policies),
    ];
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let version = Some(event.version).filter(|version| *version != 0);
    let all = texts.map(|(name, text)| (name.to_owned(), Value::from(text)));
    let all = all.chain(lists.map(|(name, list)| (name.to_owned(), Value::from(list.clone()))));
    Value::Object(all.chain(version.map(|version| ("version".to_owned(), version.into()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: &v1::AuditEvent) -> Value {
        serde_json::from_str(&ocsf_line(7, event, "acme")).expect("JSON")
    }

    /// What the schema requires of class, metadata, product, api, actor and endpoint.
    fn is_of_the_class(line: &Value) {
        for name in ["activity_id", "category_uid", "class_uid", "severity_id", "time", "type_uid"] {
            assert!(line[name].is_u64(), "{name}: {line}");
        }
        assert_eq!((line["category_uid"].as_u64(), line["class_uid"].as_u64()), (Some(6), Some(6003)));
        let type_uid = 600_300 + line["activity_id"].as_u64().expect("a number");
        assert_eq!(line["type_uid"].as_u64(), Some(type_uid));
        assert_eq!(line["metadata"]["version"], "1.3.0");
        assert!(line["metadata"]["product"]["vendor_name"].is_string());
        assert!(line["api"]["operation"].is_string() && line["api"]["service"]["name"].is_string());
        let has = |object: &Value, names: &[&str]| names.iter().any(|name| object[*name].is_string());
        assert!(line["actor"]["user"].is_object() || has(&line["actor"], &["app_name", "app_uid"]), "{line}");
        assert!(has(&line["src_endpoint"], &["ip", "name"]), "{line}");
    }

    #[test]
    fn each_record_is_an_event_of_the_class() {
        let bare = v1::AuditEvent::default();
        let fetch = v1::AuditEvent {
            id: "i".to_owned(),
            time: Some(prost_types::Timestamp { seconds: 2, nanos: 345_678_000 }),
            service: "spiffe://test.local/app".to_owned(),
            user_id: "u1".to_owned(),
            action: "FetchCredential".to_owned(),
            connection_id: "c".to_owned(),
            owner_user_id: "u1".to_owned(),
            outcome: v1::AuditOutcome::Ok.into(),
            source_address: "10.0.0.7".to_owned(),
            version: 3,
            ..bare.clone()
        };
        let own = v1::AuditEvent {
            service: ServiceId::VAULT.to_owned(),
            action: "EraseTenant".to_owned(),
            outcome: v1::AuditOutcome::Failed.into(),
            reason: "INTERNAL".to_owned(),
            ..bare.clone()
        };
        for event in [&bare, &fetch, &own] {
            is_of_the_class(&read(event));
        }
        let line = read(&fetch);
        assert_eq!((line["time"].as_i64(), line["type_uid"].as_u64()), (Some(2345), Some(600_302)));
        assert_eq!(line["metadata"]["sequence"], 7);
        assert_eq!(
            (&line["actor"]["user"]["uid"], &line["src_endpoint"]["ip"]),
            (&"u1".into(), &"10.0.0.7".into())
        );
        assert_eq!(line["resources"][0]["uid"], "c");
        assert_eq!(line["unmapped"]["version"], 3);
        let line = read(&own);
        assert_eq!((&line["status"], &line["status_code"]), (&"Failure".into(), &"INTERNAL".into()));
        assert_eq!(
            (line["activity_id"].as_u64(), &line["actor"]["user"]["type"]),
            (Some(4), &"System".into())
        );
    }

    #[test]
    fn every_action_has_an_activity() {
        for action in Action::ALL.iter().chain(Action::COMMANDS) {
            assert_ne!(Activity::of(action.as_str()), Activity::Unknown, "{action:?}");
        }
        assert_eq!(Activity::of("CreateTenant"), Activity::Create);
        assert_eq!(Activity::of("PutCredential"), Activity::Update);
        assert_eq!(Activity::of("Another"), Activity::Unknown);
    }
}
