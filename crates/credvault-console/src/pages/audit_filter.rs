//! Which records of the audit log are meant: the form, the links that set a time, and the filter as the API takes it. People
//! name services and connections as the pages show them; the API takes their ids.

use credvault_domain::Timestamp;
use credvault_proto::v1;
use maud::{Markup, html};
use uuid::Uuid;

use super::actions::options;
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::form::Form;
use crate::refusal::Refusal;

/// The names of the filter's fields, which links carry on.
const NAMES: [&str; 14] = [
    "since",
    "before",
    "service",
    "user",
    "action",
    "connection",
    "provider",
    "outcome",
    "reason",
    "purpose",
    "vouched",
    "address",
    "trace",
    "owner",
];
/// Those that are seldom searched by, which the form folds away.
const SELDOM: [&str; 6] = ["reason", "purpose", "vouched", "address", "trace", "owner"];

/// What the form calls the fields of the API that people fill in.
pub(crate) const RENAMED: [(&str, &str); 16] = [
    ("filter.start_time", "since"),
    ("filter.end_time", "before"),
    ("filter.service", "service"),
    ("filter.user_id", "user"),
    ("filter.action", "action"),
    ("filter.connection_id", "connection"),
    ("filter.provider", "provider"),
    ("filter.outcome", "outcome"),
    ("filter.reason", "reason"),
    ("filter.purpose", "purpose"),
    ("filter.tenant_source", "vouched"),
    ("filter.source_address", "address"),
    ("filter.trace_id", "trace"),
    ("filter.owner_user_id", "owner"),
    ("selection.account_name", "connection"),
    ("selection.provider", "connection"),
];

const OUTCOMES: [(&str, &str); 4] = [("", "any"), ("ok", "ok"), ("denied", "denied"), ("failed", "failed")];

/// What may have vouched for a tenant.
const SOURCES: [(&str, &str); 7] = [
    ("", "any"),
    ("token", "token"),
    ("assertion", "assertion"),
    ("header", "header"),
    ("state", "state"),
    ("session", "session"),
    ("none", "none"),
];

/// The groups of the list of actions. Permissions are asked for, and no record is about one.
const SERVICES: [&str; 5] = ["VaultService", "ConnectionService", "AuditService", "AdminService", "Command"];

/// The filter of the fields, as the API takes it.
pub(crate) async fn filter(console: &Console, fields: &Fields) -> Result<v1::AuditFilter, Refusal> {
    let outcome = match fields.get("outcome") {
        "" => v1::AuditOutcome::Unspecified,
        "ok" => v1::AuditOutcome::Ok,
        "denied" => v1::AuditOutcome::Denied,
        "failed" => v1::AuditOutcome::Failed,
        _ => return Err(Refusal::of_field("outcome", "must be ok, denied or failed")),
    };
    Ok(v1::AuditFilter {
        start_time: minute(fields, "since")?,
        end_time: minute(fields, "before")?,
        service: console.target.service(fields.get("service")),
        user_id: fields.get("user").to_owned(),
        action: fields.get("action").to_owned(),
        connection_id: connection_id(console, fields).await?,
        outcome: outcome.into(),
        provider: fields.get("provider").to_owned(),
        reason: fields.get("reason").to_owned(),
        purpose: fields.get("purpose").to_owned(),
        tenant_source: fields.get("vouched").to_owned(),
        source_address: fields.get("address").to_owned(),
        trace_id: fields.get("trace").to_owned(),
        owner_user_id: fields.get("owner").to_owned(),
    })
}

/// The instant that a field names, in UTC: a day, a minute or a second.
fn minute(fields: &Fields, name: &str) -> Result<Option<prost_types::Timestamp>, Refusal> {
    const MINUTE: usize = "2026-11-21T08:30".len();
    let text = fields.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let whole = if text.len() == MINUTE { format!("{text}:00") } else { text.to_owned() };
    let parsed = whole.parse::<prost_types::Timestamp>();
    parsed.map(Some).map_err(|_| {
        Refusal::of_field(name, "must be a day or a minute in UTC, such as 2026-11-21 or 2026-11-21T08:30")
    })
}

/// The id of the connection that the field names: by its id, by its account name, or by its provider, a slash and its account
/// name, as pages show it.
async fn connection_id(console: &Console, fields: &Fields) -> Result<String, Refusal> {
    let named = fields.get("connection");
    if named.is_empty() || Uuid::try_parse(named).is_ok() {
        return Ok(named.to_owned());
    }
    let (provider, account) = named.split_once('/').unwrap_or((fields.get("provider"), named));
    let selection = v1::ConnectionSelection {
        provider: provider.trim().to_owned(),
        account_name: account.trim().to_owned(),
        ..Default::default()
    };
    let request = v1::ListTenantConnectionsRequest {
        tenant_id: fields.tenant().to_owned(),
        page_size: 2,
        selection: Some(selection),
        show_deleted: true,
        ..Default::default()
    };
    let mut found = console.vault.admin().list_tenant_connections(request).await?.into_inner().connections;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one.id),
        (Some(_), false) => Err(Refusal::of_field(
            "connection",
            "is the name of several connections: put the provider and a slash before it, or take the id from the page of one",
        )),
        (None, _) => Err(Refusal::of_field(
            "connection",
            "must be the id or the account name of a connection of this tenant, such as shopify/main",
        )),
    }
}

/// The fields of the filter, for links.
pub(crate) fn carried(fields: &Fields) -> Vec<(&'static str, &str)> {
    let mut carried = vec![("tenant", fields.tenant())];
    carried.extend(NAMES.iter().map(|name| (*name, fields.get(name))));
    carried
}

