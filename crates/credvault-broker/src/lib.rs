//! The broker: all that the vault does at providers, and what it sends to receivers of events. All outgoing HTTP goes
//! through [`Http`], behind its [`Guard`].
//!
//! [`Broker`] runs consents, tests and revokes credentials, and sends events; its [`Refresher`] keeps tokens fresh;
//! [`webhook`] checks what providers send. It decides nothing about callers: they are verified before it is asked.

mod broker;
mod in_flight;
mod parts;

mod consent;
mod credential_test;
mod discovery;
mod refresh;
mod revocation;
mod rotation;

pub mod webhook;

mod events;
mod witnessing;

mod throttle;

mod http;

mod assertion;
mod deadlines;
mod every;
mod flow;
mod grant;
mod incidents;
mod schedule;

pub use broker::Broker;
pub use consent::{
    BegunConsent, Callback, CallbackResult, ConsentError, ConsentRequest, Target, confirmation_code,
};
pub use credential_test::error::TestError;
pub use deadlines::MAX_ATTEMPT_TIME;
pub use every::{Ticks, every};
pub use flow::app_values;
pub use grant::grant;
pub use http::{Answer, Guard, Http, Network, NetworkError, Receipt, SendError};
pub use in_flight::{InFlight, SharedOutcome};
pub use parts::Parts;
pub use refresh::{MIN_TOKEN_LIFETIME, Need, RefreshError, RefreshLimits, Refresher};
pub use rotation::error::RotationError;
pub use rotation::pause_of_rotation;
pub use schedule::{due_time, first_due_time};
