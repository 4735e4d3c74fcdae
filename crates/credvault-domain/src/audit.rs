//! The content of an audit record: caller, action, target, the policies that decided, and the outcome. Every field is a
//! type of its own, so that no other text, and above all no secret, gets in.

use std::fmt;
use std::net::IpAddr;

use uuid::Uuid;

use crate::{
    Action, ConnectionId, NameError, ProviderId, Purpose, Reason, ServiceId, TenantId, Timestamp, UserId,
    Version,
};

/// The outcome of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AuditOutcome {
    /// The call did what it asked for.
    Ok,
    /// Identity or policy refused the call.
    Denied,
    /// The call was permitted, and failed.
    Failed,
}

impl AuditOutcome {
    /// Every outcome, in the order of declaration.
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

/// The proof of the tenant of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TenantSource {
    /// The call named no tenant.
    None,
    /// A token from an issuer of users.
    Token,
    /// A token from an issuer of assertions, bound to the calling service.
    Assertion,
    /// A header without a token, from a service that policy trusts as a delegate.
    Header,
    /// The state of a consent that a browser has brought back.
    State,
    /// A session of the connect page, which a service has made for its verified user.
    Session,
}

impl TenantSource {
    /// Every source, in the order of declaration.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Token, Self::Assertion, Self::Header, Self::State, Self::Session];

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
            Self::Session => "session",
        }
    }
}

/// A W3C trace id: 16 bytes, not all zero, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// No trace. The store writes it for background work.
    pub const NONE: Self = Self([0; 16]);

    /// Parses 32 hexadecimal digits, not all zero.
    ///
    /// # Errors
    /// The text is anything else.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|number| is_hex && *number != 0);
        let rule = NameError("must be a trace id: 32 hexadecimal digits, not all zero");
        number.map(|number| Self(number.to_be_bytes())).ok_or(rule)
    }

    /// Wraps the bytes of an id.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
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

/// One audit record. Records are inserted and read, never changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEvent {
    /// A UUIDv7, which orders the records of a tenant by time.
    pub id: Uuid,
    /// The instant of the decision.
    pub time: Timestamp,
    /// The tenant whose log holds the record.
    pub tenant: TenantId,
    /// The calling service, if its certificate named one; [`ServiceId::vault`] for background work.
    pub service: Option<ServiceId>,
    /// The verified user of the call, if there was one.
    pub user: Option<UserId>,
    /// The proof of tenant and user.
    pub tenant_source: TenantSource,
    /// The RPC that was called, or the permission that was used.
    pub action: Action,
    /// The connection that the call named.
    pub connection: Option<ConnectionId>,
    /// The user who owns that connection, if a user does. Only a reach that includes this user sees the record.
    pub owner_user: Option<UserId>,
    /// The provider of the connection.
    pub provider: Option<ProviderId>,
    /// The credential version that was returned or changed.
    pub version: Option<Version>,
    /// The purpose that the caller gave.
    pub purpose: Option<Purpose>,
    /// The names of the fields that the call changed.
    pub changed: Vec<String>,
    /// The names of secrets that the call released and that other calls do not: refresh tokens, secrets of apps and of
    /// webhooks.
    pub released: Vec<String>,
    /// The outcome of the call.
    pub outcome: AuditOutcome,
    /// The reason of a refusal or failure.
    pub reason: Option<Reason>,
    /// The policies that decided, by id.
    pub policies: Vec<String>,
    /// The trace of the call.
    pub trace: TraceId,
    /// The network address of the caller.
    pub source_address: Option<IpAddr>,
}

impl AuditEvent {
    /// A record of a successful action, with all other fields empty.
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
            source_address: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_32_digits_that_are_not_all_zero() {
        let text = "0af7651916cd43dd8448eb211c80319c";
        for written in [text, &text.to_uppercase()] {
            assert_eq!(TraceId::parse(written).map(|trace| trace.to_string()), Ok(text.to_owned()));
        }
        for wrong in
            ["", "0af7", &"0".repeat(32), &format!("+{}", &text[1..]), &format!("{text}0"), &"é".repeat(16)]
        {
            assert!(TraceId::parse(wrong).is_err(), "{wrong}");
        }
    }
}
