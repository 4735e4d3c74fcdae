//! The catalog of providers, as callers read it.

use credvault_catalog::Provider;
use credvault_domain::ProviderId;
use credvault_identity::Facts;
use credvault_store::{Error as StoreError, Incident, Listed, PAGE_BYTES, Recorded};

use crate::call::Subject;
use crate::{Call, Paging, Parsed, Refusal};

/// `GetProvider`, as `render` shows it.
///
/// # Errors
/// There is no such provider, or policy does not permit it.
pub async fn get<T>(
    call: &mut Call,
    id: ProviderId,
    render: impl FnOnce(&Provider, Option<&Incident>) -> T,
) -> Result<Recorded<T>, Refusal> {
    call.about(Subject::provider(&id));
    let permit = call.permit_catalog(Facts::of_provider(&id))?;
    let incidents = call.context.broker.refresher().incidents();
    let provider = call.context.catalog.get(&id).ok_or(Refusal::ProviderUnknown)?;
    let provider = render(provider, of(&incidents, provider));
    call.recorded(&permit, provider).await
}

/// `ListProviders`: those that policy shows to the caller. `render` gives an item and its bytes, so that a page ends before
/// it is too large.
///
/// # Errors
/// Policy does not permit the list as a whole.
pub async fn list<T>(
    call: &mut Call,
    paging: Parsed<Paging>,
    render: impl Fn(&Provider, Option<&Incident>) -> (T, usize),
) -> Result<Recorded<Listed<T>>, Refusal> {
    let page = call.page(None, paging).await?;
    let permit = call.permit_catalog(Facts::default())?;
    // Every caller sees the same catalog, so a position in it needs no seal: it is the last provider's id.
    let after = match page.token.as_str() {
        "" => None,
        token => Some(ProviderId::parse(token).map_err(|_| StoreError::PageToken)?),
    };
    let size = usize::try_from(page.size).unwrap_or(usize::MAX);
    let mut listed = Listed { items: Vec::new(), next_page_token: String::new() };
    let incidents = call.context.broker.refresher().incidents();
    let (mut bytes, mut last) = (0, None);
    let providers = call.context.catalog.iter();
    let beyond = providers.filter(|provider| after.as_ref().is_none_or(|after| provider.id > *after));
    for provider in beyond.filter(|provider| call.shows_provider(&provider.id)) {
        let (item, its) = render(provider, of(&incidents, provider));
        bytes += its;
        let full = listed.items.len() == size || bytes > PAGE_BYTES;
        if let Some(last) = last.filter(|_| full) {
            listed.next_page_token = ProviderId::as_str(last).to_owned();
            break;
        }
        listed.items.push(item);
        last = Some(&provider.id);
    }
    call.recorded(&permit, listed).await
}

/// The incident of a provider, if it has one.
fn of<'a>(incidents: &'a [Incident], provider: &Provider) -> Option<&'a Incident> {
    incidents.iter().find(|incident| incident.provider == provider.id)
}
