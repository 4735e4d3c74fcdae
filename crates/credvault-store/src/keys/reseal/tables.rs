//! The tables with sealed records: how their rows are found, and the place that each record is sealed for.

use credvault_crypto::{Binding, Context};
use credvault_domain::{ConnectionId, TenantId};
use sea_orm::{QueryResult, Value};
use uuid::Uuid;

use crate::Error;
use crate::authorizations::delivered_keys::record_of;
use crate::credentials::binding;
use crate::hex::unhex;
use crate::tenants::apps;

/// A table with sealed records: the columns that find one of its rows, beside the tenant, with their types in PostgreSQL.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static [(&'static str, KeyType)],
    /// Whether a record is bound to its connection's row, or to columns of its own.
    pub(super) columns: &'static str,
    pub(super) place: fn(&Row<'_>) -> Result<Place, Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyType {
    Uuid,
    Int,
    Text,
    Bytes,
}

/// Where a record is sealed.
pub(super) enum Place {
    Credential(Uuid, i64, Binding),
    Tokens(Uuid, i64, Binding),
    Revocation(Uuid, i64, Binding),
    RotatedKey(Uuid, i64, String, i64, Binding),
    App(Uuid, i64, Binding),
    EventEndpoint(Uuid, i64),
    Callback,
    HandOff([u8; 16]),
    SigningKey([u8; 32], i64),
    AuditKey(i64),
}

/// A row that was read.
pub(super) struct Row<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) row: &'a QueryResult,
}

pub(super) const CREDENTIALS: &str = "credential_versions";
pub(super) const AUDIT_KEYS: &str = "audit_keys";
const OF_CONNECTION: &str = "c.owner_user, c.provider, c.auth_mode, c.config";

pub(super) const TABLES: [Table; 10] = [
    Table {
        name: CREDENTIALS,
        key: &[("connection_id", KeyType::Uuid), ("version", KeyType::Int)],
        columns: OF_CONNECTION,
        place: |row| Ok(Place::Credential(row.uuid("connection_id")?, row.int("version")?, row.binding()?)),
    },
    Table {
        name: "tokens",
        key: &[("connection_id", KeyType::Uuid)],
        columns: "r.generation, c.owner_user, c.provider, c.auth_mode, c.config",
        place: |row| Ok(Place::Tokens(row.uuid("connection_id")?, row.int("generation")?, row.binding()?)),
    },
    Table {
        name: "revocations",
        key: &[("connection_id", KeyType::Uuid)],
        columns: "r.generation, c.owner_user, c.provider, c.auth_mode, c.config",
        place: |row| {
            Ok(Place::Revocation(row.uuid("connection_id")?, row.int("generation")?, row.binding()?))
        },
    },
    Table {
        name: "rotated_keys",
        key: &[("connection_id", KeyType::Uuid), ("number", KeyType::Int)],
        columns: "r.role, r.version, c.owner_user, c.provider, c.auth_mode, c.config",
        place: |row| {
            let (id, number) = (row.uuid("connection_id")?, row.int("number")?);
            let (role, version) = (row.row.try_get("", "role")?, row.int("version")?);
            Ok(Place::RotatedKey(id, number, role, version, row.binding()?))
        },
    },
    Table {
        name: "oauth_apps",
        key: &[("provider", KeyType::Text)],
        columns: "r.id, r.generation, r.client_id, r.redirect_uri, r.scopes, r.settings",
        place: |row| Ok(Place::App(row.uuid("id")?, row.int("generation")?, apps::bound_of(row.row)?)),
    },
    Table {
        name: "event_endpoints",
        key: &[("id", KeyType::Uuid)],
        columns: "r.generation",
        place: |row| Ok(Place::EventEndpoint(row.uuid("id")?, row.int("generation")?)),
    },
    Table {
        name: "callbacks",
        key: &[("state_hash", KeyType::Bytes)],
        columns: "1 AS one",
        place: |_| Ok(Place::Callback),
    },
    Table {
        name: "delivered_keys",
        key: &[("state_hash", KeyType::Bytes)],
        columns: "1 AS one",
        place: |row| Ok(Place::HandOff(record_of(&row.row.try_get::<Vec<u8>>("", "state_hash")?))),
    },
    Table {
        name: AUDIT_KEYS,
        key: &[("number", KeyType::Int)],
        columns: "1 AS one",
        place: |row| Ok(Place::AuditKey(row.int("number")?)),
    },
    // The platform's only.
    Table {
        name: "signing_keys",
        key: &[("generation", KeyType::Int)],
        columns: "r.public_key",
        place: |row| {
            let public_key = row.row.try_get::<Vec<u8>>("", "public_key")?;
            let public_key = public_key.try_into().map_err(|_| Error::Integrity)?;
            Ok(Place::SigningKey(public_key, row.int("generation")?))
        },
    },
];

impl Place {
    pub(super) fn context<'a>(&self, tenant: &'a TenantId, schema: u16) -> Context<'a> {
        let connection = |id: &Uuid| ConnectionId::from_uuid(*id);
        match self {
            Self::Credential(id, version, bound) => {
                Context::credential(tenant, connection(id), *version, schema, *bound)
            }
            Self::Tokens(id, generation, bound) => {
                Context::tokens(tenant, connection(id), *generation, schema, *bound)
            }
            Self::Revocation(id, generation, bound) => {
                Context::revocation(tenant, connection(id), *generation, schema, *bound)
            }
            Self::RotatedKey(id, number, role, version, bound) => {
                let of = (*number, role.as_str(), *version);
                Context::rotated_key(tenant, connection(id), of, schema, *bound)
            }
            Self::App(id, generation, bound) => {
                Context::app(tenant, id.into_bytes(), *generation, schema, *bound)
            }
            Self::EventEndpoint(id, generation) => {
                Context::event_endpoint(tenant, id.into_bytes(), *generation, schema)
            }
            Self::Callback => Context::callback(tenant),
            Self::HandOff(record) => Context::handoff(tenant, *record, schema),
            Self::AuditKey(number) => Context::audit_key(tenant, *number),
            Self::SigningKey(public_key, generation) => Context::signing_key(public_key, *generation),
        }
    }
}

impl Row<'_> {
    fn uuid(&self, column: &str) -> Result<Uuid, Error> {
        Ok(self.row.try_get("", column)?)
    }

    fn int(&self, column: &str) -> Result<i64, Error> {
        Ok(self.row.try_get("", column)?)
    }

    /// What the values of the connection are bound to.
    fn binding(&self) -> Result<Binding, Error> {
        let text = |column: &str| self.row.try_get::<String>("", column);
        let config: serde_json::Value = self.row.try_get("", "config")?;
        let (owner, provider, mode) = (text("owner_user")?, text("provider")?, text("auth_mode")?);
        Ok(binding::of_columns(self.tenant.as_str(), &owner, &provider, &mode, &config))
    }
}

impl KeyType {
    pub(super) fn cast(self) -> &'static str {
        match self {
            Self::Uuid => "::uuid",
            Self::Int => "::bigint",
            Self::Text => "::text",
            Self::Bytes => "::bytea",
        }
    }

    /// The value that a cursor has as text.
    pub(super) fn value(self, text: &str) -> Result<Value, Error> {
        Ok(match self {
            Self::Uuid => Uuid::parse_str(text).map_err(|_| Error::Integrity)?.into(),
            Self::Int => text.parse::<i64>().map_err(|_| Error::Integrity)?.into(),
            Self::Text => text.into(),
            Self::Bytes => unhex(text).ok_or(Error::Integrity)?.into(),
        })
    }
}
