//! What every request of a kind has: the id of a change, the page of a list.

use std::sync::Arc;

use credvault_domain::RequestId;
use credvault_operations::{Paging, Parsed, Repeat};
use prost::Message;

use super::optional;
use super::oversight::MAX_CHANGES;
use credvault_proto::v1;

/// How a repetition of a change is recognised, if its request has an id: by every byte of it.
pub(crate) fn repeat<M: Message>(request_id: &str, request: &M) -> Parsed<Option<Repeat>> {
    let id = optional("request_id", request_id, RequestId::parse)?;
    Ok(id.map(|id| Repeat { id, payload: Arc::new(request.encode_to_vec().into()) }))
}

/// A request that asks for a page.
pub(crate) trait Paged: Message {
    /// Takes size and token out. What remains is the query.
    fn take_page(&mut self) -> (i32, String);
}

macro_rules! paged {
    ($($request:ident)*) => {$(
        impl Paged for v1::$request {
            fn take_page(&mut self) -> (i32, String) {
                (std::mem::take(&mut self.page_size), std::mem::take(&mut self.page_token))
            }
        }
    )*};
}

paged! {
    ListCredentialVersionsRequest ListProvidersRequest ListConnectionsRequest ListAuditEventsRequest ListTenantsRequest
    ListPlatformDependantsRequest ListErasuresRequest
    ListUsersRequest ListOAuthAppsRequest ListEventEndpointsRequest ListEventDeliveriesRequest
    ListTenantConnectionsRequest GetAccessReportRequest GetUsageRequest ListServiceConfigsRequest ListToolsRequest
}

impl Paged for v1::ChangeTenantConnectionsRequest {
    fn take_page(&mut self) -> (i32, String) {
        (std::mem::take(&mut self.page_size).min(MAX_CHANGES), std::mem::take(&mut self.page_token))
    }
}

/// The page that a request asks for.
pub(crate) fn paging(mut request: impl Paged) -> Parsed<Paging> {
    let (size, token) = request.take_page();
    Paging::new(size, token, request.encode_to_vec())
}
