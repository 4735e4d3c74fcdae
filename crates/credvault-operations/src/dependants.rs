//! Who still depends on the platform's shared credentials: fetches are counted in `counted`, and listed here for
//! administrators.

pub(crate) mod counted;

use credvault_domain::ProviderId;
use credvault_identity::Facts;
use credvault_store::{Dependant, Listed, Recorded, Uses};

use crate::{Call, Paging, Parsed, Refusal};

/// `ListPlatformDependants`: of the tenants that policy shows to the caller.
///
/// # Errors
/// Policy does not permit the list as a whole.
pub async fn list(
    call: &mut Call,
    provider: Option<ProviderId>,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<(Dependant, Uses)>>, Refusal> {
    let page = call.page(None, paging).await?;
    let (permit, platform) = call.administer(None, Facts::default())?;
    let dependants = call.context.store.dependants();
    let mut listed = dependants.list(&platform, provider.as_ref(), &page).await?;
    listed.items.retain(|(dependant, _)| call.shows_tenant(&dependant.tenant));
    call.recorded(&permit, listed).await
}
