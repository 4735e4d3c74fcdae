//! The broker: everything that the vault does at providers, and what it sends to subscribers. All outgoing HTTP goes through [`Http`], behind its
//! [`Guard`].
//!
//! [`Broker`] authorises connections and sends events; its [`Refresher`] keeps tokens fresh; [`webhook`] checks what
//! providers send.

mod authorize;
mod destinations;

mod after;
mod broker;
mod callback;
mod callback_signature;
mod handoff;

mod events;

mod guard;

mod http;

mod reader;

mod pace;
mod refresher;

mod revoke;

mod verify;

mod published;

pub mod webhook;

pub use authorize::{BegunConsent, Callback, ConsentError, ConsentRequest, Target, confirmation_code};
pub use broker::{Broker, Parts};
pub use callback::CallbackResult;
pub use guard::{Guard, Network, NetworkError};
pub use http::{Answer, Http, Receipt, SendError};
pub use refresher::{
    MAX_ATTEMPT_TIME, MIN_TOKEN_LIFETIME, Need, RefreshError, RefreshLimits, Refresher, app_values, due_time,
};
pub use verify::TestError;
