//! The parameters of callbacks, sealed under the tenant's key and deleted as soon as the consent is completed or
//! over. A code among them is of no use to a reader of the table: without the state, which is not stored, it has no
//! verifier, and the provider exchanges it once.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_crypto::Context;
use credvault_domain::{TenantId, TenantScope};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Authorizations;
use crate::authorizations::awaited::AwaitedAuthorization;
use crate::authorizations::state::{browser_hash, state_hash};
use crate::entity::authorization;
use crate::entity::callback::{ActiveModel, Entity};
use crate::{AuthorizationError, Error};

/// How many open consents of one browser are looked at.
const MAX_COMPARED: u64 = 20;

/// What a callback brought.
#[derive(Debug)]
pub struct KeptCallback {
    /// The same, sealed: what the page that opened the window takes to its back end.
    pub result: SecretString,
    /// Its query parameters, decoded.
    pub parameters: BTreeMap<String, String>,
}

impl Authorizations<'_> {
    /// The consents that a browser has started and not come back from, whose provider sends it to `redirect_uri`. The
    /// newest comes first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn open_of(
        &self,
        browser: &str,
        redirect_uri: &str,
    ) -> Result<Vec<AwaitedAuthorization>, Error> {
        use authorization::Column as Consent;
        let everywhere = self.store.read_background().await?;
        let rows = authorization::Entity::find()
            .filter(Consent::BrowserHash.eq(browser_hash(browser)))
            .filter(Consent::Public.eq(true))
            .filter(Consent::RedirectUri.eq(redirect_uri))
            .filter(Consent::ReturnTime.is_null())
            .filter(Consent::ConsumeTime.is_null())
            .filter(Consent::ExpireTime.gt(self.store.now().micros()))
            .order_by_desc(Consent::CreateTime)
            .limit(MAX_COMPARED)
            .all(&everywhere)
            .await?;
        everywhere.rollback().await?;
        let mut open = Vec::with_capacity(rows.len());
        for row in rows {
            match self.awaited(row).await {
                Ok(awaited) => open.push(awaited),
                // Nothing can come of that one, and it must not hide the others.
                Err(Error::TenantSuspended(_) | Error::TenantNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(open)
    }

    /// Records, once, that the provider has sent the browser back. Keeps the callback's parameters if the consent is to
    /// be completed.
    ///
    /// # Errors
    /// The consent is another browser's, or its callback came before.
    pub async fn arrive(
        &self,
        awaited: &AwaitedAuthorization,
        browser: Option<&str>,
        brought: Option<&BTreeMap<String, String>>,
    ) -> Result<(), Error> {
        use authorization::Column as Consent;
        awaited.check_browser(browser)?;
        let tenant = awaited.tenant.as_str();
        let tx = self.store.begin_bookkeeping(&awaited.tenant).await?;
        let noted = authorization::Entity::update_many()
            .col_expr(Consent::ReturnTime, Expr::value(self.store.now().micros()))
            .filter(Consent::TenantId.eq(tenant))
            .filter(Consent::StateHash.eq(awaited.state_hash.clone()))
            .filter(Consent::ReturnTime.is_null())
            .filter(Consent::ConsumeTime.is_null())
            .exec(&tx)
            .await?;
        if noted.rows_affected != 1 {
            return Err(AuthorizationError::Replayed.into());
        }
        if let Some(brought) = brought {
            let plain = SecretString::from(json!(brought).to_string());
            let plain = plain.expose_secret().as_bytes();
            let (context, key) = (Context::callback(&awaited.tenant), awaited.keys.newest());
            let row = ActiveModel {
                tenant_id: Set(tenant.to_owned()),
                state_hash: Set(awaited.state_hash.clone()),
                key_version: Set(i64::from(key.version())),
                sealed: Set(key.seal(&context, plain, self.store.keyring().random())?),
            };
            Entity::insert(row).exec_without_returning(&tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// What the callback of a consent has brought, until the consent is completed or over.
    ///
    /// # Errors
    /// [`AuthorizationError::Replayed`] if nothing is kept any more.
    pub async fn callback(&self, awaited: &AwaitedAuthorization) -> Result<KeptCallback, Error> {
        let reading = self.store.read_any(&awaited.tenant).await?;
        let key = (awaited.tenant.as_str().to_owned(), awaited.state_hash.clone());
        let row = Entity::find_by_id(key).one(&reading.tx).await?.ok_or(AuthorizationError::Replayed)?;
        let key = reading.keys.version(row.key_version).ok_or(Error::Integrity)?;
        let plain = key.open(&Context::callback(&awaited.tenant), &row.sealed)?;
        let parameters: BTreeMap<String, String> =
            serde_json::from_slice(plain.as_ref()).map_err(|_| Error::Integrity)?;
        // A row that was moved to another consent opens, for the tenant is the same.
        if parameters.get("state").map(|state| state_hash(state)).as_ref() != Some(&awaited.state_hash) {
            return Err(Error::Integrity);
        }
        Ok(KeptCallback { result: URL_SAFE_NO_PAD.encode(row.sealed).into(), parameters })
    }

    /// Opens a [`KeptCallback::result`].
    ///
    /// # Errors
    /// [`AuthorizationError::Unknown`] if it was not for this tenant.
    pub async fn open_return(
        &self,
        scope: &TenantScope,
        result: &str,
    ) -> Result<BTreeMap<String, String>, Error> {
        let reading = self.store.read(scope).await?;
        let sealed = URL_SAFE_NO_PAD.decode(result).map_err(|_| AuthorizationError::Unknown)?;
        let context = Context::callback(scope.tenant());
        let opened = reading.keys.all().find_map(|key| key.open(&context, &sealed).ok());
        let opened = opened.ok_or(AuthorizationError::Unknown)?;
        Ok(serde_json::from_slice(opened.as_ref()).map_err(|_| AuthorizationError::Unknown)?)
    }
}

/// Forgets what the callback of a consent has brought.
pub(crate) async fn forget(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    state_hash: &[u8],
) -> Result<(), Error> {
    Entity::delete_by_id((tenant.as_str().to_owned(), state_hash.to_vec())).exec(tx).await?;
    Ok(())
}
