//! What the audit log remembers of a call: who, what, with which right, and how it ended. Typed, so that nothing else,
//! and above all no secret, can get in.

use std::fmt;
use std::net::IpAddr;

use uuid::Uuid;

use crate::{
    Action, ConnectionId, ProviderId, Purpose, Reason, ServiceId, TenantId, Timestamp, UserId, Version,
};

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AuditOutcome {
    /// It did what was asked.
    Ok,
    /// Identity or policy refused it.
    Denied,
    /// It was allowed, and failed.
    Failed,
}

impl AuditOutcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Denied, Self::Failed];

    /// The outcome as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Denied => "DENIED",
            Self::Failed => "FAILED",
        }
    }

    /// Reads what [`AuditOutcome::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// What vouched for the tenant of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TenantSource {
    /// Nothing did: the call named none.
    None,
    /// A token from an issuer of users.
    Token,
    /// A token from an issuer of assertions, bound to the calling service.
    Assertion,
    /// A bare header, from a service that policy trusts as a delegate.
    Header,
    /// The state of a consent that a browser has brought back.
    State,
}

impl TenantSource {
    /// All sources.
    pub const ALL: [Self; 5] = [Self::None, Self::Token, Self::Assertion, Self::Header, Self::State];

    /// Reads what [`TenantSource::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }

    /// The source as policies and audit records spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Assertion => "assertion",
            Self::Header => "header",
            Self::State => "state",
        }
    }
}

/// A W3C trace id: 16 bytes, not all zero, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// No trace: what the store fills in for work that no call asked for.
    pub const NONE: Self = Self([0; 16]);

    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One record. Records are inserted and read, never changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEvent {
    /// A UUIDv7, which orders the records of a tenant by time.
    pub id: Uuid,
    /// When the call was decided.
    pub time: Timestamp,
    /// In whose log it stands.
    pub tenant: TenantId,
    /// The calling service, if its certificate named one; [`ServiceId::vault`] where the vault works by itself.
    pub service: Option<ServiceId>,
    /// The verified user of the call, if there was one, whatever the call reached.
    pub user: Option<UserId>,
    /// What vouched for tenant and user.
    pub tenant_source: TenantSource,
    /// What was asked.
    pub action: Action,
    /// The connection that the call was about.
    pub connection: Option<ConnectionId>,
    /// The user who owns that connection, if a user does: only a reach that has this user is shown the record.
    pub owner_user: Option<UserId>,
    /// Its provider.
    pub provider: Option<ProviderId>,
    /// The credential version that was returned or changed.
    pub version: Option<Version>,
    /// What the caller said that it wanted it for.
    pub purpose: Option<Purpose>,
    /// The names of the fields that the call changed.
    pub changed: Vec<String>,
    /// The names of what left the vault although it is kept inside otherwise: refresh tokens, secrets of apps and of
    /// webhooks.
    pub released: Vec<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Why, unless it ended well.
    pub reason: Option<Reason>,
    /// The policies that decided, by id.
    pub policies: Vec<String>,
    /// The trace that the call belongs to.
    pub trace: TraceId,
    /// The address that the call came from.
    pub source: Option<IpAddr>,
}

impl AuditEvent {
    /// A record of an action that went well, which knows no more than that.
    pub fn of(tenant: TenantId, action: Action) -> Self {
        Self {
            id: Uuid::nil(),
            time: Timestamp::default(),
            tenant,
            service: None,
            user: None,
            tenant_source: TenantSource::None,
            action,
            connection: None,
            owner_user: None,
            provider: None,
            version: None,
            purpose: None,
            changed: Vec::new(),
            released: Vec::new(),
            outcome: AuditOutcome::Ok,
            reason: None,
            policies: Vec::new(),
            trace: TraceId::NONE,
            source: None,
        }
    }
}
