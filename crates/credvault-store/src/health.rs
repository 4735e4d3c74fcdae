//! The health of connections: when a grant ends (`grant`), what went wrong last (`last_error`), who is warned (`warnings`),
//! and how that is read (`read`, `state`). In a table of its own, for a fetch needs nothing of it.

pub(crate) mod grant;
pub(crate) mod last_error;

pub(crate) mod state;

pub(crate) mod read;

mod warnings;

mod reminders;

mod notices;
