//! What a sealed record of a connection holds: the secret fields themselves, or where they are kept.

use std::collections::BTreeMap;

use credvault_crypto::{FIELDS_SCHEMA, PayloadKey};
use credvault_domain::{FieldName, SecretFields};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::Error;

/// The encoding of a record that says where a payload is kept.
const PLACED_SCHEMA: u16 = 2;
/// The encoding of a record that refers to a secret of others.
const ADOPTED_SCHEMA: u16 = 3;

/// What a sealed record of a connection holds.
#[derive(Clone, Debug)]
pub enum SecretContent {
    /// The secret fields themselves.
    Fields(SecretFields),
    /// Where the vault has put the fields.
    Placed(Placement),
    /// Where others keep the fields.
    Adopted(Adoption),
}

/// A payload in an external store, with the key that opens it.
#[derive(Clone, Debug)]
pub struct Placement {
    pub(crate) store: String,
    pub(crate) reference: String,
    pub(crate) payload: Uuid,
    pub(crate) key: PayloadKey,
}

/// A secret that others keep in an external store, and that the vault reads there.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The name of the store in the settings.
    pub store: String,
    /// The name of the secret in the store.
    pub name: String,
    /// The version; the newest if none is given.
    pub version: Option<String>,
    /// The field that the whole secret is the value of. Without one, the secret is a JSON object with a member for each
    /// field.
    pub field: Option<FieldName>,
    /// A random key, under which the secret is remembered for a while.
    pub(crate) key: PayloadKey,
}

impl From<SecretFields> for SecretContent {
    fn from(fields: SecretFields) -> Self {
        Self::Fields(fields)
    }
}

impl SecretContent {
    /// The encoding that the record is sealed with.
    pub(crate) fn schema(&self) -> u16 {
        match self {
            Self::Fields(_) => FIELDS_SCHEMA,
            Self::Placed(_) => PLACED_SCHEMA,
            Self::Adopted(_) => ADOPTED_SCHEMA,
        }
    }

    /// The id of the payload that the record refers to.
    pub(crate) fn payload(&self) -> Option<Uuid> {
        match self {
            Self::Placed(placement) => Some(placement.payload),
            Self::Fields(_) | Self::Adopted(_) => None,
        }
    }

    /// The store that has the secret; none if that is the database.
    pub(crate) fn store(&self) -> Option<&str> {
        match self {
            Self::Fields(_) => None,
            Self::Placed(Placement { store, .. }) | Self::Adopted(Adoption { store, .. }) => Some(store),
        }
    }

    /// What is sealed in the row.
    pub(crate) fn record(&self) -> SecretFields {
        let mut record = Record::default();
        match self {
            Self::Fields(fields) => return fields.clone(),
            Self::Placed(Placement { store, reference, payload, key }) => {
                record.put("store", store);
                record.put("reference", reference);
                record.put("payload", &payload.to_string());
                record.put("key", &key.to_hex());
            }
            Self::Adopted(Adoption { store, name, version, field, key }) => {
                record.put("store", store);
                record.put("name", name);
                record.put("version", version.as_deref().unwrap_or_default());
                record.put("field", field.as_ref().map_or("", FieldName::as_str));
                record.put("key", &key.to_hex());
            }
        }
        SecretFields::from_sealed(record.0)
    }

    /// What a record of this encoding holds.
    ///
    /// # Errors
    /// [`Error::Integrity`] if it is no such record.
    pub(crate) fn of_record(schema: u16, record: SecretFields) -> Result<Self, Error> {
        let text = |name| record.get(name).map(|value| value.expose_secret()).ok_or(Error::Integrity);
        let given = |name| Ok::<_, Error>(Some(text(name)?.to_owned()).filter(|text| !text.is_empty()));
        match schema {
            FIELDS_SCHEMA => Ok(Self::Fields(record)),
            PLACED_SCHEMA => Ok(Self::Placed(Placement {
                store: text("store")?.to_owned(),
                reference: text("reference")?.to_owned(),
                payload: Uuid::parse_str(text("payload")?).map_err(|_| Error::Integrity)?,
                key: PayloadKey::from_hex(text("key")?)?,
            })),
            ADOPTED_SCHEMA => Ok(Self::Adopted(Adoption {
                store: text("store")?.to_owned(),
                name: text("name")?.to_owned(),
                version: given("version")?,
                field: given("field")?
                    .map(|field| FieldName::parse(&field))
                    .transpose()
                    .map_err(|_| Error::Integrity)?,
                key: PayloadKey::from_hex(text("key")?)?,
            })),
            _ => Err(Error::Integrity),
        }
    }
}

/// A record that is made of texts.
#[derive(Default)]
struct Record(BTreeMap<FieldName, SecretString>);

impl Record {
    fn put(&mut self, name: &str, value: &str) {
        if let Ok(name) = FieldName::parse(name) {
            self.0.insert(name, SecretString::from(value));
        }
    }
}
