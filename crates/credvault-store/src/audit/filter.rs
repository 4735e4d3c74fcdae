//! Which records a query wants, and which of them a scope reaches.

use std::collections::HashMap;
use std::net::IpAddr;

use credvault_crypto::AuditKey;
use credvault_domain::{
    Action, AuditOutcome, ConnectionId, ProviderId, Purpose, Reach, Reason, ServiceId, TenantScope,
    TenantSource, Timestamp, TraceId, UserId,
};

use super::record::AuditRecord;
use super::words::{Field, may_have, word};

/// Which records are wanted. Everything given must hold.
#[derive(Clone, Default, Debug)]
pub struct AuditFilter {
    /// From this instant on.
    pub start_time: Option<Timestamp>,
    /// Records before this instant only.
    pub end_time: Option<Timestamp>,
    /// Calls of this service.
    pub service: Option<ServiceId>,
    /// Calls for this user.
    pub user: Option<UserId>,
    /// Calls of this RPC.
    pub action: Option<Action>,
    /// Calls about this connection.
    pub connection: Option<ConnectionId>,
    /// Records with this provider.
    pub provider: Option<ProviderId>,
    /// Calls that ended so.
    pub outcome: Option<AuditOutcome>,
    /// Calls that were refused or failed for this reason.
    pub reason: Option<Reason>,
    /// Calls for this purpose.
    pub purpose: Option<Purpose>,
    /// Calls whose tenant this has vouched for.
    pub tenant_source: Option<TenantSource>,
    /// Calls from this network address.
    pub source_address: Option<IpAddr>,
    /// Calls of this trace.
    pub trace: Option<TraceId>,
    /// Calls about what this user owns.
    pub owner_user: Option<UserId>,
}

impl AuditFilter {
    /// The texts that a record must have in these fields.
    fn texts(&self) -> impl Iterator<Item = (Field, String)> {
        // Without `..`: a new field of the filter must not be left out unnoticed.
        let Self {
            start_time: _,
            end_time: _,
            service,
            user,
            action,
            connection: _,
            provider,
            outcome,
            reason,
            purpose,
            tenant_source,
            source_address,
            trace,
            owner_user,
        } = self;
        let texts = [
            (Field::Service, service.as_ref().map(|service| service.as_str().to_owned())),
            (Field::User, user.as_ref().map(|user| user.as_str().to_owned())),
            (Field::Action, action.map(|action| action.as_str().to_owned())),
            (Field::Provider, provider.as_ref().map(|provider| provider.as_str().to_owned())),
            (Field::Outcome, outcome.map(|outcome| outcome.as_str().to_owned())),
            (Field::Reason, reason.map(|reason| reason.as_str().to_owned())),
            (Field::Purpose, purpose.as_ref().map(|purpose| purpose.as_str().to_owned())),
            (Field::TenantSource, tenant_source.map(|source| source.as_str().to_owned())),
            (Field::Source, source_address.map(|address| address.to_string())),
            (Field::Trace, trace.map(|trace| trace.to_string())),
            (Field::Owner, owner_user.as_ref().map(|user| user.as_str().to_owned())),
        ];
        texts.into_iter().filter_map(|(field, text)| Some((field, text?)))
    }
}

/// The text of a field of a record; none if the record has none, or the field is no text.
fn text(record: &AuditRecord, field: Field) -> Option<&str> {
    match field {
        Field::Service => record.service.as_deref(),
        Field::User => record.user.as_deref(),
        Field::Owner => record.owner_user.as_deref(),
        Field::Action => Some(&record.action),
        Field::Connection => None,
        Field::Provider => record.provider.as_deref(),
        Field::Outcome => Some(record.outcome.as_str()),
        Field::Reason => record.reason.as_deref(),
        Field::Purpose => record.purpose.as_deref(),
        Field::TenantSource => Some(&record.tenant_source),
        Field::Source => record.source_address.as_deref(),
        Field::Trace => Some(&record.trace),
    }
}

impl AuditFilter {
    /// Whether it asks for nothing but time and what kept counts of days have.
    pub(super) fn is_of_days(&self) -> bool {
        let Self {
            start_time: _,
            end_time: _,
            service: _,
            user: _,
            action: _,
            connection: _,
            provider: _,
            outcome: _,
            reason: _,
            purpose: _,
            tenant_source: _,
            source_address,
            trace,
            owner_user: _,
        } = self;
        source_address.is_none() && trace.is_none()
    }
}

/// What must hold for a record to be shown.
pub(super) struct Wanted<'a> {
    scope: &'a TenantScope,
    filter: &'a AuditFilter,
    /// The texts that must be there.
    texts: Vec<(Field, String)>,
    /// The values that must be there, hashed, for each audit key.
    words: HashMap<i64, Vec<u64>>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(scope: &'a TenantScope, filter: &'a AuditFilter) -> Self {
        Self { scope, filter, texts: filter.texts().collect(), words: HashMap::new() }
    }

    /// Whether a record is in reach and passes the filter.
    pub(super) fn has(&self, record: &AuditRecord) -> bool {
        let AuditFilter { start_time, end_time, connection, .. } = self.filter;
        let reached = match self.scope.reach() {
            Reach::User(user) => record.user.as_deref() == Some(user.as_str()),
            Reach::Shared => record.user.is_none() && record.owner_user.is_none(),
            Reach::AllUsers => true,
        };
        reached
            && start_time.is_none_or(|time| record.time >= time)
            && end_time.is_none_or(|time| record.time < time)
            && connection.is_none_or(|id| record.connection == Some(id))
            && self.texts.iter().all(|(field, wanted)| text(record, *field) == Some(wanted.as_str()))
    }

    /// Whether a whole bundle may have such a record. `words` are under the audit key of this number.
    pub(super) fn may_be_in(&mut self, words: Option<&[u8]>, number: i64, key: &AuditKey) -> bool {
        let Some(words) = words else { return true };
        if !self.words.contains_key(&number) {
            let hashed = self.values().iter().map(|(field, value)| word(key, *field, value)).collect();
            self.words.insert(number, hashed);
        }
        let mut wanted = self.words.get(&number).into_iter().flatten();
        wanted.all(|word| may_have(words, *word))
    }

    /// The values that a record must have in these fields.
    fn values(&self) -> Vec<(Field, Vec<u8>)> {
        let reached = match self.scope.reach() {
            Reach::User(user) => vec![(Field::User, user.as_str())],
            Reach::Shared => vec![(Field::User, ""), (Field::Owner, "")],
            Reach::AllUsers => Vec::new(),
        };
        let texts = self.texts.iter().map(|(field, text)| (*field, text.as_str()));
        let texts = reached.into_iter().chain(texts).map(|(field, text)| (field, text.as_bytes().to_vec()));
        let connection =
            self.filter.connection.map(|id| (Field::Connection, id.as_uuid().as_bytes().to_vec()));
        texts.chain(connection).collect()
    }
}
