//! Pages of listings.

use credvault_crypto::PageToken;
use uuid::Uuid;

use crate::session::Reading;
use crate::{Error, Store};
use credvault_domain::TenantId;

/// Which page of a listing is wanted.
#[derive(Clone, Debug)]
pub struct Page {
    /// The most items: 1 to 500.
    pub size: u32,
    /// The token of the previous page, or empty for the first.
    pub token: String,
    /// The listing that a token is good for: RPC and filters, in any encoding that tells two listings apart.
    pub query: Vec<u8>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// Its items.
    pub items: Vec<T>,
    /// The token of the next page; empty if this is the last.
    pub next_page_token: String,
}

impl Page {
    /// The position after which this page begins.
    pub(crate) fn position(&self, tenant: &TenantId, reading: &Reading) -> Result<Option<Vec<u8>>, Error> {
        if self.token.is_empty() {
            return Ok(None);
        }
        let opened = PageToken::new(tenant, &self.query).open(&reading.key, &self.token);
        opened.map(|position| Some(position.to_vec())).map_err(|_| Error::PageToken)
    }

    /// How many rows to ask for: one more than the page has, to know whether there is another.
    pub(crate) fn limit(&self) -> u64 {
        u64::from(self.size) + 1
    }

    /// Cuts rows to the page and makes the next token from the last item's position.
    pub(crate) fn cut<T>(
        &self,
        store: &Store,
        tenant: &TenantId,
        reading: &Reading,
        mut items: Vec<T>,
        position: impl FnOnce(&T) -> Vec<u8>,
    ) -> Result<Listed<T>, Error> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next_page_token = match items.last().filter(|_| more) {
            Some(last) => PageToken::new(tenant, &self.query).seal(
                &reading.key,
                &position(last),
                store.keyring().random(),
            )?,
            None => String::new(),
        };
        Ok(Listed { items, next_page_token })
    }
}

/// A position that is a UUID.
pub(crate) fn uuid_position(position: Option<Vec<u8>>) -> Result<Option<Uuid>, Error> {
    position.map(|bytes| Uuid::from_slice(&bytes).map_err(|_| Error::PageToken)).transpose()
}

/// A position that is an integer.
pub(crate) fn number_position(position: Option<Vec<u8>>) -> Result<Option<i64>, Error> {
    let number = |bytes: Vec<u8>| bytes.try_into().map(i64::from_be_bytes).map_err(|_| Error::PageToken);
    position.map(number).transpose()
}

/// A position that is a text.
pub(crate) fn text_position(position: Option<Vec<u8>>) -> Result<Option<String>, Error> {
    position.map(|bytes| String::from_utf8(bytes).map_err(|_| Error::PageToken)).transpose()
}
