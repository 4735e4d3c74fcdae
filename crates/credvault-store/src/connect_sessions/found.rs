//! A session that a browser brings: found by the token of its URL or by its id, and checked against its proof.

use credvault_domain::{
    ConnectSessionId, ConnectTerms, ServiceId, TenantId, TenantSource, Timestamp, UserId,
};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _};

use super::ConnectSessions;
use super::row::{browser_hash, proof, terms, token_hash};
use crate::authorizations::begin::Beginner;
use crate::database::session::served;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::connect_session::{Column, Entity, Model};
use crate::integrity::alarm;
use crate::{ConnectSessionError, Error};

/// A session of the connect page.
#[derive(Debug)]
pub struct ConnectSession {
    row: Model,
    keys: TenantKeys,
    /// Its id, by which records name it.
    pub id: ConnectSessionId,
    /// The tenant of its user.
    pub tenant: TenantId,
    /// The call that made it, with the user whose page it is.
    pub maker: Beginner,
    /// What the page may do.
    pub terms: ConnectTerms,
    /// Until when the page works.
    pub expire_time: Timestamp,
    /// Whether that time is over.
    pub is_over: bool,
}

impl ConnectSessions<'_> {
    /// The session that a token opens. A browser has no tenant yet.
    ///
    /// # Errors
    /// [`ConnectSessionError::Unknown`] if there is none; the tenant is not served; [`Error::Integrity`] if it was altered.
    pub async fn find(&self, token: &str) -> Result<ConnectSession, Error> {
        self.find_by(Condition::all().add(Column::TokenHash.eq(token_hash(token)))).await
    }

    /// The session of a page, whose address has its id.
    ///
    /// # Errors
    /// As for [`ConnectSessions::find`].
    pub async fn get(&self, id: ConnectSessionId) -> Result<ConnectSession, Error> {
        self.find_by(Condition::all().add(Column::Id.eq(id.as_uuid()))).await
    }

    async fn find_by(&self, which: Condition) -> Result<ConnectSession, Error> {
        let everywhere = self.store.read_background().await?;
        let row = Entity::find().filter(which).one(&everywhere).await?;
        everywhere.rollback().await?;
        let row = row.ok_or(ConnectSessionError::Unknown)?;
        let tenant = TenantId::from_stored(row.tenant_id.clone());
        let reading = self.store.read_any(&tenant).await?;
        reading.tx.rollback().await?;
        served(&tenant, reading.state)?;
        let (keys, now) = (reading.keys, self.store.now());
        // A tenant that has destroyed the key has ended what it vouched for.
        let key = keys.version(row.key_version).ok_or(ConnectSessionError::Unknown)?;
        if proof(key, &tenant, &row) != row.proof {
            alarm(&tenant, "connect_session", row.id.into_bytes());
            return Err(Error::Integrity);
        }
        Ok(ConnectSession {
            id: ConnectSessionId::from_uuid(row.id),
            maker: maker(&row)?,
            terms: terms(&row.terms)?,
            expire_time: Timestamp::from_micros(row.expire_time),
            is_over: row.expire_time <= now.micros(),
            tenant,
            keys,
            row,
        })
    }

    /// Opens a session for a browser. Only the first browser can open it; that one may do so again.
    ///
    /// # Errors
    /// [`ConnectSessionError::Foreign`] if another browser has, [`ConnectSessionError::Expired`] if its time is over.
    pub async fn open(&self, session: &ConnectSession, browser: &str) -> Result<(), Error> {
        if session.is_over {
            return Err(ConnectSessionError::Expired.into());
        }
        if session.row.browser_hash.is_some() {
            return Ok(session.check_browser(Some(browser))?);
        }
        let opened = Model { browser_hash: Some(browser_hash(browser)), ..session.row.clone() };
        let key = session.keys.version(opened.key_version).ok_or(ConnectSessionError::Unknown)?;
        let proof = proof(key, &session.tenant, &opened);
        let tx = self.store.begin_bookkeeping(&session.tenant).await?;
        // The database decides which browser is the first.
        let bound = Entity::update_many()
            .col_expr(Column::BrowserHash, Expr::value(opened.browser_hash))
            .col_expr(Column::OpenTime, Expr::value(self.store.now().micros()))
            .col_expr(Column::Proof, Expr::value(proof))
            .filter(Column::TenantId.eq(session.tenant.as_str()))
            .filter(Column::Id.eq(opened.id))
            .filter(Column::BrowserHash.is_null())
            .exec(&tx)
            .await?;
        tx.commit().await?;
        if bound.rows_affected == 1 { Ok(()) } else { Err(ConnectSessionError::Foreign.into()) }
    }
}

impl ConnectSession {
    /// Checks that it is the browser that has opened the session.
    ///
    /// # Errors
    /// [`ConnectSessionError::Foreign`] if it is not, or none has.
    pub fn check_browser(&self, browser: Option<&str>) -> Result<(), ConnectSessionError> {
        let same =
            browser.map(browser_hash).is_some_and(|hash| self.row.browser_hash.as_ref() == Some(&hash));
        if same { Ok(()) } else { Err(ConnectSessionError::Foreign) }
    }
}

fn maker(row: &Model) -> Result<Beginner, Error> {
    let address = row.source_address.parse().map_err(|_| Error::Integrity)?;
    Ok(Beginner {
        service: ServiceId::parse(&row.service).map_err(|_| Error::Integrity)?,
        user: Some(UserId::from_stored(row.user_id.clone())),
        tenant_source: TenantSource::from_stored(&row.tenant_source).ok_or(Error::Integrity)?,
        source_address: Some(address),
    })
}
