//! A record as the JSON object of an export. Members have the names of the API. Lossless, and each value has one spelling: a
//! reader of the text reads what is proved.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::Record;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    id: String,
    time: String,
    tenant_id: String,
    tenant_source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner_user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    trace_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_address: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changed_fields: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    released_fields: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    policies: Vec<String>,
}

impl Event {
    pub(super) fn of(record: Record<'_>) -> Self {
        let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let texts = |texts: Vec<Cow<'_, str>>| texts.into_iter().map(Cow::into_owned).collect();
        Self {
            id: record.id.to_string(),
            time: time_text(record.time),
            tenant_id: record.tenant.into_owned(),
            tenant_source: record.tenant_source.into_owned(),
            service: text(record.service),
            user_id: text(record.user),
            action: record.action.into_owned(),
            connection_id: record.connection.map(|id| id.to_string()),
            owner_user_id: text(record.owner_user),
            provider: text(record.provider),
            version: record.version,
            purpose: text(record.purpose),
            outcome: record.outcome.into_owned(),
            reason: text(record.reason),
            trace_id: trace_text(record.trace),
            source_address: record.source_address.map(|address| address.to_string()),
            changed_fields: texts(record.changed),
            released_fields: texts(record.released),
            policies: texts(record.policies),
        }
    }

    /// The record that the object spells; `None` if a value is not in its one spelling.
    pub(super) fn record(self) -> Option<Record<'static>> {
        let text = |text: Option<String>| text.map(Cow::Owned);
        let texts = |texts: Vec<String>| texts.into_iter().map(Cow::Owned).collect();
        Some(Record {
            id: uuid(&self.id)?,
            time: micros(&self.time)?,
            trace: trace(&self.trace_id)?,
            tenant: self.tenant_id.into(),
            tenant_source: self.tenant_source.into(),
            action: self.action.into(),
            outcome: self.outcome.into(),
            service: text(self.service),
            user: text(self.user_id),
            connection: present(self.connection_id, uuid)?,
            owner_user: text(self.owner_user_id),
            provider: text(self.provider),
            version: self.version,
            purpose: text(self.purpose),
            reason: text(self.reason),
            source_address: present(self.source_address, address)?,
            changed: texts(self.changed_fields),
            released: texts(self.released_fields),
            policies: texts(self.policies),
        })
    }
}

/// Reads a value that may be absent. The outer `None` says that it is there and not in its one spelling.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
fn present<T>(text: Option<String>, read: fn(&str) -> Option<T>) -> Option<Option<T>> {
    text.map_or(Some(None), |text| read(&text).map(Some))
}

fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.to_string() == text)
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|address: &IpAddr| address.to_string() == text)
}

fn trace_text(trace: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(trace))
}

fn trace(text: &str) -> Option<[u8; 16]> {
    let trace = u128::from_str_radix(text, 16).ok()?.to_be_bytes();
    (trace_text(trace) == text).then_some(trace)
}

/// RFC 3339 in UTC with six digits of a second. A time that it cannot say, which no vault writes, stays a bare number.
fn time_text(micros: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000);
    time.ok().filter(|time| (0..=9999).contains(&time.year())).map_or_else(
        || micros.to_string(),
        |time| {
            let (hour, minute, second, micros) = time.to_hms_micro();
            format!("{}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", date_text(time))
        },
    )
}

fn date_text(time: OffsetDateTime) -> String {
    format!("{:04}-{:02}-{:02}", time.year(), u8::from(time.month()), time.day())
}

fn micros(text: &str) -> Option<i64> {
    let read = OffsetDateTime::parse(text, &Rfc3339).map(|time| time.to_offset(UtcOffset::UTC));
    let micros = match read {
        Ok(time) => i64::try_from(time.unix_timestamp_nanos() / 1_000).ok()?,
        Err(_) => text.parse().ok()?,
    };
    (time_text(micros) == text).then_some(micros)
}
