//! An authorization whose state has come back.

use credvault_domain::{Connection, ConnectionId, SecretFields, TenantScope, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use secrecy::SecretString;

use super::Authorizations;
use crate::authorizations::state::{fingerprint, state_hash, verifier};
use crate::authorizations::{callbacks, delivered_keys};
use crate::connections::row;
use crate::database::session::served;
use crate::entity::authorization::{Column, Entity};
use crate::entity::connection;
use crate::{AuthorizationError, ConnectionKey, Error};

/// The call that brings a state back.
#[derive(Clone, Copy, Debug)]
pub struct Bringer<'a> {
    /// Its verified user: the one who began.
    pub user: Option<&'a UserId>,
    /// What stands for the browser or session.
    pub session: Option<&'a str>,
    /// Whether the vault's own callback has seen the state.
    pub public: bool,
}

/// A consent whose state has come back. It does not come back a second time.
#[derive(Debug)]
pub struct ReturnedAuthorization {
    /// Where it is for.
    pub key: ConnectionKey,
    /// Where the provider was told to send the browser back to.
    pub redirect_uri: String,
    /// Where its code was to be exchanged, if that was known.
    pub exchange_url: Option<String>,
    /// With which app it began.
    pub client_id: String,
    /// What was asked for.
    pub scopes: Vec<String>,
    /// What binds the code to it.
    pub code_verifier: SecretString,
    /// Keys that the provider has handed over. They are kept nowhere any more.
    pub handed_over: Option<SecretFields>,
}

impl Authorizations<'_> {
    /// The connection that a consent of this tenant is for, in the scope's reach or not: for the question whether the
    /// caller may complete it, which comes before the state is used up.
    ///
    /// # Errors
    /// [`AuthorizationError::Unknown`] if the tenant has no such state.
    pub async fn subject(&self, scope: &TenantScope, state: &str) -> Result<Connection, Error> {
        let tenant = scope.tenant().as_str().to_owned();
        let reading = self.store.read(scope).await?;
        let row = Entity::find_by_id((tenant.clone(), state_hash(state))).one(&reading.tx).await?;
        let id = row.ok_or(AuthorizationError::Unknown)?.connection_id;
        let model = connection::Entity::find_by_id((tenant, id)).one(&reading.tx).await?;
        row::connection(model.ok_or(AuthorizationError::Unknown)?)
    }

    /// Uses a state up. Only the user and the session that began may do so, whatever the scope reaches.
    ///
    /// # Errors
    /// [`Error::Authorization`] if it is not accepted.
    pub async fn take(
        &self,
        scope: &TenantScope,
        state: &str,
        bringer: Bringer<'_>,
    ) -> Result<ReturnedAuthorization, Error> {
        let tenant = scope.tenant();
        let (change, tenant_state) = self.store.own_sealing_change(tenant).await?;
        served(tenant, tenant_state)?;
        let (keys, now) = (change.keys()?.clone(), change.now);
        let hash = state_hash(state);
        // The database decides who is the one.
        let taken = Entity::update_many()
            .col_expr(Column::ConsumeTime, Expr::value(now.micros()))
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::StateHash.eq(hash.clone()))
            .filter(Column::ConsumeTime.is_null())
            .exec(&change.tx)
            .await?;
        let row = Entity::find_by_id((tenant.as_str().to_owned(), hash.clone())).one(&change.tx).await?;
        let row = row.ok_or(AuthorizationError::Unknown)?;
        let kept = delivered_keys::take(&change.tx, tenant, &hash).await?;
        callbacks::forget(&change.tx, tenant, &hash).await?;
        let _ = change.commit(()).await?;
        if taken.rows_affected == 0 {
            return Err(AuthorizationError::Replayed.into());
        }
        if row.expire_time <= now.micros() {
            return Err(AuthorizationError::Expired.into());
        }
        let session = bringer.session.map(|session| fingerprint(keys.newest(), tenant, b"session", session));
        if row.public != bringer.public {
            return Err(AuthorizationError::OtherWay.into());
        }
        if row.user_id.as_deref() != bringer.user.map(UserId::as_str) || row.session_hash != session {
            return Err(AuthorizationError::Foreign.into());
        }
        Ok(ReturnedAuthorization {
            key: ConnectionKey {
                tenant: tenant.clone(),
                connection: ConnectionId::from_uuid(row.connection_id),
            },
            redirect_uri: row.redirect_uri,
            exchange_url: row.exchange_url,
            client_id: row.client_id,
            scopes: serde_json::from_value(row.scopes).map_err(|_| Error::Integrity)?,
            code_verifier: verifier(keys.newest(), tenant, state),
            handed_over: kept.map(|kept| kept.open(&keys, tenant)).transpose()?,
        })
    }
}
