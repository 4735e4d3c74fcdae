//! An authorization in progress, found for a browser, which knows only its state.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_domain::{ConnectionId, ServiceId, TenantId, TenantSource, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use secrecy::SecretString;

use super::Authorizations;
use crate::authorizations::begin::Beginner;
use crate::authorizations::state::{browser_hash, state_hash, verifier};
use crate::database::session::served;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::authorization::{Column, Entity, Model};
use crate::{AuthorizationError, Error};

/// An authorization in progress, found by its state alone.
#[derive(Debug)]
pub struct AwaitedAuthorization {
    pub(crate) state_hash: Vec<u8>,
    browser_hash: Option<Vec<u8>>,
    key_version: i64,
    pub(crate) keys: TenantKeys,
    /// Why the authorization can no longer be completed, if so.
    pub over: Option<AuthorizationError>,
    /// Whether the provider has sent the browser back already.
    pub arrived: bool,
    /// The tenant of the connection.
    pub tenant: TenantId,
    /// The service and user that began it.
    pub beginner: Beginner,
    /// The connection that waits for consent.
    pub connection: ConnectionId,
    /// Whether the browser comes back to the vault's own callback.
    pub public: bool,
    /// The origin of the page that receives the message; `None` if the vault asks the person.
    pub return_origin: Option<String>,
    /// The redirect for a browser in which that page cannot receive it.
    pub return_url: Option<String>,
    /// Where the provider was told to send the browser back to.
    pub redirect_uri: String,
    /// With which app it began.
    pub client_id: String,
    /// What is asked for.
    pub scopes: Vec<String>,
}

impl Authorizations<'_> {
    /// The authorization of a state, for a browser, which has no tenant.
    ///
    /// # Errors
    /// [`Error::Authorization`] if there is none.
    pub async fn find(&self, state: &str) -> Result<AwaitedAuthorization, Error> {
        self.find_by(state_hash(state)).await
    }

    /// The consent that a page of the vault's own is about.
    ///
    /// # Errors
    /// [`Error::Authorization`] if there is none.
    pub async fn find_page(&self, page: &str) -> Result<AwaitedAuthorization, Error> {
        let hash = URL_SAFE_NO_PAD.decode(page).map_err(|_| AuthorizationError::Unknown)?;
        self.find_by(hash).await
    }

    async fn find_by(&self, state_hash: Vec<u8>) -> Result<AwaitedAuthorization, Error> {
        let everywhere = self.store.read_background().await?;
        let row = Entity::find().filter(Column::StateHash.eq(state_hash)).one(&everywhere).await?;
        everywhere.rollback().await?;
        self.awaited(row.ok_or(AuthorizationError::Unknown)?).await
    }

    pub(crate) async fn awaited(&self, row: Model) -> Result<AwaitedAuthorization, Error> {
        let over = if row.consume_time.is_some() {
            Some(AuthorizationError::Replayed)
        } else {
            (row.expire_time <= self.store.now().micros()).then_some(AuthorizationError::Expired)
        };
        let beginner = beginner(&row)?;
        let tenant = TenantId::from_stored(row.tenant_id);
        let reading = self.store.read_any(&tenant).await?;
        reading.tx.rollback().await?;
        served(&tenant, reading.state)?;
        Ok(AwaitedAuthorization {
            state_hash: row.state_hash,
            browser_hash: row.browser_hash,
            key_version: row.key_version,
            over,
            arrived: row.return_time.is_some(),
            beginner,
            connection: ConnectionId::from_uuid(row.connection_id),
            public: row.public,
            return_origin: row.return_origin,
            return_url: row.return_url,
            redirect_uri: row.redirect_uri,
            client_id: row.client_id,
            scopes: serde_json::from_value(row.scopes).map_err(|_| Error::Integrity)?,
            keys: reading.keys,
            tenant,
        })
    }

    /// Binds a consent to the browser that goes to the provider. Only the first browser can start it.
    ///
    /// # Errors
    /// [`AuthorizationError::Foreign`] if it is another browser's.
    pub async fn start(&self, awaited: &AwaitedAuthorization, browser: &str) -> Result<(), Error> {
        let hash = browser_hash(browser);
        if awaited.browser_hash.as_ref() == Some(&hash) {
            return Ok(());
        }
        let tx = self.store.begin_bookkeeping(&awaited.tenant).await?;
        let bound = Entity::update_many()
            .col_expr(Column::BrowserHash, Expr::value(hash))
            .filter(Column::TenantId.eq(awaited.tenant.as_str()))
            .filter(Column::StateHash.eq(awaited.state_hash.clone()))
            .filter(Column::BrowserHash.is_null())
            .filter(Column::ConsumeTime.is_null())
            .exec(&tx)
            .await?;
        tx.commit().await?;
        if bound.rows_affected == 1 { Ok(()) } else { Err(AuthorizationError::Foreign.into()) }
    }
}

impl AwaitedAuthorization {
    /// Checks that it is the browser that went to the provider.
    ///
    /// # Errors
    /// [`AuthorizationError::Foreign`] if it is not.
    pub fn check_browser(&self, browser: Option<&str>) -> Result<(), AuthorizationError> {
        let same = browser.map(browser_hash).is_some_and(|hash| self.browser_hash.as_ref() == Some(&hash));
        if same { Ok(()) } else { Err(AuthorizationError::Foreign) }
    }

    /// The PKCE code verifier (RFC 7636), derived from `state`, which must be this authorization's.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the key that it began with does not unwrap.
    pub fn code_verifier(&self, state: &str) -> Result<SecretString, Error> {
        let key = self.keys.version(self.key_version).ok_or(Error::Integrity)?;
        Ok(verifier(key, &self.tenant, state))
    }

    /// The id in the address of the vault's own page about the consent. It does not reveal the state.
    pub fn page(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.state_hash)
    }
}

fn beginner(row: &Model) -> Result<Beginner, Error> {
    let user = row.user_id.as_deref().map(|user| UserId::parse(user).map_err(|_| Error::Integrity));
    let tenant_source = match &row.tenant_source {
        Some(text) => TenantSource::from_stored(text).ok_or(Error::Integrity)?,
        None => TenantSource::State,
    };
    Ok(Beginner {
        service: ServiceId::parse(&row.service).map_err(|_| Error::Integrity)?,
        user: user.transpose()?,
        tenant_source,
        source_address: row
            .source_address
            .as_deref()
            .map(|text| text.parse().map_err(|_| Error::Integrity))
            .transpose()?,
    })
}
