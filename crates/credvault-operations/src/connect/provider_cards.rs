//! The providers at which a person can connect an account, for the page that adds one.

use std::sync::Arc;

use credvault_catalog::Provider;
use credvault_domain::{Action, AuthMode, ConnectAction, Owner, ProviderId, UserId};
use credvault_identity::Facts;
use credvault_store::{Incident, Listed};

use super::reach::allow;
use super::visit::Visit;
use crate::{Paging, Refusal, providers};

/// How many providers are listed at once.
const PAGE_ITEMS: i32 = 500;

/// A provider that a person may choose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderCard {
    /// The provider's id in the catalog.
    pub id: ProviderId,
    /// The name that people know it by.
    pub name: String,
    /// Whether the provider fails for many at the moment.
    pub has_incident: bool,
    /// The ways to connect an account there.
    pub modes: Vec<ModeCard>,
}

/// A way to connect an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModeCard {
    /// The auth mode's id.
    pub id: AuthMode,
    /// The auth mode's name for people.
    pub name: String,
    /// Whether the provider can ask the person for consent.
    pub by_consent: bool,
    /// Whether the person can fill in the credential.
    pub by_values: bool,
}

impl Visit {
    /// The providers at which the person may add a connection, ordered by id.
    ///
    /// # Errors
    /// As for ListProviders, or the session was made without adding.
    pub async fn providers(&self) -> Result<Vec<ProviderCard>, Refusal> {
        let (mut cards, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.page_of_providers(token).await?;
            cards.extend(page.items);
            if page.next_page_token.is_empty() {
                return Ok(cards);
            }
            token = page.next_page_token;
        }
    }

    async fn page_of_providers(&self, token: String) -> Result<Listed<ProviderCard>, Refusal> {
        let session = Arc::clone(&self.session);
        self.run(Action::ListProviders, move |call| {
            Box::pin(async move {
                let terms = &session.terms;
                allow(terms, ConnectAction::Add)?;
                let paging = Paging::new(PAGE_ITEMS, token, Vec::new());
                let listed = providers::list(call, paging, |provider, incident| {
                    (card(provider, incident), CARD_BYTES)
                })
                .await?;
                // Only what policy lets the service create is worth showing.
                let scope = call.find_scope()?;
                let creating = call.part(Action::CreateConnection);
                let own = call.caller().user().map(|user: &UserId| Owner::User(user.clone()));
                let owners: Vec<Owner> =
                    own.into_iter().chain(terms.manages_shared.then_some(Owner::Tenant)).collect();
                let is_offered = |id: &ProviderId| {
                    terms.shows(id)
                        && owners.iter().any(|owner| {
                            let facts = Facts { provider: Some(id), owner: Some(owner), purpose: None };
                            creating.permit(&scope, facts).is_ok()
                        })
                };
                Ok(listed.map(|Listed { mut items, next_page_token }| {
                    items.retain(|item| is_offered(&item.id));
                    Listed { items, next_page_token }
                }))
            })
        })
        .await
    }
}

/// How many bytes of an answer a card is counted as: no card is sent as it is.
const CARD_BYTES: usize = 512;

fn card(provider: &Provider, incident: Option<&Incident>) -> ProviderCard {
    let modes = provider.modes().map(|(id, mode)| ModeCard {
        id: id.clone(),
        name: mode.display_name.clone(),
        by_consent: mode.asks_consent(),
        by_values: mode.takes_values(),
    });
    ProviderCard {
        id: provider.id.clone(),
        name: provider.display_name.clone(),
        has_incident: incident.is_some(),
        modes: modes.collect(),
    }
}
