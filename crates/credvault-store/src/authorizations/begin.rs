//! The beginning of an authorization: checks the limits and writes its row.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_domain::{ConnectionId, ServiceId, StateChange, TenantScope, TenantSource, Timestamp, UserId};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait as _;
use secrecy::SecretString;
use serde_json::json;

use super::Authorizations;
use crate::authorizations::state::{fingerprint, state_hash, verifier};
use crate::change::feed::ChangeKind;
use crate::change::retrying;
use crate::connections::lock::locked_live;
use crate::connections::writer::ConnectionRow;
use crate::entity::authorization::{ActiveModel, Entity};
use crate::{Error, Recorded, Write};

/// How long an authorization may take.
const AUTHORIZATION_LIFETIME: Duration = Duration::from_secs(600);
/// How many random bytes a state has.
const STATE_BYTES: usize = 32;

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
    pub source_address: Option<IpAddr>,
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
            let mut bytes = [0; STATE_BYTES];
            self.store.keyring().random().fill(&mut bytes).map_err(|error| Error::Key(error.into()))?;
            let state = URL_SAFE_NO_PAD.encode(bytes);
            let expire_time = change.now.after(AUTHORIZATION_LIFETIME);
            let key = Arc::clone(change.keys()?.newest());
            let session = |session: &String| fingerprint(&key, scope.tenant(), b"session", session);
            let row = ActiveModel {
                tenant_id: Set(model.tenant_id.clone()),
                state_hash: Set(state_hash(&state)),
                connection_id: Set(model.id),
                key_version: Set(i64::from(key.version())),
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
                source_address: Set(new.beginner.source_address.map(|address| address.to_string())),
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
}
