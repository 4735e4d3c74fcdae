//! A record to its canonical bytes: the layout at the top of `record.rs`.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::{MAX_RECORD_BYTES, Record, RecordBytes, RecordTooLong};

/// The version of the layout, the first byte of a record.
pub(super) const VERSION: u8 = 1;
/// What most records need, so that encoding allocates once.
const USUAL_BYTES: usize = 384;

impl Record<'_> {
    /// The canonical bytes of the record.
    ///
    /// # Errors
    /// The record has more than [`MAX_RECORD_BYTES`].
    pub fn encode(&self) -> Result<RecordBytes, RecordTooLong> {
        let Record {
            id,
            time,
            trace,
            tenant,
            tenant_source,
            action,
            outcome,
            service,
            user,
            connection,
            owner_user,
            provider,
            version,
            purpose,
            reason,
            source_address,
            changed,
            released,
            policies,
        } = self;
        let mut out = Encoder { bytes: Vec::with_capacity(USUAL_BYTES), present: 0, next: 0 };
        out.bytes.extend([VERSION, 0, 0]);
        out.bytes.extend(id.as_bytes());
        out.bytes.extend(time.to_be_bytes());
        out.bytes.extend(trace);
        for text in [tenant, tenant_source, action, outcome] {
            out.text(text)?;
        }
        out.optional_text(service.as_ref())?;
        out.optional_text(user.as_ref())?;
        out.optional_bytes(connection.as_ref().map(|id| id.as_bytes().as_slice()));
        out.optional_text(owner_user.as_ref())?;
        out.optional_text(provider.as_ref())?;
        out.optional_bytes(version.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
        out.optional_text(purpose.as_ref())?;
        out.optional_text(reason.as_ref())?;
        out.optional_bytes(source_address.map(address).as_deref());
        for list in [changed, released, policies] {
            out.length(list.len())?;
            list.iter().try_for_each(|text| out.text(text))?;
        }
        out.finish()
    }
}

fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => [&[4], address.octets().as_slice()].concat(),
        IpAddr::V6(address) => [&[16], address.octets().as_slice()].concat(),
    }
}

struct Encoder {
    bytes: Vec<u8>,
    present: u16,
    next: u32,
}

impl Encoder {
    fn length(&mut self, length: usize) -> Result<(), RecordTooLong> {
        self.bytes.extend(u16::try_from(length).map_err(|_| RecordTooLong)?.to_be_bytes());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), RecordTooLong> {
        self.length(text.len())?;
        self.bytes.extend(text.as_bytes());
        // A list of 65,535 long texts must not be built first and refused then.
        if self.bytes.len() > MAX_RECORD_BYTES { Err(RecordTooLong) } else { Ok(()) }
    }

    fn optional_text(&mut self, text: Option<&Cow<'_, str>>) -> Result<(), RecordTooLong> {
        self.mark(text.is_some());
        text.map_or(Ok(()), |text| self.text(text))
    }

    fn optional_bytes(&mut self, bytes: Option<&[u8]>) {
        self.mark(bytes.is_some());
        self.bytes.extend(bytes.unwrap_or_default());
    }

    fn mark(&mut self, is_present: bool) {
        self.present |= u16::from(is_present) << self.next;
        self.next += 1;
    }

    fn finish(mut self) -> Result<RecordBytes, RecordTooLong> {
        if let Some([_, present @ ..]) = self.bytes.first_chunk_mut::<3>() {
            *present = self.present.to_be_bytes();
        }
        RecordBytes::new(self.bytes)
    }
}
