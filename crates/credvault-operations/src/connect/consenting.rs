//! Consents that a page begins, and that come back to it. They are those of [`crate::consents`], with the page's session in the
//! place of a back end's.
//!
//! The result of a consent comes back through the browser that gave it, and is of use to the session that began it only. So a
//! person who follows another person's link to a provider connects nothing: the other one's page does not get the result, and
//! the page in that browser is of another session, or of none.

use std::collections::BTreeMap;
use std::sync::Arc;

use credvault_broker::ConsentError;
use credvault_domain::{
    Action, Config, ConnectAction, ConnectSessionId, Connection, ConnectionId, Permit, TenantScope, Timestamp,
};
use credvault_identity::Facts;
use credvault_store::{ConnectionFilter, Error as StoreError, Recorded};
use secrecy::{ExposeSecret as _, SecretString};

use super::address::{Awaited, ConsentWay, public_url};
use super::begun::make_way;
use super::entry::{Entry, Way};
use super::reach::connection;
use super::visit::{Changes, Visit};
use crate::connections::{self, Create, chosen_mode};
use crate::consents::{self, Complete};
use crate::credentials::accepted_config;
use crate::{Call, Paging, Refusal};

/// A consent that has begun on the page.
#[derive(Debug)]
pub struct Begun {
    /// The connection that waits for it.
    pub connection: ConnectionId,
    /// Where the browser goes, in a window of its own or in the place of the page.
    pub url: SecretString,
    /// Until when it can be completed.
    pub expire_time: Timestamp,
}

/// What stands for a page's session at its consents.
fn session_value(id: ConnectSessionId) -> String {
    format!("connect session {id}")
}

impl Changes {
    /// Begins a consent for another connection. One of the same name, mode and settings that has no credential, such as one that a
    /// person has begun and left, is continued; with others, one that was begun here gives way.
    ///
    /// # Errors
    /// As for CreateConnection and BeginAuthorization, or the session does not permit it.
    pub async fn begin(&self, entry: Entry, way: ConsentWay) -> Result<Begun, Refusal> {
        let session = Arc::clone(&self.0.session);
        let id = self
            .0
            .run(Action::CreateConnection, move |call| {
                Box::pin(async move {
                    let create = entry.wanted(call, &session.terms, Way::Consent)?;
                    unconnected(call, create).await
                })
            })
            .await?;
        self.consent(id, ConnectAction::Add, way).await
    }

    /// Begins a consent that repairs a connection, which keeps its id and works on meanwhile.
    ///
    /// # Errors
    /// As for BeginAuthorization, or the session does not permit it.
    pub async fn begin_again(&self, id: ConnectionId, way: ConsentWay) -> Result<Begun, Refusal> {
        self.consent(id, ConnectAction::Reconnect, way).await
    }

    async fn consent(
        &self,
        id: ConnectionId,
        action: ConnectAction,
        way: ConsentWay,
    ) -> Result<Begun, Refusal> {
        let session = Arc::clone(&self.0.session);
        let origin = public_url(&self.0.context)?.to_owned();
        let begun = self
            .0
            .run(Action::BeginAuthorization, move |call| {
                Box::pin(async move {
                    let (_, found) = connection(call, &session.terms, Some(action), id).await?;
                    let awaited =
                        Awaited { session: session.id, way, connection: id, provider: found.provider };
                    let url = format!("{origin}{}", awaited.return_path());
                    consents::begin_for_page(call, id, session_value(session.id), (origin, url)).await
                })
            })
            .await?;
        Ok(Begun { connection: id, url: begun.url, expire_time: begun.expire_time })
    }
}

impl Visit {
    /// Completes a consent of this page with the `result` that the callback's page has: the window posts it to the page that
    /// opened it, or the callback has it in its own hands if the browser brings this session along. It takes no token of a form,
    /// for the result can come from the browser only that gave the consent, and counts once.
    ///
    /// # Errors
    /// As for CompleteAuthorization.
    pub async fn complete(&self, result: SecretString) -> Result<ConnectionId, Refusal> {
        let session = session_value(self.id());
        self.run(Action::CompleteAuthorization, move |call| {
            Box::pin(async move {
                let result = result.expose_secret().to_owned();
                let complete = Complete { result, parameters: BTreeMap::new(), session: Ok(Some(session)) };
                Ok(consents::complete(call, complete).await?.map(|connection| connection.id))
            })
        })
        .await
    }
}

/// The connection that a consent is to connect: a new one, or one of the same name, mode and settings without a credential.
async fn unconnected(call: &mut Call, create: Create) -> Result<Recorded<ConnectionId>, Refusal> {
    let (scope, context) = (call.scope()?, Arc::clone(&call.context));
    let owner = call.owner(&scope, create.owner.clone()?)?;
    let facts = Facts { provider: Some(&create.provider), owner: Some(&owner), purpose: None };
    let permit = call.permit(&scope, facts)?;
    let provider = context.catalog.get(&create.provider).ok_or(Refusal::ProviderUnknown)?;
    let (auth_mode, mode) = chosen_mode(provider, &create.auth_mode)?;
    let config = accepted_config(&context, "config", create.config.clone(), mode, &Config::default())?;
    // Before there is a connection that would only be in the way.
    if mode.delivery().is_none() && mode.discovery.is_none() {
        let place = context.broker.app_place(&create.provider, &config);
        let usable = context.store.apps().usable_in(&scope, &place).await?;
        let _app = usable.ok_or(ConsentError::AppMissing)?;
    }
    make_way(call, &create, Some((&auth_mode, &config))).await?;
    let name = create.account_name.clone()?;
    let filter = ConnectionFilter {
        owner: Some(owner),
        provider: Some(create.provider.clone()),
        account_name: Some(name),
        auth_mode: Some(auth_mode),
        ..ConnectionFilter::default()
    };
    match connections::create(call, create).await {
        Ok(created) => Ok(created.map(|created| created.id)),
        Err(Refusal::Store(StoreError::ConnectionExists)) => {
            continued(call, &scope, (permit, filter), &config).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// The connection that stands in the way of a new one, if it is without a credential and otherwise the same.
async fn continued(
    call: &mut Call,
    scope: &TenantScope,
    (permit, filter): (Permit, ConnectionFilter),
    config: &Config,
) -> Result<Recorded<ConnectionId>, Refusal> {
    let page = call.page(Some(scope), Paging::new(1, String::new(), Vec::new())).await?;
    let found = call.context.store.connections().list(scope, &filter, &page).await?.items.pop();
    let waits = |found: &Connection| found.current_version == 0 && found.config == *config;
    let found = found.filter(waits).ok_or(StoreError::ConnectionExists)?;
    call.subject.found(&found);
    call.recorded(&permit, found.id).await
}
