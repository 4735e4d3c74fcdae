//! Making a session: its row, and the token that opens it.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_domain::{
    ConnectSessionId, ConnectTerms, ServiceId, TenantScope, TenantSource, TenantState, Timestamp, UserId,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _, QuerySelect as _,
};
use secrecy::SecretString;

use super::ConnectSessions;
use super::row::{proof, stored, token_hash};
use crate::change::{Change, retrying};
use crate::database::pieces::execute;
use crate::entity::connect_session::{Column, Entity, Model};
use crate::entity::tenant;
use crate::{Error, Recorded, Write};

/// How many random bytes a token has.
const TOKEN_BYTES: usize = 32;
/// How many sessions of one user there are at most. A further one ends the oldest: a page that is loaded often makes many.
const MAX_OF_USER: u64 = 10;
/// How many sessions of one tenant may be open at once.
const MAX_OF_TENANT: u64 = 5_000;
/// After how long there may be room again in a tenant that is full: a part of the life of a session.
const RETRY: Duration = Duration::from_secs(60);

/// A session that is to be made.
#[derive(Clone, Debug)]
pub struct NewConnectSession {
    /// The service that makes it.
    pub service: ServiceId,
    /// The verified user whose page it is.
    pub user: UserId,
    /// What vouched for tenant and user.
    pub tenant_source: TenantSource,
    /// The address that the service called from.
    pub source_address: IpAddr,
    /// What the page may do.
    pub terms: ConnectTerms,
    /// How long it lasts.
    pub lifetime: Duration,
}

/// A session that was made.
#[derive(Debug)]
pub struct MadeConnectSession {
    /// Its id, by which records name it.
    pub id: ConnectSessionId,
    /// The token that opens it, once.
    pub token: SecretString,
    /// Until when the page works.
    pub expire_time: Timestamp,
}

/// The name of a session in audit records.
pub fn connect_session_name(id: ConnectSessionId) -> String {
    format!("connect_sessions/{id}")
}

impl ConnectSessions<'_> {
    /// Makes a session. If the user has as many as there may be, the oldest of them end.
    ///
    /// # Errors
    /// The tenant is not served, or has too many open sessions.
    pub async fn create(
        &self,
        scope: &TenantScope,
        new: &NewConnectSession,
        write: &Write,
    ) -> Result<Recorded<MadeConnectSession>, Error> {
        retrying(write, || self.try_create(scope, new, write)).await
    }

    async fn try_create(
        &self,
        scope: &TenantScope,
        new: &NewConnectSession,
        write: &Write,
    ) -> Result<Recorded<MadeConnectSession>, Error> {
        let mut change = self.store.change(scope, write).await?;
        check_tenant(&change).await?;
        end_oldest(&change, &new.user).await?;
        let id = ConnectSessionId::from_uuid(self.store.new_id()?);
        let mut bytes = [0; TOKEN_BYTES];
        self.store.keyring().random().fill(&mut bytes).map_err(|error| Error::Key(error.into()))?;
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let expire_time = change.now.after(new.lifetime);
        let row = row(&change, new, id, token_hash(&token), expire_time)?;
        Entity::insert(row.into_active_model().reset_all()).exec_without_returning(&change.tx).await?;
        change.set_subject(id.as_uuid(), connect_session_name(id), None);
        change.commit(MadeConnectSession { id, token: token.into(), expire_time }).await
    }
}

/// Refuses a tenant that is being suspended at this moment, for that ends all of its sessions; and one that is full.
async fn check_tenant(change: &Change<'_>) -> Result<(), Error> {
    let id = change.tenant();
    let row = tenant::Entity::find_by_id(id.as_str()).lock_shared().one(&change.tx).await?;
    if row.is_none_or(|row| row.state != TenantState::Active.as_str()) {
        return Err(Error::TenantSuspended(id.clone()));
    }
    let open = Entity::find()
        .filter(Column::TenantId.eq(id.as_str()))
        .filter(Column::ExpireTime.gt(change.now.micros()))
        .count(&change.tx)
        .await?;
    if open < MAX_OF_TENANT { Ok(()) } else { Err(Error::TooManyConnectSessions { retry: RETRY }) }
}

/// Leaves room for one more session of a user.
async fn end_oldest(change: &Change<'_>, user: &UserId) -> Result<(), Error> {
    let sql = "DELETE FROM connect_sessions WHERE tenant_id = $1 AND user_id = $2 AND id NOT IN (
            SELECT id FROM connect_sessions WHERE tenant_id = $1 AND user_id = $2 ORDER BY id DESC LIMIT $3)";
    let kept = i64::try_from(MAX_OF_USER - 1).unwrap_or(i64::MAX);
    execute(&change.tx, sql, [change.tenant().as_str().into(), user.as_str().into(), kept.into()]).await?;
    Ok(())
}

/// The row of a new session, with its proof.
fn row(
    change: &Change<'_>,
    new: &NewConnectSession,
    id: ConnectSessionId,
    token_hash: Vec<u8>,
    expire_time: Timestamp,
) -> Result<Model, Error> {
    let (tenant, key) = (change.tenant(), change.key()?);
    let mut row = Model {
        tenant_id: tenant.as_str().to_owned(),
        id: id.as_uuid(),
        token_hash,
        browser_hash: None,
        service: new.service.as_str().to_owned(),
        user_id: new.user.as_str().to_owned(),
        tenant_source: new.tenant_source.as_str().to_owned(),
        source_address: new.source_address.to_string(),
        terms: stored(&new.terms)?,
        key_version: i64::from(key.version()),
        proof: Vec::new(),
        create_time: change.now.micros(),
        expire_time: expire_time.micros(),
        open_time: None,
    };
    row.proof = proof(key, tenant, &row);
    Ok(row)
}
