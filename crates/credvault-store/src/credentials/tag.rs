//! Tags of credentials that are given out, made with the key that opened them, and opened again when a caller shows one.

use credvault_crypto::{Tag, Tagged};
use credvault_domain::{Connection, TenantId};

use super::Credentials;
use crate::Error;
use crate::credentials::found::{Fetched, OpenedCredential};
use crate::rejections::GivenOut;

impl OpenedCredential {
    /// Which credential this is.
    pub fn given_out(&self) -> GivenOut {
        (self.version, self.generation)
    }

    /// The tag of this credential of `connection` for `asking`, the tenant that gets it. Makes one short text, and needs
    /// neither the database nor randomness.
    pub fn tag(&self, asking: &TenantId, holder: &TenantId, connection: &Connection) -> String {
        let tagged = Tagged::of(connection.id, self.version, self.generation);
        self.key.tag(asking, holder.is_platform() && !asking.is_platform(), tagged)
    }
}

impl Credentials<'_> {
    /// Opens a tag that `asking` shows, at what a fetch has found: the key that made it is there already, unless the tag is of
    /// another connection or older than the key. `None` if the vault never gave `asking` this tag.
    ///
    /// # Errors
    /// The database fails, or the key cannot be unwrapped at the moment.
    pub async fn open_tag(
        &self,
        asking: &TenantId,
        tag: &Tag,
        found: &Fetched,
        opened: &OpenedCredential,
    ) -> Result<Option<Tagged>, Error> {
        let of_platform = found.tenant.is_platform() && !asking.is_platform();
        if tag.of_platform() == of_platform && tag.key_version() == opened.key.version() {
            return Ok(tag.open(&opened.key, asking));
        }
        let holder = if tag.of_platform() { TenantId::platform() } else { asking.clone() };
        let reading = self.store.read_any(&holder).await?;
        let key = reading.keys.version(i64::from(tag.key_version()));
        Ok(key.and_then(|key| tag.open(key, asking)))
    }
}
