//! Page tokens: the position at which a listing continues, sealed so that only the same query of the same tenant
//! accepts it. Knows nothing of how the store encodes a position.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_domain::{Random, TenantId};
use ring::digest;

use crate::context::Context;
use crate::{Error, Opened, TenantKey};

/// Seals and opens the positions of one query of one tenant. A position is opaque bytes of the store.
#[derive(Clone, Copy, Debug)]
pub struct PageToken<'a> {
    tenant: &'a TenantId,
    query: [u8; 16],
}

impl<'a> PageToken<'a> {
    /// Tokens for the listing of `tenant` that `query` describes: the RPC's name and every filter of the request.
    pub fn new(tenant: &'a TenantId, query: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, query);
        let mut first = [0; 16];
        first.copy_from_slice(hash.as_ref().get(..16).unwrap_or(&[0; 16]));
        Self { tenant, query: first }
    }

    /// Seals a position as URL-safe text.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn seal(&self, key: &TenantKey, position: &[u8], random: &dyn Random) -> Result<String, Error> {
        let sealed = key.seal(&Context::page_token(self.tenant, self.query), position, random)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens a token into the position that it was sealed from.
    ///
    /// # Errors
    /// [`Error::Integrity`] if it is not a token of this tenant and query.
    pub fn open(&self, key: &TenantKey, token: &str) -> Result<Opened, Error> {
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::Integrity)?;
        key.open(&Context::page_token(self.tenant, self.query), &sealed)
    }
}
