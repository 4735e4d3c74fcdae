//! What a person does with connections: each is the operation of the RPC that does the same, within the session.

use std::collections::BTreeMap;
use std::sync::Arc;

use credvault_catalog::Verdict;
use credvault_domain::{
    AccountName, Action, ConnectAction, ConnectionId, Owner, ProviderId, Revocation, Version, Violations,
};
use secrecy::SecretString;

use super::begun::make_way;
use super::entry::{Entry, Values, Way, check_way, values};
use super::listing::provider_name;
use super::reach::connection;
use super::visit::{Changes, Visit};
use crate::connections::{self, Update};
use crate::credentials::{self, Put};
use crate::services::{Affected, affected};
use crate::{Refusal, tokens};

/// What a provider said about a connection's credential.
#[derive(Debug)]
pub struct Tried {
    /// The provider's verdict on the credential.
    pub verdict: Verdict,
    /// The account at the provider, by name or by id.
    pub account: Option<String>,
    /// Whether it is another account than the one that was known.
    pub account_changed: bool,
}

/// A credential that a person has filled in, and that is stored.
#[derive(Debug)]
pub struct Stored {
    /// The connection that has it.
    pub connection: ConnectionId,
    /// The version that it is stored as.
    pub version: Version,
    /// What the provider said of it; `None` if the vault cannot ask.
    pub verdict: Option<Verdict>,
}

/// What the end of a connection would mean, for the person to confirm.
#[derive(Debug)]
pub struct Consequences {
    /// The name that people know the provider by.
    pub provider_name: String,
    /// The name of the account.
    pub account_name: String,
    /// Whether other users of the tenant lose it, too.
    pub shared: bool,
    /// Whether it is used where no account is named.
    pub default: bool,
    /// Whether there is a credential, which would be destroyed.
    pub has_credential: bool,
    /// Whether the provider would be asked to revoke the access. Otherwise the person has to, at the provider.
    pub revokes: bool,
    /// The services of the application that would stop.
    pub services: Vec<String>,
    /// How many more services there are, which the page may not name.
    pub more_services: u64,
}

/// What the end of a connection has come to.
#[derive(Debug)]
pub struct Ended {
    /// The provider's id in the catalog.
    pub provider: ProviderId,
    /// How the revocation at the provider stands; `None` if there was nothing to revoke.
    pub revocation: Option<Revocation>,
    /// The services of the application that have stopped.
    pub services: Vec<String>,
    /// How many more services there are, which the page may not name.
    pub more_services: u64,
}

impl Visit {
    /// What disconnecting or removing a connection would do.
    ///
    /// # Errors
    /// As for GetConnection, or the session does not permit the action.
    pub async fn consequences(
        &self,
        id: ConnectionId,
        action: ConnectAction,
    ) -> Result<Consequences, Refusal> {
        let session = Arc::clone(&self.session);
        self.run(Action::GetConnection, move |call| {
            Box::pin(async move {
                let scope = call.scope()?;
                let (permit, found) = connection(call, &session.terms, Some(action), id).await?;
                let (services, more_services) = named(affected(call, &scope, id).await?);
                let consequences = Consequences {
                    provider_name: provider_name(&call.context, &found.provider),
                    account_name: found.account_name.to_string(),
                    shared: found.owner == Owner::Tenant,
                    default: found.default,
                    has_credential: found.current_version > 0,
                    revokes: call.context.is_revocable(&found.provider, &found.auth_mode),
                    services,
                    more_services,
                };
                call.recorded(&permit, consequences).await
            })
        })
        .await
    }
}

impl Changes {
    /// Adds a connection with the credential that the person has filled in, if the provider accepts it.
    ///
    /// # Errors
    /// As for CreateConnection, or the session does not permit it. Then nothing was stored.
    pub async fn add(&self, entry: Entry) -> Result<Stored, Refusal> {
        let session = Arc::clone(&self.0.session);
        self.0
            .run(Action::CreateConnection, move |call| {
                Box::pin(async move {
                    let create = entry.wanted(call, &session.terms, Way::Values)?;
                    make_way(call, &create, None).await?;
                    let created = connections::create_tested(call, create).await?;
                    Ok(created.map(|(created, verdict)| Stored {
                        connection: created.id,
                        version: created.current_version,
                        verdict,
                    }))
                })
            })
            .await
    }

