//! Puts that come to nothing: the store does not take a payload, or the change that it was put for is refused.

use credvault_crypto::SecretStoreError;
use credvault_domain::{ConnectionId, TenantId, chain};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::content::SecretContent;
use super::payloads::{look_at, note_removed};
use crate::entity::external_payload::{Column, Entity};
use crate::{ConnectionKey, Error, Store};

/// Why a store does not take a payload. That something is not there, or cannot be used, says nothing of a kept secret here.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow: others stay as they are"
)]
pub(super) fn of_put(problem: SecretStoreError) -> SecretStoreError {
    match problem {
        SecretStoreError::NotFound => SecretStoreError::Denied(
            "it has no such place, or does not have the key that it is to encrypt with".to_owned(),
        ),
        SecretStoreError::Unusable(text) => SecretStoreError::Denied(text),
        other => other,
    }
}

impl Store {
    /// Forgets a payload that its store has not taken. If the store did not answer, it may be there all the same.
    pub(super) async fn forget_refused(
        &self,
        key: &ConnectionKey,
        payload: (Uuid, &str),
        problem: &SecretStoreError,
    ) {
        if !matches!(problem, SecretStoreError::Unavailable(_))
            && let Err(error) = self.note_refused(key, payload).await
        {
            // It is found when it cannot be on its way any more.
            tracing::warn!(
                error = chain(&error), tenant = %key.tenant, connection = %key.connection,
                "what a store has not taken is forgotten later"
            );
        }
    }

    async fn note_refused(&self, key: &ConnectionKey, payload: (Uuid, &str)) -> Result<(), Error> {
        let tx = self.begin_bookkeeping(&key.tenant).await?;
        note_removed(&tx, key, payload, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Has what was put for a refused change removed at once: no record has ever referred to it, so no backup needs it.
    pub(crate) async fn give_up_put(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        content: &SecretContent,
    ) {
        if let Some(payload) = content.payload()
            && let Err(error) = self.drop_payload(tenant, connection, payload).await
        {
            // It is found when it cannot be on its way any more.
            tracing::warn!(
                error = chain(&error), %tenant, %connection,
                "what was put for a refused change is removed later"
            );
        }
    }

    async fn drop_payload(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        payload: Uuid,
    ) -> Result<(), Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        Entity::update_many()
            .col_expr(Column::DropTime, Expr::value(0_i64))
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::Id.eq(payload))
            // If a record refers to it after all, the row says where it is.
            .filter(Column::Reference.is_null())
            .exec(&tx)
            .await?;
        look_at(&tx, tenant, connection, self.now()).await?;
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_says_nothing_of_a_kept_secret() {
        for problem in [SecretStoreError::NotFound, SecretStoreError::Unusable("it is disabled".to_owned())] {
            assert!(matches!(of_put(problem), SecretStoreError::Denied(_)));
        }
        for problem in [SecretStoreError::Full("x".to_owned()), SecretStoreError::Unavailable("x".to_owned())]
        {
            assert_eq!(of_put(problem.clone()), problem);
        }
    }
}
