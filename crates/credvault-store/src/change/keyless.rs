//! Changes that a caller asks for and that seal and open nothing: an administrator makes them while the key manager is away.

use credvault_domain::TenantScope;

use super::requests::Memory;
use super::{Change, Keys, Request};
use crate::database::tenant_keys::tenant_row;
use crate::database::transaction::begin_write;
use crate::{Error, Store, Write};

impl Store {
    /// Begins a change that a caller asks for, in a tenant that exists, suspended or not, without the tenant's keys. Its
    /// request holds no secret, for it is remembered by a hash that takes no key.
    pub(crate) async fn keyless_change<'a>(
        &'a self,
        scope: &TenantScope,
        write: &'a Write,
    ) -> Result<Change<'a>, Error> {
        let (tenant, action) = (scope.tenant(), write.event.action);
        let tx = begin_write(&self.writer(), self.database(), tenant).await?;
        tenant_row(&tx, tenant).await?;
        let prior = match &write.repeat {
            Some(repeat) => Memory { tenant, keys: None, action, repeat }.recall(&tx).await?,
            None => None,
        };
        let mut change = self.in_transaction(tx, tenant, Keys::Unasked);
        change.request = Some(Request::new(write, prior));
        Ok(change)
    }
}
