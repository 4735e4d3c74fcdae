//! The rows of a new tenant: itself and its first key.

use credvault_crypto::WrappedKey;
use credvault_domain::{TenantId, TenantState};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, ConnectionTrait};

use crate::Error;
use crate::entity::{tenant, tenant_key};

/// A tenant to be created, with its first key, which was wrapped before the transaction began.
pub(crate) struct NewTenant<'a> {
    pub(crate) id: &'a TenantId,
    pub(crate) display_name: &'a str,
    /// The generation of the root key that wraps the tenant's key.
    pub(crate) generation: i64,
    pub(crate) wrapped: WrappedKey,
}

impl NewTenant<'_> {
    /// Inserts the rows.
    ///
    /// # Errors
    /// The id is taken, or the database fails.
    pub(crate) async fn insert<C: ConnectionTrait>(self, db: &C, now: i64) -> Result<tenant::Model, Error> {
        let model = tenant::ActiveModel {
            tenant_id: Set(self.id.as_str().to_owned()),
            display_name: Set(self.display_name.to_owned()),
            state: Set(TenantState::Active.as_str().to_owned()),
            revision: Set(1),
            create_time: Set(now),
            update_time: Set(now),
            delivery_grace_time: Set(None),
            secret_store: Set(None),
        };
        let model = model.insert(db).await?;
        let key = tenant_key::ActiveModel {
            tenant_id: Set(self.id.as_str().to_owned()),
            version: Set(1),
            root_id: Set(i64::from(self.wrapped.root_id)),
            wrapped: Set(self.wrapped.bytes),
            create_time: Set(now),
            generation: Set(self.generation),
            retire_time: Set(None),
        };
        key.insert(db).await?;
        Ok(model)
    }
}
