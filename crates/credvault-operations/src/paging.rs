//! Pages of lists, the same way in every one: how many items, from where, and of which list.

use credvault_domain::{Action, Reach, TenantScope, UserId, Violations};
use credvault_identity::Caller;
use credvault_store::Page;

use crate::Parsed;

/// How many items a page has if the caller does not say.
const DEFAULT_ITEMS: u32 = 50;
/// How many items a page has at most.
const MAX_ITEMS: i32 = 500;

/// The page that a request asks for.
#[derive(Clone, Debug)]
pub struct Paging {
    size: u32,
    token: String,
    query: Vec<u8>,
}

impl Paging {
    /// `size` items, zero for the usual number, after the page that gave `token`. `query` is the rest of the request, in
    /// any encoding that tells two lists apart.
    ///
    /// # Errors
    /// The size is negative.
    pub fn new(size: i32, token: String, query: Vec<u8>) -> Parsed<Self> {
        let size = match size {
            ..0 => return Err(Violations::of("page_size", "must not be negative; leave it out for 50")),
            0 => DEFAULT_ITEMS,
            size => size.min(MAX_ITEMS).unsigned_abs(),
        };
        Ok(Self { size, token, query })
    }

    /// The page, with a token that is good for this caller and list only.
    pub(crate) fn bound_to(self, action: Action, caller: &Caller, scope: Option<&TenantScope>) -> Page {
        let reach = scope.map_or("", |scope| match scope.reach() {
            Reach::User(_) => "user",
            Reach::Shared => "shared",
            Reach::AllUsers => "all",
        });
        let (action, service) = (action.as_str(), caller.service.as_str());
        let user = caller.user().map(UserId::as_str).unwrap_or_default();
        let mut query = format!("{action}\0{service}\0{user}\0{reach}\0").into_bytes();
        query.extend(self.query);
        Page { size: self.size, token: self.token, query }
    }
}