    /// Gives a connection another credential, if the provider accepts it; settings that were filled in go with it. The one
    /// before serves until then.
    ///
    /// # Errors
    /// As for PutCredential, it is another account's, or the session does not permit it. Then nothing was stored.
    pub async fn reconnect(
        &self,
        id: ConnectionId,
        filled: BTreeMap<String, SecretString>,
    ) -> Result<Stored, Refusal> {
        let session = Arc::clone(&self.0.session);
        self.0
            .run(Action::PutCredential, move |call| {
                Box::pin(async move {
                    let (_, found) =
                        connection(call, &session.terms, Some(ConnectAction::Reconnect), id).await?;
                    let context = Arc::clone(&call.context);
                    let mode = context.mode(&found.provider, &found.auth_mode)?;
                    check_way(mode, Way::Values)?;
                    let Values { config, credential } = values(mode, filled, Way::Values)?;
                    let config = (!config.is_empty()).then(|| {
                        let mut all = found.config.as_object().clone();
                        all.extend(config);
                        all
                    });
                    let put = Put {
                        connection: id,
                        repeat: Ok(None),
                        expected: Ok(None),
                        credential: Some(credential),
                        config,
                        verify: mode.can_be_tried(),
                        keeps_account: true,
                        reference: Ok(None),
                    };
                    let stored = credentials::put_tested(call, put).await?;
                    Ok(stored.map(|(stored, verdict)| Stored {
                        connection: id,
                        version: stored.version,
                        verdict,
                    }))
                })
            })
            .await
    }

    /// Asks the provider whether a connection works.
    ///
    /// # Errors
    /// As for TestConnection, or the session does not permit it.
    pub async fn test(&self, id: ConnectionId) -> Result<Tried, Refusal> {
        let session = Arc::clone(&self.0.session);
        self.0
            .run(Action::TestConnection, move |call| {
                Box::pin(async move {
                    let _found = connection(call, &session.terms, Some(ConnectAction::Test), id).await?;
                    Ok(tokens::test(call, id).await?.map(|tested| Tried {
                        account: tested.name().or(tested.account()).map(str::to_owned),
                        account_changed: tested.account_changed(),
                        verdict: tested.verdict,
                    }))
                })
            })
            .await
    }

    /// Gives a connection another name.
    ///
    /// # Errors
    /// As for UpdateConnection, or the session does not permit it.
    pub async fn rename(&self, id: ConnectionId, name: &str) -> Result<(), Refusal> {
        let name = match name {
            "" => Err(Violations::of("account_name", "must not be empty")),
            name => AccountName::parse(name).map_err(|rule| Violations::of("account_name", rule.to_string())),
        };
        let session = Arc::clone(&self.0.session);
        self.0
            .run(Action::UpdateConnection, move |call| {
                Box::pin(async move {
                    let _found = connection(call, &session.terms, Some(ConnectAction::Rename), id).await?;
                    Ok(connections::update(call, Update::renaming(id, name)).await?.map(drop))
                })
            })
            .await
    }

    /// Makes a connection the one that is used where no account is named.
    ///
    /// # Errors
    /// As for SetDefaultConnection, or the session does not permit it.
    pub async fn set_default(&self, id: ConnectionId) -> Result<(), Refusal> {
        let session = Arc::clone(&self.0.session);
        self.0
            .run(Action::SetDefaultConnection, move |call| {
                Box::pin(async move {
                    let _found =
                        connection(call, &session.terms, Some(ConnectAction::SetDefault), id).await?;
                    Ok(connections::set_default(call, id, None, Ok(None)).await?.map(drop))
                })
            })
            .await
    }

    /// Destroys a connection's credential and has the provider revoke it. The connection stays, and can be connected again.
    ///
    /// # Errors
    /// As for DisconnectConnection, or the session does not permit it.
    pub async fn disconnect(&self, id: ConnectionId) -> Result<Ended, Refusal> {
        let session = Arc::clone(&self.0.session);
        self.0
            .run(Action::DisconnectConnection, move |call| {
                Box::pin(async move {
                    let _found =
                        connection(call, &session.terms, Some(ConnectAction::Disconnect), id).await?;
                    let stopped = connections::disconnect(call, id, None, Ok(None)).await?;
                    Ok(stopped.map(|stopped| {
                        let connection = stopped.connection;
                        ended(connection.provider, connection.revocation, stopped.affected)
                    }))
                })
            })
            .await
    }

    /// The same, and the connection leaves the list.
    ///
    /// # Errors
    /// As for DeleteConnection with `revoke`, or the session does not permit it.
    pub async fn remove(&self, id: ConnectionId) -> Result<Ended, Refusal> {
        let session = Arc::clone(&self.0.session);
        self.0
            .run(Action::DeleteConnection, move |call| {
                Box::pin(async move {
                    let (_, found) =
                        connection(call, &session.terms, Some(ConnectAction::Remove), id).await?;
                    let revokes = found.current_version > 0;
                    let deleted = connections::delete(call, id, None, revokes, Ok(None)).await?;
                    Ok(deleted
                        .map(|deleted| ended(found.provider, deleted.grant.revocation, deleted.affected)))
                })
            })
            .await
    }
}

fn ended(provider: ProviderId, revocation: Option<Revocation>, affected: Affected) -> Ended {
    let (services, more_services) = named(affected);
    Ended { provider, revocation, services, more_services }
}

/// The services by name, each once, and how many more there are.
fn named(affected: Affected) -> (Vec<String>, u64) {
    let mut names: Vec<String> =
        affected.services.iter().map(|used| used.service.as_str().to_owned()).collect();
    names.sort();
    names.dedup();
    (names, affected.hidden)
}
