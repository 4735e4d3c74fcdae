//! Secret fields as they are sealed in a row: the one type that seals and opens them.

use credvault_crypto::{Context, FIELDS_SCHEMA, TenantKey, decode_fields, encode_fields};
use credvault_domain::{Random, SecretFields, TenantId};

use crate::Error;
use crate::database::tenant_keys::TenantKeys;
use crate::integrity::alarm;

/// Sealed fields of a row.
#[derive(Clone, Copy)]
pub(crate) struct SealedRecord<'a> {
    /// The encoding of the fields.
    pub(crate) schema: i64,
    /// The version of the tenant's key.
    pub(crate) key_version: i64,
    /// The sealed bytes of the record.
    pub(crate) bytes: &'a [u8],
}

impl SealedRecord<'_> {
    /// Opens the fields with the key that the row names. `context` is made of the encoding, and says what they are bound
    /// to.
    ///
    /// # Errors
    /// [`Error::Integrity`] if they do not open; an alarm says where.
    pub(crate) fn open<'c>(
        &self,
        tenant: &TenantId,
        keys: &TenantKeys,
        context: impl FnOnce(u16) -> Context<'c>,
    ) -> Result<SecretFields, Error> {
        self.open_with(tenant, keys.version(self.key_version), context)
    }

    /// The same with the key that was read beside the row; none if it does not unwrap.
    ///
    /// # Errors
    /// As for [`SealedRecord::open`].
    pub(crate) fn open_with<'c>(
        &self,
        tenant: &TenantId,
        key: Option<&TenantKey>,
        context: impl FnOnce(u16) -> Context<'c>,
    ) -> Result<SecretFields, Error> {
        let context = context(FIELDS_SCHEMA);
        let open = || -> Result<SecretFields, Error> {
            // A row that names another encoding than the one that it was sealed with was altered.
            if self.schema != i64::from(FIELDS_SCHEMA) {
                return Err(Error::Integrity);
            }
            Ok(decode_fields(&key.ok_or(Error::Integrity)?.open(&context, self.bytes)?)?)
        };
        let opened = open();
        if matches!(opened, Err(Error::Integrity)) {
            alarm(tenant, context.what(), context.record());
        }
        opened
    }
}

/// Fields that were sealed just now, as columns of a row.
pub(crate) struct Sealed {
    /// The encoding of the fields.
    pub(crate) schema: i64,
    /// The version of the tenant's key.
    pub(crate) key_version: i64,
    /// The sealed bytes of the record.
    pub(crate) bytes: Vec<u8>,
}

impl Sealed {
    /// Seals fields under a tenant's key. `context` is made of the encoding, and says what they are bound to.
    ///
    /// # Errors
    /// They are too large, or the random generator fails.
    pub(crate) fn seal<'c>(
        fields: &SecretFields,
        key: &TenantKey,
        random: &dyn Random,
        context: impl FnOnce(u16) -> Context<'c>,
    ) -> Result<Self, Error> {
        Ok(Self {
            schema: i64::from(FIELDS_SCHEMA),
            key_version: i64::from(key.version()),
            bytes: key.seal(&context(FIELDS_SCHEMA), &encode_fields(fields)?, random)?,
        })
    }
}
