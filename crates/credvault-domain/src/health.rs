//! The health of a connection: whether its grant renews itself, when it ends, and when its owner is warned (`grant`); how it
//! is, in a word and in sentences (`state`); and what went wrong last, in words (`words`). It reads no clock and knows no row.

mod grant;
mod rotation;
mod words;

mod state;

pub use grant::{Grant, GrantLife, Renewal};
pub use rotation::RotationDue;
pub use state::{Health, HealthState};
pub use words::{LastError, PASSING_PAUSES, Words};
