//! The place of a sealed value: the row, version and tenant that its associated data binds it to. A value that was
//! copied to another place does not open there.

use credvault_domain::{ConnectionId, TenantId, Version};

use crate::key_manager::WrapPlace;
use crate::mac::sha256;

/// The kind of value that is sealed. It goes into the header, the key derivation and the associated data, so that a
/// value of one kind never opens as another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    Credential = 1,
    TenantKey = 2,
    RootCheck = 3,
    PageToken = 4,
    Tokens = 5,
    App = 6,
    Revocation = 7,
    EventEndpoint = 8,
    Callback = 9,
    HandOff = 10,
    SigningKey = 11,
    BackupKey = 12,
    Payload = 13,
    RotatedKey = 14,
    AuditKey = 15,
    AuditBundle = 16,
    AuditJournal = 17,
    AuditSigner = 18,
}

/// A digest of the unsealed columns beside a sealed value that decide who owns it and where it is sent.
///
/// Each fact is a name and a value. Both go into the digest with their lengths, so that two different lists of facts
/// never have the same digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding([u8; 32]);

impl Binding {
    /// For values without such columns.
    const NONE: Self = Self([0; 32]);

    /// SHA-256 over these facts, in this order.
    pub fn of(facts: &[(&str, &[u8])]) -> Self {
        let mut bytes = b"credvault/binding/1".to_vec();
        for (name, value) in facts {
            for part in [name.as_bytes(), value] {
                bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                bytes.extend_from_slice(part);
            }
        }
        Self(sha256(&[bytes]))
    }
}

/// The place of one sealed value. A value opens in the place that it was sealed for and nowhere else.
///
/// Build it from the verified request and from the row's key, never from the sealed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub(crate) class: Class,
    tenant: &'a str,
    record: [u8; 16],
    version: u64,
    schema: u16,
    binding: Binding,
}

/// The most bytes of any other value with its length field and padding.
pub(crate) const MAX_PADDED_BYTES: usize = 68 * 1024;
/// The most bytes of audit records: 256 of the largest, with what stands between them.
const MAX_RECORDS_BYTES: usize = 17 * 1024 * 1024;

/// The first bytes of all associated data: no other use of a key shares them.
const LABEL: &[u8] = b"credvault/aad/1";

impl<'a> Context<'a> {
    /// A version of a connection's credential; `schema` is the version of the plaintext's encoding.
    pub fn credential(
        tenant: &'a TenantId,
        connection: ConnectionId,
        version: Version,
        schema: u16,
        binding: Binding,
    ) -> Self {
        let record = connection.as_uuid().into_bytes();
        Self {
            class: Class::Credential,
            tenant: tenant.as_str(),
            record,
            version: version.cast_unsigned(),
            schema,
            binding,
        }
    }

    /// The newest tokens of a connection; `generation` counts them.
    pub fn tokens(
        tenant: &'a TenantId,
        connection: ConnectionId,
        generation: i64,
        schema: u16,
        binding: Binding,
    ) -> Self {
        let context = Self::credential(tenant, connection, generation, schema, binding);
        Self { class: Class::Tokens, ..context }
    }

    /// The token of a disconnected connection, kept until its provider has revoked it.
    pub fn revocation(
        tenant: &'a TenantId,
        connection: ConnectionId,
        generation: i64,
        schema: u16,
        binding: Binding,
    ) -> Self {
        let context = Self::credential(tenant, connection, generation, schema, binding);
        Self { class: Class::Revocation, ..context }
    }

    /// A key that a rotation has made or replaced; `number` counts those of the connection. What is to become of it and the
    /// version that it is about are bound, too.
    pub fn rotated_key(
        tenant: &'a TenantId,
        connection: ConnectionId,
        (number, role, version): (i64, &str, Version),
        schema: u16,
        binding: Binding,
    ) -> Self {
        let version = version.to_be_bytes();
        let facts: [(&str, &[u8]); 3] = [
            ("connection", binding.0.as_slice()),
            ("role", role.as_bytes()),
            ("version", version.as_slice()),
        ];
        let context = Self::credential(tenant, connection, number, schema, Binding::of(&facts));
        Self { class: Class::RotatedKey, ..context }
    }

    /// The secrets of an app at a provider, which has the id `record`; `generation` counts its changes.
    pub fn app(
        tenant: &'a TenantId,
        record: [u8; 16],
        generation: i64,
        schema: u16,
        binding: Binding,
    ) -> Self {
        let version = generation.cast_unsigned();
        Self { class: Class::App, tenant: tenant.as_str(), record, version, schema, binding }
    }

    /// The URL and the signing secrets of an event endpoint, which has the id `record`; `generation` counts its changes.
    pub fn event_endpoint(tenant: &'a TenantId, record: [u8; 16], generation: i64, schema: u16) -> Self {
        let context = Self::app(tenant, record, generation, schema, Binding::NONE);
        Self { class: Class::EventEndpoint, ..context }
    }

    /// The content of a provider's callback while the browser carries it.
    pub fn callback(tenant: &'a TenantId) -> Self {
        Self::alone(Class::Callback, tenant.as_str(), [0; 16], 0)
    }

    /// Keys that a provider has delivered for a consent in progress; `record` is derived from the consent's state.
    pub fn handoff(tenant: &'a TenantId, record: [u8; 16], schema: u16) -> Self {
        Self { schema, ..Self::alone(Class::HandOff, tenant.as_str(), record, 0) }
    }

    /// The private half of the vault's signing key of a generation, in the platform's namespace. It is bound to the public
    /// half beside it.
    pub fn signing_key(public_key: &[u8; 32], generation: i64) -> Self {
        let record: [u8; 16] = public_key.first_chunk().copied().unwrap_or_default();
        let binding = Binding::of(&[("public_key", public_key.as_slice())]);
        let version = generation.cast_unsigned();
        Self { binding, ..Self::alone(Class::SigningKey, TenantId::PLATFORM, record, version) }
    }

