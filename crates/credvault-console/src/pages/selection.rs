//! Which connections are meant: the filter in the address and in forms, and the same as the API takes it. Days and not ages,
//! so that a selection means the same on every page of a list.

use credvault_proto::v1;
use maud::{Markup, html};

use crate::fields::Fields;
use crate::form::Form;
use crate::refusal::Refusal;

/// The names of the filter's fields, which links and forms carry on.
const NAMES: [&str; 13] = [
    "provider",
    "account",
    "mode",
    "state",
    "health",
    "owner",
    "user",
    "enabled",
    "created_since",
    "created_before",
    "unused_since",
    "ends_before",
    "deleted",
];

/// What the form calls the fields of the API that people fill in.
pub(crate) const RENAMED: [(&str, &str); 8] = [
    ("selection.provider", "provider"),
    ("selection.account_name", "account"),
    ("selection.auth_mode", "mode"),
    ("owner.user_id", "user"),
    ("selection.created_since", "created_since"),
    ("selection.created_before", "created_before"),
    ("selection.unused_since", "unused_since"),
    ("selection.ends_before", "ends_before"),
];

const STATES: [(&str, &str); 5] = [
    ("", "any"),
    ("connected", "connected"),
    ("connecting", "connecting"),
    ("error", "error"),
    ("disconnected", "disconnected"),
];

const HEALTHS: [(&str, &str); 8] = [
    ("", "any"),
    ("ok", "ok"),
    ("ending", "ending"),
    ("ended", "ended"),
    ("error", "error"),
    ("uncertain", "uncertain"),
    ("provider_incident", "provider incident"),
    ("not_connected", "not connected"),
];

const OWNERS: [(&str, &str); 4] =
    [("", "any"), ("user", "the user below"), ("tenant", "the tenant itself"), ("platform", "the platform")];

const SWITCHES: [(&str, &str); 3] = [("", "both"), ("yes", "enabled"), ("no", "disabled")];

/// The fields of the filter that are set, for links.
pub(crate) fn carried(fields: &Fields) -> Vec<(&'static str, &str)> {
    let named = NAMES.iter().map(|name| (*name, fields.get(name)));
    named.filter(|(_, value)| !value.is_empty()).collect()
}

/// The same as hidden fields of a form.
pub(crate) fn hidden(fields: &Fields) -> Markup {
    html! {
        @for (name, value) in carried(fields) { input type="hidden" name=(name) value=(value); }
    }
}

/// The filter as the API takes it.
pub(crate) fn selection(fields: &Fields) -> Result<v1::ConnectionSelection, Refusal> {
    Ok(v1::ConnectionSelection {
        ids: Vec::new(),
        owner: owner(fields)?,
        provider: fields.get("provider").to_owned(),
        auth_mode: fields.get("mode").to_owned(),
        account_name: fields.get("account").to_owned(),
        state: state(fields.get("state"))?.into(),
        enabled: match fields.get("enabled") {
            "" => None,
            enabled => Some(enabled == "yes"),
        },
        created_before: day(fields, "created_before")?,
        created_since: day(fields, "created_since")?,
        unused_since: day(fields, "unused_since")?,
        health: health(fields.get("health"))?.into(),
        ends_before: day(fields, "ends_before")?,
    })
}

fn owner(fields: &Fields) -> Result<Option<v1::Owner>, Refusal> {
    let user_id = fields.get("user").to_owned();
    let kind = match (fields.get("owner"), user_id.is_empty()) {
        ("", true) => return Ok(None),
        ("" | "user", false) => v1::OwnerKind::User,
        ("tenant", true) => v1::OwnerKind::Tenant,
        ("platform", true) => v1::OwnerKind::Platform,
        ("user", true) => {
            return Err(Refusal::of_field("user", "must be the id of the user whose connections are meant"));
        }
        _ => return Err(Refusal::of_field("user", "must be empty, for another kind of owner is chosen")),
    };
    Ok(Some(v1::Owner { kind: kind.into(), user_id }))
}