/// The filter as a form that searches anew. It keeps what was sent, also if that was refused.
pub(crate) fn form(fields: &Fields, refusal: Option<&Refusal>) -> Markup {
    let form = Form { fields, refusal };
    let is_open = SELDOM.iter().any(|name| !fields.get(name).is_empty());
    let actions = html! { option value="" { "any" } (options(&SERVICES, fields.get("action"))) };
    html! {
        form class="filter" method="get" action="/audit" {
            input type="hidden" name="tenant" value=(fields.tenant());
            (form.minute("since", "Since (UTC)"))
            (form.minute("before", "Before (UTC)"))
            (form.select("action", "Action", &actions))
            (form.input("text", "service", "Service"))
            (form.input("text", "user", "User"))
            (form.input("text", "provider", "Provider"))
            (form.input("text", "connection", "Connection (account name or id)"))
            (form.choice("outcome", "Outcome", &OUTCOMES))
            details open[is_open] {
                summary { "More" }
                (form.input("text", "reason", "Reason"))
                (form.input("text", "purpose", "Purpose"))
                (form.input("text", "owner", "Owner"))
                (form.choice("vouched", "Tenant by", &SOURCES))
                (form.input("text", "address", "From (IP address)"))
                (form.input("text", "trace", "Trace id"))
            }
            button { "Search" }
            button name="view" value="sums" { "Who did what" }
        }
    }
}

/// Links that search the same in the last hour, in the last day, and at any time, without what is refused.
pub(crate) fn recent(fields: &Fields, refusal: Option<&Refusal>, now: Timestamp) -> Markup {
    let is_refused = |name: &str| refusal.is_some_and(|refusal| refusal.rule(name).is_some());
    let searched = |since: &str| {
        let mut pairs = carried(fields);
        pairs.retain(|(name, _)| !["since", "before"].contains(name) && !is_refused(name));
        pairs.extend([("since", since), ("view", fields.get("view"))]);
        link("/audit", &pairs)
    };
    let (hour, day) = (minutes_ago(now, 60), minutes_ago(now, 24 * 60));
    html! {
        p class="recent" {
            a href=(searched(&hour)) { "Last hour" } " · "
            a href=(searched(&day)) { "Last 24 hours" } " · "
            a href=(searched("")) { "Any time" }
        }
    }
}

/// The minute in which so many minutes ago falls, as the form has it.
fn minutes_ago(now: Timestamp, minutes: i64) -> String {
    let text = prost_types::Timestamp { seconds: now.seconds() - minutes * 60, nanos: 0 }.to_string();
    text.chars().take("2026-11-21T08:30".len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_a_day_a_minute_or_a_second() {
        let seconds = |text: &str| {
            let fields = Fields::parse(format!("since={text}").as_bytes());
            minute(&fields, "since").map(|time| time.map(|time| time.seconds))
        };
        for (text, expected) in [
            ("", None),
            ("2026-11-21", Some(1_795_219_200)),
            ("2026-11-21T00:01", Some(1_795_219_260)),
            ("2026-11-21T00:00:05", Some(1_795_219_205)),
            ("2026-11-21T00:00:05Z", Some(1_795_219_205)),
        ] {
            assert!(seconds(text).is_ok_and(|found| found == expected), "{text}");
        }
        let Err(refusal) = seconds("CANARY") else { panic!("accepted") };
        assert!(refusal.rule("since").is_some() && !refusal.shown().into_string().contains("CANARY"));
    }

    #[test]
    fn links_to_recent_records_keep_the_rest_of_the_search() {
        let fields = Fields::parse(b"tenant=acme&outcome=failed&since=2026-01-01&before=2026-01-02");
        let now = Timestamp::from_micros(1_795_219_265 * 1_000_000);
        let text = recent(&fields, None, now).into_string();
        assert!(text.contains("tenant=acme&amp;outcome=failed&amp;since=2026-11-20T23%3A01\""), "{text}");
        assert!(text.contains("since=2026-11-20T00%3A01\"") && !text.contains("before"), "{text}");
        assert!(text.contains("\"/audit?tenant=acme&amp;outcome=failed\""), "{text}");
    }

    #[test]
    fn actions_are_a_list_and_a_refused_form_is_kept() {
        let fields = Fields::parse(b"action=FetchCredential&user=u1&connection=none");
        let refusal = Refusal::of_field("connection", "must be the id");
        let text = form(&fields, Some(&refusal)).into_string();
        for part in [
            "<option value=\"FetchCredential\" selected>",
            "<option value=\"BackUp\">",
            "value=\"u1\"",
            "value=\"none\"",
            "id=\"wrong-connection\">must be the id",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("AssertTenant"), "no record is about a permission: {text}");
    }

    #[test]
    fn what_is_seldom_searched_by_is_open_where_it_is_searched_by() {
        let text = |query: &str| form(&Fields::parse(query.as_bytes()), None).into_string();
        assert!(text("user=u1").contains("<details>") && !text("user=u1").contains("<details open>"));
        let text = text("trace=0af7651916cd43dd8448eb211c80319c&vouched=header");
        assert!(text.contains("<details open>"), "{text}");
        assert!(text.contains("value=\"0af7651916cd43dd8448eb211c80319c\""), "{text}");
        assert!(text.contains("<option value=\"header\" selected>"), "{text}");
    }

    #[test]
    fn each_field_of_the_form_is_carried_on_and_has_its_refusals() {
        let all = form(&Fields::parse(b""), None).into_string();
        for name in NAMES {
            assert!(all.contains(&format!("name=\"{name}\"")), "{name}");
            assert!(RENAMED.iter().any(|(_, renamed)| *renamed == name), "{name}");
        }
    }
}
