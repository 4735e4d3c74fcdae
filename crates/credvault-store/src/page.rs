//! Pages of listings: positions sealed into page tokens, and the order of rows that they continue.

use credvault_crypto::{PageToken, TenantKey};
use credvault_domain::{TenantId, TenantScope};
use futures::{Stream, TryStreamExt as _};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use crate::database::session::Reading;
use crate::{Error, Store};

/// The most bytes of a page: under the 4 MiB that gRPC clients accept by default.
pub const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// Something that is listed.
pub trait Weighed {
    /// The most bytes that it takes in an answer.
    fn weight(&self) -> usize;
}

/// Which page of a listing is wanted.
#[derive(Clone, Debug)]
pub struct Page {
    /// The most items: 1 to 500. A page of large items has fewer.
    pub size: u32,
    /// The token of the previous page, or empty for the first.
    pub token: String,
    /// The listing that a token is good for: RPC and filters, in any encoding that tells two listings apart.
    pub query: Vec<u8>,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The items of the page, in order.
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
        let token = PageToken::new(tenant, &self.query);
        let opened = reading.keys.all().find_map(|key| token.open(key, &self.token).ok());
        opened.map(|position| Some(position.to_vec())).ok_or(Error::PageToken)
    }

    /// How many rows to ask for: one more than the page has, to know whether there is another.
    pub(crate) fn limit(&self) -> u64 {
        u64::from(self.size) + 1
    }

    /// Reads items until the page is full, of items or of bytes, and makes the next token from the last one's position.
    /// What is beyond the page is not read: the database has not sent it yet.
    pub(crate) async fn read<T: Weighed>(
        &self,
        store: &Store,
        tenant: &TenantId,
        key: &TenantKey,
        rows: impl Stream<Item = Result<T, Error>>,
        position: impl FnOnce(&T) -> Vec<u8>,
    ) -> Result<Listed<T>, Error> {
        let (items, more) = self.take(rows).await?;
        let next_page_token = match items.last().filter(|_| more) {
            Some(last) => self.token_after(store, tenant, key, &position(last))?,
            None => String::new(),
        };
        Ok(Listed { items, next_page_token })
    }

    /// Reads items until the page is full, and says whether there are more.
    pub(crate) async fn take<T: Weighed>(
        &self,
        rows: impl Stream<Item = Result<T, Error>>,
    ) -> Result<(Vec<T>, bool), Error> {
        let mut rows = std::pin::pin!(rows);
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let (mut items, mut bytes, mut more) = (Vec::new(), 0, false);
        while let Some(item) = rows.try_next().await? {
            bytes += item.weight();
            // The first one always fits: a page without items would be read for ever.
            more = items.len() == size || (bytes > PAGE_BYTES && !items.is_empty());
            if more {
                break;
            }
            items.push(item);
        }
        Ok((items, more))
    }

    /// Begins to read a list of a namespace, and finds where the page begins. The first page takes no key, so it can be read
    /// while the key manager is away.
    pub(crate) async fn begin(
        &self,
        store: &Store,
        scope: &TenantScope,
    ) -> Result<(DatabaseTransaction, Option<Vec<u8>>), Error> {
        if self.token.is_empty() {
            return Ok((store.look(scope.tenant()).await?, None));
        }
        let reading = store.read(scope).await?;
        let position = self.position(scope.tenant(), &reading)?;
        Ok((reading.tx, position))
    }

    /// The page that was begun so and read to its end. Where another one follows, that one's token takes a key, and `tx` ends
    /// before it is asked for.
    pub(crate) async fn end<T>(
        &self,
        store: &Store,
        scope: &TenantScope,
        tx: DatabaseTransaction,
        (items, more): (Vec<T>, bool),
        position: impl FnOnce(&T) -> Vec<u8>,
    ) -> Result<Listed<T>, Error> {
        tx.rollback().await?;
        let next_page_token = match items.last().filter(|_| more) {
            Some(last) => {
                let reading = store.read(scope).await?;
                self.token_after(store, scope.tenant(), reading.key(), &position(last))?
            }
            None => String::new(),
        };
        Ok(Listed { items, next_page_token })
    }

    /// The token of the page that begins after a position.
    pub(crate) fn token_after(
        &self,
        store: &Store,
        tenant: &TenantId,
        key: &TenantKey,
        position: &[u8],
    ) -> Result<String, Error> {
        Ok(PageToken::new(tenant, &self.query).seal(key, position, store.keyring().random())?)
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
