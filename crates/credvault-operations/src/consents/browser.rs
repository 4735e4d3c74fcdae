//! A consent in a browser, on its way to a provider and back.
//!
//! A browser has no tenant. What vouches for one is the state, which the vault gave out and found again; and the cookie,
//! which says that it is the browser that started. Completing the consent takes more: the page that opened the window
//! proves itself through its back end (same tenant, user and session), or the person by the code that the beginner shows.
//!
//! A provider that refuses may leave the state out. Then the cookie alone says which consent it means, and with it a
//! consent can be ended, never completed.
//!
//! Begin and completion of a consent are on record, and so is every refusal that is about a known consent; one that ends a
//! consent, in the change that ends it. A refusal that is about none has no tenant whose log it could stand in; it is
//! counted. The steps between begin and completion have no record of their own, and need no permission of their own: their
//! beginner had it, and completion asks policy once more.

mod decision;
mod delivered_keys;
mod found;
mod stateless;
mod steps;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::Context;

pub use decision::{Connected, Question, Returned};
pub use found::{Refused, ReturnPage};

/// The query or form of a request, decoded.
pub type Parameters = BTreeMap<String, String>;

/// The part of consents that happens in browsers.
#[derive(Clone, Debug)]
pub struct Browsers(Arc<Context>);

/// The browser of a request.
#[derive(Clone)]
pub struct Browser {
    /// The value of its cookie.
    pub id: Option<String>,
    /// Its address, as far as a reverse proxy shows it.
    pub address: IpAddr,
}

crate::debug_without_content!(Browser);

/// A browser that may continue to the provider.
pub struct Started {
    /// The provider's page to go to.
    pub url: String,
    /// The value of its cookie from now on.
    pub browser: String,
}

crate::debug_without_content!(Started);

impl Browsers {
    /// Serves browsers with this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Runs a step to its end, even if the window is closed meanwhile.
    pub fn spawn<F>(&self, step: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn(step)
    }
}