    /// A payload of a connection that is kept outside of the database, which has the id `payload` and a key of its own.
    pub(crate) fn payload(tenant: &'a TenantId, connection: ConnectionId, payload: [u8; 16]) -> Self {
        let binding = Binding::of(&[("connection", connection.as_uuid().as_bytes().as_slice())]);
        Self { binding, ..Self::alone(Class::Payload, tenant.as_str(), payload, 0) }
    }

    /// A tenant's audit key; `number` tells the keys of a tenant apart.
    pub fn audit_key(tenant: &'a TenantId, number: i64) -> Self {
        Self::alone(Class::AuditKey, tenant.as_str(), [0; 16], number.cast_unsigned())
    }

    /// Records of a tenant's log; `start` is the index of the first.
    pub fn audit_bundle(tenant: &'a TenantId, start: i64) -> Self {
        Self::alone(Class::AuditBundle, tenant.as_str(), [0; 16], start.cast_unsigned())
    }

    /// Records that wait in the journal, in the row with the id `row`. They are of any tenants, so the place is the platform's.
    pub fn audit_journal(row: [u8; 16]) -> Self {
        Self::alone(Class::AuditJournal, TenantId::PLATFORM, row, 0)
    }

    /// The seed of the vault's signer of checkpoints with this number, in the platform's namespace. It is bound to the public
    /// half and to the vault's name beside it.
    pub fn audit_signer(number: i64, public_key: &[u8; 32], name: &str) -> Self {
        let record: [u8; 16] = public_key.first_chunk().copied().unwrap_or_default();
        let binding = Binding::of(&[("public_key", public_key.as_slice()), ("name", name.as_bytes())]);
        let version = number.cast_unsigned();
        Self { binding, ..Self::alone(Class::AuditSigner, TenantId::PLATFORM, record, version) }
    }

    pub(crate) fn tenant_key(tenant: &'a TenantId, version: u32) -> Self {
        Self::alone(Class::TenantKey, tenant.as_str(), [0; 16], version.into())
    }

    pub(crate) fn root_check() -> Self {
        Self::alone(Class::RootCheck, TenantId::PLATFORM, [0; 16], 0)
    }

    /// The key of a backup. Every frame of the backup is bound to the header that holds it.
    pub(crate) fn backup_key() -> Self {
        Self::alone(Class::BackupKey, TenantId::PLATFORM, [0; 16], 0)
    }

    pub(crate) fn page_token(tenant: &'a TenantId, query: [u8; 16]) -> Self {
        Self::alone(Class::PageToken, tenant.as_str(), query, 0)
    }

    /// A place of schema 1 without a binding.
    fn alone(class: Class, tenant: &'a str, record: [u8; 16], version: u64) -> Self {
        Self { class, tenant, record, version, schema: 1, binding: Binding::NONE }
    }

    /// The kind of value that is sealed here, for metrics and logs.
    pub fn what(&self) -> &'static str {
        match self.class {
            Class::Credential => "credential",
            Class::TenantKey => "tenant_key",
            Class::RootCheck => "root_check",
            Class::PageToken => "page_token",
            Class::Tokens => "tokens",
            Class::App => "app",
            Class::Revocation => "revocation",
            Class::EventEndpoint => "event_endpoint",
            Class::Callback => "callback",
            Class::HandOff => "handoff",
            Class::SigningKey => "signing_key",
            Class::BackupKey => "backup_key",
            Class::Payload => "payload",
            Class::RotatedKey => "rotated_key",
            Class::AuditKey => "audit_key",
            Class::AuditBundle => "audit_bundle",
            Class::AuditJournal => "audit_journal",
            Class::AuditSigner => "audit_signer",
        }
    }

    /// The most bytes that a value sealed here has, with its length field and padding.
    pub(crate) fn most_padded_bytes(&self) -> usize {
        match self.class {
            Class::AuditBundle | Class::AuditJournal => MAX_RECORDS_BYTES,
            Class::Credential
            | Class::TenantKey
            | Class::RootCheck
            | Class::PageToken
            | Class::Tokens
            | Class::App
            | Class::Revocation
            | Class::EventEndpoint
            | Class::Callback
            | Class::HandOff
            | Class::SigningKey
            | Class::BackupKey
            | Class::Payload
            | Class::RotatedKey
            | Class::AuditKey
            | Class::AuditSigner => MAX_PADDED_BYTES,
        }
    }

    /// The place as the key manager reads it.
    pub(crate) fn wrap_place(&self) -> WrapPlace<'_> {
        WrapPlace { class: self.what(), tenant: self.tenant, version: self.version }
    }

    /// The id of the row that holds the value.
    pub fn record(&self) -> [u8; 16] {
        self.record
    }

    /// The associated data: label, the whole header, tenant with its length, record, version, schema, binding; integers
    /// big-endian.
    pub(crate) fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let tenant_length = u16::try_from(self.tenant.len()).unwrap_or(u16::MAX);
        let mut data = Vec::with_capacity(LABEL.len() + header.len() + 2 + self.tenant.len() + 58);
        data.extend_from_slice(LABEL);
        data.extend_from_slice(header);
        data.extend_from_slice(&tenant_length.to_be_bytes());
        data.extend_from_slice(self.tenant.as_bytes());
        data.extend_from_slice(&self.record);
        data.extend_from_slice(&self.version.to_be_bytes());
        data.extend_from_slice(&self.schema.to_be_bytes());
        data.extend_from_slice(&self.binding.0);
        data
    }
}