fn state(name: &str) -> Result<v1::ConnectionState, Refusal> {
    if name.is_empty() {
        return Ok(v1::ConnectionState::Unspecified);
    }
    let found = v1::ConnectionState::from_str_name(&format!("CONNECTION_STATE_{}", name.to_uppercase()));
    found.ok_or_else(|| Refusal::of_field("state", "must be one of the list"))
}

fn health(name: &str) -> Result<v1::HealthState, Refusal> {
    if name.is_empty() {
        return Ok(v1::HealthState::Unspecified);
    }
    let found = v1::HealthState::from_str_name(&format!("HEALTH_STATE_{}", name.to_uppercase()));
    found.ok_or_else(|| Refusal::of_field("health", "must be one of the list"))
}

/// The beginning of a day in UTC, if the field names one.
pub(crate) fn day(fields: &Fields, name: &str) -> Result<Option<prost_types::Timestamp>, Refusal> {
    match fields.get(name) {
        "" => Ok(None),
        text => {
            let parsed = text.parse::<prost_types::Timestamp>();
            parsed.map(Some).map_err(|_| Refusal::of_field(name, "must be a day, such as 2026-11-21"))
        }
    }
}

/// The filter as a form that shows the list anew. It keeps what was sent, also if that was refused.
pub(crate) fn form(fields: &Fields, refusal: Option<&Refusal>) -> Markup {
    let form = Form { fields, refusal };
    let text = |name, label| form.input("text", name, label);
    let date = |name, label| form.input("date", name, label);
    let more = ["mode", "owner", "user", "created_since", "created_before", "unused_since", "ends_before"];
    html! {
        form class="filter" method="get" action="/connections" {
            input type="hidden" name="tenant" value=(fields.tenant());
            (text("provider", "Provider"))
            (text("account", "Account"))
            (form.choice("state", "State", &STATES))
            (form.choice("health", "Health", &HEALTHS))
            (form.choice("enabled", "Served", &SWITCHES))
            details open[more.iter().any(|name| !fields.get(name).is_empty())] {
                summary { "More filters" }
                (text("mode", "Auth mode"))
                (form.choice("owner", "Owner", &OWNERS))
                (text("user", "User"))
                (date("created_since", "Created on or after"))
                (date("created_before", "Created before"))
                (date("unused_since", "Not used since"))
                (date("ends_before", "Ends before"))
            }
            label {
                input type="checkbox" name="deleted" value="yes" checked[fields.get("deleted") == "yes"];
                " Show deleted ones"
            }
            button { "Filter" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(query: &str) -> Result<v1::ConnectionSelection, Refusal> {
        selection(&Fields::parse(query.as_bytes()))
    }

    #[test]
    fn a_filter_becomes_a_selection() {
        let found =
            selected("provider=shopify&state=error&health=ok&enabled=no&user=u1&ends_before=2026-11-21");
        let Ok(found) = found else { panic!("refused") };
        assert_eq!(
            (found.provider.as_str(), found.state(), found.health()),
            ("shopify", v1::ConnectionState::Error, v1::HealthState::Ok)
        );
        assert_eq!(found.enabled, Some(false));
        assert_eq!(found.ends_before.map(|time| time.seconds), Some(1_795_219_200));
        assert_eq!(
            found.owner.map(|owner| (owner.kind(), owner.user_id)),
            Some((v1::OwnerKind::User, "u1".to_owned()))
        );
        assert!(selected("").is_ok_and(|found| found == v1::ConnectionSelection::default()));
    }

    #[test]
    fn what_no_selection_has_is_refused_with_its_field() {
        for (query, field) in [
            ("state=CANARY", "state"),
            ("health=CANARY", "health"),
            ("ends_before=CANARY", "ends_before"),
            ("owner=user", "user"),
            ("owner=tenant&user=CANARY", "user"),
        ] {
            let Err(refusal) = selected(query) else { panic!("{query}") };
            let text = refusal.shown().into_string();
            assert!(text.contains(&format!("<code>{field}</code>")) && !text.contains("CANARY"), "{text}");
        }
    }
}
