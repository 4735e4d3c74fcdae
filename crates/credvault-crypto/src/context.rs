//! Where a sealed value belongs: what the associated data binds it to.

use credvault_domain::{ConnectionId, TenantId, Version};

/// What kind of thing is sealed. Part of the header, of the derivation and of the associated data.
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
}

/// The place of one sealed value. A value opens in the place that it was sealed for and nowhere else.
///
/// It is built from the verified request and from the row's key, never from the sealed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub(crate) class: Class,
    tenant: &'a str,
    record: [u8; 16],
    version: u64,
    schema: u16,
}

const LABEL: &[u8] = b"credvault/aad/1";

impl<'a> Context<'a> {
    /// A version of a connection's credential; `schema` is the version of the plaintext's encoding.
    pub fn credential(tenant: &'a TenantId, connection: ConnectionId, version: Version, schema: u16) -> Self {
        let record = connection.as_uuid().into_bytes();
        Self {
            class: Class::Credential,
            tenant: tenant.as_str(),
            record,
            version: version.cast_unsigned(),
            schema,
        }
    }

    /// The newest tokens of a connection; `generation` counts them.
    pub fn tokens(tenant: &'a TenantId, connection: ConnectionId, generation: i64, schema: u16) -> Self {
        let context = Self::credential(tenant, connection, generation, schema);
        Self { class: Class::Tokens, ..context }
    }

    /// What is kept of a disconnected connection until its provider has revoked it.
    pub fn revocation(tenant: &'a TenantId, connection: ConnectionId, generation: i64, schema: u16) -> Self {
        let context = Self::credential(tenant, connection, generation, schema);
        Self { class: Class::Revocation, ..context }
    }

    /// The secrets of an app at a provider, which has the id `record`; `generation` counts its changes.
    pub fn app(tenant: &'a TenantId, record: [u8; 16], generation: i64, schema: u16) -> Self {
        let version = generation.cast_unsigned();
        Self { class: Class::App, tenant: tenant.as_str(), record, version, schema }
    }

    /// The signing secrets of an event endpoint, which has the id `record`; `generation` counts its changes.
    pub fn event_endpoint(tenant: &'a TenantId, record: [u8; 16], generation: i64, schema: u16) -> Self {
        Self { class: Class::EventEndpoint, ..Self::app(tenant, record, generation, schema) }
    }

    /// What a provider's callback brought, on its way through the browser.
    pub fn callback(tenant: &'a TenantId) -> Self {
        Self { class: Class::Callback, tenant: tenant.as_str(), record: [0; 16], version: 0, schema: 1 }
    }

    /// Keys that a provider has handed over for a consent in progress; `record` is of the consent's state.
    pub fn handoff(tenant: &'a TenantId, record: [u8; 16], schema: u16) -> Self {
        Self { class: Class::HandOff, tenant: tenant.as_str(), record, version: 0, schema }
    }

    pub(crate) fn tenant_key(tenant: &'a TenantId, version: u32) -> Self {
        let version = u64::from(version);
        Self { class: Class::TenantKey, tenant: tenant.as_str(), record: [0; 16], version, schema: 1 }
    }

    pub(crate) fn root_check() -> Self {
        Self { class: Class::RootCheck, tenant: TenantId::PLATFORM, record: [0; 16], version: 0, schema: 1 }
    }

    pub(crate) fn page_token(tenant: &'a TenantId, query: [u8; 16]) -> Self {
        Self { class: Class::PageToken, tenant: tenant.as_str(), record: query, version: 0, schema: 1 }
    }

    /// The associated data: label, the whole header, tenant with its length, record, version, schema; integers big-endian.
    pub(crate) fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let tenant_length = u16::try_from(self.tenant.len()).unwrap_or(u16::MAX);
        let mut data = Vec::with_capacity(LABEL.len() + header.len() + 2 + self.tenant.len() + 26);
        data.extend_from_slice(LABEL);
        data.extend_from_slice(header);
        data.extend_from_slice(&tenant_length.to_be_bytes());
        data.extend_from_slice(self.tenant.as_bytes());
        data.extend_from_slice(&self.record);
        data.extend_from_slice(&self.version.to_be_bytes());
        data.extend_from_slice(&self.schema.to_be_bytes());
        data
    }
}
