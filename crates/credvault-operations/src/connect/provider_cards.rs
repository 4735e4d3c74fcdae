//! The providers at which a person can connect an account, for the page that adds one.

use std::collections::BTreeSet;
use std::sync::Arc;

use credvault_catalog::{Mode, Provider};
use credvault_domain::{
    Action, AppPlace, AuthMode, Config, ConnectAction, ConnectTerms, Owner, ProviderId, UserId,
};
use credvault_identity::Facts;
use credvault_store::{Incident, Listed};

use super::reach::allow;
use super::visit::Visit;
use crate::{Context, Paging, Refusal, providers};

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
    /// The ways to connect an account there; at least one.
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
    /// Whether it works only with an app that the tenant or the platform has stored for the provider.
    needs_app: bool,
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
                // Only what policy lets the service create is worth showing, and what can work.
                let scope = call.find_scope()?;
                let context = Arc::clone(&call.context);
                let places = places_of_apps(&context, terms, &listed.get().items);
                let missing = context.store.apps().missing_at(&scope, places).await?;
                let without: BTreeSet<&ProviderId> = missing.iter().map(AppPlace::provider).collect();
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
                    items.retain_mut(|item| {
                        if without.contains(&item.id) {
                            item.modes.retain(|mode| !mode.needs_app);
                        }
                        !item.modes.is_empty() && is_offered(&item.id)
                    });
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
        by_values: mode.can_be_filled_in(),
        needs_app: needs_app(provider, mode),
    });
    let modes = modes.filter(|mode| mode.by_consent || mode.by_values);
    ProviderCard {
        id: provider.id.clone(),
        name: provider.display_name.clone(),
        has_incident: incident.is_some(),
        modes: modes.collect(),
    }
}

/// Whether a consent of the mode takes an app that was stored before, whatever the person fills in: other servers have apps of their
/// own, and the vault may register one where an issuer's metadata says how.
fn needs_app(provider: &Provider, mode: &Mode) -> bool {
    mode.code_grant().is_some() && mode.discovery.is_none() && provider.server_setting().is_empty()
}

/// Where the apps are that modes of these providers take.
fn places_of_apps(context: &Context, terms: &ConnectTerms, cards: &[ProviderCard]) -> Vec<AppPlace> {
    let takes = |card: &&ProviderCard| terms.shows(&card.id) && card.modes.iter().any(|mode| mode.needs_app);
    let place = |card: &ProviderCard| context.broker.app_place(&card.id, &Config::default());
    cards.iter().filter(takes).map(place).collect()
}
