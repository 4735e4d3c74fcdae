//! Asking for an erasure. It changes nothing but the request itself: a token, of which the database holds a hash.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_crypto::sha256;
use credvault_domain::{AuditEvent, TenantId, TenantScope, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{EntityTrait as _, QuerySelect as _};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::change::{Change, retrying};
use crate::database::erased::is_erased;
use crate::entity::{erasure_request, tenant};
use crate::erasures::Erasures;
use crate::erasures::content::{ErasureContent, count};
use crate::{Error, Recorded, Store, Write};

/// How long a token confirms an erasure.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);
/// How many random bytes a token has.
const TOKEN_BYTES: usize = 32;

/// What would be destroyed, and what confirms that it shall be.
#[derive(Debug)]
pub struct RequestedErasure {
    /// How much there is at this moment.
    pub content: ErasureContent,
    /// The token that confirms the erasure. Earlier ones confirm nothing any more.
    pub token: SecretString,
    /// When the token's time is over.
    pub expire_time: Timestamp,
}

impl Erasures<'_> {
    /// Gives the caller a token for the erasure of the tenant of `scope`, in place of any earlier one.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], also if the tenant was erased; or the database fails.
    pub async fn request(
        &self,
        scope: &TenantScope,
        write: &Write,
    ) -> Result<Recorded<RequestedErasure>, Error> {
        retrying(write, || self.try_request(scope.tenant(), write)).await
    }

    async fn try_request(
        &self,
        tenant: &TenantId,
        write: &Write,
    ) -> Result<Recorded<RequestedErasure>, Error> {
        let mut change = self.store.own_change(tenant).await?;
        // Counted before the lock, for which everything waits that is being created for the tenant.
        let content = count(&change.tx, tenant).await?;
        let revision = locked(&change).await?.revision;
        if is_erased(&change.tx, tenant).await? {
            return Err(Error::TenantNotFound(tenant.clone()));
        }
        let service = write.event.service.as_ref();
        let service = service.ok_or(Error::State("a service must ask for an erasure"))?;
        let token = self.new_token()?;
        let expire_time = change.now.after(TOKEN_LIFETIME);
        let row = erasure_request::ActiveModel {
            tenant_id: Set(tenant.as_str().to_owned()),
            token_hash: Set(token_hash(&token)),
            service: Set(service.as_str().to_owned()),
            revision: Set(revision),
            create_time: Set(change.now.micros()),
            expire_time: Set(expire_time.micros()),
        };
        erasure_request::Entity::delete_by_id(tenant.as_str()).exec(&change.tx).await?;
        erasure_request::Entity::insert(row).exec_without_returning(&change.tx).await?;
        let event = step_record(self.store, write.event.clone(), tenant, "erasure.requested")?;
        change.record_elsewhere(event);
        change.commit(RequestedErasure { content, token: token.into(), expire_time }).await
    }

    fn new_token(&self) -> Result<String, Error> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        let random = self.store.keyring().random();
        random.fill(bytes.as_mut_slice()).map_err(|error| Error::Key(error.into()))?;
        Ok(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }
}

/// The row of the change's tenant, locked: erasures, suspensions and the rules of a tenant come one after the other.
pub(super) async fn locked(change: &Change<'_>) -> Result<tenant::Model, Error> {
    let id = change.tenant();
    let row = tenant::Entity::find_by_id(id.as_str()).lock_exclusive().one(&change.tx).await?;
    row.ok_or_else(|| Error::TenantNotFound(id.clone()))
}

/// What is stored of a token.
pub(super) fn token_hash(token: &str) -> Vec<u8> {
    sha256(&[token]).to_vec()
}

/// The record of a step of an erasure. It stands in the platform's log: the tenant's own cannot be read any more.
pub(super) fn step_record(
    store: &Store,
    mut event: AuditEvent,
    tenant: &TenantId,
    step: &str,
) -> Result<AuditEvent, Error> {
    event.id = store.new_id()?;
    event.time = store.now();
    event.tenant = TenantId::platform();
    event.changed.splice(..0, [format!("tenants/{tenant}"), step.to_owned()]);
    Ok(event)
}
