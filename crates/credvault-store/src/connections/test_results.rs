//! What a test of a credential at its provider does to its connection.

use std::collections::BTreeMap;

use credvault_domain::{
    Connection, ConnectionId, ConnectionState, EventType, Reason, StateChange, TenantScope, Version,
};
use sea_orm::EntityTrait as _;

use super::Connections;
use crate::change::feed::ChangeKind;
use crate::change::outbox::NewEvent;
use crate::change::{Change, retrying};
use crate::connections::accepted::keep;
use crate::connections::lock::{locked_at, locked_live};
use crate::connections::row::connection;
use crate::connections::writer::ConnectionRow;
use crate::entity::connection::Model;
use crate::entity::refresh;
use crate::health::grant::outlived;
use crate::health::last_error::{Failure, recover_by_test, remember_of_test};
use crate::refreshes::pause::Pause;
use crate::refreshes::schedule::{is_settled_by_test, reconsider};
use crate::{ConnectionKey, Error, Recorded, Write};

/// What a provider says to a credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tested {
    /// The provider accepts the credential.
    Accepted {
        /// The account's id at the provider, if it says so.
        account: Option<String>,
        /// Settings that the provider has confirmed by that, with their values.
        settings: BTreeMap<String, String>,
    },
    /// The provider refuses the credential.
    Refused,
}

impl Connections<'_> {
    /// Records the result of testing `version`. Ignored if the credential or its tokens have been replaced meanwhile.
    ///
    /// # Errors
    /// The connection is not there, or is deleted.
    pub async fn tested(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        (version, generation): (Version, i64),
        tested: &Tested,
        write: &Write,
    ) -> Result<Recorded<Connection>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            let model = locked_live(&mut change, scope, id, None).await?;
            change.set_connection(id, Some(version));
            let key = (model.tenant_id.clone(), model.id);
            let refresh = refresh::Entity::find_by_id(key).one(&change.tx).await?;
            let newer = refresh.as_ref().is_some_and(|refresh| refresh.generation != generation);
            if model.current_version != version || newer {
                return change.commit(connection(model)?).await;
            }
            let model = match tested {
                Tested::Accepted { account, settings } => {
                    accepted(&mut change, model, refresh, (account.as_deref(), settings)).await?
                }
                Tested::Refused => refused(&mut change, model).await?,
            };
            change.commit(connection(model)?).await
        })
        .await
    }

    /// Remembers that the provider did not say whether `version` works, and why not. The connection's state stays as it is,
    /// and so does an error that the connection shows.
    ///
    /// # Errors
    /// The database fails.
    pub async fn untested(
        &self,
        key: &ConnectionKey,
        version: Version,
        reason: Reason,
        pause: Pause,
    ) -> Result<(), Error> {
        let change = self.store.own_change(&key.tenant).await?;
        let Some(model) = locked_at(&change.tx, key).await? else { return Ok(()) };
        if model.current_version != version || model.error_reason.is_some() {
            return Ok(());
        }
        let failure = Failure::shown(reason.as_str(), None, Some(pause.word()));
        remember_of_test(&change, &model, failure).await?;
        change.commit(()).await.map(Recorded::into_inner)
    }
}

/// The provider has accepted the credential, and has confirmed an account and settings.
async fn accepted(
    change: &mut Change<'_>,
    model: Model,
    refresh: Option<refresh::Model>,
    said: (Option<&str>, &BTreeMap<String, String>),
) -> Result<Model, Error> {
    // An access token that works says nothing about a refresh token that the provider has refused.
    let (settles, refreshes) = (refresh.as_ref().is_none_or(is_settled_by_test), refresh.is_some());
    let had_failed = model.state == ConnectionState::Error.as_str();
    let mut row = ConnectionRow::new(model);
    let was_dead = row.has_failed_with(Reason::ReauthorizationRequired);
    if settles {
        row.transition(StateChange::Accepted)?;
        row.recover();
    }
    keep(&mut row, said, change.now)?;
    if let Some(refresh) = refresh.filter(|refresh| !settles && !refresh.refused) {
        // The grant seems to live, so the next refresh finds out at once.
        reconsider(change, refresh).await?;
        if was_dead {
            row.fail(Reason::ProviderUnavailable, None, change);
        }
    }
    let model = row.save(change, ChangeKind::Updated, None).await?;
    if settles {
        recover_by_test(change, &model).await?;
    }
    if !refreshes {
        outlived(change, &model).await?;
    }
    if had_failed && settles {
        change.emit(NewEvent::of(EventType::Recovered, &model));
    }
    Ok(model)
}

/// The provider has refused the credential.
async fn refused(change: &mut Change<'_>, model: Model) -> Result<Model, Error> {
    let mut row = ConnectionRow::new(model);
    let was_dead = row.has_failed_with(Reason::ReauthorizationRequired);
    row.transition(StateChange::Refused)?;
    row.fail(Reason::ReauthorizationRequired, None, change);
    let model = row.save(change, ChangeKind::Updated, None).await?;
    if !was_dead {
        change.emit(NewEvent::of(EventType::ReauthorizationRequired, &model));
    }
    Ok(model)
}
