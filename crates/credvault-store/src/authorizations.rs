//! The repository of authorizations in progress. A state works once, within ten minutes, and only for the tenant, user
//! and browser that began it.

pub(crate) mod callbacks;
pub(crate) mod delivered_keys;
mod late;

mod limits;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_crypto::{TenantKey, sha256};
use credvault_domain::{
    Connection, ConnectionId, ConnectionState, SecretFields, ServiceId, StateChange, TenantId, TenantScope,
    TenantSource, Timestamp, UserId,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use secrecy::SecretString;
use serde_json::json;

use crate::change::feed::ChangeKind;
use crate::change::retrying;
use crate::connections::lock::{locked_at, locked_live};
use crate::connections::row;
use crate::connections::writer::ConnectionRow;
use crate::database::session::served;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::authorization::{ActiveModel, Column, Entity, Model};
use crate::entity::connection;
use crate::{AuthorizationError, Error, Place, Recorded, Store, Write};

/// How long a consent may take.
const LIFE: Duration = Duration::from_secs(600);

/// The call that a consent began with. Its user is the caller's own, whatever the call reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beginner {
    /// The service that began the authorization.
    pub service: ServiceId,
    /// The verified user, if there was one.
    pub user: Option<UserId>,
    /// What vouched for tenant and user; [`TenantSource::State`] if an earlier release began it, which kept no note.
    pub tenant_source: TenantSource,
    /// The address that the call came from, if it was noted.
    pub source: Option<IpAddr>,
}

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

/// A consent that is to begin.
#[derive(Clone, Debug)]
pub struct NewAuthorization {
    /// The service and user that begin it.
    pub beginner: Beginner,
    /// What stands for the browser or session.
    pub session: Option<String>,
    /// Whether the provider sends the browser back to the vault's own callback, and not to a back end.
    pub public: bool,
    /// The origin of the page that receives the message of the browser's return.
    pub return_origin: Option<String>,
    /// The redirect for a browser in which that page cannot receive it: a URL of the same origin.
    pub return_url: Option<String>,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
    /// Where the code will be exchanged, if that is known.
    pub exchange_url: Option<String>,
    /// The provider's id of the app.
    pub client_id: String,
    /// What is asked for.
    pub scopes: Vec<String>,
}

/// A consent that has begun.
#[derive(Debug)]
pub struct BegunAuthorization {
    /// What the callback is recognised by.
    pub state: SecretString,
    /// What binds the code to it (RFC 7636): kept nowhere, for it follows from the state and the tenant's key.
    pub code_verifier: SecretString,
    /// Until when it can be completed.
    pub expire_time: Timestamp,
}

/// An authorization in progress, found by its state alone.
#[derive(Debug)]
pub struct AwaitedAuthorization {
    pub(crate) state_hash: Vec<u8>,
    browser_hash: Option<Vec<u8>>,
    pub(crate) keys: TenantKeys,
    /// Why nothing can come of it any more.
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

/// A consent whose state has come back. It does not come back a second time.
#[derive(Debug)]
pub struct ReturnedAuthorization {
    /// Where it is for.
    pub place: Place,
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

/// The repository of authorisations.
#[derive(Clone, Copy, Debug)]
pub struct Authorizations<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of authorisations.
    pub fn authorizations(&self) -> Authorizations<'_> {
        Authorizations { store: self }
    }
}

