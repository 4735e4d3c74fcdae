//! A connection whose stored values were not altered, for a secret or a browser to be sent where its settings lead.

use credvault_domain::{Connection, TenantScope};

use super::Credentials;
use crate::Error;
use crate::connections::lock::DELETED;
use crate::credentials::fetch::is_same;
use crate::credentials::found::Selector;

impl Credentials<'_> {
    /// A connection as it is now, for a secret or a browser to be sent where its settings lead: its current credential
    /// opens, if it has one, so nothing beside it was altered.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the credential does not open; [`Error::ConnectionNotFound`] if the connection is gone, or
    /// is not any more what policy was asked about; it is deleted.
    pub async fn whole(&self, scope: &TenantScope, checked: &Connection) -> Result<Connection, Error> {
        if checked.delete_time.is_some() {
            return Err(Error::State(DELETED));
        }
        let fetched = self.fetch(scope, &Selector::Connection { id: checked.id, version: None }).await?;
        match self.open_stored(&fetched, self.store.now(), true).await {
            Ok(_) | Err(Error::NoCredential) => {}
            Err(error) => return Err(error),
        }
        let now = fetched.connection;
        if is_same(&now, checked) { Ok(now) } else { Err(Error::ConnectionNotFound) }
    }
}
