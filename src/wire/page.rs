//! Page sizes and tokens, the same way in every listing.

use credvault_domain::{Reach, TenantScope, UserId, Violations};
use credvault_store::Page;
use prost::Message;

use crate::call::Call;
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

/// The page that a request asks for. Its token is good for the same RPC, filters, service, user and reach only; the store
/// binds it to the tenant.
pub(crate) fn page<R: Paged>(
    call: &Call,
    scope: Option<&TenantScope>,
    request: &R,
) -> Result<Page, Violations> {
    let size = match request.size() {
        ..0 => return Err(Violations::of("page_size", "must not be negative; leave it out for 50")),
        0 => DEFAULT_SIZE,
        size => size.min(LARGEST_SIZE).unsigned_abs(),
    };
    let (token, query) = request.clone().split();
    let reach = scope.map_or("", |scope| match scope.reach() {
        Reach::User(_) => "user",
        Reach::Shared => "shared",
        Reach::AllUsers => "all",
    });
    let (action, service) = (call.action.as_str(), call.caller.service.as_str());
    let user = call.caller.user().map(UserId::as_str).unwrap_or_default();
    let mut bound = format!("{action}\0{service}\0{user}\0{reach}\0").into_bytes();
    query
        .encode(&mut bound)
        .map_err(|_| Violations::of("page_token", "is part of a request that is too large"))?;
    Ok(Page { size, token, query: bound })
}
