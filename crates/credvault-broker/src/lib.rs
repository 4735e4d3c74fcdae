//! The broker: everything that the vault does at providers. All outgoing HTTP goes through [`Http`], behind its
//! [`Guard`].
//!
//! [`Broker`] authorises connections; its [`Refresher`] keeps tokens fresh; [`webhook`] checks what providers send.

mod authorize;

mod after;
mod broker;

mod guard;

mod http;

mod refresher;

mod revoke;

mod verify;

mod published;

pub mod webhook;

pub use authorize::{AuthorizeError, Begun, Callback, Target};
pub use broker::Broker;
pub use guard::{Guard, Network, NetworkError};
pub use http::{Answer, Http, SendError};
pub use refresher::{ENOUGH, RefreshError, Refresher, app_values, due_time};
pub use verify::VerifyError;
