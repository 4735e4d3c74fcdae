//! Fills a vault's database by SQL, with keys that are wrapped and records that are sealed as the vault does it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use credvault_crypto::{
    Binding, Context, FIELDS_SCHEMA, Keyring, RootKeySource, SystemRandom, TenantKey, encode_fields,
};
use credvault_domain::{ConnectionId, FieldName, SecretFields, TenantId};
use secrecy::SecretString;
use uuid::Uuid;

use crate::database::Reached;

/// The tenant with all records.
pub(crate) const TENANT: &str = "acme";
/// The tenant that others are copies of.
pub(crate) const MODEL: &str = "model";
/// The file of the second root key.
pub(crate) const OTHER_ROOT: &str = "other.key";

/// How many rows a statement inserts.
const PIECE: usize = 1000;

/// Writes rows; the root key of the vault's configuration wraps.
pub(crate) struct Filler<'a> {
    reached: &'a Reached,
    keyring: Keyring,
}

/// The id of a record's connection.
pub(crate) fn id(number: usize) -> Uuid {
    Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + number as u128)
}

/// The secret of a record: with its field's name and the lengths beside it, 600 bytes.
pub(crate) fn secret(number: usize) -> String {
    format!("CANARY {number:0583}")
}

impl<'a> Filler<'a> {
    pub(crate) fn new(reached: &'a Reached, folder: &Path) -> Self {
        let source = RootKeySource::File(folder.join("root.key"));
        let (root, _) = source.load(None, &SystemRandom).unwrap();
        Self { reached, keyring: Keyring::new(root, Arc::new(SystemRandom)) }
    }

    /// Tenants, each with a key of its own.
    pub(crate) async fn tenants(&self, numbers: Range<usize>) {
        let tenants = self.copies("tenants", &[("tenant_id", "made.id")]).await;
        let keys = [("tenant_id", "made.id"), ("wrapped", "made.value")];
        let keys = self.copies("tenant_keys", &keys).await;
        let model = format!("WHERE t.tenant_id = '{MODEL}'");
        for first in numbers.clone().step_by(PIECE) {
            let mut made = Vec::new();
            for number in first..numbers.end.min(first + PIECE) {
                let id = format!("t-{number:07}");
                let tenant = TenantId::parse(&id).unwrap();
                let wrapped = self.keyring.generate(&tenant, 1).await.unwrap();
                made.push(format!("('{id}', {})", self.reached.bytes(&wrapped.bytes)));
            }
            let made = format!("WITH made (id, value) AS (VALUES {})", made.join(", "));
            for copies in [&tenants, &keys] {
                self.reached.execute(&format!("{made} {copies} {model}")).await;
            }
        }
    }

    /// Connections, each with a version that is sealed under the tenant's newest key.
    pub(crate) async fn records(&self, numbers: Range<usize>) {
        let key = self.newest_key().await;
        let others = [("id", "made.id"), ("account_name", "made.name"), ("is_default", "FALSE")];
        let connections = self.copies("connections", &others).await;
        let version = key.version().to_string();
        let others =
            [("connection_id", "made.id"), ("sealed", "made.value"), ("key_version", version.as_str())];
        let versions = self.copies("credential_versions", &others).await;
        let main = format!("tenant_id = '{TENANT}' AND account_name = 'main'");
        for first in numbers.clone().step_by(PIECE) {
            let made: Vec<_> = (first..numbers.end.min(first + PIECE))
                .map(|number| {
                    let (id, value) = (self.reached.uuid(id(number)), sealed(&key, number));
                    format!("({id}, 'account-{number}', {})", self.reached.bytes(&value))
                })
                .collect();
            let made = format!("WITH made (id, name, value) AS (VALUES {})", made.join(", "));
            self.reached.execute(&format!("{made} {connections} WHERE t.{main}")).await;
            let of_main = format!("WHERE t.connection_id = (SELECT id FROM connections WHERE {main})");
            self.reached.execute(&format!("{made} {versions} {of_main}")).await;
        }
    }

    /// A statement that copies rows of a table for everything that was made, some columns of which are others.
    async fn copies(&self, table: &str, others: &[(&str, &str)]) -> String {
        let columns = if self.reached.is_postgres() {
            format!(
                "SELECT string_agg(column_name::text, ',' ORDER BY ordinal_position) AS v
                 FROM information_schema.columns WHERE table_schema = 'credvault' AND table_name = '{table}'"
            )
        } else {
            format!("SELECT group_concat(name) AS v FROM pragma_table_info('{table}')")
        };
        let columns = self.reached.text(&columns).await;
        let value = |column: &str| {
            let other = others.iter().find(|(name, _)| *name == column);
            other.map_or(format!("t.{column}"), |(_, value)| (*value).to_owned())
        };
        let values: Vec<_> = columns.split(',').map(value).collect();
        format!("INSERT INTO {table} ({columns}) SELECT {} FROM {table} t, made", values.join(", "))
    }

    async fn newest_key(&self) -> Arc<TenantKey> {
        let newest = format!(
            "SELECT version, wrapped FROM tenant_keys WHERE tenant_id = '{TENANT}' ORDER BY version DESC LIMIT 1"
        );
        let row = self.reached.rows(&newest).await.remove(0);
        let version: i64 = row.try_get("", "version").unwrap();
        let wrapped: Vec<u8> = row.try_get("", "wrapped").unwrap();
        let (tenant, version) = (TenantId::parse(TENANT).unwrap(), u32::try_from(version).unwrap());
        self.keyring.unwrap(&tenant, version, &wrapped).await.unwrap()
    }
}

/// A record's value, sealed for the place where it is inserted.
fn sealed(key: &TenantKey, number: usize) -> Vec<u8> {
    let tenant = TenantId::parse(TENANT).unwrap();
    let bound = Binding::of(&[
        ("owner", b"tenant".as_slice()),
        ("user", b"".as_slice()),
        ("provider", b"generic".as_slice()),
        ("auth_mode", b"fields".as_slice()),
        ("config", b"{}".as_slice()),
    ]);
    let connection = ConnectionId::from_uuid(id(number));
    let context = Context::credential(&tenant, connection, 1, FIELDS_SCHEMA, bound);
    let field = (FieldName::parse("token").unwrap(), SecretString::from(secret(number)));
    let plain = encode_fields(&SecretFields::from_sealed(BTreeMap::from([field]))).unwrap();
    assert_eq!(plain.len(), 600);
    key.seal(&context, &plain, &SystemRandom).unwrap()
}
