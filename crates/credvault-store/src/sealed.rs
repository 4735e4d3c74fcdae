//! Secret fields as they are sealed in a row: the one type that seals and opens them, or what says where they are kept.

use credvault_crypto::{Context, FIELDS_SCHEMA, TenantKey, decode_fields, encode_fields};
use credvault_domain::{Random, SecretFields, TenantId};

use crate::Error;
use crate::database::tenant_keys::TenantKeys;
use crate::integrity::alarm;
use crate::secrets::content::SecretContent;

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
        // A row that names another encoding than the one that it was sealed with was altered.
        let schema = Some(FIELDS_SCHEMA).filter(|schema| self.schema == i64::from(*schema));
        self.open_record(tenant, keys.version(self.key_version), schema, context)
    }

    /// Opens a record of a connection, which holds its fields or says where they are kept.
    ///
    /// # Errors
    /// As for [`SealedRecord::open`].
    pub(crate) fn open_content<'c>(
        &self,
        tenant: &TenantId,
        keys: &TenantKeys,
        context: impl FnOnce(u16) -> Context<'c>,
    ) -> Result<SecretContent, Error> {
        self.open_content_with(tenant, keys.version(self.key_version), context)
    }

    /// The same with the key that was read beside the row; none if it does not unwrap.
    ///
    /// # Errors
    /// As for [`SealedRecord::open`].
    pub(crate) fn open_content_with<'c>(
        &self,
        tenant: &TenantId,
        key: Option<&TenantKey>,
        context: impl FnOnce(u16) -> Context<'c>,
    ) -> Result<SecretContent, Error> {
        // The encoding is bound to the sealed bytes: under another one they do not open.
        let schema = u16::try_from(self.schema).ok();
        let record = self.open_record(tenant, key, schema, context)?;
        SecretContent::of_record(schema.unwrap_or_default(), record)
    }

    fn open_record<'c>(
        &self,
        tenant: &TenantId,
        key: Option<&TenantKey>,
        schema: Option<u16>,
        context: impl FnOnce(u16) -> Context<'c>,
    ) -> Result<SecretFields, Error> {
        let context = context(schema.unwrap_or(FIELDS_SCHEMA));
        let open = || -> Result<SecretFields, Error> {
            let key = schema.and(key).ok_or(Error::Integrity)?;
            Ok(decode_fields(&key.open(&context, self.bytes)?)?)
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
        Self::seal_record(fields, FIELDS_SCHEMA, key, random, context)
    }

    /// Seals what a record of a connection holds.
    ///
    /// # Errors
    /// As for [`Sealed::seal`].
    pub(crate) fn seal_content<'c>(
        content: &SecretContent,
        key: &TenantKey,
        random: &dyn Random,
        context: impl FnOnce(u16) -> Context<'c>,
    ) -> Result<Self, Error> {
        Self::seal_record(&content.record(), content.schema(), key, random, context)
    }

    fn seal_record<'c>(
        record: &SecretFields,
        schema: u16,
        key: &TenantKey,
        random: &dyn Random,
        context: impl FnOnce(u16) -> Context<'c>,
    ) -> Result<Self, Error> {
        Ok(Self {
            schema: i64::from(schema),
            key_version: i64::from(key.version()),
            bytes: key.seal(&context(schema), &encode_fields(record)?, random)?,
        })
    }
}
