//! A consent in a browser, on its way to a provider and back.
//!
//! A browser has no tenant. What vouches for one is the state, which the vault gave out and found again; and the cookie,
//! which says that it is the browser that started. Completing the consent takes more: the page that opened the window
//! proves itself through its back end (same tenant, user and session), or the person by the code that the beginner shows.
//!
//! A provider that refuses may leave the state out. Then the cookie alone says which consent it means, and with it a
//! consent can be ended, never completed.
//!
//! Begin and completion of a consent are on record, and so is every refusal; one that ends a consent, in the change that
//! ends it. The steps between them have no record of their own.

mod decision;
mod delivered_keys;
mod found;
mod stateless;
mod steps;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::Context;

pub use decision::{Question, Returned};
pub use found::{Refused, ReturnPage};

/// The query or form of a request, decoded.
pub type Parameters = BTreeMap<String, String>;

/// The part of consents that happens in browsers.
#[derive(Clone, Debug)]
pub struct Browsers(Arc<Context>);

/// The browser of a request.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The value of its cookie.
    pub id: Option<String>,
    /// Its address, as far as a reverse proxy shows it.
    pub address: IpAddr,
}

/// A browser that may continue to the provider.
#[derive(Debug)]
pub struct Started {
    /// The provider's page to go to.
    pub url: String,
    /// The value of its cookie from now on.
    pub browser: String,
}

impl Browsers {
    /// Serves browsers with this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }
}
