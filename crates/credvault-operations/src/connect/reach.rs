//! What a session lets its page see and do, before and beside policy.

use std::collections::HashMap;

use credvault_catalog::Mode;
use credvault_domain::{
    Action, ConnectAction, ConnectTerms, Connection, ConnectionId, Owner, Permit, ProviderId, TenantScope,
};
use credvault_identity::Facts;
use credvault_store::Error as StoreError;

use super::limit::SessionLimit;
use crate::{Call, Refusal};

/// Refuses an action that the session was made without.
pub(super) fn allow(terms: &ConnectTerms, action: ConnectAction) -> Result<(), SessionLimit> {
    if terms.permits(action) { Ok(()) } else { Err(SessionLimit::Action(action)) }
}

/// Finds a connection that the page shows, asks policy about it, and refuses what the session may not do with it. Without an
/// action, the page looks at it. One at another provider, or a deleted one, is answered as one that does not exist.
///
/// # Errors
/// There is no such connection, or policy or the session does not permit the call.
pub(super) async fn connection(
    call: &mut Call,
    terms: &ConnectTerms,
    action: Option<ConnectAction>,
    id: ConnectionId,
) -> Result<(Permit, Connection), Refusal> {
    let (permit, connection) = call.connection(id).await?;
    if connection.delete_time.is_some() || !terms.shows(&connection.provider) {
        return Err(StoreError::ConnectionNotFound.into());
    }
    if let Some(action) = action {
        allow(terms, action)?;
        if !is_in_hand(terms, action, &connection.owner) {
            return Err(SessionLimit::Shared.into());
        }
    }
    Ok((permit, connection))
}

/// Whether the session may do this with what has such an owner.
fn is_in_hand(terms: &ConnectTerms, action: ConnectAction, owner: &Owner) -> bool {
    match owner {
        Owner::User(_) => true,
        Owner::Tenant => terms.manages_shared || !action.changes(),
        Owner::Platform => false,
    }
}

/// What a person may do with each connection of a list. Policy is asked once about those that it cannot tell apart.
pub(super) struct Rights<'a> {
    call: &'a Call,
    scope: &'a TenantScope,
    terms: &'a ConnectTerms,
    answers: HashMap<(Action, ProviderId, Owner), bool>,
}

impl<'a> Rights<'a> {
    pub(super) fn new(call: &'a Call, scope: &'a TenantScope, terms: &'a ConnectTerms) -> Self {
        Self { call, scope, terms, answers: HashMap::new() }
    }

    /// What the person may do with a connection. Without a mode, its provider is not in the catalog any more.
    pub(super) fn of(&mut self, connection: &Connection, mode: Option<&Mode>) -> Vec<ConnectAction> {
        let terms = self.terms;
        let mut actions = terms.actions.clone();
        actions.retain(|action| {
            is_in_hand(terms, *action, &connection.owner)
                && is_of_use(*action, connection, mode)
                && self.are_permitted(*action, connection, mode)
        });
        actions
    }

    fn are_permitted(&mut self, action: ConnectAction, connection: &Connection, mode: Option<&Mode>) -> bool {
        let consents = mode.is_some_and(Mode::asks_consent);
        let by_values = mode.is_none_or(Mode::takes_values);
        let revokes = action == ConnectAction::Remove && connection.current_version > 0;
        (by_values && self.permits(action.rpc(false), connection)
            || consents && self.permits(action.rpc(true), connection))
            && (!revokes || self.permits(Action::DisconnectConnection, connection))
    }

    fn permits(&mut self, action: Action, connection: &Connection) -> bool {
        let Self { call, scope, answers, .. } = self;
        let key = (action, connection.provider.clone(), connection.owner.clone());
        *answers.entry(key).or_insert_with(|| call.part(action).permit(scope, Facts::of(connection)).is_ok())
    }
}

/// Whether an action makes sense for a connection as it is.
fn is_of_use(action: ConnectAction, connection: &Connection, mode: Option<&Mode>) -> bool {
    let has_credential = connection.current_version > 0;
    match action {
        ConnectAction::Add => false,
        ConnectAction::Reconnect => mode.is_some_and(|mode| mode.asks_consent() || mode.can_be_filled_in()),
        ConnectAction::Test => has_credential && mode.is_some_and(|mode| mode.test.is_some()),
        ConnectAction::SetDefault => !connection.default,
        ConnectAction::Disconnect => has_credential,
        ConnectAction::Rename | ConnectAction::Remove => true,
    }
}
