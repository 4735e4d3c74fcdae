//! An authorization whose state has come back.

use credvault_crypto::TenantKey;
use credvault_domain::{
    Action, AuditEvent, Connection, ProviderId, SecretFields, TenantId, TenantScope, UserId,
};
use sea_orm::EntityTrait as _;
use secrecy::SecretString;

use super::Authorizations;
use crate::authorizations::end::{leave_as_before, use_up};
use crate::authorizations::state::{fingerprint, state_hash, verifier};
use crate::authorizations::{callbacks, delivered_keys};
use crate::change::Change;
use crate::connections::lock::locked_at;
use crate::connections::row;
use crate::credentials::broken::record_integrity_failure;
use crate::database::session::served;
use crate::entity::authorization::{Entity, Model};
use crate::entity::connection;
use crate::{AuthorizationError, ConnectionKey, Error};

/// The call that brings a state back.
#[derive(Clone, Copy, Debug)]
pub struct Bringer<'a> {
    /// The verified user of the call, who must be the user that began the consent.
    pub user: Option<&'a UserId>,
    /// What stands for the browser or session.
    pub session: Option<&'a str>,
    /// Whether the vault's own callback has seen the state.
    pub public: bool,
}

/// A consent whose state has come back. It does not come back a second time.
#[derive(Debug)]
pub struct ReturnedAuthorization {
    /// The connection that the consent is for.
    pub key: ConnectionKey,
    /// Where the provider was told to send the browser back to.
    pub redirect_uri: String,
    /// Where its code was to be exchanged, if that was known.
    pub exchange_url: Option<String>,
    /// The client id of the app with which the consent began.
    pub client_id: String,
    /// What was asked for.
    pub scopes: Vec<String>,
    /// The PKCE code verifier (RFC 7636).
    pub code_verifier: SecretString,
    /// Keys that the provider has delivered, now removed from the table.
    pub delivered: Option<SecretFields>,
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

    /// Uses a state up. Only the user and the session that began may do so, whatever the scope reaches. Where its row was
    /// altered, or what was delivered for it does not open, the authorization ends in the same change.
    ///
    /// # Errors
    /// [`Error::Authorization`] if it is not accepted, [`Error::Integrity`] if it has ended like that.
    pub async fn take(
        &self,
        scope: &TenantScope,
        state: &str,
        bringer: Bringer<'_>,
    ) -> Result<ReturnedAuthorization, Error> {
        let tenant = scope.tenant();
        let (mut change, tenant_state) = self.store.own_sealing_change(tenant).await?;
        served(tenant, tenant_state)?;
        let (keys, now, hash) = (change.keys()?.clone(), change.now, state_hash(state));
        let first = use_up(&change, &hash).await?;
        let row = Entity::find_by_id((tenant.as_str().to_owned(), hash.clone())).one(&change.tx).await?;
        let row = row.ok_or(AuthorizationError::Unknown)?;
        let kept = delivered_keys::take(&change.tx, tenant, &hash).await?;
        callbacks::forget(&change.tx, tenant, &hash).await?;
        let delivered = kept.map(|kept| kept.open(&keys, tenant)).transpose();
        let key = keys.version(row.key_version);
        let scopes = serde_json::from_value(row.scopes.clone()).map_err(|_| Error::Integrity);
        let broken = key.is_none() || scopes.is_err() || matches!(delivered, Err(Error::Integrity));
        if first && broken {
            end_broken(&mut change, &row).await?;
        }
        let _ = change.commit(()).await?;
        if !first {
            return Err(AuthorizationError::Replayed.into());
        }
        if row.expire_time <= now.micros() {
            return Err(AuthorizationError::Expired.into());
        }
        let key = key.ok_or(Error::Integrity)?;
        check_bringer(&row, key, tenant, bringer)?;
        Ok(ReturnedAuthorization {
            key: key_of(&row),
            redirect_uri: row.redirect_uri,
            exchange_url: row.exchange_url,
            client_id: row.client_id,
            scopes: scopes?,
            code_verifier: verifier(key, tenant, state),
            delivered: delivered?,
        })
    }
}

/// Refuses a call that is not the beginner's, or that comes another way than the browser was sent.
fn check_bringer(
    row: &Model,
    key: &TenantKey,
    tenant: &TenantId,
    bringer: Bringer<'_>,
) -> Result<(), AuthorizationError> {
    if row.public != bringer.public {
        return Err(AuthorizationError::OtherWay);
    }
    let session = bringer.session.map(|session| fingerprint(key, tenant, b"session", session));
    if row.user_id.as_deref() != bringer.user.map(UserId::as_str) || row.session_hash != session {
        return Err(AuthorizationError::Foreign);
    }
    Ok(())
}

/// Ends an authorization that was altered or whose keys do not open, and adds the record of that.
async fn end_broken(change: &mut Change<'_>, row: &Model) -> Result<(), Error> {
    let key = key_of(row);
    let mut record = AuditEvent::of(change.tenant().clone(), Action::CompleteAuthorization);
    record.connection = Some(key.connection());
    let model = locked_at(&change.tx, &key).await?;
    if let Some(model) = &model {
        record.owner_user = row::owner(&model.tenant_id, &model.owner_user).user().cloned();
        record.provider = Some(ProviderId::from_stored(model.provider.clone()));
    }
    leave_as_before(change, model).await?;
    record_integrity_failure(change, &record)
}

/// The connection that an authorization is for.
fn key_of(row: &Model) -> ConnectionKey {
    ConnectionKey::from_stored(row.tenant_id.clone(), row.connection_id)
}
