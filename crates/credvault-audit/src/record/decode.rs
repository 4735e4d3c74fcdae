//! Canonical bytes to a record. Strict: what decodes encodes to the same bytes again.

use std::borrow::Cow;
use std::net::IpAddr;

use uuid::Uuid;

use super::encode::VERSION;
use crate::{Record, RecordBytes, RecordError};

/// How many fields may be absent.
const OPTIONAL_FIELDS: u32 = 9;

impl<'a> Record<'a> {
    /// Reads canonical bytes, without copying their texts.
    ///
    /// # Errors
    /// The rule that the bytes break.
    pub fn decode(bytes: &'a RecordBytes) -> Result<Self, RecordError> {
        let mut input = Decoder { bytes: bytes.as_slice(), present: 0 };
        if input.number::<1>()? != [VERSION] {
            return Err(RecordError::Version);
        }
        input.present = u16::from_be_bytes(input.number()?);
        if input.present >> OPTIONAL_FIELDS != 0 {
            return Err(RecordError::Layout);
        }
        let record = Record {
            id: Uuid::from_bytes(input.number()?),
            time: i64::from_be_bytes(input.number()?),
            trace: input.number()?,
            tenant: input.text()?,
            tenant_source: input.text()?,
            action: input.text()?,
            outcome: input.text()?,
            service: input.optional(Decoder::text)?,
            user: input.optional(Decoder::text)?,
            connection: input.optional(Decoder::number)?.map(Uuid::from_bytes),
            owner_user: input.optional(Decoder::text)?,
            provider: input.optional(Decoder::text)?,
            version: input.optional(Decoder::number)?.map(i64::from_be_bytes),
            purpose: input.optional(Decoder::text)?,
            reason: input.optional(Decoder::text)?,
            source_address: input.optional(Decoder::address)?,
            changed: input.texts()?,
            released: input.texts()?,
            policies: input.texts()?,
        };
        if input.bytes.is_empty() { Ok(record) } else { Err(RecordError::Layout) }
    }
}

struct Decoder<'a> {
    bytes: &'a [u8],
    /// The bits of the optional fields that are still to come, that of the next one lowest.
    present: u16,
}

impl<'a> Decoder<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(RecordError::Layout)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn number<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], RecordError> {
        self.take(BYTES)?.try_into().map_err(|_| RecordError::Layout)
    }

    fn text(&mut self) -> Result<Cow<'a, str>, RecordError> {
        let length = u16::from_be_bytes(self.number()?);
        let text = str::from_utf8(self.take(usize::from(length))?).map_err(|_| RecordError::Layout)?;
        Ok(Cow::Borrowed(text))
    }

    fn texts(&mut self) -> Result<Vec<Cow<'a, str>>, RecordError> {
        let count = u16::from_be_bytes(self.number()?);
        (0..count).map(|_| self.text()).collect()
    }

    fn address(&mut self) -> Result<IpAddr, RecordError> {
        match self.number()? {
            [4] => Ok(self.number::<4>()?.into()),
            [16] => Ok(self.number::<16>()?.into()),
            _ => Err(RecordError::Layout),
        }
    }

    fn optional<T>(
        &mut self,
        read: fn(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<T>, RecordError> {
        let is_present = self.present & 1 == 1;
        self.present >>= 1;
        is_present.then(|| read(self)).transpose()
    }
}
