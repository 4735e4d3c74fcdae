//! Page sizes and tokens, the same way in every listing.

use credvault_domain::{Action, TenantScope, Violations};
use credvault_store::Page;
use prost::Message;

use crate::proto::v1;

const DEFAULT_SIZE: u32 = 50;
const LARGEST_SIZE: i32 = 500;

/// A request that asks for a page.
pub(crate) trait Paged: Message + Clone {
    /// The size asked for.
    fn size(&self) -> i32;
    /// Takes the token out, and the size: what remains is the query.
    fn split(self) -> (String, Self);
}

macro_rules! paged {
    ($($request:ident)*) => {$(
        impl Paged for v1::$request {
            fn size(&self) -> i32 {
                self.page_size
            }

            fn split(mut self) -> (String, Self) {
                self.page_size = 0;
                (std::mem::take(&mut self.page_token), self)
            }
        }
    )*};
}

paged! {
    ListCredentialVersionsRequest ListProvidersRequest ListConnectionsRequest ListAuditEventsRequest ListTenantsRequest
    ListUsersRequest ListOAuthAppsRequest ListEventEndpointsRequest ListEventDeliveriesRequest
}

/// The page that a request asks for. Its token is good for the same RPC, filters and user only; the store binds it to
/// the tenant.
pub(crate) fn page<R: Paged>(
    action: Action,
    scope: Option<&TenantScope>,
    request: &R,
) -> Result<Page, Violations> {
    let size = match request.size() {
        ..0 => return Err(Violations::of("page_size", "must not be negative; leave it out for 50")),
        0 => DEFAULT_SIZE,
        size => size.min(LARGEST_SIZE).unsigned_abs(),
    };
    let (token, query) = request.clone().split();
    let user = scope.and_then(TenantScope::user).map(credvault_domain::UserId::as_str).unwrap_or_default();
    let mut bound = format!("{}\0{user}\0", action.as_str()).into_bytes();
    query
        .encode(&mut bound)
        .map_err(|_| Violations::of("page_token", "is part of a request that is too large"))?;
    Ok(Page { size, token, query: bound })
}