impl Authorizations<'_> {
    /// Begins a consent for a connection.
    ///
    /// # Errors
    /// The connection is not there or deleted, or too many consents are open.
    pub async fn begin(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        new: &NewAuthorization,
        write: &Write,
    ) -> Result<Recorded<BegunAuthorization>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            let model = locked_live(&mut change, scope, id, None).await?;
            self.check_limits(&change.tx, scope, (new.beginner.user.as_ref(), id), change.now).await?;
            let mut bytes = [0; 32];
            self.store.keyring().random().fill(&mut bytes).map_err(|error| Error::Key(error.into()))?;
            let state = URL_SAFE_NO_PAD.encode(bytes);
            let expire_time = change.now.after(LIFE);
            let key = Arc::clone(change.keys()?.newest());
            let session = |session: &String| fingerprint(&key, scope.tenant(), b"session", session);
            let row = ActiveModel {
                tenant_id: Set(model.tenant_id.clone()),
                state_hash: Set(state_hash(&state)),
                connection_id: Set(model.id),
                user_id: Set(new.beginner.user.as_ref().map(|user| user.as_str().to_owned())),
                service: Set(new.beginner.service.as_str().to_owned()),
                session_hash: Set(new.session.as_ref().map(session)),
                browser_hash: Set(None),
                public: Set(new.public),
                return_origin: Set(new.return_origin.clone()),
                return_url: Set(new.return_url.clone()),
                redirect_uri: Set(new.redirect_uri.clone()),
                exchange_url: Set(new.exchange_url.clone()),
                client_id: Set(new.client_id.clone()),
                scopes: Set(json!(new.scopes)),
                create_time: Set(change.now.micros()),
                expire_time: Set(expire_time.micros()),
                return_time: Set(None),
                consume_time: Set(None),
                tenant_source: Set(Some(new.beginner.tenant_source.as_str().to_owned())),
                source: Set(new.beginner.source.map(|source| source.to_string())),
            };
            Entity::insert(row).exec_without_returning(&change.tx).await?;
            let mut row = ConnectionRow::new(model);
            row.transition(StateChange::AuthorizationBegun)?;
            row.columns.scopes_asked = Set(Some(json!(new.scopes)));
            row.save(&mut change, ChangeKind::Updated, None).await?;
            let code_verifier = verifier(&key, scope.tenant(), &state);
            change.commit(BegunAuthorization { state: state.into(), code_verifier, expire_time }).await
        })
        .await
    }

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

    /// Binds a consent to the browser that goes to the provider. The first one has it.
    ///
    /// # Errors
    /// [`AuthorizationError::Foreign`] if it is another browser's.
    pub async fn start(&self, awaited: &AwaitedAuthorization, browser: &str) -> Result<(), Error> {
        let hash = browser_hash(browser);
        if awaited.browser_hash.as_ref() == Some(&hash) {
            return Ok(());
        }
        self.note(awaited, Column::BrowserHash, hash.into()).await?.ok_or(AuthorizationError::Foreign.into())
    }

    /// Notes that a consent did not come.
    ///
    /// # Errors
    /// It is over already.
    pub async fn decline(&self, awaited: &AwaitedAuthorization) -> Result<(), Error> {
        let now = self.store.now().micros();
        let ended = self.note(awaited, Column::ConsumeTime, now.into()).await?;
        ended.ok_or(AuthorizationError::Replayed)?;
        let tx = self.store.begin_bookkeeping(&awaited.tenant).await?;
        delivered_keys::take(&tx, &awaited.tenant, &awaited.state_hash).await?;
        callbacks::forget(&tx, &awaited.tenant, &awaited.state_hash).await?;
        tx.commit().await?;
        self.end(&Place { tenant: awaited.tenant.clone(), connection: awaited.connection }).await
    }

    /// Notes something that is noted once. `None` if it was.
    async fn note(
        &self,
        awaited: &AwaitedAuthorization,
        column: Column,
        value: sea_orm::Value,
    ) -> Result<Option<()>, Error> {
        let tx = self.store.begin_bookkeeping(&awaited.tenant).await?;
        let noted = Entity::update_many()
            .col_expr(column, Expr::value(value))
            .filter(Column::TenantId.eq(awaited.tenant.as_str()))
            .filter(Column::StateHash.eq(awaited.state_hash.clone()))
            .filter(column.is_null())
            .filter(Column::ConsumeTime.is_null())
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok((noted.rows_affected == 1).then_some(()))
    }

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

    /// Uses a state up. Only the user and service that began may do so, whatever the reach of the scope.
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
            place: Place { tenant: tenant.clone(), connection: ConnectionId::from_uuid(row.connection_id) },
            redirect_uri: row.redirect_uri,
            exchange_url: row.exchange_url,
            client_id: row.client_id,
            scopes: serde_json::from_value(row.scopes).map_err(|_| Error::Integrity)?,
            code_verifier: verifier(keys.newest(), tenant, state),
            handed_over: kept.map(|kept| kept.open(&keys, tenant)).transpose()?,
        })
    }

    /// Records that authorization ended without consent. A connection without a credential is as it was before, unless
    /// another authorization of it is open.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end(&self, place: &Place) -> Result<(), Error> {
        let mut change = self.store.own_change(&place.tenant).await?;
        let model = locked_at(&change.tx, place).await?;
        let others = Condition::all()
            .add(Column::TenantId.eq(place.tenant.as_str()))
            .add(Column::ConnectionId.eq(place.connection.as_uuid()))
            .add(Column::ConsumeTime.is_null())
            .add(Column::ExpireTime.gt(change.now.micros()));
        let awaited = Entity::find().filter(others).count(&change.tx).await? > 0;
        let connecting = ConnectionState::Connecting.as_str();
        if let Some(model) = model.filter(|model| model.state == connecting && !awaited) {
            let mut row = ConnectionRow::new(model);
            row.transition(StateChange::AuthorizationEnded)?;
            row.save(&mut change, ChangeKind::Updated, None).await?;
        }
        change.commit(()).await.map(Recorded::into_inner)
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

    /// What binds the code to it (RFC 7636); `state` is its own.
    pub fn code_verifier(&self, state: &str) -> SecretString {
        verifier(self.keys.newest(), &self.tenant, state)
    }

    /// What the vault's own page about it has in its address. The state does not follow from it.
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
        source: row.source.as_deref().map(|text| text.parse().map_err(|_| Error::Integrity)).transpose()?,
    })
}

fn fingerprint(key: &TenantKey, tenant: &TenantId, what: &[u8], text: &str) -> Vec<u8> {
    key.fingerprint(tenant, &[b"authorization", what, text.as_bytes()]).to_vec()
}

/// A plain hash, not one under the tenant's key: a browser that returns with a state has no tenant yet. A state is too
/// random to be guessed.
pub(crate) fn state_hash(state: &str) -> Vec<u8> {
    sha256(&[b"credvault state", state.as_bytes()]).to_vec()
}

pub(crate) fn browser_hash(browser: &str) -> Vec<u8> {
    sha256(&[b"credvault browser", browser.as_bytes()]).to_vec()
}

/// 43 characters, as RFC 7636 wants them.
fn verifier(key: &TenantKey, tenant: &TenantId, state: &str) -> SecretString {
    URL_SAFE_NO_PAD.encode(fingerprint(key, tenant, b"verifier", state)).into()
}
