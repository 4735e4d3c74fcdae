//! Which records a query wants, and which of them a scope reaches.

use std::collections::HashMap;

use credvault_crypto::AuditKey;
use credvault_domain::{
    Action, AuditOutcome, ConnectionId, ProviderId, Reach, ServiceId, TenantScope, Timestamp, UserId,
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
        } = self;
        true
    }
}

/// What must hold for a record to be shown.
pub(super) struct Wanted<'a> {
    scope: &'a TenantScope,
    filter: &'a AuditFilter,
    /// The values that must be there, hashed, for each audit key.
    words: HashMap<i64, Vec<u64>>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(scope: &'a TenantScope, filter: &'a AuditFilter) -> Self {
        Self { scope, filter, words: HashMap::new() }
    }

    /// Whether a record is in reach and passes the filter.
    pub(super) fn has(&self, record: &AuditRecord) -> bool {
        let AuditFilter { start_time, end_time, service, user, action, connection, provider, outcome } =
            self.filter;
        let reached = match self.scope.reach() {
            Reach::User(user) => record.user.as_deref() == Some(user.as_str()),
            Reach::Shared => record.user.is_none() && record.owner_user.is_none(),
            Reach::AllUsers => true,
        };
        let is = |wanted: Option<&str>, value: Option<&String>| {
            wanted.is_none_or(|wanted| value.is_some_and(|value| value == wanted))
        };
        reached
            && start_time.is_none_or(|time| record.time >= time)
            && end_time.is_none_or(|time| record.time < time)
            && is(service.as_ref().map(ServiceId::as_str), record.service.as_ref())
            && is(user.as_ref().map(UserId::as_str), record.user.as_ref())
            && is(action.map(Action::as_str), Some(&record.action))
            && connection.is_none_or(|id| record.connection == Some(id))
            && is(provider.as_ref().map(ProviderId::as_str), record.provider.as_ref())
            && outcome.is_none_or(|outcome| record.outcome == outcome)
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
        let AuditFilter { start_time: _, end_time: _, service, user, action, connection, provider, outcome } =
            self.filter;
        let reached = match self.scope.reach() {
            Reach::User(user) => vec![(Field::User, user.as_str())],
            Reach::Shared => vec![(Field::User, ""), (Field::Owner, "")],
            Reach::AllUsers => Vec::new(),
        };
        let texts = [
            (Field::Service, service.as_ref().map(ServiceId::as_str)),
            (Field::User, user.as_ref().map(UserId::as_str)),
            (Field::Action, action.map(Action::as_str)),
            (Field::Provider, provider.as_ref().map(ProviderId::as_str)),
            (Field::Outcome, outcome.map(AuditOutcome::as_str)),
        ];
        let texts = texts.into_iter().filter_map(|(field, text)| Some((field, text?)));
        let texts = reached.into_iter().chain(texts).map(|(field, text)| (field, text.as_bytes().to_vec()));
        texts.chain(connection.map(|id| (Field::Connection, id.as_uuid().as_bytes().to_vec()))).collect()
    }
}
