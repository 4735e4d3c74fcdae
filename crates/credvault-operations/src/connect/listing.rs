//! The connections that a page shows: the user's own and those that all users of the tenant share.

use std::sync::Arc;
use std::time::Duration;

use credvault_domain::{
    Action, ConnectAction, ConnectionId, ConnectionState, HealthState, Owner, ProviderId,
};
use credvault_store::{ConnectionFilter, Listed};

use super::begun::is_only_begun;
use super::reach::Rights;
use super::visit::Visit;
use crate::connections::{self, Described};
use crate::{Context, Paging, Refusal};

/// How many connections a page shows at once.
const PAGE_ITEMS: i32 = 100;

/// A part of the connections, oldest first.
#[derive(Debug)]
pub struct Listing {
    /// The connections in this part.
    pub connections: Vec<ListedConnection>,
    /// What gives the next part; empty if there is none.
    pub next_page_token: String,
}

/// A connection as its owner sees it.
#[derive(Debug)]
pub struct ListedConnection {
    /// The connection's id in the vault.
    pub id: ConnectionId,
    /// The provider's id in the catalog.
    pub provider: ProviderId,
    /// The name that people know the provider by.
    pub provider_name: String,
    /// The name that the person or the application gave the account.
    pub account_name: String,
    /// The account's id at the provider, if that is known.
    pub account_id: Option<String>,
    /// Whether all users of the tenant share it.
    pub shared: bool,
    /// Whether it is used where no account is named.
    pub default: bool,
    /// Whether the application has switched it off.
    pub disabled: bool,
    /// The state of its credential.
    pub state: ConnectionState,
    /// How it is, in one word.
    pub health: HealthState,
    /// Whether its owner can help, where something is the matter.
    pub owner_helps: bool,
    /// What is the matter and what to do, in the words of the account's owner; `None` if nothing is.
    pub text: Option<String>,
    /// The reason of the state ERROR, as errors name it.
    pub reason: Option<String>,
    /// Whether reconnecting means that the provider asks for consent.
    pub by_consent: bool,
    /// Whether reconnecting can mean that the person fills in a form.
    pub by_values: bool,
    /// How long ago the provider last accepted its credential in a test; `None` if it never did, or there is none any more.
    pub since_test: Option<Duration>,
    /// What the person may do with it.
    pub actions: Vec<ConnectAction>,
}

impl Visit {
    /// The connections that the page shows, from `page_token` on; empty for the first part. Those that the person has begun to add
    /// there and has not connected are not among them.
    ///
    /// # Errors
    /// As for ListConnections.
    pub async fn connections(&self, page_token: String) -> Result<Listing, Refusal> {
        let session = Arc::clone(&self.session);
        self.run(Action::ListConnections, move |call| {
            Box::pin(async move {
                let terms = &session.terms;
                let filter = ConnectionFilter {
                    // A policy about one provider permits the list of that one.
                    provider: (terms.providers.len() == 1)
                        .then(|| terms.providers.first().cloned())
                        .flatten(),
                    providers: terms.providers.clone(),
                    ..ConnectionFilter::default()
                };
                let paging = Paging::new(PAGE_ITEMS, page_token, Vec::new());
                let listed = connections::list(call, (filter, None), paging).await?;
                let (scope, context) = (call.scope()?, Arc::clone(&call.context));
                let mut rights = Rights::new(call, &scope, terms);
                Ok(listed.map(|Listed { mut items, next_page_token }| {
                    items.retain(|item| !is_only_begun(&item.connection));
                    let connections =
                        items.into_iter().map(|item| shown(&context, item, &mut rights)).collect();
                    Listing { connections, next_page_token }
                }))
            })
        })
        .await
    }
}

fn shown(context: &Context, described: Described, rights: &mut Rights<'_>) -> ListedConnection {
    let Described { connection, health, .. } = described;
    let mode = context.mode(&connection.provider, &connection.auth_mode).ok();
    let actions = rights.of(&connection, mode);
    let owner_helps = match health.state {
        HealthState::NotConnected | HealthState::Ending | HealthState::Ended => true,
        HealthState::Error => {
            let lasting = health.last_error.as_ref().filter(|(error, _)| error.recover_time.is_none());
            lasting.is_none_or(|(error, _)| error.asks_owner())
        }
        HealthState::Ok | HealthState::Uncertain | HealthState::ProviderIncident => false,
    };
    let error = health.last_error.map(|(_, words)| words.customer);
    let verified = connection.last_verified_time.filter(|_| connection.current_version > 0);
    let since_test = verified.map(|time| time.until(context.now()));
    ListedConnection {
        id: connection.id,
        provider_name: provider_name(context, &connection.provider),
        account_name: connection.account_name.to_string(),
        account_id: connection.confirmed_account_id.or(connection.external_account_id),
        shared: connection.owner == Owner::Tenant,
        default: connection.default,
        disabled: !connection.enabled,
        state: connection.state,
        health: health.state,
        owner_helps,
        text: error
            .filter(|_| health.state == HealthState::Error)
            .or_else(|| health.words.map(|words| words.customer)),
        reason: connection.error.map(|error| error.reason),
        by_consent: mode.is_some_and(|mode| mode.asks_consent()),
        by_values: mode.is_some_and(|mode| mode.can_be_filled_in()),
        since_test,
        actions,
        provider: connection.provider,
    }
}

/// The name that people know a provider by; its id if the catalog does not have it any more.
pub(super) fn provider_name(context: &Context, id: &ProviderId) -> String {
    context.catalog.get(id).map_or(id.as_str(), |provider| provider.display_name.as_str()).to_owned()
}
